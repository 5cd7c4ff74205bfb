// c' = f c + i g, h' = o tanh(c') (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).
// Twin: python/rnncore/reference/cells/lstm.py
#pragma once

#include "rnncore/cells/cell.hpp"
#include "rnncore/simd/math.hpp"

namespace rnncore::RNNCORE_ISA {

struct Lstm {
  static constexpr int gates = 4, accumulators = 4, states = 2, cached = 6;  // i f g o | h c | i f g o c tanh(c)
  static constexpr int x_first = 0, h_first = 0;
  static constexpr int x_gates[gates] = {0, 1, 2, 3}, h_gates[gates] = {0, 1, 2, 3};
  static constexpr const char *gate_names[gates] = {"i", "f", "g", "o"}, *state_names[states] = {"h", "c"},
                              *cached_names[cached] = {"i", "f", "g", "o", "c", "tanh_c"};
  static constexpr int cached_state[states] = {-1, 4};
  static constexpr double scale[accumulators] = {sigmoid_scale, sigmoid_scale, tanh_scale, sigmoid_scale};
  static constexpr bool direct_h = false;

  template <bool keep, class V>
  static RNNCORE_INLINE void forward(const V (&a)[accumulators], V (&state)[states], V (&cache)[cached]) {
    // In the order in which they are waited for.
    const auto g = tanh_of_exponent(a[2]);
    const auto i = sigmoid_of_exponent(a[0]);
    const V in = g.above / (i.below * g.below);
    const auto f = sigmoid_of_exponent(a[1]);
    const V c = fma(f.value(), state[1], in);
    const auto o = sigmoid_of_exponent(a[3]);
    const auto tanh_c = tanh(c);
    state[0] = tanh_c.above / (o.below * tanh_c.below);
    state[1] = c;
    if constexpr (!keep) return;
    cache[0] = i.value(), cache[1] = f.value(), cache[2] = g.value(), cache[3] = o.value();
    cache[4] = c, cache[5] = tanh_c.value();
  }

  // o tanh(c'), which a layer may project.
  template <class V>
  static RNNCORE_INLINE V output(const V (&cache)[cached]) {
    return cache[3] * cache[5];
  }

  template <class V>
  static RNNCORE_INLINE void backward(const V (&cache)[cached], const V (&previous)[states], V (&d_state)[states],
                                      V (&d_a)[accumulators]) {
    using T = typename V::Scalar;
    const V i = cache[0], f = cache[1], g = cache[2], o = cache[3], tanh_c = cache[5];
    const V dh = d_state[0], dc = fma(dh * o, T(1) - tanh_c * tanh_c, d_state[1]);
    d_a[0] = dc * g * (i * (T(1) - i));
    d_a[1] = dc * previous[1] * (f * (T(1) - f));
    d_a[2] = dc * i * (T(1) - g * g);
    d_a[3] = dh * tanh_c * (o * (T(1) - o));
    d_state[1] = dc * f;
  }
};

// The same with peepholes p: i and f see c, o sees c' (Gers, Schraudolph & Schmidhuber 2002).
struct LstmPeephole : Lstm {
  static constexpr CellVector vectors[] = {{"peephole_i", -1}, {"peephole_o", -1}, {"peephole_f", -1}};  // ONNX's order

  template <bool keep, class V>
  static RNNCORE_INLINE void forward(const Own<LstmPeephole, V>& own, const V (&a)[accumulators], V (&state)[states],
                                     V (&cache)[cached]) {
    const auto scaled = [&](int k) { return own.vector[k] * typename V::Scalar(sigmoid_scale); };
    const auto g = tanh_of_exponent(a[2]);
    const auto i = sigmoid_of_exponent(fma(scaled(0), state[1], a[0]));
    const V in = g.above / (i.below * g.below);
    const auto f = sigmoid_of_exponent(fma(scaled(2), state[1], a[1]));
    const V c = fma(f.value(), state[1], in);
    const auto o = sigmoid_of_exponent(fma(scaled(1), c, a[3]));
    const auto tanh_c = tanh(c);
    state[0] = tanh_c.above / (o.below * tanh_c.below);
    state[1] = c;
    if constexpr (!keep) return;
    cache[0] = i.value(), cache[1] = f.value(), cache[2] = g.value(), cache[3] = o.value();
    cache[4] = c, cache[5] = tanh_c.value();
  }

  template <class V>
  static RNNCORE_INLINE void backward(const Own<LstmPeephole, V>& own, const V (&cache)[cached],
                                      const V (&previous)[states], V (&d_state)[states], V (&d_a)[accumulators + 3]) {
    using T = typename V::Scalar;
    const V i = cache[0], f = cache[1], g = cache[2], o = cache[3], c = cache[4], tanh_c = cache[5];
    const V dh = d_state[0];
    d_a[3] = dh * tanh_c * (o * (T(1) - o));
    const V dc = fma(d_a[3], own.vector[1], fma(dh * o, T(1) - tanh_c * tanh_c, d_state[1]));
    d_a[0] = dc * g * (i * (T(1) - i));
    d_a[1] = dc * previous[1] * (f * (T(1) - f));
    d_a[2] = dc * i * (T(1) - g * g);
    d_state[1] = fma(d_a[0], own.vector[0], fma(d_a[1], own.vector[2], dc * f));
    d_a[4] = d_a[0] * previous[1], d_a[5] = d_a[3] * c, d_a[6] = d_a[1] * previous[1];
  }
};

}  // namespace rnncore::RNNCORE_ISA
