// Arrays of the caller: pointers and strides. Sizes are counted in elements of T.
#pragma once

#include <cstdint>

namespace rnncore {

using index = std::int64_t;

// A (time, row, column) array whose columns are contiguous; or a packed batch, all rows of step 0, then all rows of
// step 1 that are so long, and so on.
template <class T>
struct Rows {
  T* data = nullptr;
  index time = 0, row = 0;        // elements from step to step (packed: 0), and from row to row
  const index* starts = nullptr;  // packed: the number of the row with which each step begins

  T* at(index t, index n) const { return data + t * time + (starts ? starts[t] + n : n) * row; }
};

// Rows side by side, their columns contiguous.
template <class T>
struct Matrix {
  T* data = nullptr;
  index row = 0;

  T* at(index r) const { return data + r * row; }
};

}  // namespace rnncore
