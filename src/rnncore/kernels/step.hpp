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

template <class C, class V>
void single_step(const SingleStep<typename V::Scalar>& call, typename V::Scalar* workspace) {
  using T = typename V::Scalar;
  const FlushDenormals guard;
  constexpr int parts = parts_of<C, V>, together = tile_panels<V, gates_of<C, V>>(1);
  const index H = call.hidden_size, I = call.input_size;
  const Extent extent{1, panels_of<V>(H) * parts, H, H};
  const ForwardPanels<C, V> panels(I, H, H);
  Arena<T> arena(workspace);
  SingleStepPlan<C, V> plan(H, arena);
  const bool whole = H % V::width == 0;  // otherwise the last pack reaches past the state
  if (whole) {
    plan.h = call.state[0];
    if constexpr (C::states > 1) plan.state = call.state[1];
  } else {
    copy(call.state[0], H, plan.h);
    if constexpr (C::states > 1) copy(call.state[1], H, plan.state);
  }
  // Field by field: of a list with so many zeros GCC clears all first, which takes longer than the rest.
  Step<C, V> body;
  body.bias = call.weights;
  body.x_panels = call.weights + panels.x_start;
  body.h_panels = call.weights + panels.h_start;
  body.x_panel_size = panels.x_panel;
  body.h_panel_size = panels.h_panel;
  body.input_size = I;
  body.hidden_size = H;
  body.folded = true;
  body.x = call.x;
  body.pre = nullptr;
  body.h = body.h_next = plan.h;
  body.state = plan.state;
  body.y = &call.y;
  body.cache = nullptr;
  body.partial = nullptr;
  body.x_stride = body.pre_panel = body.h_stride = body.state_stride = body.y_shift = body.cache_slot = 0;
  body.x_step = body.pre_step = body.y_step = body.cache_step = 0;
  if (!body.recur(1)) {
    body.h_next = plan.h_next;
    panel_groups<1, together>(body, extent, 1, 0);
  }
  if (body.h_next != call.state[0]) copy(body.h_next, H, call.state[0]);
  if constexpr (C::states > 1)
    if (!whole) copy(plan.state, H, call.state[1]);
}

template <class C, class V>
index single_step_workspace(index hidden_size) {
  Arena<typename V::Scalar> arena(nullptr);
  SingleStepPlan<C, V>(hidden_size, arena);
  return arena.used();
}

}  // namespace rnncore::RNNCORE_ISA
