// A linear map of rows, y = x W^T + b, and its gradients: one chain of additions per output, bias first, then x by
// index.
// Twin: python/rnncore/reference/linear.py
#pragma once

#include "rnncore/kernels/table.hpp"
#include "rnncore/kernels/tile_memory.hpp"
#include "rnncore/simd/denormals.hpp"

namespace rnncore::RNNCORE_ISA {

template <class V>
constexpr index linear_panels(index columns) {
  return (columns + V::width - 1) / V::width;
}

// to[r] = bias + a[r] B, or a[r] B; B as panels [panel of its columns][k][W].
template <class V_>
struct RowProduct {
  using V = V_;
  using T = typename V::Scalar;
  static constexpr int gates = 1, columns = 1;
  const T* bias;  // [panel][W], or null
  const T* panels;
  index depth;  // rows of B
  Matrix<const T> a;
  Matrix<T> to;
  index width;  // columns of B

  const T* operand(index panel, index k) const { return panels + (panel * depth + k) * V::width; }

  template <int R, int P>
  RNNCORE_INLINE void begin(V (&acc)[R][P][columns], index, index panel) const {
    if (bias)
      spread(acc, [&](int p) { return bias + (panel + p) * V::width; });
    else
      clear(acc);
  }
  template <int R, int P>
  RNNCORE_INLINE void accumulate(V (&acc)[R][P][columns], index row, index panel, index k0, index k1,
                                 Next<T> next) const {
    rnncore::RNNCORE_ISA::accumulate<0, 1>(acc, RowMajor<T>{a.at(row) + k0, a.row}, k1 - k0,
                                           {operand(panel, k0), depth * V::width, next});
  }
  template <int R, int P>
  RNNCORE_INLINE void end(V (&acc)[R][P][columns], index row, index panel) const {
    const index column = panel * V::width, left = width - column;
    const auto at = [&](int r) { return to.at(row + r) + column; };
    store_columns(acc, left, at);
  }
  template <int R, int P>
  RNNCORE_INLINE void load(V (&acc)[R][P][columns], index row, index panel) const {
    const index column = panel * V::width, left = width - column;
    const auto at = [&](int r) { return to.at(row + r) + column; };
    load_columns(acc, left, at);
  }
};

// The rows [first, end), as many at once as a second-level cache holds.
template <class V>
inline void multiply_rows(RowProduct<V> body, index first, index end) {
  using T = typename V::Scalar;
  constexpr index cache = 128 * 1024 / sizeof(T), tall = max_tile_rows<V, 1>;
  const index depth = body.depth, fit = cache / (depth + body.width), most = fit < 2 * tall ? 2 * tall : fit;
  const Matrix<const T> a = body.a;
  const Matrix<T> to = body.to;
  for (index row = first; row < end; row += most) {
    const index rows = end - row < most ? end - row : most;
    body.a.data = a.at(row);
    body.to.data = to.at(row);
    const index k_block = rows <= tall ? depth : l1_block<V, 1>(tile_panels<V, 1>(tall), depth);
    product(body, Extent{rows, linear_panels<V>(body.width), depth, k_block});
  }
}

// Forward: bias [panel][W] | W^T [panel of outputs][input][W]; outputs past the last are zero.
template <class V>
index linear_forward_panels(index inputs, index outputs) {
  return linear_panels<V>(outputs) * (1 + inputs) * V::width;
}
// Backward: W [panel of inputs][output][W].
template <class V>
index linear_backward_panels(index inputs, index outputs) {
  return linear_panels<V>(inputs) * outputs * V::width;
}

template <class V>
void pack_linear_forward(const LinearWeights<typename V::Scalar>& weights, typename V::Scalar* to, const Team& team) {
  constexpr index W = V::width;
  const index I = weights.inputs, O = weights.outputs, panels = linear_panels<V>(O);
  for (index p = team.begin(panels); p < team.end(panels); ++p) {
    const index units = O - p * W < W ? O - p * W : W;
    (weights.bias ? V::load_part(weights.bias + p * W, units) : V::zero()).store(to + p * W);
    auto* panel = to + panels * W + p * I * W;
    for (index i = 0; i < I; i += W) {
      V square[W];
      load_block(weights.weight + p * W * I + i, I, units, I - i, square);
      for (index w = 0; w < W && i + w < I; ++w) square[w].store(panel + (i + w) * W);
    }
  }
}

template <class V>
void pack_linear_backward(const LinearWeights<typename V::Scalar>& weights, typename V::Scalar* to, const Team& team) {
  constexpr index W = V::width;
  const index I = weights.inputs, O = weights.outputs, panels = linear_panels<V>(I);
  for (index q = team.begin(panels); q < team.end(panels); ++q)
    for (index o = 0; o < O; ++o) V::load_part(weights.weight + o * I + q * W, I - q * W).store(to + (q * O + o) * W);
}

// A single output would leave all but one lane of its panel empty: here the lanes are W rows, whose inputs are read as
// squares and turned. The additions of a row are those of the panels. Returns the first row that is left.
template <class V>
index one_output_forward(index inputs, const typename V::Scalar* bias, const typename V::Scalar* weights,
                         Matrix<const typename V::Scalar> x, Matrix<typename V::Scalar> y, index first, index end) {
  constexpr index W = V::width;
  for (; inputs >= W && first + W <= end; first += W) {
    V sum = V::broadcast(*bias), square[W];
    index i = 0;
    for (; i + W <= inputs; i += W) {
      load_transposed(x.at(first) + i, x.row, square);
#pragma GCC unroll 16
      for (index k = 0; k < W; ++k) sum = fma(square[k], V::broadcast(weights[(i + k) * W]), sum);
    }
    if (i < inputs) load_transposed(x.at(first) + inputs - W, x.row, square);
    for (; i < inputs; ++i) sum = fma(square[i - (inputs - W)], V::broadcast(weights[i * W]), sum);
    typename V::Scalar outputs[W];
    sum.store(outputs);
    for (index r = 0; r < W; ++r) *y.at(first + r) = outputs[r];
  }
  return first;
}

template <class V>
void linear_forward(index inputs, index outputs, const typename V::Scalar* panels, Matrix<const typename V::Scalar> x,
                    Matrix<typename V::Scalar> y, index first, index end) {
  const FlushDenormals guard;
  const auto* weights = panels + linear_panels<V>(outputs) * V::width;
  if (outputs == 1) first = one_output_forward<V>(inputs, panels, weights, x, y, first, end);
  if (first < end) multiply_rows<V>({panels, weights, inputs, x, y, outputs}, first, end);
}

// dx of a single output of W inputs or more: each row is the weights times a number.
template <class V>
void one_output_input_gradient(index inputs, const typename V::Scalar* weights, Matrix<const typename V::Scalar> dy,
                               Matrix<typename V::Scalar> dx, index first, index end) {
  constexpr index W = V::width;
  for (index row = first; row < end; ++row) {
    const V d = V::broadcast(*dy.at(row));
    const auto put = [&](index i) { fma(d, V::load(weights + i), V::zero()).store(dx.at(row) + i); };
    for (index i = 0; i + W <= inputs; i += W) put(i);
    if (inputs % W > 0) put(inputs - W);
  }
}

template <class V>
void linear_input_gradient(index inputs, index outputs, const typename V::Scalar* panels,
                           Matrix<const typename V::Scalar> dy, Matrix<typename V::Scalar> dx, index first, index end) {
  const FlushDenormals guard;
  if (outputs == 1 && inputs >= V::width) return one_output_input_gradient<V>(inputs, panels, dy, dx, first, end);
  multiply_rows<V>({nullptr, panels, outputs, dy, dx, inputs}, first, end);
}

// dW += dy^T x over a block of rows; x[panel of inputs][row][W].
template <class V_>
struct LinearWeightGradient {
  using V = V_;
  using T = typename V::Scalar;
  static constexpr int gates = 1, columns = 1;
  Matrix<const T> dy;
  const T* x;
  index x_panel;
  Matrix<T> to;  // [output][input], from the first panel's column on
  index width;   // inputs from there on

