// Rows of a table by their number, and back.
#pragma once

#include "rnncore/arrays.hpp"

namespace rnncore {

// table[rows[k]] += values[k], in the order of k.
template <class T>
void add_rows(const T* values, const index* rows, index count, index columns, T* table) {
  for (index k = 0; k < count; ++k) {
    const T* from = values + k * columns;
    T* to = table + rows[k] * columns;
    for (index j = 0; j < columns; ++j) to[j] += from[j];
  }
}

}  // namespace rnncore
