// The projection of a cell's output, h' = W_hr o tanh(c') (Sak, Senior & Beaufays 2014): one more product a step.
// Its gradients are those of gradients.hpp, with one gate.
#pragma once

#include "rnncore/kernels/sequence.hpp"
#include "rnncore/kernels/tile_memory.hpp"

namespace rnncore::RNNCORE_ISA {

// Cells that never read h but in the product: it may be of another size than they.
template <class C>
inline constexpr bool can_project = requires {
  &C::template output<Pack<float>>;
};

template <class V_>
struct ProjectedStep {
  using V = V_;
  using T = typename V::Scalar;
  static constexpr int gates = 1, columns = 1;
  static constexpr bool shared = true;
  const T* raw;  // [row][raw_stride] the cell's output
  index raw_stride;
  const T* panels;
  index panel_size;
  T* h;  // [row][h_stride]
  index h_stride;
  T* const* y;  // [row], at step 0
  index y_shift, output_size;

  const T* operand(index panel, index k) const { return panels + panel * panel_size + k * V::width; }
  Extent extent(index rows, index hidden_size) const {
    return {rows, panels_of<V>(output_size), hidden_size, l1_block<V, 1>(2, hidden_size)};
  }
  T* place(index row, index panel) const { return h + row * h_stride + panel * V::width; }

  template <int R, int P>
  RNNCORE_INLINE void begin(V (&acc)[R][P][columns], index, index) const {
    clear(acc);
  }
  template <int R, int P>
  RNNCORE_INLINE void accumulate(V (&acc)[R][P][columns], index row, index panel, index k0, index k1,
                                 Next<T> next) const {
    rnncore::RNNCORE_ISA::accumulate<0, 1>(acc, RowMajor<T>{raw + row * raw_stride + k0, raw_stride}, k1 - k0,
                                           {operand(panel, k0), panel_size, next});
  }
  template <int R, int P>
  RNNCORE_INLINE void end(V (&acc)[R][P][columns], index row, index panel) const {
    save(acc, row, panel);
    const index column = panel * V::width, left = output_size - column;
    const auto at = [&](int r) { return y[row + r] + y_shift + column; };
    store_columns(acc, left, at);
  }
  template <int R, int P>
  RNNCORE_INLINE void save(V (&acc)[R][P][columns], index row, index panel) const {
    store_rows(acc, [&](int r) { return place(row + r, panel); });
  }
  template <int R, int P>
  RNNCORE_INLINE void load(V (&acc)[R][P][columns], index row, index panel) const {
    load_rows(acc, [&](int r) { return place(row + r, panel); });
  }
};

}  // namespace rnncore::RNNCORE_ISA
