// The products with weights in fewer bits, for each number of gates, and the packing: compiled once for all cells, for
// float alone.
#include "rnncore/kernels/input_product.hpp"
#include "rnncore/kernels/short_product.hpp"

namespace rnncore::RNNCORE_ISA {

template <class Body>
void shared_product(const Body& body, const Extent& extent) {
  tiled_product(body, extent);
}

using V = Pack<float>;
#define RNNCORE_SHORT(gates)                                                                      \
  template void shared_product(const ShortProduct<WeightFormat::bf16, gates, V>&, const Extent&); \
  template void shared_product(const ShortProduct<WeightFormat::int8, gates, V>&, const Extent&);
RNNCORE_SHORT(1)
RNNCORE_SHORT(2)
RNNCORE_SHORT(3)
RNNCORE_SHORT(4)
// Compiled in products.cpp.
extern template void shared_product(const InputProduct<1, V>&, const Extent&);
extern template void shared_product(const InputProduct<2, V>&, const Extent&);
extern template void shared_product(const InputProduct<3, V>&, const Extent&);
extern template void shared_product(const InputProduct<4, V>&, const Extent&);

namespace {

constexpr index W = V::width;

// int8_scale(), some packs at a time.
float scale_of(const float* row, index columns) {
  constexpr int packs = 4;
  V largest[packs] = {V::zero(), V::zero(), V::zero(), V::zero()};
  index k = 0;
  for (; k + packs * W <= columns; k += packs * W)
    for (int i = 0; i < packs; ++i) {
      const V value = V::load(row + k + i * W);
      largest[i] = max(largest[i], max(value, -value));
    }
  float lanes[packs * W];
  for (int i = 0; i < packs; ++i) largest[i].store(lanes + i * W);
  return int8_scale_of(largest_of(row + k, columns - k, largest_of(lanes, packs * W, 0)));
}

}  // namespace

// A square of the weights at a time, of W units and W columns.
void pack_short(WeightFormat format, const float* from, const int* gate, int gates, const double* factor,
                index hidden_size, index columns, index unit, float* scales, float* panel) {
  auto* const words = reinterpret_cast<std::uint32_t*>(panel);
  auto* const bytes = reinterpret_cast<std::int8_t*>(panel);
  const index units = hidden_size - unit < W ? hidden_size - unit : W;
  const index size = short_panel<V>(format, columns, gates);
  for (index i = size > W ? size - W : 0; i < size; ++i) words[i] = 0;  // bytes behind the last weight
  for (int g = 0; g < gates; ++g) {
    const float* const first = from + (gate[g] * hidden_size + unit) * columns;
    float* const scale = scales + g * W;
    alignas(64) float numbers[W * W], divisor[W];
    for (index w = 0; w < W; ++w) {
      scale[w] = float(factor[g]);
      if (format != WeightFormat::int8 || w >= units) continue;
      divisor[w] = scale_of(first + w * columns, columns);
      scale[w] *= divisor[w];
    }
    for (index w = 0; w < W; ++w)
      if (format != WeightFormat::int8 || w >= units || divisor[w] == 0) divisor[w] = 1;
    if (format == WeightFormat::pairs) {
      pair_columns(first, units, columns, words + g * (pair_k(columns) / 2) * W);
      continue;
    }
    for (index k = 0; k < columns; k += W) {
      V square[W];
      load_block(first + k, columns, units, columns - k, square);
      const index there = columns - k < W ? columns - k : W;
      if (format == WeightFormat::int8) {
        const V by = V::load(divisor), round = V::broadcast(0x1.8p23F);  // as int8_of()
        for (index c = 0; c < W; ++c) ((square[c] / by + round) - round).store(numbers + c * W);
        for (index c = 0; c < there; ++c)
          for (index w = 0; w < W; ++w) bytes[((k + c) * gates + g) * W + w] = std::int8_t(int(numbers[c * W + w]));
      } else {
        for (index c = 0; c < W; ++c) square[c].store(numbers + c * W);
        for (index c = 0; c < there; c += 2)
          for (index w = 0; w < W; ++w)
            words[((k + c) / 2 * gates + g) * W + w] = bf16_of(numbers[c * W + w]) | bf16_of(numbers[(c + 1) * W + w])
                                                                                         << 16;
      }
    }
  }
}

void widen_panels(WeightFormat format, const float* panels, const float* scales, int gates, int parts, index columns,
                  index first, index end, float* to) {
  const int together = gates / parts;
  for (index p = first; p < end; ++p) {
    const float* const panel = panels + p * short_panel<V>(format, columns, gates);
    const float* const scale = scales + p * gates * W;
    const auto* const words = reinterpret_cast<const std::uint32_t*>(panel);
    const auto* const bytes = reinterpret_cast<const std::int8_t*>(panel);
    float* const wide = to + p * columns * gates * W;
    for (index k = 0; k < columns; ++k)
      for (int g = 0; g < gates; ++g) {
        float* const at = wide + ((g / together * columns + k) * together + g % together) * W;
        if (format == WeightFormat::int8) {
          load_int8<V>(bytes + (k * gates + g) * W).store(at);
          continue;
        }
        V both[2];
        load_bf16(words + (k / 2 * gates + g) * W, both[0], both[1]);
        (both[k % 2] * V::load(scale + g * W)).store(at);
      }
  }
}
void copy_packs(const float* from, index first, index end, float* to) {
  copy(from + first * W, (end - first) * W, to + first * W);
}

namespace {

// Scaled sums begin at zero, as in ShortProduct.
template <int G>
void multiply_widened(const WidenedProduct& call, int parts, const Extent& extent, const Team& team) {
  constexpr index row = G * W;
  const float zero[row] = {};
  alignas(64) float near[WidenedProduct::rows * WidenedProduct::packs * W];
  const index many = extent.rows < WidenedProduct::rows ? extent.rows : WidenedProduct::rows;
  const index together = WidenedProduct::together(many, G * parts), all = extent.panels - extent.first;
  const index groups = (all + together - 1) / together;
  const index k_block = extent.rows <= max_tile_rows<V, G> ? extent.k : l1_block<V, G>(1, extent.k);  // as run_steps()
  const bool in_place = call.sums_row == row && (call.begin.bias || call.begin.rows);  // nothing there is needed
  Pace pace{team};
  for (index i = 0; i < groups; ++i) {
    const index first = together * (extent.backwards ? groups - 1 - i : i), panel = extent.first + first;
    const index count = all - first < together ? all - first : together;
    for (index r0 = 0; r0 < extent.rows; r0 += many) {
      const index rows = extent.rows - r0 < many ? extent.rows - r0 : many;
      Extent part{rows, count * parts, extent.k, k_block, extent.backwards};
      part.before = (first + extent.before) * parts;
      part.behind = (all - first - count + extent.behind) * parts;
      float* const sums = in_place ? call.sums + panel * call.sums_panel + r0 * row : near;
      const index sums_panel = in_place ? call.sums_panel : rows * row;
      const float* const bias = call.scales ? zero : call.begin.bias + panel * call.begin.panel;
      product(InputProduct<G, V>{bias, call.scales ? 0 : call.begin.panel / parts,
                                 call.panels + panel * parts * call.panel_size, call.panel_size,
                                 call.a + r0 * call.a_stride, call.a_stride, sums, sums_panel},
              part);
      for (index p = 0; p < count * parts; ++p) {
        const float* sum = sums + p * sums_panel;
        const index unit = panel + p / parts, gate = p % parts * row;
        float* to = call.sums + unit * call.sums_panel + r0 * call.sums_row + gate;
        if (!call.scales) {
          for (index r = 0; r < rows && !in_place; ++r, sum += row, to += call.sums_row) copy(sum, row, to);
          continue;
        }
        V scale[G];
        for (int g = 0; g < G; ++g) scale[g] = V::load(call.scales + (panel * parts + p) * row + g * W);
        const index begin = unit * call.begin.panel + gate;
        for (index r = 0; r < rows; ++r, sum += row, to += call.sums_row) {
          const float* const from = call.begin.bias   ? call.begin.bias + begin
                                    : call.begin.rows ? call.begin.rows[r0 + r] + begin
                                                      : to;
#pragma GCC unroll 4
          for (int g = 0; g < G; ++g) fma(V::load(sum + g * W), scale[g], V::load(from + g * W)).store(to + g * W);
        }
      }
    }
    if (!pace.after(extent.rows * count * parts * extent.k * row)) return;
  }
}

}  // namespace

void multiply_widened(const WidenedProduct& call, int gates, int parts, const Extent& extent, const Team& team) {
  if (extent.first >= extent.panels) return;
  const auto run = gates == parts       ? multiply_widened<1>
                   : gates == 2 * parts ? multiply_widened<2>
                   : gates == 3 * parts ? multiply_widened<3>
                                        : multiply_widened<4>;
  run(call, parts, extent, team);
}

}  // namespace rnncore::RNNCORE_ISA
