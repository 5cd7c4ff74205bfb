// The register-tiled product, the only matrix product: R rows times P panels of G columns of packs stay in registers
// over k.
#pragma once

#include "rnncore/caches.hpp"
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

// What a tile asks for meanwhile, since it comes next: so many lines from `data` on, for the second cache; or, if they
// are none, of the panels that begin there the same place as its own, for the first cache.
template <class T>
struct Next {
  static constexpr index line = 64 / sizeof(T);
  const T* data = nullptr;
  index lines = 0;

  // What is left behind so many steps of k, each of `size` elements.
  RNNCORE_INLINE Next after(index steps, index size) const {
    if (lines == 0) return {data ? data + steps * size : nullptr};
    return 2 * steps < lines ? Next{data + 2 * steps * line, lines - 2 * steps} : Next{};
  }
};

template <class V>
inline bool asks_far() {
  return V::may_ask_far && (!V::may_ask_near || caches().far());
}

// b[p][k][G][W]
template <class T>
struct Panels {
  const T* data;
  index panel;  // size
  Next<T> next = {};
};

template <int first, int G, bool fetch, int R, int P, int A, class V, class Source>
RNNCORE_INLINE void multiply_add(V (&acc)[R][P][A], const Source& a, index k, const Panels<typename V::Scalar>& b) {
  constexpr index line = 64 / sizeof(typename V::Scalar), size = G * V::width;
  if constexpr (fetch)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (index i = 0; i < size; i += line) __builtin_prefetch(b.next.data + p * b.panel + k * size + i, 0, 3);
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
RNNCORE_INLINE void multiply_add_all(V (&acc)[R][P][A], const Source& a, index k, index count,
                                     const Panels<typename V::Scalar>& b) {
  if constexpr (R > 2 && P * G == 2)
    for (; k + 2 <= count; k += 2) {
      multiply_add<first, G, fetch>(acc, a, k, b);
      asm volatile("" ::: "memory");  // or GCC loads the next operands so early that sums leave their registers
      multiply_add<first, G, fetch>(acc, a, k + 1, b);
      asm volatile("" ::: "memory");
    }
  for (; k < count; ++k) multiply_add<first, G, fetch>(acc, a, k, b);
}

// The lines that come next are asked for two a step: all at once they would queue.
template <int first, int G, int R, int P, int A, class V, class Source>
RNNCORE_INLINE index multiply_add_asking(V (&acc)[R][P][A], const Source& a, index count,
                                         const Panels<typename V::Scalar>& b) {
  constexpr index line = Next<typename V::Scalar>::line;
  const auto* at = b.next.data;
  const index all = (b.next.lines + 1) / 2, end = all < count ? all : count;
  for (index k = 0; k < end; ++k, at += 2 * line) {
    __builtin_prefetch(at, 0, 2);
    __builtin_prefetch(at + line, 0, 2);
    multiply_add<first, G, false>(acc, a, k, b);
  }
  return end;
}

// acc[r][p][first + g] += sum over k of a(r, k) * b[p][k][g], one chain of additions each, k ascending.
template <int first, int G, int R, int P, int A, class V, class Source>
RNNCORE_INLINE void accumulate(V (&acc)[R][P][A], Source a, index count, const Panels<typename V::Scalar>& b) {
  index k = 0;
  if constexpr (R > 1 && V::may_ask_far)
    if (b.next.lines > 0) k = multiply_add_asking<first, G>(acc, a, count, b);
  if constexpr (R > 1 && V::may_ask_near)
    if (b.next.data && b.next.lines == 0) return multiply_add_all<first, G, true>(acc, a, k, count, b);
  multiply_add_all<first, G, false>(acc, a, k, count, b);
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
//   save(acc, row, panel) and load(acc, row, panel), for sums in several blocks of k that end and begin would not do
//     for;
//   operand(panel, k): where the panel's columns of k begin.
// If the gates of a unit are in more than one panel: parts (how many), and finish(panel, rows), which follows the last
// of them where tiles held fewer.
template <int R, int P, class Body>
[[gnu::noinline]] void tile(const Body& body, index row, index panel, index k0, index k1, index k_end,
                            Next<typename Body::V::Scalar> next) {
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
  index first = 0;               // only the panels [first, panels)
  index asks = 1;                // 0: for nothing, since what comes next lies in the second cache already
  index before = 0, behind = 0;  // so many panels beside them come next, backwards or forwards
};

// What tile number `nth` of `tiles` asks for of the block of k from `k` on in P panels.
template <int P, class Body>
RNNCORE_INLINE Next<typename Body::V::Scalar> ask_ahead(const Body& body, const Extent& extent, index panel, index k,
                                                        index nth, index tiles, bool far) {
  if (!far) return {nth == 0 ? body.operand(panel, k) : nullptr};
  if constexpr (requires { Body::near; }) {  // the operand is in the second cache already
    return {};
  } else {
    constexpr index line = Next<typename Body::V::Scalar>::line;
    const index pieces = tiles / P, piece = nth / P;  // so many of the tiles ask for a piece of each panel
    if (piece >= pieces) return {};
    const index left = extent.k - k, block = left < extent.k_block ? left : extent.k_block;
    // By multiplication: for a branch the compiler would write all loops around it twice.
    const index lines = extent.asks * block * Body::gates * Body::V::width / line;
    const index first = lines * piece / pieces, end = lines * (piece + 1) / pieces;
    return {body.operand(panel + nth % P, k) + first * line, end - first};
  }
}

// All rows over P panels: tall * R rows in tiles of R, the rest in tiles of R - 1. `next` comes after them.
template <int R, int P, class Body>
inline void panel_group(const Body& body, const Extent& extent, index tall, index panel, index next) {
  if (next < extent.first - extent.before || next + P > extent.panels + extent.behind) next = panel;
  constexpr int low = R > 1 ? R - 1 : 1;
  const index tiles = tall + (extent.rows - tall * R) / low;
  const bool far = R > 1 && asks_far<typename Body::V>();
  for (index k0 = 0;;) {
    const index k1 = extent.k - k0 > extent.k_block ? k0 + extent.k_block : extent.k;
    const bool ends = k1 == extent.k;
    const auto ask = [&](index nth) {
      return ask_ahead<P>(body, extent, ends ? next : panel, ends ? 0 : k1, nth, tiles, far);
    };
    index row = 0, nth = 0;
    for (; row < tall * R; row += R) tile<R, P>(body, row, panel, k0, k1, extent.k, ask(nth++));
    if constexpr (R > 1)
      for (; row < extent.rows; row += low) tile<low, P>(body, row, panel, k0, k1, extent.k, ask(nth++));
    if (ends) return;
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
RNNCORE_INLINE void tiled_product(const Body& body, Extent extent) {
  if (extent.rows <= 0 || extent.first >= extent.panels) return;
  using V = typename Body::V;
  // AVX-512 asks for the second cache alone, where the weights of small products stay.
  constexpr index column = Body::gates * V::width * index(sizeof(typename V::Scalar));
  const index all = extent.before + extent.panels + extent.behind;
  if (!V::may_ask_near) extent.asks = all * extent.k * column > caches().second / 8;
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

// The same for work in other pieces.
struct Pace {
  const Team& team;
  index done = 0;  // multiply-adds since the worker has looked

  // false: stopped
  bool after(index work) {
    done += work;
    if (done >= team.piece) team.look(), done = 0;
    return !team.stopped();
  }
};

// A block of k in equal shares of multiples of `step`, that leaves L1 room for the other operand, and for the next one
// where that is asked for into L1. Panels of one column are read so evenly that larger blocks do, from the second
// cache.
template <class V, int G>
inline index l1_block(index panels, index k, index step = 1) {
  const index first = caches().first, bytes = !asks_far<V>() ? first / 2 : G == 1 ? first / 3 * 4 : first / 3 * 2;
  const index fit = bytes / (panels * G * V::width * index(sizeof(typename V::Scalar))) / step,
              steps = (k + step - 1) / step;
  const index most = fit > 1 ? fit : 1, blocks = steps > most ? (steps + most - 1) / most : 1;
  return (steps + blocks - 1) / blocks * step;
}

}  // namespace rnncore::RNNCORE_ISA
