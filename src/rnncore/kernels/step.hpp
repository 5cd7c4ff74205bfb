// A step of all active rows: the product of the state before it with the recurrent weights, then the cells.
#pragma once

#include "rnncore/kernels/projection.hpp"

namespace rnncore::RNNCORE_ISA {

// What a step reads and writes, in parts that are filled as a whole: a forgotten member would be a warning, and so an
// error.
template <class C, class V>
struct StepWeights {
  using T = typename V::Scalar;
  const T *bias, *x_panels, *h_panels;
  index x_panel_size, h_panel_size, input_size, hidden_size;
  [[no_unique_address]] OwnOperands<C, V> own;

  StepWeights() = default;
  StepWeights(const T* packed, const ForwardPanels<C, V>& panels, index inputs, index units, const double* options)
      : bias(packed),
        x_panels(packed + panels.x_start),
        h_panels(packed + panels.h_start),
        x_panel_size(panels.x_panel),
        h_panel_size(panels.h_panel),
        input_size(inputs),
        hidden_size(units),
        own(options, packed + panels.vector_start) {}
};
template <class T>
struct StepInput {
  bool folded;  // x is multiplied here, not in a product of its own
  const T* x;   // folded: [row][x_stride]
  index x_stride;
  const T* const* pre;  // otherwise: [row], of panel 0
  index pre_panel;
};
template <class C, class T>
struct StepState {
  const T* h;  // [row][h_stride]
  index h_stride;
  T* h_next;                // h itself where one tile reads all before it writes
  T* others[others_of<C>];  // the cell's states behind h
  index stride;             // of h_next and the others
};
template <class T>
struct StepOutput {
  T* const* y;  // [row], at step 0
  index y_shift;
  T* cache;          // of this step's first row, or null
  index cache_slot;  // padded H
  bool streams;      // past the processor's caches
  // [row][panel of a group][column][W], of all workers: those that share units have the rows of one tile, and save
  // none.
  T* partial;
};
struct StepDistance {  // to the next step of the same rows
  index x, pre, y, cache;
};

// Where a cell of a tile stands: `across` panels of units side by side, row after row.
struct CellPlace {
  index row, units;
  index column, across;

  RNNCORE_INLINE void advance() {
    ++column, ++units;
    if (column == across) ++row, units -= across, column = 0;
  }
  RNNCORE_INLINE CellPlace after(int cells) const {
    CellPlace place = *this;
#pragma GCC unroll 32
    for (int i = 0; i < cells; ++i) place.advance();
    return place;
  }
};

// So many cells are worked on at once: one waits for its divisions while others go on. (Measured: AVX2 and AVX-512; NEON
// has as many registers as the latter.)
template <class V>
inline constexpr int cells_together = V::registers >= 32 ? 3 : 4;

// One step of all active rows: the recurrent product and the cell on its accumulators.
template <class C, class V_>
struct Step {
  using V = V_;
  using T = typename V::Scalar;
  static constexpr int parts = parts_of<C, V>, gates = gates_of<C, V>, columns = C::accumulators / parts;
  StepWeights<C, V> weights;
  StepInput<T> in;
  StepState<C, T> state;
  StepOutput<T> out;
  StepDistance distance;

  const T* operand(index panel, index k) const {
    return weights.h_panels + panel * weights.h_panel_size + k * gates * V::width;
  }

