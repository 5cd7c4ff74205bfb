// n = tanh(W_n x + b_in + r (R_n h + b_hn)), h' = n + z (h - n) (Cho et al. 2014; reset applied after the product).
// Twin: python/rnncore/reference/gru.py
#pragma once

#include "rnncore/simd/math.hpp"

namespace rnncore::RNNCORE_ISA {

struct Gru {
  static constexpr int gates = 3, accumulators = 4, states = 1,
                       cached = 4;  // sums: n of x | r z | n of h; cached: r z n, n of h
  static constexpr int x_first = 0, h_first = 1;
  static constexpr int x_gates[gates] = {2, 0, 1}, h_gates[gates] = {0, 1, 2};
  static constexpr int cached_state[states] = {-1};
  static constexpr bool direct_h = true;

  template <class V>
  static RNNCORE_INLINE void forward(const V (&a)[accumulators], V (&state)[states], V (&cache)[cached]) {
    const V r = sigmoid(a[1]), z = sigmoid(a[2]), n_h = a[3];
    const V n = tanh(fma(r, n_h, a[0]));
    state[0] = fma(z, state[0] - n, n);
    cache[0] = r, cache[1] = z, cache[2] = n, cache[3] = n_h;
  }

  template <class V>
  static RNNCORE_INLINE void backward(const V (&cache)[cached], const V (&previous)[states], V (&d_state)[states],
                                      V (&d_a)[accumulators]) {
    using T = typename V::Scalar;
    const V r = cache[0], z = cache[1], n = cache[2], n_h = cache[3];
    const V dh = d_state[0], dn = dh * (T(1) - z) * (T(1) - n * n);
    d_a[0] = dn;
    d_a[1] = dn * n_h * (r * (T(1) - r));
    d_a[2] = dh * (previous[0] - n) * (z * (T(1) - z));
    d_a[3] = dn * r;
    d_state[0] = dh * z;
  }
};

}  // namespace rnncore::RNNCORE_ISA
