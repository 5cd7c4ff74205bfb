// tanh and sigmoid on packs, from one polynomial for 2^r: exact limits, NaN stays NaN.
//
// Each comes as a quotient, so that a cell may divide once for a product of two: sigmoid = 1 / below, tanh = above /
// below. The cells' weights are packed with `sigmoid_scale` and `tanh_scale` as factors: the sums are exponents of 2
// already.
#pragma once

#include "rnncore/simd/pack.hpp"

namespace rnncore::RNNCORE_ISA {

inline constexpr double sigmoid_scale = -1.4426950408889634;  // sigmoid(x) = 1 / (1 + 2^(sigmoid_scale x))
inline constexpr double tanh_scale = 2.8853900817779268;      // tanh(x) = 1 - 2 / (1 + 2^(tanh_scale x))

// 2^r = 1 + r q(r) on |r| <= 1/2; q minimises the largest relative error (Remez).
template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  using Bits = std::int32_t;
  static constexpr int mantissa = 23;
  static constexpr float magic =
      12582912.0f + 127.0f;  // 1.5 * 2^23: adding it rounds; + bias: its low bits are an exponent
  static constexpr float q[] = {0.69314718793f,   0.24022649795f,   0.055503574333f,
                                0.0096182374841f, 0.0013390735664f, 0.00015403515109f};
  static constexpr float tanh_limit = 30.0f;              // beyond it the result rounds to 1
  static constexpr float exp_low = -126, exp_high = 128;  // 2^128 is inf, so sigmoid(-inf) is 0
};

template <>
struct ExpConstants<double> {
  using Bits = std::int64_t;
  static constexpr int mantissa = 52;
  static constexpr double magic = 6755399441055744.0 + 1023.0;
  static constexpr double q[] = {0.6931471805599453,     0.24022650695910097,    0.055504108664821236,
                                 0.009618129107607065,   0.0013333558146531633,  0.0001540353044148068,
                                 1.5252733701214656e-05, 1.3215442724231127e-06, 1.0178121299165704e-07,
                                 7.07256170193032e-09,   4.4455372281544426e-10};
  static constexpr double tanh_limit = 60.0;
  static constexpr double exp_low = -1022, exp_high = 1024;
};

template <class V>
struct Quotient {
  V above, below;
  RNNCORE_INLINE V value() const { return above / below; }
};

template <class T>
RNNCORE_INLINE Pack<T> exponent_from_low_bits(Pack<T> t) {
  using Register = typename Pack<T>::Register;
  using Bits = typename ExpConstants<T>::Bits;
  typedef Bits Vector __attribute__((vector_size(sizeof(Register))));
  return {(Register)((Vector)t.r << ExpConstants<T>::mantissa)};
}

// coefficient[first] + coefficient[first + 1] r + ..., in pairs, then pairs of those: few steps wait for one another.
template <class T, int first, int count, int N>
RNNCORE_INLINE Pack<T> polynomial(const T (&coefficient)[N], const Pack<T>* powers) {  // powers: r, r^2, r^4, r^8
  if constexpr (count == 1) {
    return Pack<T>::broadcast(coefficient[first]);
  } else {
    constexpr int power = count > 8 ? 3 : count > 4 ? 2 : count > 2 ? 1 : 0, half = 1 << power;
    return fma(polynomial<T, first + half, count - half>(coefficient, powers), powers[power],
               polynomial<T, first, half>(coefficient, powers));
  }
}

