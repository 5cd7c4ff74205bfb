// In how many bits a network's weights are read: all of them, or fewer for inference, where memory is the limit; and in
// how many it multiplies. Twins: python/rnncore/reference/short_weights.py, precision.py
#pragma once

#include <cstdint>

namespace rnncore {

// bf16: the upper half of a float32, rounded to nearest, ties to even. int8: q in -127..127 times the scale of a row,
// of one gate of one unit. Sums, states, activations, biases and a cell's vectors stay as they are. pairs: what a
// network in Precision::bf16 packs, whatever it was given (kernels/pairs.hpp).
enum class WeightFormat : std::uint8_t { full, bf16, int8, pairs };

// In what a network multiplies: bf16 rounds both operands of each product to it, of weights and of what they meet, in
// training too. Parameters, sums, states and gradients are float32.
enum class Precision : std::uint8_t { float32, bf16 };

// In kernels too, which are compiled once for each instruction set: no copy of these may be shared.
#define RNNCORE_EVERYWHERE __attribute__((always_inline)) inline

RNNCORE_EVERYWHERE std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}
RNNCORE_EVERYWHERE float float_of(std::uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// The upper half of it, to nearest, ties to even; NaN stays NaN.
RNNCORE_EVERYWHERE std::uint32_t bf16_of(float value) {
  const std::uint32_t bits = bits_of(value), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return (bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded;
}

RNNCORE_EVERYWHERE float largest_of(const float* values, std::int64_t count, float largest) {
  for (std::int64_t k = 0; k < count; ++k) {
    const float magnitude = __builtin_fabsf(values[k]);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

// The scale of a row: a 127th of its largest magnitude, rounded up to 16 significant bits. So q times the scale is
// exact in float32: rounded weights hold their q and their scale, and rounding them again changes nothing. Rows of
// numbers that are smaller than any use of them (2^-100) become zero.
RNNCORE_EVERYWHERE float int8_scale_of(float largest) {
  if (largest < 0x1p-100F) return 0;
  return float_of((bits_of(largest / 127) + 0xff) & ~std::uint32_t{0xff});
}
RNNCORE_EVERYWHERE float int8_scale(const float* row, std::int64_t count) {
  return int8_scale_of(largest_of(row, count, 0));
}

// value / scale to the nearest integer, ties to even.
RNNCORE_EVERYWHERE float int8_of(float value, float scale) {
  constexpr float round = 0x1.8p23F;  // a float32 of this size has no bits behind the point
  return scale > 0 ? (value / scale + round) - round : 0;
}

}  // namespace rnncore
