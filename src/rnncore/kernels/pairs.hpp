// Products whose two operands are in bf16, for networks in Precision::bf16: the weights as pairs, two neighbours of k
// in a word of 32 bits. The sums are float32. Compiled once for all cells, for float alone (pairs.cpp).
// Twin: python/rnncore/reference/precision.py
#pragma once

#include "rnncore/kernels/table.hpp"
#include "rnncore/weight_format.hpp"

namespace rnncore::RNNCORE_ISA {

using Half = std::uint16_t;  // the upper half of a float32

// Operands end in zeros up to a multiple of 32.
constexpr index pair_k(index k) { return k > 32 ? (k + 31) / 32 * 32 : 32; }
// Distance of rows of halves: an odd number of cache lines.
constexpr index pair_stride(index k) { return (pair_k(k) / 32 | 1) * 32; }
// Rows in memory that a product may read: whole tiles.
constexpr index pair_rows(index rows) { return (rows + 15) / 16 * 16; }

// Rows of a times blocks of W columns of b. A sum is made of 32 of k at a time, in ascending order: those at even k and
// those at odd k each in a chain of fused additions from zero, the two added, and added to the sum of those before. It
// depends neither on the other rows nor on the processor. Then factor times the sum joins what stands in its place, or
// (add = false) it takes the place.
struct PairProduct {
  index rows, k;  // k: of pair_k()
  const Half* a;  // [row][k], of pair_rows(rows), what those behind `rows` hold does not matter
  index a_stride;
  const std::uint32_t* b;  // [block][k / 2][W]
  index b_block;
  const float* factor;  // [block][W], or null: 1
  bool add;
  // Row r begins at to + r * to_row, or at to_rows[r] (null: not wanted), of which `width` elements are there. Block q
  // begins q / together * to_group + q % together * W behind it.
  float* to;
  index to_row;
  float* const* to_rows;
  index together, to_group, width;
};
inline constexpr index any_width = index(1) << 60;

// The blocks [first, end). The worker looks now and then whether the caller wants to stop: after a stop the result is
// garbage.
void multiply_pairs(const PairProduct& call, index first, index end, const Team& team);

// What a thread does before such products, and behind them.
class PairProducts {
 public:
  PairProducts();
  ~PairProducts();
  PairProducts(const PairProducts&) = delete;
  PairProducts& operator=(const PairProducts&) = delete;
};

// to[row][k] of a: pieces of `piece` numbers, `between` apart, become one row.
void round_rows(const float* from, index from_row, index rows, index piece, index pieces, index between, Half* to);
// to[column][row] of a, from[row][W columns].
void round_columns(const float* from, index from_row, index rows, Half* to, index to_stride);
// to[k / 2][W] of b, whose k are the columns of from[unit][columns]; of so many units, at most W.
void pair_columns(const float* from, index units, index columns, std::uint32_t* to);
// to[k / 2][W] of b, whose k are its rows; null for zeros. `width` of W columns are there. The rows end as they are:
// with zeros up to `end` of them.
void pair_rows_of(const float* from, index from_row, index rows, index width, index end, std::uint32_t* to);
// As pack_rows() in packing.hpp, of units that are neighbours: to[panel of columns][panel of units][gate][pair][W].
void pair_weight_rows(const float* from, const int* gate, int gates, index hidden_size, index columns, index first,
                      index end, float* to);

}  // namespace rnncore::RNNCORE_ISA
