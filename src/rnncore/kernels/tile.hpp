// The register-tiled product, the only matrix product: R rows times P panels of G columns of packs stay in registers over k.
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

// acc[r][p][first + g] += sum over k of a(r, k) * b[p][k][g], one chain of additions each, k ascending.
template <int first, int G, int R, int P, int A, class V, class Source>
RNNCORE_INLINE void accumulate(V (&acc)[R][P][A], Source a, index count, const typename V::Scalar* b, index b_panel) {
  for (index k = 0; k < count; ++k, b += G * V::width) {
    if constexpr (P * G <= R) {  // fewer columns than rows: hold the columns
      V w[P][G];
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
        for (int g = 0; g < G; ++g) {
          V column = V::load(b + p * b_panel + g * V::width);
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
          V w = V::load(b + p * b_panel + g * V::width);
          if constexpr (R > 1) pin(w);
#pragma GCC unroll 16
          for (int r = 0; r < R; ++r) acc[r][p][first + g] = fma(v[r], w, acc[r][p][first + g]);
        }
    }
  }
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
//   begin(acc, row, panel), accumulate(acc, row, panel, k0, k1), end(acc, row, panel), and for sums in several blocks of k
//   save(acc, row, panel) and load(acc, row, panel); operand(panel, k) is where the panel's columns of k begin.
template <int R, int P, class Body>
[[gnu::noinline]] void tile(const Body& body, index row, index panel, index k0, index k1, index k_end) {
  typename Body::V acc[R][P][Body::columns];
  if (k0 == 0)
    body.begin(acc, row, panel);
  else
    body.load(acc, row, panel);
  body.accumulate(acc, row, panel, k0, k1);
  if (k1 == k_end)
    body.end(acc, row, panel);
  else
    body.save(acc, row, panel);
}

struct Extent {
  index rows, panels, k, k_block;  // the block of k that stays in L1 while all rows pass over it
  // Every other step goes through the panels backwards: what the last step read last is still in the cache.
  bool backwards = false;
  bool far = false;  // set by product(): the panels lie beyond the second cache
  index first = 0;   // only the panels [first, panels)
};

// Panels of so many bytes do not stay in the second cache beside all else.
constexpr index far_bytes = 256 * 1024;

// Brings a block of a body's panels near, a share at a time, while the block before it is in use.
template <int P, class Body>
class Ahead {
  using T = typename Body::V::Scalar;
  static constexpr index line = 64 / sizeof(T), per_k = Body::gates * Body::V::width;

 public:
  Ahead(const Body& body, const Extent& extent, index panel, index k, index shares)
      : body_(body), panel_(panel), k_(k) {
    const index left = extent.k - k, block = left < extent.k_block ? left : extent.k_block;
    if (extent.far && panel >= extent.first && panel + P <= extent.panels)
      share_ = (block * per_k / line + shares - 1) / shares;
  }
  void share() {
    for (const index end = next_ + share_; next_ < end; ++next_)
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) __builtin_prefetch(body_.operand(panel_ + p, k_) + next_ * line, 0, 2);
  }

 private:
  const Body& body_;
  index panel_, k_, share_ = 0, next_ = 0;
};

// All rows over P panels: tall * R rows in tiles of R, the rest in tiles of R - 1.
template <int R, int P, class Body>
inline void panel_group(const Body& body, const Extent& extent, index tall, index panel) {
  for (index k0 = 0;;) {
    const index k1 = extent.k - k0 > extent.k_block ? k0 + extent.k_block : extent.k;
    const index next = k1 < extent.k ? panel : extent.backwards ? panel - P : panel + P;
    Ahead<P, Body> ahead(body, extent, next, k1 < extent.k ? k1 : 0, (extent.rows + R - 1) / R);
    index row = 0;
    for (; row < tall * R; row += R) {
      ahead.share();
      tile<R, P>(body, row, panel, k0, k1, extent.k);
    }
    if constexpr (R > 1)
      for (; row < extent.rows; row += R - 1) {
        ahead.share();
        tile<R - 1, P>(body, row, panel, k0, k1, extent.k);
      }
    if (k1 == extent.k) return;
    k0 = k1;
  }
}

template <int R, int P, class Body>
inline void panel_groups(const Body& body, const Extent& extent, index tall, index panel) {
  index groups = (extent.panels - panel) / P;
  if (P == 3 && extent.panels - panel == groups * P + 1 && groups > 0) --groups;  // 2 + 2 rather than 3 + 1
  const index first = panel;
  for (index i = 0; i < groups; ++i)
    panel_group<R, P>(body, extent, tall, first + P * (extent.backwards ? groups - 1 - i : i));
  panel += groups * P;
  if constexpr (P > 1)
    if (panel < extent.panels) panel_groups<R, P == 3 ? 2 : P / 2>(body, extent, tall, panel);
}

template <int R, class Body>
RNNCORE_INLINE void dispatch_rows(const Body& body, const Extent& extent, index height, index tall) {
  if (height == R)
    return panel_groups<R, tile_panels<typename Body::V, Body::gates>(R)>(body, extent, tall, extent.first);
  if constexpr (R > 1) dispatch_rows<R - 1>(body, extent, height, tall);
}

// Tiles of nearly equal height: 4 rows are 2 + 2, not 3 + 1.
template <class Body>
RNNCORE_INLINE void product(const Body& body, Extent extent) {
  if (extent.rows <= 0 || extent.first >= extent.panels) return;
  using V = typename Body::V;
  constexpr int most = max_tile_rows<V, Body::gates>;
  constexpr index bytes = Body::gates * V::width * index(sizeof(typename V::Scalar));
  extent.far = extent.rows > most && extent.k * extent.panels * bytes > far_bytes;
  const index tiles = (extent.rows + most - 1) / most;
  const index height = (extent.rows + tiles - 1) / tiles;
  dispatch_rows<most>(body, extent, height, extent.rows - tiles * (height - 1));
}

// The same in parts of some 20 ms, between which the worker looks whether the caller wants to stop: the result then counts nothing.
template <class Body>
RNNCORE_INLINE void product(const Body& body, Extent extent, const Team& team) {
  constexpr index group = Body::gates < 8 ? 8 / Body::gates : 1, many = 500'000'000;  // panels; multiply-adds
  const index work = extent.rows * extent.k * Body::gates * Body::V::width, end = extent.panels;
  const index share = work * end <= many ? end : work * group >= many ? group : many / (work * group) * group;
  while (extent.first < end && !team.stopped()) {
    extent.panels = end - extent.first > share ? extent.first + share : end;
    product(body, extent);
    extent.first = extent.panels;
    if (extent.first < end) team.look();
  }
}

// Elements of a panel's block that leave L1 room for the other operand.
template <class V, int G>
constexpr index l1_block(index panels) {
  constexpr index bytes = 24 * 1024;
  return bytes / (panels * G * V::width * index(sizeof(typename V::Scalar)));
}

}  // namespace rnncore::RNNCORE_ISA
