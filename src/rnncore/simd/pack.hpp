// Pack<T>: one register of T, over Eigen's packet math. The only file that names Eigen.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <cstring>

#define RNNCORE_INLINE __attribute__((always_inline)) inline

namespace rnncore::RNNCORE_ISA {

using index = std::int64_t;

template <class T>
struct Pack {
  using Scalar = T;
  using Register = typename Eigen::internal::packet_traits<T>::type;
  static constexpr int width = Eigen::internal::packet_traits<T>::size;
  static constexpr int registers = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS;
  // Which caches products ask for what comes next (see caches.hpp): all processors with AVX-512 have a large second or
  // first one, none without AVX2 has, the others say so themselves.
#if defined(__AVX512F__)
  static constexpr bool may_ask_near = false, may_ask_far = true;
#elif defined(__AVX2__) || defined(__aarch64__)
  static constexpr bool may_ask_near = true, may_ask_far = true;
#else
  static constexpr bool may_ask_near = true, may_ask_far = false;
#endif

  Register r;

  static RNNCORE_INLINE Pack load(const T* p) { return {Eigen::internal::ploadu<Register>(p)}; }
  static RNNCORE_INLINE Pack broadcast(T value) { return {Eigen::internal::pset1<Register>(value)}; }
  static RNNCORE_INLINE Pack zero() { return broadcast(T(0)); }
  RNNCORE_INLINE void store(T* p) const { Eigen::internal::pstoreu(p, r); }
#if defined(__AVX512F__)
  // Past the caches, a whole line of them at a time; other threads see it after fence_streams().
  static constexpr bool can_stream = true;
  RNNCORE_INLINE void stream(T* p) const {
    if constexpr (sizeof(T) == 4)
      _mm512_stream_ps(p, r);
    else
      _mm512_stream_pd(p, r);
  }
#else
  static constexpr bool can_stream = false;
#endif

  // The first `count` elements, the others zero (load) or untouched in memory (store).
  static RNNCORE_INLINE Pack load_part(const T* p, index count) {
    if (count >= width) return load(p);
    T part[width] = {};
    for (index i = 0; i < count; ++i) part[i] = p[i];
    return load(part);
  }
  RNNCORE_INLINE void store_part(T* p, index count) const {
    if (count >= width) return store(p);
    T part[width];
    store(part);
    for (index i = 0; i < count; ++i) p[i] = part[i];
  }

  friend RNNCORE_INLINE Pack operator+(Pack a, Pack b) { return {Eigen::internal::padd(a.r, b.r)}; }
  friend RNNCORE_INLINE Pack operator-(Pack a, Pack b) { return {Eigen::internal::psub(a.r, b.r)}; }
  friend RNNCORE_INLINE Pack operator*(Pack a, Pack b) { return {Eigen::internal::pmul(a.r, b.r)}; }
  friend RNNCORE_INLINE Pack operator/(Pack a, Pack b) { return {Eigen::internal::pdiv(a.r, b.r)}; }
  friend RNNCORE_INLINE Pack operator-(Pack a) { return {Eigen::internal::pnegate(a.r)}; }
  friend RNNCORE_INLINE Pack operator+(Pack a, T b) { return a + broadcast(b); }
  friend RNNCORE_INLINE Pack operator-(Pack a, T b) { return a - broadcast(b); }
  friend RNNCORE_INLINE Pack operator-(T a, Pack b) { return broadcast(a) - b; }
  friend RNNCORE_INLINE Pack operator*(Pack a, T b) { return a * broadcast(b); }
};

// Several packs side by side: while the operations of one wait for their operands, those of the others run.
template <class T, int n>
struct Packs {
  using Scalar = T;
  static constexpr int width = Pack<T>::width;
  Pack<T> part[n];

