// Steps under weights in fewer bits: the products leave the sums in memory (short_products.cpp, once for all cells),
// and the cells follow, from the text that tiles of many cells have.
#pragma once

#include "rnncore/kernels/short_product.hpp"
#include "rnncore/kernels/step.hpp"

namespace rnncore::RNNCORE_ISA {

template <class V>
inline constexpr bool can_be_short = sizeof(typename V::Scalar) == sizeof(float);

// to[panel][row][G][W] (at those distances) += a W^T.
template <int G, class V, class T>
void multiply_short(WeightFormat format, const T* panels, index panel_size, const T* scales, const T* a, index a_stride,
                    T* to, index to_panel, index to_row, const Extent& extent, const Team& team) {
  [[maybe_unused]] const auto run = [&]<WeightFormat f>() {
    product(ShortProduct<f, G, V>{panels, panel_size, scales, a, a_stride, to, to_panel, to_row}, extent, team);
  };
  if constexpr (can_be_short<V>)
    format == WeightFormat::bf16 ? run.template operator()<WeightFormat::bf16>()
                                 : run.template operator()<WeightFormat::int8>();
}

// One direction's weights, and what is done with them for the panels [first, end) of units.
template <class C, class V>
struct ShortWeights {
  using T = typename V::Scalar;
  static constexpr index W = V::width, G = C::gates, A = C::accumulators;
  WeightFormat format;
  const T* packed;
  index input_size, hidden_size, output_size, first, end;
  const Team& team;
  ShortPanels<C, V> layout{format, input_size, hidden_size, output_size};

  static index sums_size(index hidden_size, index rows) { return panels_of<V>(hidden_size) * rows * A * W; }

  // pre[panel][row][gate][W] = bias + x W_ih^T
  void multiply_x(const T* x, index x_stride, index rows, T* pre) const {
    for (index p = first; p < end; ++p)
      for (index r = 0; r < rows; ++r) copy(packed + (p * A + C::x_first) * W, G * W, pre + (p * rows + r) * G * W);
    multiply_short<C::gates, V>(format, packed + layout.x_start, layout.x_panel, packed + layout.x_scales, x, x_stride,
                                pre, rows * G * W, G * W, {rows, end, input_size, input_size, false, first}, team);
  }
  // sums[panel][row][accumulator][W]: the bias, or what multiply_x has left for row r at in.pre[r].
  void begin(const StepInput<T>& in, index rows, T* sums) const {
    for (index p = first; p < end; ++p)
      for (index r = 0; r < rows; ++r) {
        T* const to = sums + (p * rows + r) * A * W;
        copy(packed + p * A * W, A * W, to);
        if (!in.folded) copy(in.pre[r] + p * in.pre_panel, G * W, to + C::x_first * W);
      }
    if (in.folded)
      multiply_short<C::gates, V>(format, packed + layout.x_start, layout.x_panel, packed + layout.x_scales, in.x,
                                  in.x_stride, sums + C::x_first * W, rows * A * W, A * W,
                                  {rows, end, input_size, input_size, false, first}, team);
  }
  // One step of all rows, whose h is not written before it was read.
  void step(const Step<C, V>& body, index rows, T* sums, bool backwards) const {
    begin(body.in, rows, sums);
    multiply_short<C::gates, V>(format, packed + layout.h_start, layout.h_panel, packed + layout.h_scales, body.state.h,
                                body.state.h_stride, sums + C::h_first * W, rows * A * W, A * W,
                                {rows, end, output_size, output_size, backwards, first}, team);
    if (rows == 1)
      return body.template saved_cells<false>(sums + first * A * W, {0, first, 0, end - first}, end - first);
    for (index p = first; p < end; ++p) body.template saved_cells<false>(sums + p * rows * A * W, {0, p, 0, 1}, rows);
  }
  // h[row] and y[row] = W_hr raw[row].
  void project(const T* raw, index raw_stride, T* h, index h_stride, T* const* y, index y_shift, index rows,
               T* sums) const {
    const index P = output_size, panels = panels_of<V>(P);
    fill_zero(sums, panels * rows * W);
    multiply_short<1, V>(format, packed + layout.r_start, layout.r_panel, packed + layout.r_scales, raw, raw_stride,
                         sums, rows * W, W, {rows, panels, hidden_size, hidden_size}, team);
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
