// The multiply-add peak of one core: independent chains in registers, nothing else.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rnncore::bench {

constexpr long rounds = 500'000;

#if defined(__x86_64__)
#define RNNCORE_PEAK(name, features, Register, set1, fmadd, chains, lanes)                        \
  __attribute__((target(features))) inline double name() {                                        \
    const Register a = set1(0.999f), b = set1(1e-3f);                                             \
    Register acc[chains];                                                                         \
    for (auto& x : acc) x = b;                                                                    \
    const auto start = std::chrono::steady_clock::now();                                          \
    for (long i = 0; i < rounds; ++i) _Pragma("GCC unroll 16") for (int j = 0; j < chains; ++j) { \
        acc[j] = fmadd(acc[j], a, b);                                                             \
        asm volatile("" : "+v"(acc[j]));                                                          \
      }                                                                                           \
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;          \
    return 2e-9 * double(lanes) * double(chains) * double(rounds) / took.count();                 \
  }

RNNCORE_PEAK(peak_avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, 12, 16)
RNNCORE_PEAK(peak_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, 12, 8)

inline __m128 multiply_add(__m128 x, __m128 a, __m128 b) { return _mm_add_ps(_mm_mul_ps(x, a), b); }
RNNCORE_PEAK(peak_baseline, "sse2", __m128, _mm_set1_ps, multiply_add, 12, 4)
#undef RNNCORE_PEAK
#endif

inline double once(const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "avx512") return peak_avx512();
  if (isa == "avx2") return peak_avx2();
  if (isa == "baseline") return peak_baseline();
#endif
  return 0;
}

// float32 GFLOP/s of the instruction set, the best of many runs since the clock takes a while to settle; 0 where it is not known
// how to measure.
inline double peak(const std::string& isa) {
  double best = 0;
  for (int i = 0; i < 20; ++i) best = std::max(best, once(isa));
  return best;
}

}  // namespace rnncore::bench