  const T* operand(index panel, index k) const { return x + panel * x_panel + k * V::width; }

  template <int R, int P>
  RNNCORE_INLINE void begin(V (&acc)[R][P][columns], index row, index panel) const {
    const index column = panel * V::width, left = width - column;
    const auto at = [&](int r) { return to.at(row + r) + column; };
    load_columns(acc, left, at);
  }
  template <int R, int P>
  RNNCORE_INLINE void accumulate(V (&acc)[R][P][columns], index row, index panel, index k0, index k1,
                                 Next<T> next) const {
    rnncore::RNNCORE_ISA::accumulate<0, 1>(acc, ColumnMajor<T>{dy.at(k0) + row, dy.row}, k1 - k0,
                                           {operand(panel, k0), x_panel, next});
  }
  template <int R, int P>
  RNNCORE_INLINE void end(V (&acc)[R][P][columns], index row, index panel) const {
    const index column = panel * V::width, left = width - column;
    const auto at = [&](int r) { return to.at(row + r) + column; };
    store_columns(acc, left, at);
  }
};

constexpr index linear_block = 128;  // rows whose panels stay in L1

template <class V>
index linear_gradient_workspace(index inputs) {
  return linear_panels<V>(inputs) * linear_block * V::width;
}

// db += the sum of dy over the rows, for one panel of outputs.
template <class V>
void add_linear_bias_gradient(const LinearGradients<typename V::Scalar>& call, index panel) {
  using T = typename V::Scalar;
  const index column = panel * V::width, units = call.outputs - column;
  T* const to = call.d_bias + column;
  if (units >= V::width) {
    V sum = V::load(to);
    for (index row = 0; row < call.rows; ++row) sum = sum + V::load(call.dy.at(row) + column);
    return sum.store(to);
  }
  T sum[V::width] = {};
  for (index i = 0; i < units; ++i) sum[i] = to[i];
  for (index row = 0; row < call.rows; ++row)
    for (index i = 0; i < units; ++i) sum[i] += call.dy.at(row)[column + i];
  for (index i = 0; i < units; ++i) to[i] = sum[i];
}

// dW of a single output from column `first` on, P panels of inputs side by side, x as it lies.
template <int P, class V>
void one_output_gradient(const LinearGradients<typename V::Scalar>& call, index first) {
  constexpr index W = V::width;
  const auto columns = [&](int p) { return call.inputs - first - p * W; };
  V sums[P];
  auto* const to = call.d_weight + first;
  for (int p = 0; p < P; ++p) sums[p] = V::load_part(to + p * W, columns(p));
  for (index row = 0; row < call.rows; ++row) {
    const V d = V::broadcast(*call.dy.at(row));
    const auto* const x = call.x.at(row) + first;
    for (int p = 0; p + 1 < P; ++p) sums[p] = fma(d, V::load(x + p * W), sums[p]);
    sums[P - 1] = fma(d, V::load_part(x + (P - 1) * W, columns(P - 1)), sums[P - 1]);
  }
  for (int p = 0; p < P; ++p) sums[p].store_part(to + p * W, columns(p));
}

// Every worker takes panels of inputs (of outputs, for the bias) through all rows: the sums do not depend on how many
// there are.
template <class V>
void linear_parameter_gradients(const LinearGradients<typename V::Scalar>& call, const Team& team,
                                typename V::Scalar* workspace) {
  constexpr index W = V::width;
  const FlushDenormals guard;
  if (call.d_bias) {
    const index panels = linear_panels<V>(call.outputs);
    for (index p = team.begin(panels); p < team.end(panels); ++p) add_linear_bias_gradient<V>(call, p);
  }
  const index all = linear_panels<V>(call.inputs), first = team.begin(all), panels = team.end(all) - first;
  if (panels == 0) return;
  if (call.outputs == 1) {
    constexpr int side_by_side = 2;  // each is one chain of additions
    index q = first;
    for (; q + side_by_side <= first + panels; q += side_by_side) one_output_gradient<side_by_side, V>(call, q * W);
    for (; q < first + panels; ++q) one_output_gradient<1, V>(call, q * W);
    return;
  }
  auto* const x = workspace + first * linear_block * W;
  for (index row = 0; row < call.rows; row += linear_block) {
    const index rows = call.rows - row < linear_block ? call.rows - row : linear_block;
    for (index q = 0; q < panels; ++q)
      for (index r = 0; r < rows; ++r) {
        const index column = (first + q) * W;
        V::load_part(call.x.at(row + r) + column, call.inputs - column).store(x + (q * rows + r) * W);
      }
    const LinearWeightGradient<V> body{
        {call.dy.at(row), call.dy.row}, x, rows * W, {call.d_weight + first * W, call.inputs}, call.inputs - first * W};
    product(body, Extent{call.outputs, panels, rows, rows});
    team.look();
    if (team.stopped()) return;
  }
}

template <class V>
LinearKernels<typename V::Scalar> linear_kernels() {
  return {
      linear_forward_panels<V>, linear_backward_panels<V>, pack_linear_forward<V>,       pack_linear_backward<V>,
      linear_forward<V>,        linear_input_gradient<V>,  linear_gradient_workspace<V>, linear_parameter_gradients<V>};
}

}  // namespace rnncore::RNNCORE_ISA
