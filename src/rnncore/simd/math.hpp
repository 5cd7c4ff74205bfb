// tanh and sigmoid on packs, from one exp kernel: exact limits, NaN stays NaN.
#pragma once

#include "rnncore/simd/pack.hpp"

namespace rnncore::RNNCORE_ISA {

// expm1(r) = r + r^2 q(r) on |r| <= ln(2)/2; q minimises the largest relative error (Remez).
template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  using Bits = std::int32_t;
  static constexpr int mantissa = 23;
  static constexpr float magic =
      12582912.0f + 127.0f;  // 1.5 * 2^23: adding it rounds; + bias: its low bits are an exponent
  static constexpr float log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float q[] = {0.500000006095f, 0.166665434368f, 0.0416662836891f, 0.00836655840145f,
                                0.00139463918696f};
  static constexpr float tanh_limit = 20.0f;                  // of 2x: beyond it the result rounds to 1
  static constexpr float exp_low = -87.0f, exp_high = 89.0f;  // exp(89) is inf, so sigmoid(-inf) is 0
};

template <>
struct ExpConstants<double> {
  using Bits = std::int64_t;
  static constexpr int mantissa = 52;
  static constexpr double magic = 6755399441055744.0 + 1023.0;
  static constexpr double log2e = 1.4426950408889634, ln2_high = 0.693145751953125, ln2_low = 1.42860682030941723212e-6;
  static constexpr double q[] = {0.50000000000000051761,     0.16666666666666685315,   0.041666666666576816427,
                                 0.0083333333333149935357,   0.0013888888931551241208, 0.00019841269902228052731,
                                 0.000024801505282633279621, 2.7557228618662953397e-6, 2.7626036648236594306e-7,
                                 2.5114276812467811137e-8};
  static constexpr double tanh_limit = 40.0;
  static constexpr double exp_low = -708.0, exp_high = 710.0;
};

// exp(y) = scale * (1 + p), with p = expm1 of the reduced argument.
template <class T>
struct ExpParts {
  Pack<T> scale, p;
};

template <class T>
RNNCORE_INLINE Pack<T> exponent_from_low_bits(Pack<T> t) {
  using Register = typename Pack<T>::Register;
  using Bits = typename ExpConstants<T>::Bits;
  typedef Bits Vector __attribute__((vector_size(sizeof(Register))));
  return {(Register)((Vector)t.r << ExpConstants<T>::mantissa)};
}

template <class T>
RNNCORE_INLINE ExpParts<T> exp_parts(Pack<T> y) {
  using C = ExpConstants<T>;
  const Pack<T> t = fma(y, Pack<T>::broadcast(C::log2e), Pack<T>::broadcast(C::magic));
  const Pack<T> n = t - C::magic;
  Pack<T> r = fma(n, Pack<T>::broadcast(-C::ln2_high), y);
  r = fma(n, Pack<T>::broadcast(-C::ln2_low), r);
  constexpr int degree = sizeof(C::q) / sizeof(T) - 1;
  Pack<T> q = Pack<T>::broadcast(C::q[degree]);
#pragma GCC unroll 16
  for (int i = degree - 1; i >= 0; --i) q = fma(q, r, Pack<T>::broadcast(C::q[i]));
  return {exponent_from_low_bits(t), fma(r * r, q, r)};
}

// 1 / (1 + exp(-x))
template <class T>
RNNCORE_INLINE Pack<T> sigmoid(Pack<T> x) {
  using C = ExpConstants<T>;
  const auto [scale, p] = exp_parts(clamp(-x, C::exp_low, C::exp_high));
  return Pack<T>::broadcast(T(1)) / (scale * (p + T(1)) + T(1));
}

// expm1(2x) / (expm1(2x) + 2)
template <class T>
RNNCORE_INLINE Pack<T> tanh(Pack<T> x) {
  using C = ExpConstants<T>;
  const auto [scale, p] = exp_parts(clamp(x + x, -C::tanh_limit, C::tanh_limit));
  const Pack<T> e = fma(scale, p, scale - T(1));
  return e / (e + T(2));
}

}  // namespace rnncore::RNNCORE_ISA