  template <class F>
  static RNNCORE_INLINE Packs each(const F& f) {
    Packs result;
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) result.part[i] = f(i);
    return result;
  }
  friend RNNCORE_INLINE Packs operator+(Packs a, Packs b) {
    return each([&](int i) { return a.part[i] + b.part[i]; });
  }
  friend RNNCORE_INLINE Packs operator-(Packs a, Packs b) {
    return each([&](int i) { return a.part[i] - b.part[i]; });
  }
  friend RNNCORE_INLINE Packs operator*(Packs a, Packs b) {
    return each([&](int i) { return a.part[i] * b.part[i]; });
  }
  friend RNNCORE_INLINE Packs operator/(Packs a, Packs b) {
    return each([&](int i) { return a.part[i] / b.part[i]; });
  }
  friend RNNCORE_INLINE Packs operator*(Packs a, T b) {
    return each([&](int i) { return a.part[i] * b; });
  }
};

// a * b + c, fused where the instruction set fuses.
template <class T>
RNNCORE_INLINE Pack<T> fma(Pack<T> a, Pack<T> b, Pack<T> c) {
  return {Eigen::internal::pmadd(a.r, b.r, c.r)};
}

// min and max return x itself when it is NaN.
template <class T>
RNNCORE_INLINE Pack<T> clamp(Pack<T> x, T low, T high) {
  using Eigen::internal::pmax;
  using Eigen::internal::pmin;
  return {pmin(pmax(x.r, Pack<T>::broadcast(low).r), Pack<T>::broadcast(high).r)};
}
template <class T>
RNNCORE_INLINE Pack<T> min(Pack<T> x, T high) {
  return {Eigen::internal::pmin(x.r, Pack<T>::broadcast(high).r)};
}
template <class T>
RNNCORE_INLINE Pack<T> max(Pack<T> x, T low) {
  return {Eigen::internal::pmax(x.r, Pack<T>::broadcast(low).r)};
}

template <class T>
RNNCORE_INLINE Pack<T> max(Pack<T> a, Pack<T> b) {
  return {Eigen::internal::pmax(a.r, b.r)};
}

// Correctly rounded, where Eigen's psqrt is an estimate in single precision.
template <class T>
RNNCORE_INLINE Pack<T> sqrt(Pack<T> x) {
  T lanes[Pack<T>::width];
  x.store(lanes);
  for (int i = 0; i < Pack<T>::width; ++i)
    lanes[i] = sizeof(T) == 4 ? T(__builtin_sqrtf(float(lanes[i]))) : T(__builtin_sqrt(double(lanes[i])));
  return Pack<T>::load(lanes);
}

template <class T, int n>
RNNCORE_INLINE Packs<T, n> fma(Packs<T, n> a, Packs<T, n> b, Packs<T, n> c) {
  return Packs<T, n>::each([&](int i) { return fma(a.part[i], b.part[i], c.part[i]); });
}
template <class T, int n>
RNNCORE_INLINE Packs<T, n> max(Packs<T, n> x, T low) {
  return Packs<T, n>::each([&](int i) { return max(x.part[i], low); });
}

// value where gate > 0 or gate is NaN, else 0.
template <class T>
RNNCORE_INLINE Pack<T> where_not_positive_zero(Pack<T> gate, Pack<T> value) {
  using namespace Eigen::internal;
  return {pandnot(value.r, pcmp_le(gate.r, Pack<T>::zero().r))};
}

// Keeps a value in its register: GCC otherwise folds a load into each of its uses.
template <class T>
RNNCORE_INLINE void pin(Pack<T>& a) {
#if defined(__AVX512F__)
  asm("" : "+v"(a.r));
#elif defined(__SSE2__)
  asm("" : "+x"(a.r));
#elif defined(__aarch64__)
  asm("" : "+w"(a.r));
#endif
}

