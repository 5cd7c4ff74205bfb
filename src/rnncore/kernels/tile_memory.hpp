// A tile's sums from and to memory: of one accumulator a panel by rows, of several by panels.
#pragma once

#include "rnncore/kernels/tile.hpp"

namespace rnncore::RNNCORE_ISA {

template <class V, int R, int P>
RNNCORE_INLINE void clear(V (&acc)[R][P][1]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) acc[r][p][0] = V::zero();
}

// acc[r] = what is at(r), P packs of it.
template <class V, int R, int P, class At>
RNNCORE_INLINE void load_rows(V (&acc)[R][P][1], At at) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const auto* const from = at(r);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) acc[r][p][0] = V::load(from + p * V::width);
  }
}
template <class V, int R, int P, class At>
RNNCORE_INLINE void store_rows(const V (&acc)[R][P][1], At at) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    auto* const to = at(r);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) acc[r][p][0].store(to + p * V::width);
  }
}

// acc[r][p] = what is at(r, p), `count` packs of it, for the accumulators from `first` on.
template <int first, int count, class V, int R, int P, int C, class At>
RNNCORE_INLINE void load_panels(V (&acc)[R][P][C], At at) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (int a = 0; a < count; ++a) acc[r][p][first + a] = V::load(at(r, p) + a * V::width);
}
template <class V, int R, int P, int C, class At>
RNNCORE_INLINE void store_panels(const V (&acc)[R][P][C], At at) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (int a = 0; a < C; ++a) acc[r][p][a].store(at(r, p) + a * V::width);
}
// All rows alike: acc[r][p] = what is at(p).
template <class V, int R, int P, int C, class At>
RNNCORE_INLINE void spread(V (&acc)[R][P][C], At at) {
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
    for (int a = 0; a < C; ++a) {
      const V value = V::load(at(p) + a * V::width);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) acc[r][p][a] = value;
    }
}

// Rows as above of which only `columns` elements of a row are there, and at(r) may be null. Loops that stay loops:
// unrolled they are most of a tile's code.
template <class V, int R, int P, class At>
RNNCORE_INLINE void load_part(V (&acc)[R][P][1], index columns, At at) {
  using T = typename V::Scalar;
  constexpr index width = P * V::width;
  T part[R][width];
#pragma GCC unroll 1
  for (int r = 0; r < R; ++r) {
    const T* const from = at(r);
#pragma GCC unroll 1
    for (index i = 0; i < width; ++i) part[r][i] = from && i < columns ? from[i] : T(0);
  }
  load_rows(acc, [&](int r) { return part[r]; });
}
template <class V, int R, int P, class At>
RNNCORE_INLINE void store_part(const V (&acc)[R][P][1], index columns, At at) {
  using T = typename V::Scalar;
  constexpr index width = P * V::width;
  T part[R][width];
  store_rows(acc, [&](int r) { return part[r]; });
#pragma GCC unroll 1
  for (int r = 0; r < R; ++r)
    if (T* const to = at(r))
#pragma GCC unroll 1
      for (index i = 0; i < width && i < columns; ++i) to[i] = part[r][i];
}

// All of the tile's columns, as is usual, or `columns` of them.
template <class V, int R, int P, class At>
RNNCORE_INLINE void load_columns(V (&acc)[R][P][1], index columns, At at) {
  __builtin_expect(columns >= P * V::width, 1) ? load_rows(acc, at) : load_part(acc, columns, at);
}
template <class V, int R, int P, class At>
RNNCORE_INLINE void store_columns(const V (&acc)[R][P][1], index columns, At at) {
  __builtin_expect(columns >= P * V::width, 1) ? store_rows(acc, at) : store_part(acc, columns, at);
}

}  // namespace rnncore::RNNCORE_ISA
