// Weights in fewer bits as panels: packing.hpp, but that all gates of a unit lie side by side, since their sums go to
// memory.
#pragma once

#include "rnncore/kernels/packing.hpp"
#include "rnncore/kernels/pairs.hpp"
#include "rnncore/kernels/projection.hpp"

namespace rnncore::RNNCORE_ISA {

// One panel of `columns` of k, G gates of W units: bf16 as words [pair of k][gate][W], the earlier k in the lower half;
// int8 as bytes [k][gate][W]; pairs [gate][pair of k][W], with zeros as of pair_k(). Counted in float32, which hold
// them; a whole number of packs.
template <class V>
constexpr index short_panel(WeightFormat format, index columns, int gates) {
  constexpr index W = V::width;
  if (format == WeightFormat::bf16) return (columns + 1) / 2 * gates * W;
  if (format == WeightFormat::pairs) return pair_k(columns) / 2 * gates * W;
  return (columns * gates + 3) / 4 * W;
}

// bias [panel][accumulator][W] | the cell's vectors [panel][vector][W] | scales of x, of h [panel][gate][W] | if
// projected those of r [panel of P][W] | panels of x | of h | of r.
template <class C, class V>
struct ShortPanels {
  index x_panel, h_panel, r_panel, vector_start, x_scales, h_scales, r_scales, x_start, h_start, r_start, size;

  ShortPanels(WeightFormat format, index input_size, index hidden_size, index output_size) {
    constexpr index W = V::width, G = C::gates;
    const index panels = panels_of<V>(hidden_size);
    const index projected = output_size != hidden_size ? panels_of<V>(output_size) : 0;
    x_panel = short_panel<V>(format, input_size, G);
    h_panel = short_panel<V>(format, output_size, G);
    r_panel = short_panel<V>(format, hidden_size, 1);
    vector_start = panels * C::accumulators * W;
    x_scales = vector_start + panels * vectors_of<C> * W;
    h_scales = x_scales + panels * G * W;
    r_scales = h_scales + panels * G * W;
    x_start = r_scales + projected * W;
    h_start = x_start + panels * x_panel;
    r_start = h_start + panels * h_panel;
    size = r_start + projected * r_panel;
  }
};

// The gates of W units from `unit` on, out of from[(gate[g] * H + unit) * columns + k]. What a sum is multiplied with
// before the cell reads it (int8, pairs), or a weight (bf16), goes to scales[gate][W]. Compiled once for all cells.
void pack_short(WeightFormat format, const float* from, const int* gate, int gates, const double* factor,
                index hidden_size, index columns, index unit, float* scales, float* panel);

// Panels that pack_short() has made, in bf16 or int8, to[panel][part][k][gate][W]: the numbers with which its tiles
// multiply, in int8 without the scale. Compiled once for all cells.
void widen_panels(WeightFormat format, const float* panels, const float* scales, int gates, int parts, index columns,
                  index first, index end, float* to);
void copy_packs(const float* from, index first, index end, float* to);

template <class C, class V>
inline void pack_short_forward(WeightFormat format, const Weights<const float>& weights, float* to, const Team& team) {
  constexpr index W = V::width, G = C::gates;
  const index H = weights.hidden_size, I = weights.input_size, P = weights.output_size, panels = panels_of<V>(H);
  const ShortPanels<C, V> layout(format, I, H, P);
  pack_bias<C, V>(weights, to, team);
  if constexpr (has_vectors<C>) pack_vectors<C, V>(weights, to + layout.vector_start, team);
  for (index p = team.begin(panels); p < team.end(panels); ++p) {
    pack_short(format, weights.weight_ih, C::x_gates, C::gates, C::scale + C::x_first, H, I, p * W,
               to + layout.x_scales + p * G * W, to + layout.x_start + p * layout.x_panel);
    pack_short(format, weights.weight_hh, C::h_gates, C::gates, C::scale + C::h_first, H, P, p * W,
               to + layout.h_scales + p * G * W, to + layout.h_start + p * layout.h_panel);
  }
  if (!weights.weight_hr) return;
  for (index p = team.begin(panels_of<V>(P)); p < team.end(panels_of<V>(P)); ++p)
    pack_short(format, weights.weight_hr, Projection::of, 1, Projection::scale, P, H, p * W,
               to + layout.r_scales + p * W, to + layout.r_start + p * layout.r_panel);
}

// What pack_short_forward() has packed in bf16 or int8, as pack_forward() does.
template <class C, class V>
inline void widen_forward(WeightFormat format, index input_size, index hidden_size, index output_size,
                          const float* from, float* to, const Team& team) {
  const ShortPanels<C, V> packed(format, input_size, hidden_size, output_size);
  const ForwardPanels<C, V> full(input_size, hidden_size, output_size);
  const index panels = panels_of<V>(hidden_size),
              projected = output_size != hidden_size ? panels_of<V>(output_size) : 0;
  const index first = team.begin(panels), end = team.end(panels);
  copy_packs(from, first * C::accumulators, end * C::accumulators, to);
  if constexpr (has_vectors<C>)
    copy_packs(from + packed.vector_start, first * vectors_of<C>, end * vectors_of<C>, to + full.vector_start);
  widen_panels(format, from + packed.x_start, from + packed.x_scales, C::gates, parts_of<C, V>, input_size, first, end,
               to + full.x_start);
  widen_panels(format, from + packed.h_start, from + packed.h_scales, C::gates, parts_of<C, V>, output_size, first, end,
               to + full.h_start);
  if constexpr (can_project<C>)
    widen_panels(format, from + packed.r_start, from + packed.r_scales, 1, 1, hidden_size, team.begin(projected),
                 team.end(projected), to + full.r_start);
}

}  // namespace rnncore::RNNCORE_ISA
