// Arrays of the caller: pointers and strides. Sizes are counted in elements of T.
#pragma once

#include <cstdint>

namespace rnncore {

using index = std::int64_t;

// A (time, row, column) array whose columns are contiguous.
template <class T>
struct Rows {
  T* data = nullptr;
  index time = 0, row = 0;

  T* at(index t, index n) const { return data + t * time + n * row; }
};

// Rows side by side, their columns contiguous.
template <class T>
struct Matrix {
  T* data = nullptr;
  index row = 0;

  T* at(index r) const { return data + r * row; }
};

}  // namespace rnncore
