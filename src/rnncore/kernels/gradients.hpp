// The products of the backward pass, over a block of steps whose rows lie in visiting order from the last step to the
// first: d_a[panel p of units][row][gradient][W] are the gradients by the sums, and by the elements of the cell's
// vectors.
#pragma once

#include "rnncore/kernels/pairs.hpp"
#include "rnncore/kernels/sequence.hpp"
#include "rnncore/kernels/tile_memory.hpp"

namespace rnncore::RNNCORE_ISA {

// to[row] (+)= d_a[row] W: the gradient of h or of x.
// For one gate (G = 1), or for any number that `segment` says (G = 0).
template <int G, class V_>
struct OperandGradient {
  using V = V_;
  using T = typename V::Scalar;
  static constexpr int gates = 1, columns = 1;
  static constexpr bool shared = true;
  const T* d_a;  // of the first row and accumulator
  index d_a_row, d_a_panel;
  index any_segment;  // gates W: so many of a panel's row are multiplied
  const T* panels;
  index panel_size;
  T* const* to;
  index width;  // columns of `to`
  bool add;

  index segment() const { return G ? G * V::width : any_segment; }
  const T* operand(index panel, index k) const { return panels + panel * panel_size + k * V::width; }
  Extent extent(index rows, index to_columns, index hidden_size) const {
    const index k = panels_of<V>(hidden_size) * segment();
    return {rows, panels_of<V>(to_columns), k, l1_block<V, 1>(2, k, segment())};
  }
  template <int R, int P>
  RNNCORE_INLINE void begin(V (&acc)[R][P][columns], index row, index panel) const {
    add ? load(acc, row, panel) : clear(acc);
  }
  template <int R, int P>
  RNNCORE_INLINE void accumulate(V (&acc)[R][P][columns], index row, index panel, index k0, index k1,
                                 Next<T> next) const {
    const index count = segment();
    const T* a = d_a + (k0 == 0 ? 0 : k0 / count * d_a_panel) + row * d_a_row;
    const T* b = panels + panel * panel_size + k0 * V::width;
    for (; k0 < k1; k0 += count, a += d_a_panel, b += count * V::width) {
      rnncore::RNNCORE_ISA::accumulate<0, 1>(acc, RowMajor<T>{a, d_a_row}, count, {b, panel_size, next});
      next = next.after(count, V::width);
    }
  }
  template <int R, int P>
  RNNCORE_INLINE void end(V (&acc)[R][P][columns], index row, index panel) const {
    const index column = panel * V::width, left = width - column;
    const auto at = [&](int r) { return to[row + r] + column; };
    store_columns(acc, left, at);
  }
  template <int R, int P>
  RNNCORE_INLINE void load(V (&acc)[R][P][columns], index row, index panel) const {
    const index column = panel * V::width, left = width - column;
    const auto at = [&](int r) { return to[row + r] + column; };
    load_columns(acc, left, at);
  }
};

template <class C, class V>
using CellOperandGradient = OperandGradient<(C::gates == 1 ? 1 : 0), V>;

// The same product in bf16: of `rows` rows of d_a that are rounded to `rounded` first, with weights in pairs.
template <class V>
struct RoundedGradient {
  index pieces, piece, piece_distance;  // a row of d_a: the gates of each panel of units
  const float* d_a;
  index d_a_row;
  const float* panels;
  index panel_size;
  float* const* to;
  index width;
  bool add;

  void round(index rows, Half* rounded) const {
    round_rows(d_a, d_a_row, rows, piece, pieces, piece_distance, rounded);
  }
  // The panels [first, end) of columns.
  void multiply(index rows, const Half* rounded, index first, index end, const Team& team) const {
    const index k = piece * pieces;
    const PairProducts use;
    multiply_pairs({rows, pair_k(k), rounded, pair_stride(k), reinterpret_cast<const std::uint32_t*>(panels),
                    panel_size, nullptr, add, nullptr, 0, to, 1, V::width, width},
                   first, end, team);
  }
};

// dW += d_a^T b for the units of one panel; b[panel q of columns][row][W] is x or the previous h.
template <class V_>
struct WeightGradient {
  using V = V_;
  using T = typename V::Scalar;
  static constexpr int gates = 1, columns = 1;
  static constexpr bool shared = true, near = true;
  const T* d_a;  // of the panel's first row and accumulator
  index d_a_row;
  const T* b;
  index b_panel;
  index width;
  bool whole_units;
  index rows;                   // a gate and a unit of it each
  T* to[max_gates * V::width];  // null past H

