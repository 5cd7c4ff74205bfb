// The products of the forward pass: what x gives to the gates, and a step that adds what h gives and applies the cell.
#pragma once

#include "rnncore/kernels/projection.hpp"

namespace rnncore::RNNCORE_ISA {

// pre[panel][part][row][gate][W] = bias + x W^T for the rows of a block of steps.
template <class C, class V_>
struct InputProduct {
  using V = V_;
  using T = typename V::Scalar;
  static constexpr int gates = gates_of<C, V>, columns = gates;
  static_assert(parts_of<C, V> == 1 || (C::accumulators == C::gates && C::x_first == 0 && C::h_first == 0));
  const T *bias, *panels;
  index panel_size;
  const T* x;
  index x_stride;
  T* pre;
  index pre_panel;

  const T* operand(index panel, index k) const { return panels + panel * panel_size + k * gates * V::width; }
  T* place(index row, index panel) const { return pre + panel * pre_panel + row * (gates * V::width); }

  template <int R, int P>
  RNNCORE_INLINE void begin(V (&acc)[R][P][columns], index, index panel) const {
    constexpr int accumulators = C::accumulators / parts_of<C, V>;
    spread(acc, [&](int p) { return bias + ((panel + p) * accumulators + C::x_first) * V::width; });
  }
  template <int R, int P>
  RNNCORE_INLINE void accumulate(V (&acc)[R][P][columns], index row, index panel, index k0, index k1,
                                 const T* next) const {
    rnncore::RNNCORE_ISA::accumulate<0, gates>(acc, RowMajor<T>{x + row * x_stride + k0, x_stride}, k1 - k0,
                                               {operand(panel, k0), panel_size, next});
  }
  template <int R, int P>
  RNNCORE_INLINE void end(V (&acc)[R][P][columns], index row, index panel) const {
    T* const to = place(row, panel);
    const index between = pre_panel;  // not read again after each store
    store_panels(acc, [&](int r, int p) { return to + p * between + r * (gates * V::width); });
  }
  template <int R, int P>
  RNNCORE_INLINE void save(V (&acc)[R][P][columns], index row, index panel) const {
    end(acc, row, panel);
  }
  template <int R, int P>
  RNNCORE_INLINE void load(V (&acc)[R][P][columns], index row, index panel) const {
    load_panels<0, columns>(acc, [&](int r, int p) { return place(row + r, panel + p); });
  }
};

template <class C, class V, class T>
InputProduct<C, V> input_product(const Sequence<T>& call, const T* x, index x_stride, T* pre, index rows) {
  const ForwardPanels<C, V> panels(call.input_size, call.hidden_size, call.output_size);
  constexpr index row = gates_of<C, V> * V::width;
  return {call.weights, call.weights + panels.x_start, panels.x_panel, x, x_stride, pre, rows * row};
}

// One step of all active rows: the recurrent product and the cell on its accumulators.
template <class C, class V_>
struct Step {
  using V = V_;
  using T = typename V::Scalar;
  static constexpr int parts = parts_of<C, V>, gates = gates_of<C, V>, columns = C::accumulators / parts;
  const T *bias, *x_panels, *h_panels;
  index x_panel_size, h_panel_size, input_size, hidden_size;
  bool folded;  // x is multiplied here, not in a product of its own
  const T* x;   // folded: [row][x_stride]
  index x_stride;
  const T* const* pre;  // otherwise: [row], of panel 0
  index pre_panel;
  const T* h;  // [row][h_stride]
  index h_stride;
  T* h_next;           // h itself where one tile reads all before it writes
  T* state;            // the cell's second state
  index state_stride;  // of h_next and state
  T* const* y;         // [row], at step 0
  index y_shift;
  T* cache;                                    // of this step's first row, or null
  index cache_slot;                            // padded H
  index x_step, pre_step, y_step, cache_step;  // to the next step of the same rows
  const T* operand(index panel, index k) const { return h_panels + panel * h_panel_size + k * gates * V::width; }
  // [row][panel of a group][column][W], of all workers: those that share units have the rows of one tile, and save none.
  T* partial;

