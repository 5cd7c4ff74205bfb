// Layer normalisation of rows (Ba et al. 2016), and its gradients. A row's bits depend on that row alone.
// Twin: python/rnncore/reference/layer_norm.py
#pragma once

#include "rnncore/kernels/table.hpp"
#include "rnncore/simd/denormals.hpp"
#include "rnncore/simd/pack.hpp"

namespace rnncore::RNNCORE_ISA {

// The sum of f(pack, at) over a row's packs, lanes past the last element being zero in what f is given.
template <class V, class F>
RNNCORE_INLINE typename V::Scalar row_sum(index size, const typename V::Scalar* row, const F& f) {
  using T = typename V::Scalar;
  V sum = V::zero();
  for (index at = 0; at < size; at += V::width) sum = sum + f(V::load_part(row + at, size - at), at);
  T lanes[V::width], total = 0;
  sum.store(lanes);
  for (int lane = 0; lane < V::width; ++lane) total += lanes[lane];
  return total;
}

// y = normal * weight + bias with normal = (x - mean) * inverse, inverse = 1 / sqrt(variance + eps), for the rows
// [first, end).
template <class V>
void layer_norm(const LayerNormWeights<typename V::Scalar>& weights, Matrix<const typename V::Scalar> x,
                Matrix<typename V::Scalar> y, typename V::Scalar* normal, typename V::Scalar* inverse, index first,
                index end) {
  using T = typename V::Scalar;
  const index F = weights.size;
  const FlushDenormals guard;
  for (index r = first; r < end; ++r) {
    const T* const from = x.at(r);
    T* const own = normal ? normal + r * F : y.at(r);
    const T mean = row_sum<V>(F, from, [](V v, index) { return v; }) / T(F);
    for (index at = 0; at < F; at += V::width) (V::load_part(from + at, F - at) - mean).store_part(own + at, F - at);
    const T variance = row_sum<V>(F, own, [](V v, index) { return v * v; }) / T(F) + T(weights.eps);
    const T scale = T(1) / (sizeof(T) == 4 ? T(__builtin_sqrtf(float(variance))) : T(__builtin_sqrt(variance)));
    if (inverse) inverse[r] = scale;
    T* const to = y.at(r);
    for (index at = 0; at < F; at += V::width) {
      const index left = F - at;
      V v = V::load_part(own + at, left) * scale;
      if (normal) v.store_part(own + at, left);
      if (weights.weight) v = v * V::load_part(weights.weight + at, left);
      if (weights.bias) v = v + V::load_part(weights.bias + at, left);
      v.store_part(to + at, left);
    }
  }
}

// dx = (d - mean(d) - normal mean(d normal)) * inverse with d = dy * weight, for the rows [first, end); dy and dx may
// be one.
template <class V>
void layer_norm_input_gradient(const LayerNormWeights<typename V::Scalar>& weights, const typename V::Scalar* normal,
                               const typename V::Scalar* inverse, Matrix<const typename V::Scalar> dy,
                               Matrix<typename V::Scalar> dx, index first, index end) {
  using T = typename V::Scalar;
  const index F = weights.size;
  const FlushDenormals guard;
  for (index r = first; r < end; ++r) {
    const T *const own = normal + r * F, *const from = dy.at(r);
    T* const to = dx.at(r);
    const auto weighted = [&](V d, index at) {
      return weights.weight ? d * V::load_part(weights.weight + at, F - at) : d;
    };
    const T mean = row_sum<V>(F, from, weighted) / T(F);
    const T along =
        row_sum<V>(F, from, [&](V d, index at) { return weighted(d, at) * V::load_part(own + at, F - at); }) / T(F);
    for (index at = 0; at < F; at += V::width) {
      const index left = F - at;
      const V d = weighted(V::load_part(from + at, left), at);
      ((d - mean - V::load_part(own + at, left) * along) * inverse[r]).store_part(to + at, left);
    }
  }
}

// Adds dy * normal to d_weight and dy to d_bias, row by row, for the columns [first, end). Either may be null.
template <class V>
void layer_norm_parameter_gradients(index size, index rows, const typename V::Scalar* normal,
                                    Matrix<const typename V::Scalar> dy, typename V::Scalar* d_weight,
                                    typename V::Scalar* d_bias, index first, index end) {
  const FlushDenormals guard;
  for (index at = first; at < end; at += V::width) {
    const index left = end - at;
    V weight = V::zero(), bias = V::zero();
    for (index r = 0; r < rows; ++r) {
      const V d = V::load_part(dy.at(r) + at, left);
      weight = fma(d, V::load_part(normal + r * size + at, left), weight);
      bias = bias + d;
    }
    if (d_weight) (V::load_part(d_weight + at, left) + weight).store_part(d_weight + at, left);
    if (d_bias) (V::load_part(d_bias + at, left) + bias).store_part(d_bias + at, left);
  }
}

template <class V>
LayerNormKernels<typename V::Scalar> layer_norm_kernels() {
  return {layer_norm<V>, layer_norm_input_gradient<V>, layer_norm_parameter_gradients<V>};
}

}  // namespace rnncore::RNNCORE_ISA
