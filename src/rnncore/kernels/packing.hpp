// Weights as panels, in the order in which the tile reads them: panel p holds the hidden units [p W, p W + W) of every gate.
#pragma once

#include "rnncore/kernels/table.hpp"
#include "rnncore/simd/pack.hpp"

namespace rnncore::RNNCORE_ISA {

template <class V>
constexpr index panels_of(index columns) {
  return (columns + V::width - 1) / V::width;
}
template <class V>
constexpr index padded(index columns) {
  return panels_of<V>(columns) * V::width;
}

// Forward: bias [panel][accumulator][W] | x [panel][I][gate][W] | h [panel][H][gate][W]
template <class C, class V>
struct ForwardPanels {
  using T = typename V::Scalar;
  index x_panel, h_panel, x_start, h_start, size;

  ForwardPanels(index input_size, index hidden_size) {
    const index panels = panels_of<V>(hidden_size);
    x_panel = input_size * C::gates * V::width;
    h_panel = hidden_size * C::gates * V::width;
    x_start = panels * C::accumulators * V::width;
    h_start = x_start + panels * x_panel;
    size = h_start + panels * h_panel;
  }
};

// Backward: h [panel of H][panel p of units][gate][unit][W] | x [panel of I][p][gate][unit][W]; units past H are zero.
template <class C, class V>
struct BackwardPanels {
  index panel, h_start, x_start, size;

  BackwardPanels(index input_size, index hidden_size) {
    panel = padded<V>(hidden_size) * C::gates * V::width;
    h_start = 0;
    x_start = panels_of<V>(hidden_size) * panel;
    size = x_start + panels_of<V>(input_size) * panel;
  }
};

// to[k][gate column g][W] = scale(g) * from[(gate(g) * H + unit) * columns + k] for W units from `unit` on.
template <class V, int G>
inline void pack_columns(const typename V::Scalar* from, const int (&gate)[G], const double* scale, index hidden_size,
                         index columns, index unit, typename V::Scalar* to) {
  constexpr int W = V::width;
  const index units = hidden_size - unit < W ? hidden_size - unit : W;
  for (int g = 0; g < G; ++g) {
    const auto* block = from + (gate[g] * hidden_size + unit) * columns;
    const auto factor = typename V::Scalar(scale[g]);
    for (index k = 0; k < columns; k += W) {
      V square[W];
      for (int w = 0; w < W; ++w)
        square[w] = w < units ? V::load_part(block + w * columns + k, columns - k) : V::zero();
      transpose(square);
      for (int w = 0; w < W && k + w < columns; ++w) (square[w] * factor).store(to + ((k + w) * G + g) * W);
    }
  }
}

template <class C, class V>
inline void pack_forward(const Weights<typename V::Scalar>& weights, typename V::Scalar* to, const Team& team) {
  const index H = weights.hidden_size, I = weights.input_size, panels = panels_of<V>(H);
  const ForwardPanels<C, V> layout(I, H);
  for (index p = team.begin(panels); p < team.end(panels); ++p) {
    V bias[C::accumulators];
    for (auto& b : bias) b = V::zero();
    for (int g = 0; g < C::gates; ++g) {
      const auto add = [&](const auto* from, int gate, int accumulator) {
        if (from)
          bias[accumulator] = bias[accumulator] + V::load_part(from + gate * H + p * V::width, H - p * V::width);
      };
      add(weights.bias_ih, C::x_gates[g], C::x_first + g);
      add(weights.bias_hh, C::h_gates[g], C::h_first + g);
    }
    using T = typename V::Scalar;
    for (int a = 0; a < C::accumulators; ++a)
      (bias[a] * T(C::scale[a])).store(to + (p * C::accumulators + a) * V::width);
    pack_columns<V>(weights.weight_ih, C::x_gates, C::scale + C::x_first, H, I, p * V::width,
                    to + layout.x_start + p * layout.x_panel);
    pack_columns<V>(weights.weight_hh, C::h_gates, C::scale + C::h_first, H, H, p * V::width,
                    to + layout.h_start + p * layout.h_panel);
  }
}

// to[p][g][unit][W] = from[(gate(g) * H + unit) * columns + column ...] for W columns from `column` on.
template <class V, int G>
inline void pack_rows(const typename V::Scalar* from, const int (&gate)[G], index hidden_size, index columns,
                      index column, typename V::Scalar* to) {
  constexpr int W = V::width;
  for (index p = 0; p < panels_of<V>(hidden_size); ++p)
    for (int g = 0; g < G; ++g)
      for (index unit = p * W; unit < p * W + W; ++unit, to += W) {
        const auto* row = from + (gate[g] * hidden_size + unit) * columns + column;
        (unit < hidden_size ? V::load_part(row, columns - column) : V::zero()).store(to);
      }
}

template <class C, class V>
inline void pack_backward(const Weights<typename V::Scalar>& weights, typename V::Scalar* to, const Team& team) {
  const index H = weights.hidden_size, I = weights.input_size, h_panels = panels_of<V>(H), x_panels = panels_of<V>(I);
  const BackwardPanels<C, V> layout(I, H);
  for (index q = team.begin(h_panels + x_panels); q < team.end(h_panels + x_panels); ++q) {
    auto* panel = to + q * layout.panel;
    if (q < h_panels)
      pack_rows<V>(weights.weight_hh, C::h_gates, H, H, q * V::width, panel);
    else
      pack_rows<V>(weights.weight_ih, C::x_gates, H, I, (q - h_panels) * V::width, panel);
  }
}

}  // namespace rnncore::RNNCORE_ISA
