// What a linear layer applies to its outputs, element by element. Twin: python/rnncore/reference/activations.py
#pragma once

#include "rnncore/kernels/table.hpp"
#include "rnncore/simd/normal.hpp"

namespace rnncore::RNNCORE_ISA {

// z Phi(z), with Phi the distribution function of the normal distribution (Hendrycks & Gimpel 2016).
template <class V>
RNNCORE_INLINE V gelu(V z) {
  using T = typename V::Scalar;
  const NormalTail<T> normal(z);
  return max(z, T(0)) - normal.density * (normal.t * normal.share);
}
// Phi(z) + z phi(z)
template <class V>
RNNCORE_INLINE V gelu_slope(V z) {
  using T = typename V::Scalar;
  using C = NormalConstants<T>;
  constexpr T root = T(0.3989422804014327);  // 1 / sqrt(2 pi)
  const NormalTail<T> normal(z);
  const V tail = normal.density * normal.share, distribution = where_not_positive_zero(z, T(1) - tail * T(2)) + tail;
  return fma(clamp(z, -C::limit, C::limit) * root, normal.density, distribution);
}

template <class V, class F>
RNNCORE_INLINE void each_pack(index count, const typename V::Scalar* from, typename V::Scalar* to, const F& f) {
  for (index at = 0; at < count; at += V::width)
    f(V::load_part(from + at, count - at), at).store_part(to + at, count - at);
}

// y = f(z); the two may be one.
template <class V>
void activate(Activation kind, index count, const typename V::Scalar* z, typename V::Scalar* y) {
  using T = typename V::Scalar;
  switch (kind) {
    case Activation::none:
      each_pack<V>(count, z, y, [](V v, index) { return v; });
      break;
    case Activation::relu:
      each_pack<V>(count, z, y, [](V v, index) { return max(v, T(0)); });
      break;
    case Activation::tanh:
      each_pack<V>(count, z, y, [](V v, index) { return tanh(v).value(); });
      break;
    case Activation::sigmoid:
      each_pack<V>(count, z, y, [](V v, index) { return sigmoid_of_exponent(v * T(sigmoid_scale)).value(); });
      break;
    case Activation::gelu:
      each_pack<V>(count, z, y, [](V v, index) { return gelu(v); });
      break;
  }
}

// dz = f'(z) dy; dy and dz may be one. kept is y, but z for gelu.
template <class V>
void activation_gradient(Activation kind, index count, const typename V::Scalar* kept, const typename V::Scalar* dy,
                         typename V::Scalar* dz) {
  using T = typename V::Scalar;
  const auto output = [&](index at) { return V::load_part(kept + at, count - at); };
  switch (kind) {
    case Activation::none:
      each_pack<V>(count, dy, dz, [](V d, index) { return d; });
      break;
    case Activation::relu:
      each_pack<V>(count, dy, dz, [&](V d, index at) { return where_not_positive_zero(output(at), d); });
      break;
    case Activation::tanh:
      each_pack<V>(count, dy, dz, [&](V d, index at) {
        const V y = output(at);
        return d * (T(1) - y * y);
      });
      break;
    case Activation::sigmoid:
      each_pack<V>(count, dy, dz, [&](V d, index at) {
        const V y = output(at);
        return d * (y * (T(1) - y));
      });
      break;
    case Activation::gelu:
      each_pack<V>(count, dy, dz, [&](V d, index at) { return d * gelu_slope(output(at)); });
      break;
  }
}

template <class V>
ActivationKernels<typename V::Scalar> activation_kernels() {
  return {activate<V>, activation_gradient<V>};
}

}  // namespace rnncore::RNNCORE_ISA