// n + r = y, n a whole number, |r| <= 1/2, and 2^n.
template <class T>
struct Exponent {
  Pack<T> power, r;
};
#if defined(__AVX512DQ__)
// As instructions: 2^n is 0 or inf beyond the exponents that there are, and r is 0 where y is infinite.
inline constexpr bool exponents_are_free = true;
RNNCORE_INLINE Pack<float> power_of_2(Pack<float> n) { return {_mm512_scalef_ps(_mm512_set1_ps(1), n.r)}; }
RNNCORE_INLINE Pack<double> power_of_2(Pack<double> n) { return {_mm512_scalef_pd(_mm512_set1_pd(1), n.r)}; }
RNNCORE_INLINE Pack<float> remainder(Pack<float> y) { return {_mm512_reduce_ps(y.r, 0)}; }
RNNCORE_INLINE Pack<double> remainder(Pack<double> y) { return {_mm512_reduce_pd(y.r, 0)}; }
template <class T>
RNNCORE_INLINE Exponent<T> exponent_of(Pack<T> y) {
  const Pack<T> r = remainder(y);
  return {power_of_2(y - r), r};
}
#else
inline constexpr bool exponents_are_free = false;
template <class T>
RNNCORE_INLINE Exponent<T> exponent_of(Pack<T> y) {
  using C = ExpConstants<T>;
  const Pack<T> t = y + C::magic;
  return {exponent_from_low_bits(t), y - (t - C::magic)};
}
#endif
// Of x times scale, which is rounded once.
template <class T>
RNNCORE_INLINE Exponent<T> exponent_of(Pack<T> x, Pack<T> scale) {
  using C = ExpConstants<T>;
  const Pack<T> t = fma(x, scale, Pack<T>::broadcast(C::magic));
  return {exponent_from_low_bits(t), fma(x, scale, -(t - C::magic))};
}

// 2^y = scale * (1 + p)
template <class T>
struct ExpParts {
  Pack<T> scale, p;

  RNNCORE_INLINE explicit ExpParts(Exponent<T> y) : scale(y.power) {
    const Pack<T> r = y.r;
    using C = ExpConstants<T>;
    constexpr int count = sizeof(C::q) / sizeof(T);
    Pack<T> powers[4] = {r, r * r};
    powers[2] = powers[1] * powers[1];
    if constexpr (count > 8) powers[3] = powers[2] * powers[2];
    p = r * polynomial<T, 0, count>(C::q, powers);
  }
};

template <class T>
RNNCORE_INLINE Quotient<Pack<T>> sigmoid_of_exponent(Pack<T> y) {
  using C = ExpConstants<T>;
  const Pack<T> one = Pack<T>::broadcast(T(1));
  if constexpr (!exponents_are_free) y = clamp(y, C::exp_low, C::exp_high);
  const ExpParts<T> e(exponent_of(y));
  return {one, fma(e.scale, e.p + one, one)};
}

// expm1 / (expm1 + 2): exact near zero
template <class T>
RNNCORE_INLINE Quotient<Pack<T>> tanh_of(const ExpParts<T>& e) {
  const Pack<T> above = fma(e.scale, e.p, e.scale - T(1));
  return {above, above + T(2)};
}

template <class T>
RNNCORE_INLINE Quotient<Pack<T>> tanh_of_exponent(Pack<T> y) {
  using C = ExpConstants<T>;
  y = exponents_are_free ? min(y, C::tanh_limit) : clamp(y, -C::tanh_limit, C::tanh_limit);
  return tanh_of(ExpParts<T>(exponent_of(y)));
}

template <class T>
RNNCORE_INLINE Quotient<Pack<T>> tanh(Pack<T> x) {
  using C = ExpConstants<T>;
  constexpr T limit = C::tanh_limit / T(tanh_scale);
  const Pack<T> scale = Pack<T>::broadcast(T(tanh_scale));
  return tanh_of(ExpParts<T>(exponent_of(clamp(x, -limit, limit), scale)));
}

// One after the other, not step by step: so many numbers would not fit the registers.
#define RNNCORE_EACH(function)                                              \
  template <class T, int n>                                                 \
  RNNCORE_INLINE Quotient<Packs<T, n>> function(Packs<T, n> x) {            \
    Quotient<Packs<T, n>> result;                                           \
    _Pragma("GCC unroll 16") for (int i = 0; i < n; ++i) {                  \
      const auto part = function(x.part[i]);                                \
      result.above.part[i] = part.above, result.below.part[i] = part.below; \
    }                                                                       \
    return result;                                                          \
  }
RNNCORE_EACH(sigmoid_of_exponent)
RNNCORE_EACH(tanh_of_exponent)
RNNCORE_EACH(tanh)
#undef RNNCORE_EACH

}  // namespace rnncore::RNNCORE_ISA
