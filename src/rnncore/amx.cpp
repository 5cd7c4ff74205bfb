#include "rnncore/amx.hpp"

#include <cstdlib>

#if defined(__AMX_BF16__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace rnncore {
namespace {

// Eight tiles of 16 rows of 64 bytes.
struct alignas(64) Configuration {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr Configuration configuration;

// As many accumulators as hide the latency of a product: four, if the blocks are there. A function for each number of
// blocks, since instructions name their tiles.
template <int blocks>
void multiply_16(const std::uint16_t* a, std::int64_t a_stride, const std::uint32_t* b, std::int64_t b_block,
                 std::int64_t k, float* out) {
  const std::int64_t stride = 2 * a_stride;
  _tile_zero(0);
  if constexpr (blocks > 1) _tile_zero(1);
  if constexpr (blocks > 2) _tile_zero(2);
  if constexpr (blocks > 3) _tile_zero(3);
  for (; k > 0; k -= 32, a += 32, b += 256) {
    _tile_loadd(4, a, stride);
    _tile_loadd(5, b, 64);
    _tile_dpbf16ps(0, 4, 5);
    if constexpr (blocks > 1) {
      _tile_loadd(6, b + b_block, 64);
      _tile_dpbf16ps(1, 4, 6);
    }
    if constexpr (blocks > 2) {
      _tile_loadd(7, b + 2 * b_block, 64);
      _tile_dpbf16ps(2, 4, 7);
    }
    if constexpr (blocks > 3) {
      _tile_loadd(5, b + 3 * b_block, 64);
      _tile_dpbf16ps(3, 4, 5);
    }
  }
  _tile_stored(0, out, 64);
  if constexpr (blocks > 1) _tile_stored(1, out + 512, 64);
  if constexpr (blocks > 2) _tile_stored(2, out + 1024, 64);
  if constexpr (blocks > 3) _tile_stored(3, out + 1536, 64);
}

template <int blocks>
void multiply_32(const std::uint16_t* a, std::int64_t a_stride, const std::uint32_t* b, std::int64_t b_block,
                 std::int64_t k, float* out) {
  const std::int64_t stride = 2 * a_stride;
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (blocks > 1) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (; k > 0; k -= 32, a += 32, b += 256) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, a + 16 * a_stride, stride);
    _tile_dpbf16ps(1, 5, 6);
    if constexpr (blocks > 1) {
      _tile_loadd(7, b + b_block, 64);
      _tile_dpbf16ps(2, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, out, 64);
  _tile_stored(1, out + 256, 64);
  if constexpr (blocks > 1) {
    _tile_stored(2, out + 512, 64);
    _tile_stored(3, out + 768, 64);
  }
}

void multiply(const std::uint16_t* a, std::int64_t a_stride, int sixteens, const std::uint32_t* b, std::int64_t b_block,
              int blocks, std::int64_t k, float* out) {
  const auto run = sixteens == 2 ? (blocks == 2 ? multiply_32<2> : multiply_32<1>)
                   : blocks == 4 ? multiply_16<4>
                   : blocks == 3 ? multiply_16<3>
                   : blocks == 2 ? multiply_16<2>
                                 : multiply_16<1>;
  run(a, a_stride, b, b_block, k, out);
}

bool usable() {
  const char* const wanted = std::getenv("RNNCORE_AMX");
  if (wanted && wanted[0] == '0' && !wanted[1]) return false;
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned bf16 = 1U << 22, tile = 1U << 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & bf16) == 0 || (d & tile) == 0) return false;
  constexpr long ask_for = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM of the state XTILEDATA, for all threads
  return syscall(SYS_arch_prctl, ask_for, tile_data) == 0;
}

constexpr AmxTiles tiles{[] { _tile_loadconfig(&configuration); }, [] { _tile_release(); }, multiply};

}  // namespace

const AmxTiles* amx_tiles() {
  static const AmxTiles* const found = usable() ? &tiles : nullptr;
  return found;
}

}  // namespace rnncore
#else
namespace rnncore {

const AmxTiles* amx_tiles() { return nullptr; }

}  // namespace rnncore
#endif
