// The products with weights in fewer bits, for each number of gates, and the packing: compiled once for all cells, for
// float alone.
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

}  // namespace rnncore::RNNCORE_ISA
