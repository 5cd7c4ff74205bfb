// What a linear layer applies to its outputs, element by element. Twin: python/rnncore/reference/activations.py
#pragma once

#include "rnncore/kernels/table.hpp"
#include "rnncore/simd/math.hpp"

namespace rnncore::RNNCORE_ISA {

// Phi(z), the distribution function of the normal distribution, lane by lane; and z phi(z), its density times z.
template <class T>
inline T normal_distribution(T z) {
  constexpr double root_half = 0.7071067811865476;
  return T(0.5) * (sizeof(T) == 4 ? T(__builtin_erfcf(float(-z * T(root_half)))) : T(__builtin_erfc(-z * root_half)));
}
template <class T>
inline T normal_slope(T z) {
  constexpr double root = 0.3989422804014327;  // 1 / sqrt(2 pi)
  const T exponent = T(-0.5) * z * z;
  const T density = sizeof(T) == 4 ? T(__builtin_expf(float(exponent))) : T(__builtin_exp(exponent));
  return density == 0 ? density : z * T(root) * density;  // 0 where z is infinite
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
      for (index i = 0; i < count; ++i) {
        const T phi = normal_distribution(z[i]);
        y[i] = phi == 0 ? T(0) : z[i] * phi;  // 0 where z is -infinity
      }
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
      for (index i = 0; i < count; ++i) dz[i] = dy[i] * (normal_distribution(kept[i]) + normal_slope(kept[i]));
      break;
  }
}

template <class V>
ActivationKernels<typename V::Scalar> activation_kernels() {
  return {activate<V>, activation_gradient<V>};
}

}  // namespace rnncore::RNNCORE_ISA
