// Weights as panels, in the order in which the tile reads them: panel p holds the hidden units [p W, p W + W) of every
// gate.
#pragma once

#include "rnncore/cells/cell.hpp"
#include "rnncore/kernels/pairs.hpp"
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

// Fewer bits are for float32.
template <class V>
inline constexpr bool can_be_short = sizeof(typename V::Scalar) == sizeof(float);

// The one place of weights without gates, in the form of a cell: the projection W_hr of the output (Sak et al. 2014).
struct Projection {
  static constexpr int gates = 1, accumulators = 1, of[gates] = {0};
  static constexpr double scale[gates] = {1};
};

// The gates of a panel of units lie in so many panels of weights: where registers are few, tiles of two gates and more
// rows do more.
template <class C, class V>
constexpr int parts_of = V::registers < 32 && C::gates % 4 == 0 ? 2 : 1;
template <class C, class V>
constexpr int gates_of = C::gates / parts_of<C, V>;

// Forward: bias [panel][accumulator][W] | x [panel][part][I][gate][W] | h [panel][part][P][gate][W] | if projected
// r [panel of P][H][W] | the cell's vectors [panel][vector][W]. The sizes x_panel and h_panel are those of a part.
template <class C, class V>
struct ForwardPanels {
  using T = typename V::Scalar;
  index x_panel, h_panel, r_panel, x_start, h_start, r_start, vector_start, size;

  ForwardPanels(index input_size, index hidden_size, index output_size) {
    const index panels = panels_of<V>(hidden_size);
    x_panel = input_size * gates_of<C, V> * V::width;
    h_panel = output_size * gates_of<C, V> * V::width;
    r_panel = hidden_size * V::width;
    x_start = panels * C::accumulators * V::width;
    h_start = x_start + panels * parts_of<C, V> * x_panel;
    r_start = h_start + panels * parts_of<C, V> * h_panel;
    vector_start = r_start + (output_size != hidden_size ? panels_of<V>(output_size) * r_panel : 0);
    size = vector_start + panels * vectors_of<C> * V::width;
  }
};

// Backward: h [panel of P][panel p of units][gate][unit][W] | x [panel of I][p][gate][unit][W] | if projected
// r [panel of H][panel of P][output][W] | the cell's vectors [panel p][vector][W]; units past H and outputs past P are
// zero. As pairs, two units (or outputs) share a word of W.
template <class C, class V>
struct BackwardPanels {
  index panel, r_panel, h_start, x_start, r_start, vector_start, size;

  BackwardPanels(WeightFormat format, index input_size, index hidden_size, index output_size) {
    const auto panel_of = [&](index k) { return (format == WeightFormat::pairs ? pair_k(k) / 2 : k) * V::width; };
    panel = panel_of(padded<V>(hidden_size) * C::gates);
    h_start = 0;
    r_panel = panel_of(padded<V>(output_size));
    x_start = panels_of<V>(output_size) * panel;
    r_start = x_start + panels_of<V>(input_size) * panel;
    vector_start = r_start + (output_size != hidden_size ? panels_of<V>(hidden_size) * r_panel : 0);
    size = vector_start + panels_of<V>(hidden_size) * vectors_of<C> * V::width;
  }
};

// to[panel][vector][W] = what the cell reads in place of its vectors' elements.
template <class C, class V>
inline void pack_vectors(const Weights<const typename V::Scalar>& weights, typename V::Scalar* to, const Team& team) {
  const auto options = read_options<C>(weights.options);
  const index H = weights.hidden_size, panels = panels_of<V>(H);
  for (index p = team.begin(panels); p < team.end(panels); ++p)
    for (int v = 0; v < vectors_of<C>; ++v) {
      const auto* const from = weights.vectors[v];
      V element = from ? V::load_part(from + p * V::width, H - p * V::width) : V::zero();
      if constexpr (requires { C::prepared(options, v, element); }) element = C::prepared(options, v, element);
      element.store(to + (p * vectors_of<C> + v) * V::width);
    }
}

// Where a step finds what a cell has of its own: nothing, for most.
template <class C, class V, bool = has_own<C>>
struct OwnOperands {
  OwnOperands() = default;
  OwnOperands(const double*, const typename V::Scalar*) {}
};
template <class C, class V>
struct OwnOperands<C, V, true> {
  OptionsOf<C> options;
  const typename V::Scalar* vectors;  // [panel][vector][W]

  OwnOperands() = default;
  OwnOperands(const double* from, const typename V::Scalar* packed) : options(read_options<C>(from)), vectors(packed) {}
  RNNCORE_INLINE V load(int vector, index panel) const {
    return V::load(vectors + (panel * vectors_of<C> + vector) * V::width);
  }
};

