// Steps under weights in fewer bits, or in pairs: the products leave the sums in memory (short_products.cpp, once for
// all cells), and the cells follow, from the text that tiles of many cells have.
#pragma once

#include "rnncore/kernels/short_product.hpp"
#include "rnncore/kernels/step.hpp"

namespace rnncore::RNNCORE_ISA {

// to[panel][row][G][W] (at those distances) += a W^T, in bf16 or int8.
template <int G, class V, class T>
void multiply_short(WeightFormat format, const T* panels, index panel_size, const T* scales, const T* a, index a_stride,
                    T* to, index to_panel, index to_row, const Extent& extent, const Team& team) {
  [[maybe_unused]] const auto run = [&]<WeightFormat f>() {
    product(ShortProduct<f, G, V>{panels, panel_size, scales, a, a_stride, to, to_panel, to_row}, extent, team);
  };
  if constexpr (can_be_short<V>) {
    format == WeightFormat::bf16 ? run.template operator()<WeightFormat::bf16>()
                                 : run.template operator()<WeightFormat::int8>();
  }
}

// Rows of x and of h (or of what is projected) in bf16, where the weights are pairs.
struct RoundedRows {
  Half *x = nullptr, *h = nullptr;
};

// One direction's weights, and what is done with them for the panels [first, end) of units.
template <class C, class V>
struct ShortWeights {
  using T = typename V::Scalar;
  static constexpr index W = V::width, G = C::gates, A = C::accumulators;
  WeightFormat format;
  const T* packed;
  index input_size, hidden_size, output_size, first, end;
  const Team& team;
  RoundedRows rounded = {};
  const T* widened = nullptr;  // as in Sequence
  index short_rows = most_short_rows;
  ShortPanels<C, V> layout{format, input_size, hidden_size, output_size};

  static index sums_size(index hidden_size, index rows) { return panels_of<V>(hidden_size) * rows * A * W; }
  bool pairs() const { return can_be_short<V> && format == WeightFormat::pairs; }
  ForwardPanels<C, V> wide() const { return {input_size, hidden_size, output_size}; }
  bool many(index rows) const { return can_be_short<V> && widened && rows > short_rows; }

