// The cells of recursive networks (Tai, Socher and Manning 2015; Socher et al. 2011): all nodes of a level of trees,
// whose children lie in levels below. Products of rows are those of linear.hpp. Twin: python/rnncore/reference/trees.py
#pragma once

#include "rnncore/kernels/table.hpp"
#include "rnncore/simd/denormals.hpp"
#include "rnncore/simd/math.hpp"

namespace rnncore::RNNCORE_ISA {

// What a node's recurrent product reads: the sum of its children's h in their order, or of the two of a binary node
// each apart.
template <class V>
void tree_gather(const TreeLevel<typename V::Scalar>& level, index first, index end) {
  using T = typename V::Scalar;
  const index H = level.hidden_size, width = level.binary ? 2 * H : H;
  for (index s = first; s < end; ++s) {
    T* const to = level.children_h + s * width;
    for (index u = 0; u < width; ++u) to[u] = 0;
    for (index e = level.child_begin[s]; e < level.child_begin[s + 1]; ++e) {
      T* const part = level.binary ? to + level.position[e] * H : to;
      const T* const h = level.h + level.child[e] * H;
      for (index u = 0; u < H; u += V::width)
        (V::load_part(part + u, H - u) + V::load_part(h + u, H - u)).store_part(part + u, H - u);
    }
  }
}

template <class V>
RNNCORE_INLINE V tree_sigmoid(V a) {
  return sigmoid_of_exponent(a * typename V::Scalar(sigmoid_scale)).value();
}

// i, o, f_k = sigmoid, g = tanh; c = i g + sum of f_k c_k over the children k; h = o tanh(c).
template <class V>
void tree_lstm_forward(const TreeLevel<typename V::Scalar>& level, index first, index end) {
  using T = typename V::Scalar;
  const FlushDenormals guard;
  const index H = level.hidden_size, sums = level.binary ? 5 * H : 3 * H, own = level.binary ? 2 * H : 0;
  for (index s = first; s < end; ++s) {
    T* const gates = level.gates + s * 4 * H;  // sums of x: f i g o; then tanh(c) i g o
    const T* const h_sums = level.h_sums ? level.h_sums + (s - level.first) * sums : nullptr;
    for (index u = 0; u < H; u += V::width) {
      const index left = H - u;
      const auto sum = [&](int gate) {
        const V x = V::load_part(gates + gate * H + u, left);
        return h_sums ? x + V::load_part(h_sums + own + (gate - 1) * H + u, left) : x;
      };
      const V f_x = V::load_part(gates + u, left);
      const V i = tree_sigmoid(sum(1)), g = tanh(sum(2)).value(), o = tree_sigmoid(sum(3));
      V c = i * g;
      for (index e = level.child_begin[s]; e < level.child_begin[s + 1]; ++e) {
        T* const forget = level.forget + level.child[e] * H + u;
        const T* const f_h = level.binary ? h_sums + level.position[e] * H + u : forget;
        const V f = tree_sigmoid(f_x + V::load_part(f_h, left));
        f.store_part(forget, left);
        c = fma(f, V::load_part(level.c + level.child[e] * H + u, left), c);
      }
      const V tanh_c = tanh(c).value();
      tanh_c.store_part(gates + u, left);
      i.store_part(gates + H + u, left);
      g.store_part(gates + 2 * H + u, left);
      o.store_part(gates + 3 * H + u, left);
      c.store_part(level.c + s * H + u, left);
      (o * tanh_c).store_part(level.h + s * H + u, left);
    }
  }
}

// The gradient by a node's h: from outside, and through its parent.
template <class V>
RNNCORE_INLINE V tree_dh(const TreeLevelGradient<typename V::Scalar>& level, index s, index u, index left) {
  const index H = level.hidden_size, width = level.binary ? 2 * H : H, parent = level.parent[s];
  V dh = V::load_part(level.d_h + s * H + u, left);
  if (parent < 0) return dh;
  const index part = level.binary ? level.position_of[s] * H : 0;
  dh = dh + V::load_part(level.d_children_h + parent * width + part + u, left);
  return level.d_h_forget ? dh + V::load_part(level.d_h_forget + (s - level.first) * H + u, left) : dh;
}

template <class V>
void tree_lstm_backward(const TreeLevelGradient<typename V::Scalar>& level, index first, index end) {
  using T = typename V::Scalar;
  const FlushDenormals guard;
  const index H = level.hidden_size;
  const T one = 1;
  for (index s = first; s < end; ++s) {
    const T* const gates = level.gates + s * 4 * H;
    T* const d_x = level.d_x_sums + s * 4 * H;
    T* const d_h = level.binary ? level.d_h_sums + s * 5 * H : nullptr;
    for (index u = 0; u < H; u += V::width) {
      const index left = H - u;
      const V tanh_c = V::load_part(gates + u, left), i = V::load_part(gates + H + u, left);
      const V g = V::load_part(gates + 2 * H + u, left), o = V::load_part(gates + 3 * H + u, left);
      const V dh = tree_dh<V>(level, s, u, left);
      const V dc = fma(dh * o, one - tanh_c * tanh_c, V::load_part(level.d_c + s * H + u, left));
      const V d_i = dc * g * (i * (one - i)), d_g = dc * i * (one - g * g), d_o = dh * tanh_c * (o * (one - o));
      V d_f = V::zero();
      if (d_h) V::zero().store_part(d_h + u, left), V::zero().store_part(d_h + H + u, left);
      for (index e = level.child_begin[s]; e < level.child_begin[s + 1]; ++e) {
        const index k = level.child[e] * H + u;
        const V f = V::load_part(level.forget + k, left);
        const V d_f_k = dc * V::load_part(level.c + k, left) * (f * (one - f));
        d_f_k.store_part(d_h ? d_h + level.position[e] * H + u : level.d_forget + k, left);
        fma(dc, f, V::load_part(level.d_c + k, left)).store_part(level.d_c + k, left);
        d_f = d_f + d_f_k;
      }
      const V d_gates[] = {d_f, d_i, d_g, d_o};
      for (int gate = 0; gate < 4; ++gate) {
        d_gates[gate].store_part(d_x + gate * H + u, left);
        if (d_h && gate > 0) d_gates[gate].store_part(d_h + (1 + gate) * H + u, left);
      }
    }
  }
}

// h = tanh of the sums.
template <class V>
void tree_rnn_forward(const TreeLevel<typename V::Scalar>& level, index first, index end) {
  const FlushDenormals guard;
  const index H = level.hidden_size;
  for (index s = first; s < end; ++s)
    for (index u = 0; u < H; u += V::width) {
      V a = V::load_part(level.gates + s * H + u, H - u);
      if (level.h_sums) a = a + V::load_part(level.h_sums + (s - level.first) * H + u, H - u);
      tanh(a).value().store_part(level.h + s * H + u, H - u);
    }
}

template <class V>
void tree_rnn_backward(const TreeLevelGradient<typename V::Scalar>& level, index first, index end) {
  const FlushDenormals guard;
  const index H = level.hidden_size;
  const typename V::Scalar one = 1;
  for (index s = first; s < end; ++s)
    for (index u = 0; u < H; u += V::width) {
      const V h = V::load_part(level.h + s * H + u, H - u);
      (tree_dh<V>(level, s, u, H - u) * (one - h * h)).store_part(level.d_x_sums + s * H + u, H - u);
    }
}

template <class V>
TreeKernels<typename V::Scalar> tree_kernels() {
  return {tree_gather<V>, tree_lstm_forward<V>, tree_lstm_backward<V>, tree_rnn_forward<V>, tree_rnn_backward<V>};
}

}  // namespace rnncore::RNNCORE_ISA
