// One step of one row: what a stream waits for. The bits are those of forward().
#pragma once

#include "rnncore/kernels/forward.hpp"

namespace rnncore::RNNCORE_ISA {

template <class C, class V>
struct SingleStepPlan {
  using T = typename V::Scalar;
  T *h, *h_next, *state;

  SingleStepPlan(index hidden_size, Arena<T>& arena) {
    const index units = padded<V>(hidden_size);
    h_next = arena.take(units);
    h = arena.take(units);
    state = arena.take(units);
  }
};

// call has one step and one row and projects nothing, and its final state takes the place of the initial one.
template <class C, class V>
void single_step(const Forward<typename V::Scalar>& call, typename V::Scalar* workspace) {
  using T = typename V::Scalar;
  const FlushDenormals guard;
  const index H = call.hidden_size, I = call.input_size;
  const ForwardPanels<C, V> panels(I, H, H);
  Arena<T> arena(workspace);
  SingleStepPlan<C, V> plan(H, arena);
  const bool whole = H % V::width == 0;  // otherwise the last pack reaches past the state
  if (whole) {
    plan.h = call.final[0];
    if constexpr (C::states > 1) plan.state = call.final[1];
  } else {
    copy(call.initial[0], H, plan.h);
    if constexpr (C::states > 1) copy(call.initial[1], H, plan.state);
  }
  T* const y = call.y.data;
  const Step<C, V> body{call.weights,
                        call.weights + panels.x_start,
                        call.weights + panels.h_start,
                        panels.x_panel,
                        panels.h_panel,
                        I,
                        H,
                        true,
                        call.x.data,
                        I,
                        nullptr,
                        0,
                        plan.h,
                        0,
                        plan.h_next,
                        plan.state,
                        0,
                        &y,
                        0,
                        nullptr,
                        0,
                        nullptr};
  product(body, Extent{1, panels_of<V>(H) * parts_of<C, V>, H, H});
  copy(plan.h_next, H, call.final[0]);
  if constexpr (C::states > 1)
    if (!whole) copy(plan.state, H, call.final[1]);
}

template <class C, class V>
index single_step_workspace(index hidden_size) {
  Arena<typename V::Scalar> arena(nullptr);
  SingleStepPlan<C, V>(hidden_size, arena);
  return arena.used();
}

}  // namespace rnncore::RNNCORE_ISA
