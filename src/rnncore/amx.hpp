// Products of bf16 pairs on the tiles of AMX: compiled once, apart from the instruction sets (amx.cpp), and used by the
// one whose packs are as wide as a tile's rows.
#pragma once

#include <cstdint>

namespace rnncore {

// The tiles of one thread. `begin` before products, `end` behind them: between the two no other code's tiles may run.
struct AmxTiles {
  void (*begin)();
  void (*end)();
  // out[block][row][16] = a b^T for one or two times 16 rows: a[row][k] in bf16, b[block][k / 2][16] pairs, k a
  // multiple of 32; blocks are `b_block` words apart, and 32 rows in `out`. At most four blocks for 16 rows, two for
  // 32.
  void (*multiply)(const std::uint16_t* a, std::int64_t a_stride, int sixteens, const std::uint32_t* b,
                   std::int64_t b_block, int blocks, std::int64_t k, float* out);
};

// Null where the processor has no AMX, the system does not let this process use it, or RNNCORE_AMX is 0. Asked once.
const AmxTiles* amx_tiles();

}  // namespace rnncore
