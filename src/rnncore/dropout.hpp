// Dropout by a counter: whether an element stays depends on the key and its index alone, not on who computes it.
// splitmix64 (Steele, Lea & Flood 2014). Twin: python/rnncore/reference/dropout.py
#pragma once

#include <cmath>
#include <cstdint>

#include "rnncore/arrays.hpp"

namespace rnncore {

struct Dropout {
  double probability = 0;
  std::uint64_t key = 0;
};

// to[i] = from[i] times 0, or times what keeps the mean, for the element first + i; the two may be one.
template <class T>
void drop(const Dropout& dropout, index first, index count, const T* from, T* to) {
  const double p = dropout.probability;
  const T factor[] = {0, static_cast<T>(p < 1 ? 1 / (1 - p) : 0)};
  const auto least = static_cast<std::uint64_t>(std::ceil(p * 0x1p53));  // of 53 bits, as many as a number in 0..1 has
  std::uint64_t counter = dropout.key + static_cast<std::uint64_t>(first) * 0x9E3779B97F4A7C15u;
  for (index i = 0; i < count; ++i) {
    std::uint64_t z = counter += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    to[i] = from[i] * factor[(z >> 11) >= least];
  }
}

}  // namespace rnncore
