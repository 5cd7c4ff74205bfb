// The register-tiled product, the only matrix product: R rows times P panels of G columns of packs stay in registers
// over k.
#pragma once

#include "rnncore/kernels/table.hpp"
#include "rnncore/simd/pack.hpp"

namespace rnncore::RNNCORE_ISA {

// a(r, k): rows side by side in memory, or (transposed) k side by side.
template <class T>
struct RowMajor {
  const T* data;
  index stride;
  RNNCORE_INLINE T operator()(int r, index k) const { return data[r * stride + k]; }
};
template <class T>
struct ColumnMajor {
  const T* data;
  index stride;
  RNNCORE_INLINE T operator()(int r, index k) const { return data[k * stride + r]; }
};

// b[p][k][G][W]; and, if they are to be brought near meanwhile, where the panels lie that come next.
template <class T>
struct Panels {
  const T* data;
  index panel;  // size
  const T* next = nullptr;
};

template <int first, int G, bool fetch, int R, int P, int A, class V, class Source>
RNNCORE_INLINE void multiply_add(V (&acc)[R][P][A], const Source& a, index k, const Panels<typename V::Scalar>& b) {
  constexpr index line = 64 / sizeof(typename V::Scalar), size = G * V::width;
  if constexpr (fetch)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (index i = 0; i < size; i += line) __builtin_prefetch(b.next + p * b.panel + k * size + i, 0, 3);
  if constexpr (P * G <= R) {  // fewer columns than rows: hold the columns
    V w[P][G];
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) {
        V column = V::load(b.data + p * b.panel + k * size + g * V::width);
        if constexpr (R > 1) pin(column);
        w[p][g] = column;
      }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const V v = V::broadcast(a(r, k));
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
        for (int g = 0; g < G; ++g) acc[r][p][first + g] = fma(v, w[p][g], acc[r][p][first + g]);
    }
  } else {  // hold the rows
    V v[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      V value = V::broadcast(a(r, k));
      pin(value);
      v[r] = value;
    }
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) {
        V w = V::load(b.data + p * b.panel + k * size + g * V::width);
        if constexpr (R > 1) pin(w);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) acc[r][p][first + g] = fma(v[r], w, acc[r][p][first + g]);
      }
  }
}

template <int first, int G, bool fetch, int R, int P, int A, class V, class Source>
RNNCORE_INLINE void multiply_add_all(V (&acc)[R][P][A], const Source& a, index count,
                                     const Panels<typename V::Scalar>& b) {
  index k = 0;
  if constexpr (R > 2 && P * G == 2)
    for (; k + 2 <= count; k += 2) {
      multiply_add<first, G, fetch>(acc, a, k, b);
      asm volatile("" ::: "memory");  // or GCC loads the next operands so early that sums leave their registers
      multiply_add<first, G, fetch>(acc, a, k + 1, b);
      asm volatile("" ::: "memory");
    }
  for (; k < count; ++k) multiply_add<first, G, fetch>(acc, a, k, b);
}

// acc[r][p][first + g] += sum over k of a(r, k) * b[p][k][g], one chain of additions each, k ascending.
template <int first, int G, int R, int P, int A, class V, class Source>
RNNCORE_INLINE void accumulate(V (&acc)[R][P][A], Source a, index count, const Panels<typename V::Scalar>& b) {
  if (R > 1 && b.next)
    multiply_add_all<first, G, R != 1>(acc, a, count, b);
  else
    multiply_add_all<first, G, false>(acc, a, count, b);
}

constexpr int power_of_two_below(int n) {
  int power = 1;
  while (2 * power <= n) power *= 2;
  return power;
}

// Accumulators that leave room for the operands; at least eight of them hide the latency of the multiply-add.
template <class V>
constexpr int accumulator_budget = V::registers >= 32 ? 24 : 12;
template <class V, int G>
constexpr int max_tile_rows = G == 1 ? 6 : accumulator_budget<V> / G;
template <class V, int G>
constexpr int tile_panels(int rows) {
  const int fit = accumulator_budget<V> / (rows * G);
  return G == 1 && fit == 3 ? 3 : power_of_two_below(fit > 8 ? 8 : fit < 1 ? 1 : fit);
}

// A Body has: V, gates (columns of its panels), columns (accumulators of a panel), and
//   begin(acc, row, panel), accumulate(acc, row, panel, k0, k1, next), end(acc, row, panel);
//   save(acc, row, panel) and load(acc, row, panel), for sums in several blocks of k that end and begin would not do for;
//   operand(panel, k): where the panel's columns of k begin.
// If the gates of a unit are in more than one panel: parts (how many), and finish(panel, rows), which follows the last
// of them where tiles held fewer.
template <int R, int P, class Body>
[[gnu::noinline]] void tile(const Body& body, index row, index panel, index k0, index k1, index k_end,
                            const typename Body::V::Scalar* next) {
  typename Body::V acc[R][P][Body::columns];
  if constexpr (requires { body.load(acc, row, panel); })
    k0 == 0 ? body.begin(acc, row, panel) : body.load(acc, row, panel);
  else
    body.begin(acc, row, panel);
  body.accumulate(acc, row, panel, k0, k1, next);
  if constexpr (requires { body.save(acc, row, panel); })
    k1 == k_end ? body.end(acc, row, panel) : body.save(acc, row, panel);
  else
    body.end(acc, row, panel);
}

template <class Body>
constexpr int unit_panels = [] {
  if constexpr (requires { Body::parts; })
    return Body::parts;
  else
    return 1;
}();

