#include "rnncore/kernels/pairs.hpp"

#include "rnncore/amx.hpp"
#include "rnncore/simd/short.hpp"

namespace rnncore::RNNCORE_ISA {
namespace {

using V = Pack<float>;
constexpr index W = V::width;
constexpr index tile_rows = 32;  // of `out` below

const AmxTiles* tiles() {
  if constexpr (W == 16)
    return amx_tiles();
  else
    return nullptr;
}

// out[block][row][W], as AMX makes it. The product of two numbers in bf16 is exact in float32, so that a multiplication
// and an addition give what a fused one gives.
template <int R, int B>
[[gnu::noinline]] void multiply(const Half* a, index a_stride, const std::uint32_t* b, index b_block, index k,
                                float* out) {
  for (index k0 = 0; k0 < k; k0 += 32, b += 16 * W) {
    float x[R][32];
    for (int r = 0; r < R; ++r)
      for (int i = 0; i < 32; ++i) x[r][i] = float_of(std::uint32_t(a[r * a_stride + k0 + i]) << 16);
    V even[R][B], odd[R][B];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int block = 0; block < B; ++block) even[r][block] = odd[r][block] = V::zero();
    for (int i = 0; i < 16; ++i) {
      V first[B], second[B];
#pragma GCC unroll 4
      for (int block = 0; block < B; ++block) load_bf16(b + block * b_block + i * W, first[block], second[block]);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const V at_even = V::broadcast(x[r][2 * i]), at_odd = V::broadcast(x[r][2 * i + 1]);
#pragma GCC unroll 4
        for (int block = 0; block < B; ++block) {
          even[r][block] = fma(at_even, first[block], even[r][block]);
          odd[r][block] = fma(at_odd, second[block], odd[r][block]);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int block = 0; block < B; ++block) {
        float* const at = out + (block * tile_rows + r) * W;
        ((k0 > 0 ? V::load(at) : V::zero()) + (even[r][block] + odd[r][block])).store(at);
      }
  }
}

void multiply(const Half* a, index a_stride, index rows, const std::uint32_t* b, index b_block, int blocks, index k,
              float* out) {
  constexpr int R = V::registers >= 32 ? 4 : 2;
  for (int block = 0; block < blocks; block += 2, b += 2 * b_block, out += 2 * tile_rows * W) {
    const bool two = block + 2 <= blocks;
    index row = 0;
    for (; row + R <= rows; row += R)
      (two ? multiply<R, 2> : multiply<R, 1>)(a + row * a_stride, a_stride, b, b_block, k, out + row * W);
    for (; row < rows; ++row)
      (two ? multiply<1, 2> : multiply<1, 1>)(a + row * a_stride, a_stride, b, b_block, k, out + row * W);
  }
}

float* row_of(const PairProduct& call, index row) {
  return call.to_rows ? call.to_rows[row] : call.to + row * call.to_row;
}

void finish(const PairProduct& call, index row, index rows, index block, const float* out) {
  const index column = block / call.together * call.to_group + block % call.together * W, left = call.width - column;
  const V factor = call.factor ? V::load(call.factor + block * W) : V::broadcast(1);
  for (index r = 0; r < rows; ++r, out += W) {
    float* const begin = row_of(call, row + r);
    if (!begin) continue;
    const V sum = V::load(out);
    if (left >= W)
      (call.add ? fma(sum, factor, V::load(begin + column)) : sum).store(begin + column);
    else
      (call.add ? fma(sum, factor, V::load_part(begin + column, left)) : sum).store_part(begin + column, left);
  }
}

// What will be added to has left the caches since it was written, where it is the gradient of a weight.
void fetch(const PairProduct& call, index row, index rows, index block, int blocks) {
  for (index r = 0; r < rows; ++r)
    if (const float* const begin = call.to_rows[row + r])
      for (int i = 0; i < blocks; ++i) __builtin_prefetch(begin + (block + i) * W, 1, 3);
}

}  // namespace

PairProducts::PairProducts() {
  if (tiles()) tiles()->begin();
}
PairProducts::~PairProducts() {
  if (tiles()) tiles()->end();
}

void multiply_pairs(const PairProduct& call, index first, index end, const Team& team) {
  alignas(64) float out[4 * tile_rows * W];
  const AmxTiles* const amx = tiles();
  const index most = call.rows <= 16 ? 4 : 2;
  index done = 0;
  for (index block = first; block < end && !team.stopped(); block += most) {
    const int blocks = int(end - block < most ? end - block : most);
    const std::uint32_t* const b = call.b + block * call.b_block;
    for (index row = 0; row < call.rows; row += tile_rows) {
      const index rows = call.rows - row < tile_rows ? call.rows - row : tile_rows;
      const Half* const a = call.a + row * call.a_stride;
      if (call.to_rows && call.add) fetch(call, row, rows, block, blocks);
      if (amx)
        amx->multiply(a, call.a_stride, rows > 16 ? 2 : 1, b, call.b_block, blocks, call.k, out);
      else
        multiply(a, call.a_stride, rows, b, call.b_block, blocks, call.k, out);
      for (int i = 0; i < blocks; ++i) finish(call, row, rows, block + i, out + i * tile_rows * W);
    }
    done += call.rows * call.k * blocks * W;
    if (done < team.piece || block + most >= end) continue;
    done = 0;
    if (amx) amx->end();  // what looks may run anything
    team.look();
    if (amx) amx->begin();
  }
}

void round_rows(const float* from, index from_row, index rows, index piece, index pieces, index between, Half* to) {
  const index k = piece * pieces, end = pair_k(k), stride = pair_stride(k);
  for (index r = 0; r < rows; ++r, from += from_row, to += stride) {
    for (index j = 0; j < pieces; ++j)
      for (index i = 0; i < piece; ++i) to[j * piece + i] = Half(bf16_of(from[j * between + i]));
    for (index i = k; i < end; ++i) to[i] = 0;
  }
}

void round_columns(const float* from, index from_row, index rows, Half* to, index to_stride) {
  for (index row = 0; row < pair_k(rows); row += W) {
    V column[W];
    alignas(64) float numbers[W * W];
    if (row < rows) {
      load_block(from + row * from_row, from_row, rows - row < W ? rows - row : W, W, column);
      for (index c = 0; c < W; ++c) column[c].store(numbers + c * W);
    }
    for (index c = 0; c < W; ++c)
      for (index r = 0; r < W; ++r)
        to[c * to_stride + row + r] = row < rows ? Half(bf16_of(numbers[c * W + r])) : Half(0);
  }
}

void pair_columns(const float* from, index units, index columns, std::uint32_t* to) {
  for (index k = 0; k < pair_k(columns); k += W, to += W / 2 * W) {
    V column[W];
    alignas(64) float numbers[W * W];
    if (k < columns) {
      load_block(from + k, columns, units, columns - k < W ? columns - k : W, column);
      for (index c = 0; c < W; ++c) column[c].store(numbers + c * W);
    }
    for (index c = 0; c < W; c += 2)
      for (index u = 0; u < W; ++u)
        to[c / 2 * W + u] = k < columns ? bf16_of(numbers[c * W + u]) | bf16_of(numbers[(c + 1) * W + u]) << 16 : 0;
  }
}

void pair_rows_of(const float* from, index from_row, index rows, index width, index end, std::uint32_t* to) {
  for (index row = 0; row < end; row += 2, to += W) {
    alignas(64) float two[2][W];
    for (index i = 0; i < 2; ++i)
      (row + i < rows ? V::load_part(from + (row + i) * from_row, width) : V::zero()).store(two[i]);
    for (index c = 0; c < W; ++c) to[c] = bf16_of(two[0][c]) | bf16_of(two[1][c]) << 16;
  }
}

void pair_weight_rows(const float* from, const int* gate, int gates, index hidden_size, index columns, index first,
                      index end, float* to) {
  const index panels = (hidden_size + W - 1) / W, k = panels * W * gates, panel = pair_k(k) / 2 * W;
  for (index q = first; q < end; ++q) {
    auto* const words = reinterpret_cast<std::uint32_t*>(to + q * panel);
    const index width = columns - q * W < W ? columns - q * W : W;
    for (index p = 0; p < panels; ++p)
      for (int g = 0; g < gates; ++g) {
        const index units = hidden_size - p * W < W ? hidden_size - p * W : W;
        pair_rows_of(from + (gate[g] * hidden_size + p * W) * columns + q * W, columns, units, width, W,
                     words + (p * gates + g) * (W / 2) * W);
      }
    pair_rows_of(nullptr, 0, 0, 0, pair_k(k) - k, words + k / 2 * W);
  }
}

}  // namespace rnncore::RNNCORE_ISA
