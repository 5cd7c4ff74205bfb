// The concept of a cell: pure math on one pack of hidden units; the loops own every array.
// Twin: python/rnncore/reference/cells/cell.py
#pragma once

#include "rnncore/cell.hpp"
#include "rnncore/simd/pack.hpp"

namespace rnncore {

// A step has `accumulators` sums (pre-activations) for each unit. The input's gates fill those from x_first on, the
// hidden state's those from h_first on; where both ranges meet, W x and R h share one sum. x_gates and h_gates name the
// gate (row block of the weights, PyTorch's order) that each accumulator of a range takes. state[0] is h, the output.
//
//   static constexpr int gates, accumulators, states, cached, x_first, h_first;
//   static constexpr int x_gates[gates], h_gates[gates];
//   static constexpr const char *gate_names[gates], *state_names[states], *cached_names[cached];
//   static constexpr int cached_state[states];    // the cache slot of this state after the step, or -1: it is y itself
//   static constexpr double scale[accumulators];  // factors on the sums, in the packed weights: see simd/math.hpp
//   static constexpr bool direct_h;               // h reaches the new h past the product too
//   forward<keep>(a[accumulators], state[states] in and out, cache[cached] out if keep)
//   output(cache[cached])  optional: what forward left in state[0]; neither way reads that, so that it may be projected
//   backward(cache[cached], previous[states],
//            d_state[states] in: of the new state, out: past the product, d_a[accumulators] out)
//
// A cell may have options, and vectors: parameters of one element for each unit. Then the functions take them first, as
// `own` (see Own), and backward gives the gradients by the vectors' elements behind those by the sums.
//
//   Options                                                         // a plain struct of doubles with defaults
//   static constexpr CellOption options[];                          // in the order of Options
//   static constexpr CellVector vectors[];
//   prepared(const Options&, int vector, V element)  optional: what own.vector holds for an element, 0 if there is none
//   forward<keep>(own, a, state, cache)
//   backward(own, cache, previous, d_state, d_a[accumulators + vectors])
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
  C::gate_names;
  C::state_names;
  C::cached_names;
  C::cached_state;
  C::scale;
  C::direct_h;
};

namespace RNNCORE_ISA {

template <class A>
inline constexpr int length_of = 0;
template <class A, decltype(sizeof(0)) n>
inline constexpr int length_of<A[n]> = n;

struct NoOptions {};

template <class C>
constexpr auto options_type() {
  if constexpr (requires { typename C::Options; })
    return typename C::Options();
  else
    return NoOptions();
}
template <class C>
using OptionsOf = decltype(options_type<C>());

template <class C>
constexpr int option_count() {
  if constexpr (requires { C::options; })
    return length_of<decltype(C::options)>;
  else
    return 0;
}
template <class C>
constexpr int vector_count() {
  if constexpr (requires { C::vectors; })
    return length_of<decltype(C::vectors)>;
  else
    return 0;
}
template <class C>
inline constexpr int options_of = option_count<C>();
template <class C>
inline constexpr int vectors_of = vector_count<C>();
template <class C>
inline constexpr bool has_options = options_of<C> != 0;
template <class C>
inline constexpr bool has_vectors = vectors_of<C> != 0;

// What a cell has besides sums, state and cache: its options, and its vectors' elements for the units of a pack.
template <class C, class V>
struct Own {
  OptionsOf<C> options;
  V vector[has_vectors<C> ? vectors_of<C> : 1];
};
template <class C>
inline constexpr bool has_own = has_options<C> || has_vectors<C>;

template <class C>
RNNCORE_INLINE OptionsOf<C> read_options(const double* from) {
  OptionsOf<C> options{};
  if constexpr (has_options<C>) __builtin_memcpy(static_cast<void*>(&options), from, sizeof(options));
  return options;
}

// The gradients of a unit in a step: by its sums, then by the elements of its vectors.
template <class C>
inline constexpr int gradients_of = C::accumulators + vectors_of<C>;

}  // namespace RNNCORE_ISA
}  // namespace rnncore