  template <int count>
  WeightGradient(const T* gradients, index gradients_row, const T* operands, index operand_panel,
                 const int (&gate)[count], index hidden_size, index unit, T* weight, index weight_columns)
      : d_a(gradients),
        d_a_row(gradients_row),
        b(operands),
        b_panel(operand_panel),
        width(weight_columns),
        whole_units(unit + V::width <= hidden_size),
        rows(count * V::width) {
    static_assert(count <= max_gates, "raise max_gates");
    for (int g = 0; g < count; ++g)
      for (int u = 0; u < V::width; ++u)
        to[g * V::width + u] = unit + u < hidden_size ? weight + (gate[g] * hidden_size + unit + u) * width : nullptr;
  }

  const T* operand(index panel, index k) const { return b + panel * b_panel + k * V::width; }
  template <int P>
  bool whole(index panel) const {
    return __builtin_expect(whole_units && (panel + P) * V::width <= width, 1);
  }
  T* place(index row, index panel) const { return to[row] ? to[row] + panel * V::width : nullptr; }

  template <int R, int P>
  RNNCORE_INLINE void begin(V (&acc)[R][P][columns], index row, index panel) const {
    if (whole<P>(panel))
      load_rows(acc, [&](int r) { return to[row + r] + panel * V::width; });
    else
      load_part(acc, width - panel * V::width, [&](int r) { return place(row + r, panel); });
    fetch<R, P>(row + R, panel);
  }
  // The sums that the next tile goes on with: they lie far apart and have left the caches since the last block.
  template <int R, int P>
  RNNCORE_INLINE void fetch(index row, index panel) const {
    if (row + R > rows) row = 0, panel += P;
    if (!whole<P>(panel)) return;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const T* const at = to[row + r] + panel * V::width;
      __builtin_prefetch(at, 1, 3);
      __builtin_prefetch(at + P * V::width - 1, 1, 3);
    }
  }
  template <int R, int P>
  RNNCORE_INLINE void accumulate(V (&acc)[R][P][columns], index row, index panel, index k0, index k1,
                                 Next<T> next) const {
    rnncore::RNNCORE_ISA::accumulate<0, 1>(acc, ColumnMajor<T>{d_a + k0 * d_a_row + row, d_a_row}, k1 - k0,
                                           {operand(panel, k0), b_panel, next});
  }
  template <int R, int P>
  RNNCORE_INLINE void end(V (&acc)[R][P][columns], index row, index panel) const {
    if (whole<P>(panel))
      store_rows(acc, [&](int r) { return to[row + r] + panel * V::width; });
    else
      store_part(acc, width - panel * V::width, [&](int r) { return place(row + r, panel); });
  }
};

// to += the sum of one gradient of a panel's units over the rows.
template <class C, class V>
inline void add_column(const typename V::Scalar* d_a, index rows, index hidden_size, index unit,
                       typename V::Scalar* to) {
  if (!to) return;
  V sum = V::load_part(to + unit, hidden_size - unit);
  for (index row = 0; row < rows; ++row) sum = sum + V::load(d_a + row * (gradients_of<C> * V::width));
  sum.store_part(to + unit, hidden_size - unit);
}

// db += the sum of d_a over the rows, for the units of one panel.
template <class C, class V>
inline void add_bias_gradient(const typename V::Scalar* d_a, index rows, const int (&gate)[C::gates], index hidden_size,
                              index unit, typename V::Scalar* to) {
  for (int g = 0; g < C::gates; ++g)
    add_column<C, V>(d_a + g * V::width, rows, hidden_size, unit, to ? to + gate[g] * hidden_size : nullptr);
}

}  // namespace rnncore::RNNCORE_ISA