  // pre[panel][row][gate][W] = bias + x W_ih^T
  void multiply_x(const T* x, index x_stride, index rows, T* pre) const {
    const T* const bias = packed + C::x_first * W;
    const Extent extent{rows, end, input_size, input_size, false, first};
    if (many(rows)) return add_widened_x(x, x_stride, pre, rows * G * W, G * W, extent, {bias, nullptr, A * W});
    for (index p = first; p < end; ++p)
      for (index r = 0; r < rows; ++r) copy(bias + p * A * W, G * W, pre + (p * rows + r) * G * W);
    if (pairs()) {
      round(x, x_stride, rows, input_size, rounded.x);
      const PairProducts use;
      return add_pairs(rounded.x, input_size, rows, layout.x_start, layout.x_scales, 0, {first * G, end * G}, pre,
                       G * W, rows * G * W);
    }
    multiply_short<C::gates, V>(format, packed + layout.x_start, layout.x_panel, packed + layout.x_scales, x, x_stride,
                                pre, rows * G * W, G * W, extent, team);
  }
  // sums[row][accumulator][W] of panel p: the bias, or what multiply_x has left for row r at in.pre[r].
  [[gnu::noinline]] void begin(const StepInput<T>& in, index p, index rows, T* sums) const {
    for (index r = 0; r < rows; ++r) {
      T* const to = sums + r * A * W;
      const T* const bias = packed + p * A * W;
      constexpr index behind = C::x_first + G;
      if (in.folded) {
        copy(bias, A * W, to);
        continue;
      }
      copy(bias, C::x_first * W, to);
      copy(in.pre[r] + p * in.pre_panel, G * W, to + C::x_first * W);
      copy(bias + behind * W, (A - behind) * W, to + behind * W);
    }
  }
  // One step of all rows, whose h is not written before it was read.
  [[gnu::noinline]] void step(const Step<C, V>& body, index rows, T* sums, bool backwards) const {
    if (pairs()) return pair_step(body, rows, sums + first * rows * A * W, backwards);
    if (many(rows)) return widened_step(body, rows, sums + first * rows * A * W, backwards);
    for (index p = first; p < end; ++p) begin(body.in, p, rows, sums + p * rows * A * W);
    if (body.in.folded)
      multiply_short<C::gates, V>(format, packed + layout.x_start, layout.x_panel, packed + layout.x_scales, body.in.x,
                                  body.in.x_stride, sums + C::x_first * W, rows * A * W, A * W,
                                  {rows, end, input_size, input_size, false, first}, team);
    multiply_short<C::gates, V>(format, packed + layout.h_start, layout.h_panel, packed + layout.h_scales, body.state.h,
                                body.state.h_stride, sums + C::h_first * W, rows * A * W, A * W,
                                {rows, end, output_size, output_size, backwards, first}, team);
    if (rows == 1)
      return body.template saved_cells<false>(sums + first * A * W, {0, first, 0, end - first}, end - first);
    for (index p = first; p < end; ++p) body.template saved_cells<false>(sums + p * rows * A * W, {0, p, 0, 1}, rows);
  }
  // Panel by panel, so that its sums, [row][accumulator][W], stay near.
  [[gnu::noinline]] void pair_step(const Step<C, V>& body, index rows, T* sums, bool backwards) const {
    if (body.in.folded) round(body.in.x, body.in.x_stride, rows, input_size, rounded.x);
    round(body.state.h, body.state.h_stride, rows, output_size, rounded.h);
    const PairProducts use;
    for (index i = first; i < end; ++i) {
      const index p = backwards ? end - 1 - (i - first) : i;
      begin(body.in, p, rows, sums);
      if (body.in.folded)
        add_pairs(rounded.x, input_size, rows, layout.x_start, layout.x_scales, p * G, {0, G}, sums + C::x_first * W,
                  A * W, 0);
      add_pairs(rounded.h, output_size, rows, layout.h_start, layout.h_scales, p * G, {0, G}, sums + C::h_first * W,
                A * W, 0);
      body.out.cache ? body.template saved_cells<true>(sums, {0, p, 0, 1}, rows)
                     : body.template saved_cells<false>(sums, {0, p, 0, 1}, rows);
    }
  }
  // The same some panels at a time.
  [[gnu::noinline]] void widened_step(const Step<C, V>& body, index rows, T* sums, bool backwards) const {
    const index together = WidenedProduct::together(rows, G), size = rows * A * W;
    const index groups = (end - first + together - 1) / together;
    for (index i = 0; i < groups && !team.stopped(); ++i) {
      const index p = first + together * (backwards ? groups - 1 - i : i);
      const index count = end - p < together ? end - p : together;
      const bool own = A > G || body.in.folded;  // the sums of h begin with more than those of x
      for (index q = 0; q < count && own; ++q) begin(body.in, p + q, rows, sums + q * size);
      T* const zero = sums - p * size;  // of panel 0
      Extent extent{rows, p + count, input_size, input_size, backwards, p};
      extent.before = p - first, extent.behind = end - p - count;
      if (body.in.folded) add_widened_x(body.in.x, body.in.x_stride, zero + C::x_first * W, size, A * W, extent);
      extent.k = output_size;
      add_widened(wide().h_start, wide().h_panel, layout.h_scales, body.state.h, body.state.h_stride,
                  zero + C::h_first * W, size, A * W, extent,
                  {nullptr, own ? nullptr : body.in.pre, body.in.pre_panel});
      for (index q = 0; q < count; ++q) body.template saved_cells<false>(sums + q * size, {0, p + q, 0, 1}, rows);
    }
  }
  void add_widened_x(const T* x, index x_stride, T* to, index to_panel, index to_row, const Extent& extent,
                     const SumsBegin<T>& begin = {}) const {
    add_widened(wide().x_start, wide().x_panel, layout.x_scales, x, x_stride, to, to_panel, to_row, extent, begin);
  }
  [[gnu::noinline]] void add_widened(index start, index panel, index scales, const T* a, index a_stride, T* to,
                                     index to_panel, index to_row, const Extent& extent,
                                     const SumsBegin<T>& begin = {}) const {
    if constexpr (can_be_short<V>)
      multiply_widened({widened + start, panel, format == WeightFormat::int8 ? packed + scales : nullptr, a, a_stride,
                        to, to_panel, to_row, begin},
                       G, parts_of<C, V>, extent, team);
  }
  // By the one who owns the rows, for all.
  void round(const T* from, index stride, index rows, index columns, Half* to) const {
    if constexpr (can_be_short<V>)
      if (team.owns_slots()) round_rows(from, stride, rows, columns, 1, 0, to);
    if (team.by_units()) team.synchronise();
  }
  struct Blocks {
    index first, end;
  };
  // to += a W^T for some blocks, one gate of one panel each, counted from block number `from` on.
  void add_pairs(const Half* a, index k, index rows, index start, index scales, index from, Blocks blocks, T* to,
                 index to_row, index to_group) const {
    if constexpr (can_be_short<V>) {
      const index block = pair_k(k) / 2 * W;
      multiply_pairs(
          {rows, pair_k(k), a, pair_stride(k), reinterpret_cast<const std::uint32_t*>(packed + start) + from * block,
           block, packed + scales + from * W, true, to, to_row, nullptr, G, to_group, any_width},
          blocks.first, blocks.end, team);
    }
  }
  // h[row] and y[row] = W_hr raw[row].
  void project(const T* raw, index raw_stride, T* h, index h_stride, T* const* y, index y_shift, index rows,
               T* sums) const {
    const index P = output_size, panels = panels_of<V>(P);
    fill_zero(sums, panels * rows * W);
    if (pairs()) {
      round(raw, raw_stride, rows, hidden_size, rounded.h);
      if constexpr (can_be_short<V>) {
        const PairProducts use;
        multiply_pairs({rows, pair_k(hidden_size), rounded.h, pair_stride(hidden_size),
                        reinterpret_cast<const std::uint32_t*>(packed + layout.r_start), layout.r_panel, nullptr, false,
                        sums, W, nullptr, 1, rows * W, any_width},
                       0, panels, team);
      }
    } else if (many(rows)) {
      if constexpr (can_be_short<V>)
        multiply_widened(
            {widened + wide().r_start, wide().r_panel, packed + layout.r_scales, raw, raw_stride, sums, rows * W, W}, 1,
            1, {rows, panels, hidden_size, hidden_size}, team);
    } else {
      multiply_short<1, V>(format, packed + layout.r_start, layout.r_panel, packed + layout.r_scales, raw, raw_stride,
                           sums, rows * W, W, {rows, panels, hidden_size, hidden_size}, team);
    }
    for (index p = 0; p < panels; ++p)
      for (index r = 0; r < rows; ++r) {
        const V sum = V::load(sums + (p * rows + r) * W);
        sum.store(h + r * h_stride + p * W);
        sum.store_part(y[r] + y_shift + p * W, P - p * W);
      }
  }
  void describe(StepWeights<C, V>& weights, const double* options) const {
    weights.hidden_size = hidden_size;
    weights.own = OwnOperands<C, V>(options, packed + layout.vector_start);
  }
};

}  // namespace rnncore::RNNCORE_ISA