  template <int R, int P>
  RNNCORE_INLINE void begin(V (&acc)[R][P][columns], index row, index panel) const {
    spread(acc, [&](int p) { return weights.bias + (panel + p) * columns * V::width; });
    if (in.folded) {
      rnncore::RNNCORE_ISA::accumulate<C::x_first, gates>(
          acc, RowMajor<T>{in.x + row * in.x_stride, in.x_stride}, weights.input_size,
          {weights.x_panels + panel * weights.x_panel_size, weights.x_panel_size});
      return;
    }
    load_panels<C::x_first, gates>(acc, [&](int r, int p) { return in.pre[row + r] + (panel + p) * in.pre_panel; });
  }
  template <int R, int P>
  RNNCORE_INLINE void accumulate(V (&acc)[R][P][columns], index row, index panel, index k0, index k1,
                                 Next<T> next) const {
    rnncore::RNNCORE_ISA::accumulate<C::h_first, gates>(
        acc, RowMajor<T>{state.h + row * state.h_stride + k0, state.h_stride}, k1 - k0,
        {operand(panel, k0), weights.h_panel_size, next});
  }
  template <int R, int P>
  RNNCORE_INLINE void end(V (&acc)[R][P][columns], index row, index panel) const {
    if constexpr (P < parts)
      save(acc, row, panel);
    else
      out.cache ? cells<true>(acc, nullptr, row, panel) : cells<false>(acc, nullptr, row, panel);
  }
  // All cells of the tile, some at a time. Their states are in `held`, [cell][state], or if that is null in memory.
  template <bool keep, int R, int P>
  RNNCORE_INLINE void cells(V (&acc)[R][P][columns], V* held, index row, index panel) const {
    constexpr int across = P / parts, count = R * across, n = cells_together<V>, rest = count % n;
    const auto sum = [&](int cell, int k) {
      return acc[cell / across][cell % across * parts + k / columns][k % columns];
    };
    if (count > n && !held) {  // one text for all such tiles reads the sums from memory
      T sums[count * C::accumulators * V::width];
#pragma GCC unroll 32
      for (int cell = 0; cell < count; ++cell)
#pragma GCC unroll 16
        for (int k = 0; k < C::accumulators; ++k) sum(cell, k).store(sums + (cell * C::accumulators + k) * V::width);
      return saved_cells<keep>(sums, {row, panel / parts, 0, across}, count);
    }
    const CellPlace begin{row, panel / parts, 0, across};
#pragma GCC unroll 16
    for (int first = 0; first + n <= count; first += n)
      cell_group<keep, n>([&](int i, int k) { return sum(first + i, k); }, begin.after(first),
                          held ? held + first * C::states : nullptr);
    if constexpr (rest)
      cell_group<keep, rest>([&](int i, int k) { return sum(count - rest + i, k); }, begin.after(count - rest),
                             held ? held + (count - rest) * C::states : nullptr);
  }
  // The cells of the panels [panel, panel + parts) of all rows, or of those from `row` on, whose sums were saved.
  void finish(index panel, index rows) const { finish(0, panel, rows); }
  void finish(index row, index panel, index rows) const {
    const CellPlace begin{row, panel / parts, 0, 1};
    out.cache ? saved_cells<true>(out.partial, begin, rows) : saved_cells<false>(out.partial, begin, rows);
  }
  // So many cells, whose sums are sums[cell][accumulator][W].
  template <bool keep>
  [[gnu::noinline]] void saved_cells(const T* sums, CellPlace place, index count) const {
    constexpr index size = C::accumulators * V::width;
    const auto sum = [&](int i, int k) { return V::load(sums + i * size + k * V::width); };
    constexpr int n = cells_together<V>;
    for (; count >= n; count -= n, sums += n * size, place = place.after(n)) cell_group<keep, n>(sum, place, nullptr);
    if constexpr (n > 3)
      if (count == 3) cell_group<keep, 3>(sum, place, nullptr);
    if (count == 2) cell_group<keep, 2>(sum, place, nullptr);
    if (count == 1) cell_group<keep, 1>(sum, place, nullptr);
  }
  // n cells whose sums are sum(i, accumulator).
  template <bool keep, int n, class Sum>
  RNNCORE_INLINE void cell_group(const Sum& sum, CellPlace place, V* held) const {
    using Group = Packs<T, n>;
    Group a[C::accumulators], states[C::states], cached[C::cached];
    Own<C, Group> mine;
    if constexpr (has_own<C>) mine.options = weights.own.options;
    index at[n], row[n], unit[n];
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) {
      row[i] = place.row, unit[i] = place.units * V::width, at[i] = row[i] * state.stride + unit[i];
      V* const kept = held ? held + i * C::states : nullptr;
      if constexpr (!can_project<C>) states[0].part[i] = kept ? kept[0] : V::load(state.h + at[i]);
#pragma GCC unroll 16
      for (int k = 1; k < C::states; ++k) states[k].part[i] = kept ? kept[k] : V::load(state.others[k - 1] + at[i]);
      if constexpr (has_vectors<C>)
#pragma GCC unroll 16
        for (int v = 0; v < vectors_of<C>; ++v) mine.vector[v].part[i] = weights.own.load(v, place.units);
#pragma GCC unroll 16
      for (int k = 0; k < C::accumulators; ++k) a[k].part[i] = sum(i, k);
      place.advance();
    }
    if constexpr (has_own<C>)
      C::template forward<keep>(mine, a, states, cached);
    else
      C::template forward<keep>(a, states, cached);
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) {
      T* const y = out.y[row[i]] + out.y_shift + unit[i];
      states[0].part[i].store(state.h_next + at[i]);
      states[0].part[i].store_part(y, weights.hidden_size - unit[i]);
      __builtin_prefetch(y + 64 / sizeof(T), 1, 3);
      if (held)
#pragma GCC unroll 16
        for (int k = 0; k < C::states; ++k) held[i * C::states + k] = states[k].part[i];
      else
#pragma GCC unroll 16
        for (int k = 1; k < C::states; ++k) states[k].part[i].store(state.others[k - 1] + at[i]);
      if constexpr (keep) {
        T* to = out.cache + row[i] * C::cached * out.cache_slot + unit[i];
        const auto each = [&](const auto& put) {
#pragma GCC unroll 16
          for (int j = 0; j < C::cached; ++j) put(cached[j].part[i], to + j * out.cache_slot);
        };
        if constexpr (V::can_stream)
          if (out.streams) {
            each([](V value, T* p) { value.stream(p); });
            continue;
          }
        each([](V value, T* p) { value.store(p); });
      }
    }
  }
  void advance() {
    in.x += distance.x;
    in.pre += distance.pre;
    out.y_shift += distance.y;
    if (out.cache) out.cache += distance.cache;
  }
  // One row whose units fill a tile: all its steps in one go. False: they do not.
  template <int P = tile_panels<V, gates>(1)>
  bool recur(index steps) {
    constexpr int less = P > 4 ? P / 2 : P - parts;
    if (padded<V>(weights.hidden_size) == P / parts * V::width) {
      out.cache ? recur_in_tile<true, P>(steps) : recur_in_tile<false, P>(steps);
      return true;
    }
    if constexpr (less > 0)
      return recur<less>(steps);
    else
      return false;
  }
  // h is in place, since the next step broadcasts its elements from there; what the cells read of the state stays in
  // registers.
  template <bool keep, int P>
  [[gnu::noinline]] void recur_in_tile(index steps) {
    constexpr int across = P / parts;
    V held[across * C::states];  // [panel][state]
#pragma GCC unroll 16
    for (int p = 0; p < across; ++p) {
      if constexpr (!can_project<C>) held[p * C::states] = V::load(state.h + p * V::width);
#pragma GCC unroll 16
      for (int k = 1; k < C::states; ++k) held[p * C::states + k] = V::load(state.others[k - 1] + p * V::width);
    }
    for (;; advance()) {
      V acc[1][P][columns];
      begin(acc, 0, 0);
      accumulate(acc, 0, 0, 0, weights.hidden_size, {});
      cells<keep>(acc, held, 0, 0);
      if (--steps == 0) break;
    }
#pragma GCC unroll 16
    for (int p = 0; p < across; ++p)
#pragma GCC unroll 16
      for (int k = 1; k < C::states; ++k) held[p * C::states + k].store(state.others[k - 1] + p * V::width);
  }
  template <int P>
  T* saved(index row, index panel, int p) const {
    constexpr int group = P < parts ? parts : P;
    return out.partial + (row * group + (P < parts ? panel % parts : p)) * (columns * V::width);
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
