// The normal distribution on packs: its density without 1 / sqrt(2 pi), and Q = 1 - Phi, exact to a few units of the
// last place far into the tail. Whether products and sums fuse makes little difference: what has to be exact is exact
// without it.
#pragma once

#include "rnncore/simd/math.hpp"

namespace rnncore::RNNCORE_ISA {

// e^(t^2/2) Q(t) = above(t) / below(t) on 0 <= t <= limit, where e^(-t^2/2) has the smallest normal exponent. The
// quotient minimises the largest relative error, 5e-9 and 5e-17 (a linear fit, weighted anew until the errors
// alternate); all its terms are positive.
template <class T>
struct NormalConstants;

template <>
struct NormalConstants<float> {
  static constexpr float limit = 13.2f;
  static constexpr float split = 4097.0f;                                            // 2^12 + 1
  static constexpr float ln2_high = 6.9313812256e-01f, ln2_low = 9.0580006145e-06f;  // the first has 17 digits
  static constexpr float above[] = {0.50000000246561345f, 0.43564352950683137f, 0.18127421677195539f,
                                    0.039972964151092833f, 0.0040184618793702970f};
  static constexpr float below[] = {1.0f,
                                    1.6691719757378090f,
                                    1.1943508676288230f,
                                    0.46429423301431279f,
                                    0.10020475401391814f,
                                    0.010072646709553361f};
};

template <>
struct NormalConstants<double> {
  static constexpr double limit = 37.64;
  static constexpr double split = 134217729.0;  // 2^27 + 1
  static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  static constexpr double above[] = {0.49999999999999997661,   0.77398137760321599812,   0.59275194802306439935,
                                     0.2884073988781756975,    0.097283730680083377709,  0.02349533444863164014,
                                     0.0040622926432883193668, 0.0004865051905946300467, 0.000036898330644853859648,
                                     1.3698251316127485462e-06};
  static constexpr double below[] = {1.0,
                                     2.3458473160092880785,
                                     2.5572192514910776302,
                                     1.7102184193681934927,
                                     0.77941982653528144666,
                                     0.25385181442651060342,
                                     0.060106690485997024764,
                                     0.01027514798630588312,
                                     0.0012229213091233344911,
                                     0.000092490398878704530712,
                                     3.433642406212285721e-06};
};

// Of t = |z|: density e^(-t^2/2), 0 from the limit on, and Q(t) = density * share. Q itself becomes too small before z
// Q does.
template <class T>
struct NormalTail {
  Pack<T> t, density, share;

  explicit RNNCORE_INLINE NormalTail(Pack<T> z) {
    using C = NormalConstants<T>;
    using E = ExpConstants<T>;
    constexpr T log2e = T(1.4426950408889634);
    const Pack<T> size = max(z, -z);
    t = clamp(size, T(0), C::limit);
    // t^2 = high + low, where high has no more digits than fit.
    const Pack<T> wide = t * C::split, head = wide - (wide - t);
    const Pack<T> high = head * head, low = (t - head) * (t + head);
    const Pack<T> biased = fma(high + low, Pack<T>::broadcast(-log2e / 2), Pack<T>::broadcast(E::magic));
    const Pack<T> n = biased - E::magic;
    // t^2 / 2 + n ln 2: the first sum is exact.
    const Pack<T> rest = fma(n, Pack<T>::broadcast(C::ln2_high), high * T(0.5));
    const Pack<T> r = fma(n, Pack<T>::broadcast(C::ln2_low), rest) + low * T(0.5);
    const ExpParts<T> e(Exponent<T>{exponent_from_low_bits(biased), r * -log2e});
    // The scale is a power of two, and times p alone it could be too small to be a normal number.
    density = where_not_positive_zero(C::limit - size, e.scale * (e.p + T(1)));
    Pack<T> powers[4] = {t, t * t};
    powers[2] = powers[1] * powers[1];
    powers[3] = powers[2] * powers[2];
    constexpr int above = sizeof(C::above) / sizeof(T), below = sizeof(C::below) / sizeof(T);
    share = polynomial<T, 0, above>(C::above, powers) / polynomial<T, 0, below>(C::below, powers);
  }
};

}  // namespace rnncore::RNNCORE_ISA
