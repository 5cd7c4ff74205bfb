// f = sigmoid(W_f x + b_if + R_f h + b_hf), n = tanh(W_n x + b_in + f (R_n h + b_hn)), h' = h + f (n - h) (Zhou et al.
// 2016; f applied after the product, as the GRU's reset). Twin: python/rnncore/reference/cells/mgu.py
#pragma once

#include "rnncore/cells/cell.hpp"
#include "rnncore/simd/math.hpp"

namespace rnncore::RNNCORE_ISA {

struct Mgu {
  static constexpr int gates = 2, accumulators = 3, states = 1,
                       cached = 3;  // sums: n of x | f | n of h; cached: f n, n of h
  static constexpr int x_first = 0, h_first = 1;
  static constexpr int x_gates[gates] = {1, 0}, h_gates[gates] = {0, 1};
  static constexpr const char *gate_names[gates] = {"f", "n"}, *state_names[states] = {"h"},
                              *cached_names[cached] = {"f", "n", "n_h"};
  static constexpr int cached_state[states] = {-1};
  static constexpr double scale[accumulators] = {tanh_scale, sigmoid_scale, tanh_scale};
  static constexpr bool direct_h = true;

  template <bool keep, class V>
  static RNNCORE_INLINE void forward(const V (&a)[accumulators], V (&state)[states], V (&cache)[cached]) {
    const V f = sigmoid_of_exponent(a[1]).value(), n = tanh_of_exponent(fma(f, a[2], a[0])).value();
    state[0] = fma(f, n - state[0], state[0]);
    if constexpr (!keep) return;
    cache[0] = f, cache[1] = n, cache[2] = a[2] * typename V::Scalar(1 / tanh_scale);
  }

  template <class V>
  static RNNCORE_INLINE void backward(const V (&cache)[cached], const V (&previous)[states], V (&d_state)[states],
                                      V (&d_a)[accumulators]) {
    using T = typename V::Scalar;
    const V f = cache[0], n = cache[1], n_h = cache[2];
    const V dh = d_state[0], dn = dh * f * (T(1) - n * n);
    d_a[0] = dn;
    d_a[1] = fma(dn, n_h, dh * (n - previous[0])) * (f * (T(1) - f));
    d_a[2] = dn * f;
    d_state[0] = dh * (T(1) - f);
  }
};

}  // namespace rnncore::RNNCORE_ISA
