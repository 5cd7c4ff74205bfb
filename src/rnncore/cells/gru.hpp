// n = tanh(W_n x + b_in + r (R_n h + b_hn)), h' = n + z (h - n) (Cho et al. 2014; reset applied after the product).
// Twin: python/rnncore/reference/cells/gru.py
#pragma once

#include "rnncore/cells/cell.hpp"
#include "rnncore/simd/math.hpp"

namespace rnncore::RNNCORE_ISA {

struct Gru {
  static constexpr int gates = 3, accumulators = 4, states = 1,
                       cached = 4;  // sums: n of x | r z | n of h; cached: r z n, n of h
  static constexpr int x_first = 0, h_first = 1;
  static constexpr int x_gates[gates] = {2, 0, 1}, h_gates[gates] = {0, 1, 2};
  static constexpr const char *gate_names[gates] = {"r", "z", "n"}, *state_names[states] = {"h"},
                              *cached_names[cached] = {"r", "z", "n", "n_h"};
  static constexpr int cached_state[states] = {-1};
  static constexpr double scale[accumulators] = {tanh_scale, sigmoid_scale, sigmoid_scale, tanh_scale};
  static constexpr bool direct_h = true;

  template <bool keep, class V>
  static RNNCORE_INLINE void forward(const V (&a)[accumulators], V (&state)[states], V (&cache)[cached]) {
    const V r = sigmoid_of_exponent(a[1]).value(), z = sigmoid_of_exponent(a[2]).value();
    const V n = tanh_of_exponent(fma(r, a[3], a[0])).value();
    state[0] = fma(z, state[0] - n, n);
    if constexpr (!keep) return;
    cache[0] = r, cache[1] = z, cache[2] = n, cache[3] = a[3] * typename V::Scalar(1 / tanh_scale);
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
