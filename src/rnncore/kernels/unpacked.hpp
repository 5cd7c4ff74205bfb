// Products with weights that nobody has packed, for so few rows that packing would cost more than they: a block of the
// weights is transposed in registers and multiplied at once. Every sum is the chain of additions that it is over
// panels.
#pragma once

#include "rnncore/kernels/sequence.hpp"

namespace rnncore::RNNCORE_ISA {

// One gate of a panel of units, for some rows.
template <class V_>
struct UnpackedProduct {
  using V = V_;
  using T = typename V::Scalar;
  const T* weight;       // of the panel's first unit, [units][columns]
  index units, columns;  // units: W, or less in the last panel
  T scale;               // that packing would give the weights
  const T* x;            // [row][x_stride]
  index x_stride, rows;
  T* sums;  // [row][sums_stride], W each, which go on
  index sums_stride;
};

template <int R, class V>
[[gnu::noinline]] void add_unpacked(const UnpackedProduct<V>& call, index row) {
  using T = typename V::Scalar;
  constexpr index W = V::width;
  const V scale = V::broadcast(call.scale);
  const T* const x = call.x + row * call.x_stride;
  V sum[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) sum[r] = V::load(call.sums + (row + r) * call.sums_stride);
  const auto add = [&](V column, index k) {
    column = column * scale;
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sum[r] = fma(V::broadcast(x[r * call.x_stride + k]), column, sum[r]);
  };
  V square[W];
  index k = 0;
  for (; k + W <= call.columns; k += W) {
    load_block(call.weight + k, call.columns, call.units, W, square);
#pragma GCC unroll 16
    for (int w = 0; w < W; ++w) add(square[w], k + w);
  }
  if (k < call.columns) {
    T part[W * W];
    load_block(call.weight + k, call.columns, call.units, call.columns - k, square);
#pragma GCC unroll 16
    for (int w = 0; w < W; ++w) square[w].store(part + w * W);
#pragma GCC unroll 1
    for (int w = 0; k + w < call.columns; ++w) add(V::load(part + w * W), k + w);
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) sum[r].store(call.sums + (row + r) * call.sums_stride);
}

// Compiled once, in products.cpp.
template <class V>
void shared_product(const UnpackedProduct<V>& call);

// For each gate of the panel of units that begins with `unit`: sums_of(g) are those of the first row.
template <class V, int G, class Sums>
RNNCORE_INLINE void unpacked_product(const typename V::Scalar* weight, const int (&gate)[G], const double* scale,
                                     index hidden_size, index columns, index unit, const typename V::Scalar* x,
                                     index x_stride, index rows, const Sums& sums_of, index sums_stride) {
  const index left = hidden_size - unit, units = left < V::width ? left : V::width;
  for (int g = 0; g < G; ++g)
    shared_product<V>({weight + (gate[g] * hidden_size + unit) * columns, units, columns, typename V::Scalar(scale[g]),
                       x, x_stride, rows, sums_of(g), sums_stride});
}

}  // namespace rnncore::RNNCORE_ISA