// Rows become columns: column[k] holds from[r * stride + k] for the rows r of a square.
template <class T>
RNNCORE_INLINE void load_transposed(const T* from, index stride, Pack<T> (&column)[Pack<T>::width]) {
  constexpr int width = Pack<T>::width;
  Eigen::internal::PacketBlock<typename Pack<T>::Register, width> square;
#pragma GCC unroll 16
  for (int i = 0; i < width; ++i) square.packet[i] = Pack<T>::load(from + i * stride).r;
  Eigen::internal::ptranspose(square);
#pragma GCC unroll 16
  for (int i = 0; i < width; ++i) column[i].r = square.packet[i];
}
#if defined(__AVX2__)
// A register from pieces of 16 bytes in rows `step` apart: what is inserted from memory needs no shuffle, of which a
// processor does one at a time.
RNNCORE_INLINE __m256 gather_pieces(const float* from, index step) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from)), _mm_loadu_ps(from + step), 1);
}
#if defined(__AVX512DQ__)
RNNCORE_INLINE __m512 gather_pieces_of_four(const float* from, index step) {
  __m512 pieces = _mm512_castps128_ps512(_mm_loadu_ps(from));
  pieces = _mm512_insertf32x4(pieces, _mm_loadu_ps(from + step), 1);
  pieces = _mm512_insertf32x4(pieces, _mm_loadu_ps(from + 2 * step), 2);
  return _mm512_insertf32x4(pieces, _mm_loadu_ps(from + 3 * step), 3);
}
#endif
RNNCORE_INLINE void load_transposed(const float* from, index stride, Pack<float> (&column)[Pack<float>::width]) {
#pragma GCC unroll 4
  for (int k = 0; k < Pack<float>::width; k += 4, from += 4) {
    const index step = 4 * stride;
#if defined(__AVX512DQ__)
    const __m512 a = gather_pieces_of_four(from, step), b = gather_pieces_of_four(from + stride, step),
                 c = gather_pieces_of_four(from + 2 * stride, step), d = gather_pieces_of_four(from + 3 * stride, step);
    const auto low = [](__m512 p, __m512 q) { return _mm512_castps_pd(_mm512_unpacklo_ps(p, q)); };
    const auto high = [](__m512 p, __m512 q) { return _mm512_castps_pd(_mm512_unpackhi_ps(p, q)); };
    column[k] = {_mm512_castpd_ps(_mm512_unpacklo_pd(low(a, b), low(c, d)))};
    column[k + 1] = {_mm512_castpd_ps(_mm512_unpackhi_pd(low(a, b), low(c, d)))};
    column[k + 2] = {_mm512_castpd_ps(_mm512_unpacklo_pd(high(a, b), high(c, d)))};
    column[k + 3] = {_mm512_castpd_ps(_mm512_unpackhi_pd(high(a, b), high(c, d)))};
#else
    const __m256 a = gather_pieces(from, step), b = gather_pieces(from + stride, step),
                 c = gather_pieces(from + 2 * stride, step), d = gather_pieces(from + 3 * stride, step);
    const auto low = [](__m256 p, __m256 q) { return _mm256_castps_pd(_mm256_unpacklo_ps(p, q)); };
    const auto high = [](__m256 p, __m256 q) { return _mm256_castps_pd(_mm256_unpackhi_ps(p, q)); };
    column[k] = {_mm256_castpd_ps(_mm256_unpacklo_pd(low(a, b), low(c, d)))};
    column[k + 1] = {_mm256_castpd_ps(_mm256_unpackhi_pd(low(a, b), low(c, d)))};
    column[k + 2] = {_mm256_castpd_ps(_mm256_unpacklo_pd(high(a, b), high(c, d)))};
    column[k + 3] = {_mm256_castpd_ps(_mm256_unpackhi_pd(high(a, b), high(c, d)))};
#endif
  }
}
#endif

// The same of a square of which so many rows and columns are there, the others zero.
template <class T>
RNNCORE_INLINE void load_block(const T* from, index stride, index rows, index columns,
                               Pack<T> (&column)[Pack<T>::width]) {
  constexpr index width = Pack<T>::width;
  T part[width * width];
  if (rows < width || columns < width) {
#pragma GCC unroll 1
    for (index r = 0; r < width; ++r)
#pragma GCC unroll 1
      for (index k = 0; k < width; ++k) part[r * width + k] = r < rows && k < columns ? from[r * stride + k] : T(0);
    from = part, stride = width;
  }
  load_transposed(from, stride, column);
}

inline void fence_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

}  // namespace rnncore::RNNCORE_ISA