// to[part][k][gate column g][W] = scale(g) * from[(gate(g) * H + unit) * row + k] for W units from `unit` on.
template <class V, int parts, int G>
[[gnu::noinline]] inline void pack_columns(const typename V::Scalar* from, index row, const int (&gate)[G],
                                           const double* scale, index hidden_size, index columns, index unit,
                                           typename V::Scalar* to) {
  constexpr int W = V::width, together = G / parts;
  const index units = hidden_size - unit < W ? hidden_size - unit : W;
  for (int g = 0; g < G; ++g) {
    auto* const part = to + (g / together * columns * together + g % together) * W;
    const auto* block = from + (gate[g] * hidden_size + unit) * row;
    const auto factor = typename V::Scalar(scale[g]);
    for (index k = 0; k < columns; k += W) {
      V square[W];
      load_block(block + k, row, units, columns - k, square);
      for (int w = 0; w < W && k + w < columns; ++w) (square[w] * factor).store(part + (k + w) * together * W);
    }
  }
}

// to[panel][accumulator][W], scaled as the weights are.
template <class C, class V>
inline void pack_bias(const Weights<const typename V::Scalar>& weights, typename V::Scalar* to, const Team& team) {
  using T = typename V::Scalar;
  const index H = weights.hidden_size, panels = panels_of<V>(H);
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
    for (int a = 0; a < C::accumulators; ++a)
      (bias[a] * T(C::scale[a])).store(to + (p * C::accumulators + a) * V::width);
  }
}

template <class C, class V>
inline void pack_forward(const Weights<const typename V::Scalar>& weights, typename V::Scalar* to, const Team& team) {
  const index H = weights.hidden_size, I = weights.input_size, P = weights.output_size, panels = panels_of<V>(H);
  const ForwardPanels<C, V> layout(I, H, P);
  pack_bias<C, V>(weights, to, team);
  for (index p = team.begin(panels); p < team.end(panels); ++p) {
    constexpr int parts = parts_of<C, V>;
    if (weights.weight_ih)
      pack_columns<V, parts>(weights.weight_ih, I, C::x_gates, C::scale + C::x_first, H, I, p * V::width,
                             to + layout.x_start + p * parts * layout.x_panel);
    if (weights.weight_hh)
      pack_columns<V, parts>(weights.weight_hh, P, C::h_gates, C::scale + C::h_first, H, P, p * V::width,
                             to + layout.h_start + p * parts * layout.h_panel);
  }
  if constexpr (has_vectors<C>) pack_vectors<C, V>(weights, to + layout.vector_start, team);
  if (!weights.weight_hr) return;
  for (index p = team.begin(panels_of<V>(P)); p < team.end(panels_of<V>(P)); ++p)
    pack_columns<V, 1>(weights.weight_hr, H, Projection::of, Projection::scale, P, H, p * V::width,
                       to + layout.r_start + p * layout.r_panel);
}

// to[q][p][g][unit][W] = from[(gate(g) * H + unit) * columns + q W ...] for the panels [first, end) of columns, some at
// a time: a row's lines are read once.
template <class V, int G>
inline void pack_rows(const typename V::Scalar* from, const int (&gate)[G], index hidden_size, index columns,
                      index first, index end, typename V::Scalar* to) {
  constexpr int W = V::width;
  constexpr index together = 8;
  const index panel = padded<V>(hidden_size) * G * W;
  for (index q0 = first; q0 < end; q0 += together) {
    auto* at = to + q0 * panel;
    for (index p = 0; p < panels_of<V>(hidden_size); ++p)
      for (int g = 0; g < G; ++g)
        for (index unit = p * W; unit < p * W + W; ++unit, at += W) {
          const auto* row = from + (gate[g] * hidden_size + unit) * columns;
          for (index q = q0; q < end && q < q0 + together; ++q)
            (unit < hidden_size ? V::load_part(row + q * W, columns - q * W) : V::zero()).store(at + (q - q0) * panel);
        }
  }
}

template <class C, class V>
inline void pack_backward(WeightFormat format, const Weights<const typename V::Scalar>& weights, typename V::Scalar* to,
                          const Team& team) {
  const index H = weights.hidden_size, I = weights.input_size, P = weights.output_size;
  const BackwardPanels<C, V> layout(format, I, H, P);
  const auto pack = [&](const auto* from, const auto& gate, index units, index columns, index start) {
    const index first = team.begin(panels_of<V>(columns)), end = team.end(panels_of<V>(columns));
    if constexpr (can_be_short<V>)
      if (format == WeightFormat::pairs)
        return pair_weight_rows(from, gate, int(sizeof gate / sizeof gate[0]), units, columns, first, end, to + start);
    pack_rows<V>(from, gate, units, columns, first, end, to + start);
  };
  pack(weights.weight_hh, C::h_gates, H, P, layout.h_start);
  pack(weights.weight_ih, C::x_gates, H, I, layout.x_start);
  if constexpr (has_vectors<C>) pack_vectors<C, V>(weights, to + layout.vector_start, team);
  if (weights.weight_hr) pack(weights.weight_hr, Projection::of, P, H, layout.r_start);
}

}  // namespace rnncore::RNNCORE_ISA
