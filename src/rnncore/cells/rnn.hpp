// h' = act(W x + b_ih + R h + b_hh), act = tanh or relu (Elman 1990). Twin: python/rnncore/reference/cells/rnn.py
#pragma once

#include "rnncore/cells/cell.hpp"
#include "rnncore/simd/math.hpp"

namespace rnncore::RNNCORE_ISA {

struct Tanh {
  static constexpr double scale = tanh_scale;
  template <class V>
  static RNNCORE_INLINE V forward(V a) {
    return tanh_of_exponent(a).value();
  }
  template <class V>
  static RNNCORE_INLINE V backward(V y, V dy) {
    return dy * (typename V::Scalar(1) - y * y);
  }
};

struct Relu {
  static constexpr double scale = 1;
  template <class V>
  static RNNCORE_INLINE V forward(V a) {
    return max(a, typename V::Scalar(0));
  }
  template <class V>
  static RNNCORE_INLINE V backward(V y, V dy) {
    return where_not_positive_zero(y, dy);
  }
};

template <class Activation>
struct Rnn {
  static constexpr int gates = 1, accumulators = 1, states = 1, cached = 1;  // h
  static constexpr int x_first = 0, h_first = 0;
  static constexpr int x_gates[gates] = {0}, h_gates[gates] = {0};
  static constexpr const char *gate_names[gates] = {"n"}, *state_names[states] = {"h"}, *cached_names[cached] = {"h"};
  static constexpr int cached_state[states] = {-1};
  static constexpr double scale[accumulators] = {Activation::scale};
  static constexpr bool direct_h = false;

  template <bool keep, class V>
  static RNNCORE_INLINE void forward(const V (&a)[accumulators], V (&state)[states], V (&cache)[cached]) {
    state[0] = cache[0] = Activation::forward(a[0]);
  }

  template <class V>
  static RNNCORE_INLINE void backward(const V (&cache)[cached], const V (&)[states], V (&d_state)[states],
                                      V (&d_a)[accumulators]) {
    d_a[0] = Activation::backward(cache[0], d_state[0]);
  }
};

}  // namespace rnncore::RNNCORE_ISA