  template <int R, int P>
  RNNCORE_INLINE void begin(V (&acc)[R][P][columns], index row, index panel) const {
    spread(acc, [&](int p) { return bias + (panel + p) * columns * V::width; });
    if (folded) {
      rnncore::RNNCORE_ISA::accumulate<C::x_first, gates>(acc, RowMajor<T>{x + row * x_stride, x_stride}, input_size,
                                                          {x_panels + panel * x_panel_size, x_panel_size});
      return;
    }
    load_panels<C::x_first, gates>(acc, [&](int r, int p) { return pre[row + r] + (panel + p) * pre_panel; });
  }
  template <int R, int P>
  RNNCORE_INLINE void accumulate(V (&acc)[R][P][columns], index row, index panel, index k0, index k1,
                                 const T* next) const {
    rnncore::RNNCORE_ISA::accumulate<C::h_first, gates>(acc, RowMajor<T>{h + row * h_stride + k0, h_stride}, k1 - k0,
                                                        {operand(panel, k0), h_panel_size, next});
  }
  template <int R, int P>
  RNNCORE_INLINE void end(V (&acc)[R][P][columns], index row, index panel) const {
    if constexpr (P < parts)
      save(acc, row, panel);
    else
      cache ? cells<true>(acc, nullptr, row, panel) : cells<false>(acc, nullptr, row, panel);
  }
  // All cells of the tile, some at a time. Their states are in `held`, [cell][state], or if that is null in memory.
  template <bool keep, int R, int P>
  RNNCORE_INLINE void cells(V (&acc)[R][P][columns], V* held, index row, index panel) const {
    constexpr int across = P / parts, count = R * across, n = 4, rest = count % n;
    const auto sum = [&](int cell, int k) {
      return acc[cell / across][cell % across * parts + k / columns][k % columns];
    };
#pragma GCC unroll 16
    for (int first = 0; first + n <= count; first += n)
      cell_group<keep, n, across>(sum, held, first, row, panel / parts);
    if constexpr (rest) cell_group<keep, rest, across>(sum, held, count - rest, row, panel / parts);
  }
  // The cells of the panels [panel, panel + parts) of all rows, whose sums were saved.
  void finish(index panel, index rows) const {
    cache ? saved_cells<true>(panel, rows) : saved_cells<false>(panel, rows);
  }
  template <bool keep>
  void saved_cells(index panel, index rows) const {
    index row = 0;
    const auto sum = [&](int cell, int k) {
      return V::load(saved<1>(row + cell, panel + k / columns, 0) + k % columns * V::width);
    };
    for (; row + 4 <= rows; row += 4) cell_group<keep, 4, 1>(sum, nullptr, 0, row, panel / parts);
    if (rows - row == 3) cell_group<keep, 3, 1>(sum, nullptr, 0, row, panel / parts);
    if (rows - row == 2) cell_group<keep, 2, 1>(sum, nullptr, 0, row, panel / parts);
    if (rows - row == 1) cell_group<keep, 1, 1>(sum, nullptr, 0, row, panel / parts);
  }
  // n cells whose sums are sum(cell, accumulator), `across` of a row side by side: from panel `units` of the state on.
  template <bool keep, int n, int across, class Sum>
  RNNCORE_INLINE void cell_group(const Sum& sum, V* held, int first, index row, index units) const {
    using Group = Packs<T, n>;
    Group a[C::accumulators], states[C::states], cached[C::cached];
    index at[n];
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) {
      at[i] = (row + (first + i) / across) * state_stride + (units + (first + i) % across) * V::width;
      V* const own = held ? held + (first + i) * C::states : nullptr;
      if constexpr (!can_project<C>) states[0].part[i] = own ? own[0] : V::load(h + at[i]);
      if constexpr (C::states > 1) states[1].part[i] = own ? own[1] : V::load(state + at[i]);
#pragma GCC unroll 16
      for (int k = 0; k < C::accumulators; ++k) a[k].part[i] = sum(first + i, k);
    }
    C::template forward<keep>(a, states, cached);
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) {
      const index r = row + (first + i) / across, unit = (units + (first + i) % across) * V::width;
      states[0].part[i].store(h_next + at[i]);
      states[0].part[i].store_part(y[r] + y_shift + unit, hidden_size - unit);
      __builtin_prefetch(y[r] + y_shift + unit + 64 / sizeof(T), 1, 3);
      if (held)
#pragma GCC unroll 16
        for (int k = 0; k < C::states; ++k) held[(first + i) * C::states + k] = states[k].part[i];
      else if constexpr (C::states > 1)
        states[1].part[i].store(state + at[i]);
      if constexpr (keep) {
        T* to = cache + r * C::cached * cache_slot + unit;
#pragma GCC unroll 16
        for (int j = 0; j < C::cached; ++j) cached[j].part[i].store(to + j * cache_slot);
      }
    }
  }
  void advance() {
    x += x_step;
    pre += pre_step;
    y_shift += y_step;
    if (cache) cache += cache_step;
  }
  // One row whose units fill a tile: all its steps in one go. False: they do not.
  template <int P = tile_panels<V, gates>(1)>
  bool recur(index steps) {
    constexpr int less = P > 4 ? P / 2 : P - parts;
    if (padded<V>(hidden_size) == P / parts * V::width) {
      cache ? recur_in_tile<true, P>(steps) : recur_in_tile<false, P>(steps);
      return true;
    }
    if constexpr (less > 0)
      return recur<less>(steps);
    else
      return false;
  }
  // h is in place, since the next step broadcasts its elements from there; what the cells read of the state stays in registers.
  template <bool keep, int P>
  [[gnu::noinline]] void recur_in_tile(index steps) {
    constexpr int across = P / parts;
    V held[across * C::states];  // [panel][state]
#pragma GCC unroll 16
    for (int p = 0; p < across; ++p) {
      if constexpr (!can_project<C>) held[p * C::states] = V::load(h + p * V::width);
      if constexpr (C::states > 1) held[p * C::states + 1] = V::load(state + p * V::width);
    }
    for (;; advance()) {
      V acc[1][P][columns];
      begin(acc, 0, 0);
      accumulate(acc, 0, 0, 0, hidden_size, nullptr);
      cells<keep>(acc, held, 0, 0);
      if (--steps == 0) break;
    }
    if constexpr (C::states > 1)
#pragma GCC unroll 16
      for (int p = 0; p < across; ++p) held[p * C::states + 1].store(state + p * V::width);
  }
  template <int P>
  T* saved(index row, index panel, int p) const {
    constexpr int group = P < parts ? parts : P;
    return partial + (row * group + (P < parts ? panel % parts : p)) * (columns * V::width);
  }
  template <int R, int P>
  RNNCORE_INLINE void save(V (&acc)[R][P][columns], index row, index panel) const {
    T* const to = saved<P>(row, panel, 0);
    store_panels(acc, [&](int r, int p) { return to + (r * (P < parts ? parts : P) + p) * (columns * V::width); });
  }
  template <int R, int P>
  RNNCORE_INLINE void load(V (&acc)[R][P][columns], index row, index panel) const {
    load_panels<0, columns>(acc, [&](int r, int p) { return saved<P>(row + r, panel, p); });
  }
};

}  // namespace rnncore::RNNCORE_ISA
