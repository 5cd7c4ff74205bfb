// h' = (1 - alpha) h + alpha act(W x + b_ih + R h + b_hh), act = tanh or relu: leaky integrators (Jaeger et al. 2007).
// Twin: python/rnncore/reference/cells/leaky.py
#pragma once

#include "rnncore/cells/cell.hpp"
#include "rnncore/simd/math.hpp"

namespace rnncore::RNNCORE_ISA {

struct LeakyOptions {
  double alpha = 0.2, learned_alpha = 0, relu = 0;
};

struct Leaky {
  static constexpr int gates = 1, accumulators = 1, states = 1, cached = 1;  // n
  static constexpr int x_first = 0, h_first = 0;
  static constexpr int x_gates[gates] = {0}, h_gates[gates] = {0};
  static constexpr const char *gate_names[gates] = {"n"}, *state_names[states] = {"h"}, *cached_names[cached] = {"n"};
  static constexpr int cached_state[states] = {-1};
  static constexpr double scale[accumulators] = {tanh_scale};
  static constexpr bool direct_h = true;

  using Options = LeakyOptions;
  static constexpr CellOption options[] = {
      {"alpha", Options().alpha, 0, 1, false}, {"learned_alpha", 0, 0, 1, true}, {"relu", 0, 0, 1, true}};
  static constexpr CellVector vectors[] = {{"alpha_logit", 1}};  // alpha = sigmoid of it, if it is learned

  template <class V>
  static V prepared(const Options& options, int, V logit) {
    using T = typename V::Scalar;
    return options.learned_alpha != 0 ? sigmoid_of_exponent(logit * T(sigmoid_scale)).value()
                                      : V::broadcast(T(options.alpha));
  }

  template <bool keep, class V>
  static RNNCORE_INLINE void forward(const Own<Leaky, V>& own, const V (&a)[accumulators], V (&state)[states],
                                     V (&cache)[cached]) {
    using T = typename V::Scalar;
    const V alpha = own.vector[0], h = state[0];
    const V n = own.options.relu != 0 ? max(a[0], T(0)) * T(1 / tanh_scale) : tanh_of_exponent(a[0]).value();
    state[0] = fma(alpha, n, h - alpha * h);
    cache[0] = n;
  }

  template <class V>
  static RNNCORE_INLINE void backward(const Own<Leaky, V>& own, const V (&cache)[cached], const V (&previous)[states],
                                      V (&d_state)[states], V (&d_a)[accumulators + 1]) {
    using T = typename V::Scalar;
    const V alpha = own.vector[0], n = cache[0], dh = d_state[0], dn = dh * alpha;
    d_a[0] = own.options.relu != 0 ? where_not_positive_zero(n, dn) : dn * (T(1) - n * n);
    d_a[1] = dn * (n - previous[0]) * (T(1) - alpha);
    d_state[0] = dh - dn;
  }
};

}  // namespace rnncore::RNNCORE_ISA