struct Extent {
  index rows, panels, k, k_block;  // the block of k that stays in L1 while all row tiles pass over it
  // Every other step goes through the panels backwards: what the last step read last is still in the cache.
  bool backwards = false;
  index first = 0;  // only the panels [first, panels)
};

// All rows over P panels: tall * R rows in tiles of R, the rest in tiles of R - 1. `next` comes after them.
template <int R, int P, class Body>
inline void panel_group(const Body& body, const Extent& extent, index tall, index panel, index next) {
  if (next < extent.first || next + P > extent.panels) next = panel;
  for (index k0 = 0;;) {
    const index k1 = extent.k - k0 > extent.k_block ? k0 + extent.k_block : extent.k;
    const auto* const then = k1 < extent.k ? body.operand(panel, k1) : body.operand(next, 0);
    index row = 0;
    for (; row < tall * R; row += R) tile<R, P>(body, row, panel, k0, k1, extent.k, row == 0 ? then : nullptr);
    if constexpr (R > 1)
      for (; row < extent.rows; row += R - 1) tile<R - 1, P>(body, row, panel, k0, k1, extent.k, nullptr);
    if (k1 == extent.k) return;
    k0 = k1;
  }
}

template <int R, int P, class Body>
inline void panel_groups(const Body& body, const Extent& extent, index tall, index panel) {
  constexpr int size = P < unit_panels<Body> ? unit_panels<Body> : P;
  index groups = (extent.panels - panel) / size;
  if (P == 3 && extent.panels - panel == groups * P + 1 && groups > 0) --groups;  // 2 + 2 rather than 3 + 1
  for (index i = 0; i < groups; ++i) {
    const index begin = panel + size * (extent.backwards ? groups - 1 - i : i);
    const index after = extent.backwards ? begin - size : begin + size;
    for (index p = begin; p < begin + size; p += P)
      panel_group<R, P>(body, extent, tall, p, p + P < begin + size ? p + P : after);
    if constexpr (P < size) body.finish(begin, extent.rows);
  }
  panel += groups * size;
  if constexpr (P > unit_panels<Body>)
    if (panel < extent.panels) panel_groups<R, P == 3 ? 2 : P / 2>(body, extent, tall, panel);
}

template <int R, class Body>
RNNCORE_INLINE void dispatch_rows(const Body& body, const Extent& extent, index height, index tall) {
  if (height == R)
    return panel_groups<R, tile_panels<typename Body::V, Body::gates>(R)>(body, extent, tall, extent.first);
  if constexpr (R > 1) dispatch_rows<R - 1>(body, extent, height, tall);
}

// A Body may say that it has no tiles of more rows than so many.
template <class Body, int most>
constexpr int tallest_of = [] {
  if constexpr (requires { Body::tallest; })
    return Body::tallest < most ? Body::tallest : most;
  else
    return most;
}();

// Is it worth leaving the cells' sums to memory, so that fewer tiles read the panels? (Measured: AVX2.)
constexpr bool worth_saving(index rows, index k) { return rows >= 10 || (rows >= 4 && k >= 96); }

// Tiles of nearly equal height: 4 rows are 2 + 2, not 3 + 1.
template <class Body>
RNNCORE_INLINE void tiled_product(const Body& body, const Extent& extent) {
  if (extent.rows <= 0 || extent.first >= extent.panels) return;
  using V = typename Body::V;
  constexpr int tallest = tallest_of<Body, max_tile_rows<V, Body::gates>>;
  constexpr int whole = tallest_of<Body, max_tile_rows<V, Body::gates * unit_panels<Body>>>;
  if (extent.rows <= whole) return dispatch_rows<tallest>(body, extent, extent.rows, 1);
  const index most = worth_saving(extent.rows, extent.k) ? tallest : whole;
  const index tiles = (extent.rows + most - 1) / most;
  const index height = (extent.rows + tiles - 1) / tiles;
  dispatch_rows<tallest>(body, extent, height, extent.rows - tiles * (height - 1));
}

// A product that is the same for all cells (its Body says that it is `shared`): products.cpp compiles it, in an object
// of its own.
template <class Body>
void shared_product(const Body& body, const Extent& extent);

template <class Body>
RNNCORE_INLINE void product(const Body& body, const Extent& extent) {
  if constexpr (requires { Body::shared; })
    shared_product(body, extent);
  else
    tiled_product(body, extent);
}

// The same in pieces, between which the worker looks whether the caller wants to stop: after a stop the result is
// garbage.
template <class Body>
RNNCORE_INLINE void product(const Body& body, Extent extent, const Team& team) {
  constexpr index group = Body::gates < 8 ? 8 / Body::gates : 1;  // of panels
  const index many = team.piece, work = extent.rows * extent.k * Body::gates * Body::V::width, end = extent.panels;
  const index share = work * end <= many ? end : work * group >= many ? group : many / (work * group) * group;
  while (extent.first < end && !team.stopped()) {
    extent.panels = end - extent.first > share ? extent.first + share : end;
    product(body, extent);
    extent.first = extent.panels;
    if (extent.first < end) team.look();
  }
}

// A block of k in equal shares of multiples of `step`, that leaves L1 room for the next one and the other operand.
template <class V, int G>
constexpr index l1_block(index panels, index k, index step = 1) {
  constexpr index bytes = 16 * 1024;
  const index fit = bytes / (panels * G * V::width * index(sizeof(typename V::Scalar))) / step,
              steps = (k + step - 1) / step;
  const index most = fit > 1 ? fit : 1, blocks = steps > most ? (steps + most - 1) / most : 1;
  return (steps + blocks - 1) / blocks * step;
}

}  // namespace rnncore::RNNCORE_ISA
