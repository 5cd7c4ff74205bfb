// One step of one row: what a stream waits for. The bits are those of forward().
#pragma once

#include "rnncore/kernels/forward.hpp"

namespace rnncore::RNNCORE_ISA {

template <class C, class V>
struct SingleStepPlan {
  using T = typename V::Scalar;
  T *h, *h_next, *others[others_of<C>], *sums;
  RoundedRows rounded;

  SingleStepPlan(WeightFormat format, index input_size, index hidden_size, Arena<T>& arena) {
    const index units = padded<V>(hidden_size);
    h_next = arena.take(units);
    h = arena.take(units);
    for (auto& other : others) other = arena.take(units);
    sums = arena.take(format == WeightFormat::full ? 0 : ShortWeights<C, V>::sums_size(hidden_size, 1));
    if (format != WeightFormat::pairs) return;
    rounded.x = arena.template take_as<Half>(pair_rows(1) * pair_stride(input_size));
    rounded.h = arena.template take_as<Half>(pair_rows(1) * pair_stride(hidden_size));
  }
};

template <class C, class V>
void single_step(const SingleStep<typename V::Scalar>& call, typename V::Scalar* workspace) {
  using T = typename V::Scalar;
  const FlushDenormals guard;
  constexpr int parts = parts_of<C, V>, together = tile_panels<V, gates_of<C, V>>(1);
  const index H = call.hidden_size, I = call.input_size;
  const Extent extent{1, panels_of<V>(H) * parts, H, H, call.backwards};
  const ForwardPanels<C, V> panels(I, H, H);
  Arena<T> arena(workspace);
  SingleStepPlan<C, V> plan(call.format, I, H, arena);
  const bool whole = H % V::width == 0;  // otherwise the last pack reaches past the state
  if (whole) {
    plan.h = call.state[0];
    for (int k = 1; k < C::states; ++k) plan.others[k - 1] = call.state[k];
  } else {
    copy(call.state[0], H, plan.h);
    for (int k = 1; k < C::states; ++k) copy(call.state[k], H, plan.others[k - 1]);
  }
  // Part by part: of one list with so many zeros GCC clears all first, which takes longer than the rest.
  Step<C, V> body;
  body.weights = {call.weights, panels, I, H, call.options};
  body.in = {true, call.x, 0, nullptr, 0};
  body.state = {plan.h, 0, plan.h, {}, 0};
  body.out = {&call.y, 0, nullptr, 0, false, nullptr};
  body.distance = {0, 0, 0, 0};
  for (int k = 0; k < others_of<C>; ++k) body.state.others[k] = plan.others[k];
  if (call.format != WeightFormat::full) {
    const Team alone;
    const ShortWeights<C, V> weights{call.format, call.weights, I, H, H, 0, panels_of<V>(H), alone, plan.rounded};
    weights.describe(body.weights, call.options);
    weights.step(body, 1, plan.sums, false);
  } else if (!body.recur(1)) {
    body.state.h_next = plan.h_next;
    panel_groups<1, together>(body, extent, 1, 0);
  }
  if (body.state.h_next != call.state[0]) copy(body.state.h_next, H, call.state[0]);
  for (int k = 1; k < C::states && !whole; ++k) copy(plan.others[k - 1], H, call.state[k]);
}

template <class C, class V>
index single_step_workspace(WeightFormat format, index input_size, index hidden_size) {
  Arena<typename V::Scalar> arena(nullptr);
  SingleStepPlan<C, V>(format, input_size, hidden_size, arena);
  return arena.used();
}

}  // namespace rnncore::RNNCORE_ISA
