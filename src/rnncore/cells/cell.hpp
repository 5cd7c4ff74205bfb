// The concept of a cell: pure math on one pack of hidden units; the loops own every array.
// Twin: python/rnncore/reference/cell.py
#pragma once

namespace rnncore {

// A step has `accumulators` pre-activations a unit. The input's gates fill those from x_first on, the hidden state's those from
// h_first on; where both ranges meet, W x and R h share one sum. x_gates and h_gates name the gate (row block of the weights,
// PyTorch's order) that each accumulator of a range takes.
//
//   static constexpr int gates, accumulators, states, cached, x_first, h_first;
//   static constexpr int x_gates[gates], h_gates[gates];
//   static constexpr int cached_state[states];     // the cache slot that holds this state after the step, or -1: it is y itself
//   static constexpr double scale[accumulators];   // factors on the sums, multiplied into the packed weights: see simd/math.hpp
//   static constexpr bool direct_h;                // h reaches the new h past the product too
//   forward<keep>(a[accumulators], state[states] in and out, cache[cached] out if keep)
//   output(cache[cached])  optional: what forward left in state[0]; neither way reads state[0], so that it may be projected
//   backward(cache[cached], previous[states], d_state[states] in: of the new state, out: past the product, d_a[accumulators] out)
template <class C>
concept Cell = requires {
  C::gates;
  C::accumulators;
  C::states;
  C::cached;
  C::x_first;
  C::h_first;
  C::x_gates;
  C::h_gates;
  C::cached_state;
  C::scale;
  C::direct_h;
};

}  // namespace rnncore
