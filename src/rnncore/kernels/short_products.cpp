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

namespace {

// The columns [k0, k0 + k) of some panels, k0 even.
void widen(const WidenedProduct& call, index panel, index count, index k0, index k, index row) {
  const float *from = call.panels + panel * call.panel_size, *scales = call.scales + panel * row;
  float* to = call.memory;
  for (index p = 0; p < count; ++p, from += call.panel_size, scales += row, to += k * row) {
    if (call.format == WeightFormat::int8) {
      const auto* const bytes = reinterpret_cast<const std::int8_t*>(from) + k0 * row;
      for (index i = 0; i < k * row; i += W) load_int8<V>(bytes + i).store(to + i);
      continue;
    }
    const auto* words = reinterpret_cast<const std::uint32_t*>(from) + k0 / 2 * row;
    for (index at = 0; at < k; at += 2, words += row)
      for (index g = 0; g < row; g += W) {
        V first, second;
        load_bf16(words + g, first, second);
        (first * V::load(scales + g)).store(to + at * row + g);
        if (at + 1 < k) (second * V::load(scales + g)).store(to + (at + 1) * row + g);
      }
  }
}

// In bf16 a sum goes on where it stands, in int8 from zero: see ShortProduct.
template <int G>
void multiply_widened(const WidenedProduct& call, const Extent& extent, const Team& team) {
  constexpr index together = tile_panels<V, G>(max_tile_rows<V, G>), row = G * W, most = WidenedProduct::k_block;
  static_assert(G * together <= WidenedProduct::packs);
  const bool goes_on = call.format == WeightFormat::bf16;
  const float zero[row] = {};
  float* const sums = call.memory + most * WidenedProduct::packs * W;
  const index groups = (extent.panels - extent.first + together - 1) / together;
  Pace pace{team};
  for (index i = 0; i < groups; ++i) {
    const index panel = extent.first + together * (extent.backwards ? groups - 1 - i : i);
    const index count = extent.panels - panel < together ? extent.panels - panel : together;
    for (index first = 0; first < extent.rows; first += WidenedProduct::rows) {
      const index left = extent.rows - first, rows = left < WidenedProduct::rows ? left : WidenedProduct::rows;
      const auto each = [&](const auto& work) {
        for (index p = 0; p < count; ++p)
          for (index r = 0; r < rows; ++r)
            for (index g = 0; g < row; g += W)
              work(call.sums + (panel + p) * call.sums_panel + (first + r) * call.sums_row + g,
                   sums + (p * rows + r) * row + g, call.scales + (panel + p) * row + g);
      };
      if (goes_on) each([](const float* to, float* sum, const float*) { V::load(to).store(sum); });
      for (index k = 0; k < extent.k; k += most) {
        const index columns = extent.k - k < most ? extent.k - k : most;
        widen(call, panel, count, k, columns, row);
        const float* const a = call.a + first * call.a_stride + k;
        product(InputProduct<G, V>{zero, 0, call.memory, columns * row, a, call.a_stride, sums, rows * row,
                                   goes_on || k > 0},
                {rows, count, columns, columns});
      }
      if (goes_on)
        each([](float* to, const float* sum, const float*) { V::load(sum).store(to); });
      else if (extent.k > 0)
        each([](float* to, const float* sum, const float* scale) {
          fma(V::load(sum), V::load(scale), V::load(to)).store(to);
        });
    }
    if (!pace.after(extent.rows * count * extent.k * row)) return;
  }
}

}  // namespace

void multiply_widened(const WidenedProduct& call, int gates, const Extent& extent, const Team& team) {
  if (extent.first >= extent.panels) return;
  const auto run = gates == 1   ? multiply_widened<1>
                   : gates == 2 ? multiply_widened<2>
                   : gates == 3 ? multiply_widened<3>
                                : multiply_widened<4>;
  run(call, extent, team);
}

}  // namespace rnncore::RNNCORE_ISA
