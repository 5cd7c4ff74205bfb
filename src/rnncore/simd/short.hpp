// Numbers in fewer bits, widened to a Pack<float>.
#pragma once

#include "rnncore/simd/pack.hpp"

namespace rnncore::RNNCORE_ISA {

// W integers of eight bits. (Of a conversion that says no more, GCC makes one of each element.)
template <class V>
RNNCORE_INLINE V load_int8(const std::int8_t* from) {
#if defined(__AVX512F__)
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))))};
#elif defined(__AVX2__)
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))))};
#elif defined(__SSE2__)
  int four;
  __builtin_memcpy(&four, from, sizeof four);
  __m128i bytes = _mm_cvtsi32_si128(four);
  bytes = _mm_unpacklo_epi8(bytes, bytes);
  return {_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(bytes, bytes), 24))};
#elif defined(__aarch64__)
  std::uint32_t four;
  __builtin_memcpy(&four, from, sizeof four);
  const int8x8_t bytes = vreinterpret_s8_u32(vdup_n_u32(four));
  return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))};
#else
  float floats[V::width];
  for (int i = 0; i < V::width; ++i) floats[i] = from[i];
  return V::load(floats);
#endif
}

// Two times W numbers in bf16, the first in the lower halves of W words, the second in the upper halves.
template <class V>
RNNCORE_INLINE void load_bf16(const std::uint32_t* from, V& first, V& second) {
  typedef std::uint32_t Words __attribute__((vector_size(4 * V::width)));
  Words words;
  __builtin_memcpy(&words, from, sizeof words);
  const Words lower = words << 16, upper = words & 0xffff0000U;
  __builtin_memcpy(static_cast<void*>(&first), &lower, sizeof first);
  __builtin_memcpy(static_cast<void*>(&second), &upper, sizeof second);
}

}  // namespace rnncore::RNNCORE_ISA
