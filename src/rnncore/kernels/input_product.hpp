// What x gives to the sums of a block of steps: one product for all of them.
#pragma once

#include "rnncore/kernels/sequence.hpp"
#include "rnncore/kernels/tile_memory.hpp"

namespace rnncore::RNNCORE_ISA {

// pre[panel][part][row][gate][W] = bias + x W^T for the rows of a block of steps.
template <int G, class V_>
struct InputProduct {
  using V = V_;
  using T = typename V::Scalar;
  static constexpr int gates = G, columns = G;
  static constexpr bool shared = true;
  const T* bias;  // of panel 0
  index bias_panel;
  const T* panels;
  index panel_size;
  const T* x;
  index x_stride;
  T* pre;
  index pre_panel;
  bool goes_on = false;  // from what stands in pre, instead of the bias

  const T* operand(index panel, index k) const { return panels + panel * panel_size + k * gates * V::width; }
  T* place(index row, index panel) const { return pre + panel * pre_panel + row * (gates * V::width); }

  template <int R, int P>
  RNNCORE_INLINE void begin(V (&acc)[R][P][columns], index row, index panel) const {
    if (goes_on) return load(acc, row, panel);
    spread(acc, [&](int p) { return bias + (panel + p) * bias_panel; });
  }
  template <int R, int P>
  RNNCORE_INLINE void accumulate(V (&acc)[R][P][columns], index row, index panel, index k0, index k1,
                                 Next<T> next) const {
    rnncore::RNNCORE_ISA::accumulate<0, gates>(acc, RowMajor<T>{x + row * x_stride + k0, x_stride}, k1 - k0,
                                               {operand(panel, k0), panel_size, next});
  }
  template <int R, int P>
  RNNCORE_INLINE void end(V (&acc)[R][P][columns], index row, index panel) const {
    T* const to = place(row, panel);
    const index between = pre_panel;  // not read again after each store
    store_panels(acc, [&](int r, int p) { return to + p * between + r * (gates * V::width); });
  }
  template <int R, int P>
  RNNCORE_INLINE void load(V (&acc)[R][P][columns], index row, index panel) const {
    load_panels<0, columns>(acc, [&](int r, int p) { return place(row + r, panel + p); });
  }
};

template <class C, class V, class T>
InputProduct<gates_of<C, V>, V> input_product(const Sequence<T>& call, const T* x, index x_stride, T* pre, index rows) {
  const ForwardPanels<C, V> panels(call.input_size, call.hidden_size, call.output_size);
  constexpr int parts = parts_of<C, V>;
  static_assert(parts == 1 || (C::accumulators == C::gates && C::x_first == 0 && C::h_first == 0));
  return {call.weights + C::x_first * V::width,
          C::accumulators / parts * V::width,
          call.weights + panels.x_start,
          panels.x_panel,
          x,
          x_stride,
          pre,
          rows * gates_of<C, V> * V::width};
}

}  // namespace rnncore::RNNCORE_ISA
