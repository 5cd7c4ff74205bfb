// Dropout by a counter: whether an element stays depends on the key and its index alone, not on who computes it.
// splitmix64 (Steele, Lea & Flood 2014). Twin: python/rnncore/reference/dropout.py
#pragma once

#include <cstdint>

#include "rnncore/kernels/table.hpp"

namespace rnncore {

struct Dropout {
  double probability = 0;
  std::uint64_t key = 0;

  // 0, or what keeps the mean.
  double factor(index element) const {
    std::uint64_t z = key + (static_cast<std::uint64_t>(element) + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    const double uniform = static_cast<double>(z >> 11) * 0x1p-53;
    return uniform >= probability && probability < 1 ? 1 / (1 - probability) : 0;
  }
};

// to[i] = from[i] * dropout of element first + i; the two may be one.
template <class T>
void drop(const Dropout& dropout, index first, index count, const T* from, T* to) {
  for (index i = 0; i < count; ++i) to[i] = from[i] * static_cast<T>(dropout.factor(first + i));
}

}  // namespace rnncore
