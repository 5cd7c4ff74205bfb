// The product with weights in fewer bits, which are widened in registers: one chain of additions an output, as
// everywhere.
#pragma once

#include "rnncore/kernels/short_panels.hpp"
#include "rnncore/kernels/tile.hpp"
#include "rnncore/kernels/tile_memory.hpp"
#include "rnncore/simd/short.hpp"

namespace rnncore::RNNCORE_ISA {

// sums[panel][row][gate] += a W^T. In bf16 a weight is widened and multiplied with the factor of its gate, as in packed
// float32 weights: then the sum goes on where it stands, with the bits of the float32 kernels on the rounded weights.
// In int8 the sum of q a begins at zero, and its product with the scale of its row is added at the end: one conversion
// a weight and no multiplication.
template <WeightFormat format, int G, class V_>
struct ShortProduct {
  using V = V_;
  using T = typename V::Scalar;
  static constexpr int gates = G, columns = G;
  static constexpr bool shared = true;
  static constexpr int tallest = most_short_rows;
  const T* panels;
  index panel_size;
  const T* scales;  // [panel][gate][W]
  const T* a;
  index a_stride;
  T* sums;
  index sums_panel, sums_row;

  const T* operand(index panel, index) const { return panels + panel * panel_size; }
  T* place(index row, index panel) const { return sums + panel * sums_panel + row * sums_row; }

  template <int R, int P>
  RNNCORE_INLINE void begin(V (&acc)[R][P][columns], index row, index panel) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
        for (int g = 0; g < G; ++g)
          acc[r][p][g] = format == WeightFormat::int8 ? V::zero() : V::load(place(row + r, panel + p) + g * V::width);
  }
  // All of k at once.
  template <int R, int P>
  RNNCORE_INLINE void accumulate(V (&acc)[R][P][columns], index row, index panel, index, index k1, Next<T>) const {
    const RowMajor<T> rows{a + row * a_stride, a_stride};
    const T* const weights = operand(panel, 0);
    if constexpr (format == WeightFormat::int8) {
      for (index k = 0; k < k1; ++k) multiply_int8(acc, rows, weights, k);
    } else {
      V factor[G];
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) factor[g] = V::load(scales + g * V::width);
      index k = 0;
      for (; k + 2 <= k1; k += 2) multiply_bf16<true>(acc, rows, weights, factor, k);
      if (k < k1) multiply_bf16<false>(acc, rows, weights, factor, k);
    }
  }
  template <int R, int P>
  RNNCORE_INLINE void multiply_int8(V (&acc)[R][P][columns], const RowMajor<T>& rows, const T* weights, index k) const {
    V v[R];
    broadcast(v, rows, k);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      const auto* const bytes = reinterpret_cast<const std::int8_t*>(weights + p * panel_size) + k * G * V::width;
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) {
        const V w = load_int8<V>(bytes + g * V::width);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) acc[r][p][g] = fma(v[r], w, acc[r][p][g]);
      }
    }
  }
  template <bool both, int R, int P>
  RNNCORE_INLINE void multiply_bf16(V (&acc)[R][P][columns], const RowMajor<T>& rows, const T* weights,
                                    const V (&factor)[G], index k) const {
    V v[R], next[R];
    broadcast(v, rows, k);
    if constexpr (both) broadcast(next, rows, k + 1);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      const auto* const words = reinterpret_cast<const std::uint32_t*>(weights + p * panel_size) + k / 2 * G * V::width;
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) {
        V first, second;
        load_bf16(words + g * V::width, first, second);
        first = first * factor[g];
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) acc[r][p][g] = fma(v[r], first, acc[r][p][g]);
        if constexpr (!both) continue;
        second = second * factor[g];
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) acc[r][p][g] = fma(next[r], second, acc[r][p][g]);
      }
    }
  }
  template <int R>
  static RNNCORE_INLINE void broadcast(V (&v)[R], const RowMajor<T>& rows, index k) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      V value = V::broadcast(rows(r, k));
      pin(value);
      v[r] = value;
    }
  }
  template <int R, int P>
  RNNCORE_INLINE void end(V (&acc)[R][P][columns], index row, index panel) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
        for (int g = 0; g < G; ++g) {
          T* const to = place(row + r, panel + p) + g * V::width;
          V sum = acc[r][p][g];
          if constexpr (format == WeightFormat::int8)
            sum = fma(sum, V::load(scales + ((panel + p) * G + g) * V::width), V::load(to));
          sum.store(to);
        }
  }
};

// What sums begin with: the bias of their panel, something for each row, or what stands there.
template <class T>
struct SumsBegin {
  const T* bias = nullptr;         // of panel 0
  const T* const* rows = nullptr;  // [row], of panel 0
  index panel = 0;                 // distance of panels, of either
};

// The same for many rows, with panels that were widened before (widen_panels), as float32 is multiplied: the sums of some
// panels at a time lie near before they are scaled. Without scales (bf16) they begin with the bias.
struct WidenedProduct {
  const float* panels;
  index panel_size;  // of a part
  const float *scales, *a;
  index a_stride;
  float* sums;
  index sums_panel, sums_row;
  SumsBegin<float> begin = {};

  static constexpr index rows = 128, packs = 4, near = 64 * packs;  // so many rows times packs
  // Panels of so many gates at a time.
  static constexpr index together(index rows, index gates) {
    index panels = gates == 1 ? 4 : gates == 2 ? 2 : 1;
    while (2 * panels * gates * rows <= near) panels *= 2;
    return panels;
  }
};
void multiply_widened(const WidenedProduct& call, int gates, int parts, const Extent& extent, const Team& team);

}  // namespace rnncore::RNNCORE_ISA
