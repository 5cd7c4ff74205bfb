#include "rnncore/attention.hpp"

#include <algorithm>
#include <cmath>

#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/parallel.hpp"

namespace rnncore {
namespace {

template <class T>
Matrix<T> matrix_of(Rows<T> rows, index n) {
  return {rows.data + n * rows.row, rows.time};
}

// One row's keys without gaps, in the order of the products.
template <class T>
struct Keys {
  const LinearKernels<T>& kernel = kernels<T>().linear;
  const Attention<T>& call;
  Buffer<T> values, panels, back_panels, workspace;
  index count = 0;

  Keys(const Attention<T>& of, bool backward)
      : call(of),
        values(of.keys * of.features),
        panels(kernel.forward_panels(of.features, of.keys)),
        back_panels(kernel.backward_panels(of.features, of.keys)),
        workspace(backward ? kernel.gradient_workspace(of.features) : 0) {}

  void take(index row) {
    count = call.length(row);
    for (index s = 0; s < count; ++s)
      std::copy_n(call.key.data + s * call.key.time + row * call.key.row, call.features,
                  values.data() + s * call.features);
    const LinearWeights<T> weights{call.features, count, values.data(), nullptr};
    kernel.pack_forward(weights, panels.data(), Team());
    kernel.pack_backward(weights, back_panels.data(), Team());
  }
  // to (T, count) = x K^T, and to (T, E) = x K.
  void products(Matrix<const T> x, Matrix<T> to) const {
    kernel.forward(call.features, count, panels.data(), x, to, 0, call.queries);
  }
  void mix(Matrix<const T> x, Matrix<T> to) const {
    kernel.input_gradient(call.features, count, back_panels.data(), x, to, 0, call.queries);
  }
  // d (count, E) += weights^T x.
  void add_gradient(Matrix<const T> weights, Matrix<const T> x, T* d) const {
    kernel.parameter_gradients({call.features, count, call.queries, x, weights, d, nullptr}, Team(), workspace.data());
  }
};

template <class T>
void softmax(T* row, index count, index size) {
  const T most = *std::max_element(row, row + count, [](T a, T b) { return a < b || std::isnan(b); });
  T sum = 0;
  for (index s = 0; s < count; ++s) sum += row[s] = std::exp(row[s] - most);
  for (index s = 0; s < count; ++s) row[s] /= sum;
  std::fill(row + count, row + size, T(0));
}

// d = w (d - w.d): from the gradient by the weights to that by the products, in place.
template <class T>
void softmax_backward(const T* w, T* d, index count) {
  T mean = 0;
  for (index s = 0; s < count; ++s) mean += w[s] * d[s];
  for (index s = 0; s < count; ++s) d[s] = w[s] * (d[s] - mean);
}

template <class T>
void clear(Rows<T> to, index times, index n, index features) {
  for (index t = 0; t < times; ++t) std::fill_n(to.data + t * to.time + n * to.row, features, T(0));
}

// Rows need nothing of each other.
template <class T>
void each_row(const Attention<T>& call, Control& control, const std::function<void(Keys<T>&, index)>& work) {
  constexpr double worthwhile = 2e6;  // multiply-adds
  const double all = static_cast<double>(call.queries * call.keys) * static_cast<double>(call.rows * call.features);
  const int threads = all < worthwhile ? 1 : thread_count(control.threads);
  parallel(threads, control, [&](const Team& team) {
    Keys<T> keys(call, true);
    for (index n = team.begin(call.rows); n < team.end(call.rows) && !team.stopped(); ++n) {
      keys.take(n);
      work(keys, n);
      team.look();
    }
  });
}

}  // namespace

template <class T>
void attend(const Attention<T>& call, Rows<T> context, Control& control) {
  each_row<T>(call, control, [&](Keys<T>& keys, index n) {
    T* const weights = call.weights + n * call.queries * call.keys;
    if (keys.count == 0) {
      std::fill_n(weights, call.queries * call.keys, T(0));
      return clear(context, call.queries, n, call.features);
    }
    keys.products(matrix_of(call.query, n), {weights, call.keys});
    for (index t = 0; t < call.queries; ++t) softmax(weights + t * call.keys, keys.count, call.keys);
    keys.mix({weights, call.keys}, matrix_of(context, n));
  });
}

template <class T>
void attend_backward(const Attention<T>& call, Rows<const T> d_context, Rows<T> d_query, Rows<T> d_key,
                     Control& control) {
  each_row<T>(call, control, [&](Keys<T>& keys, index n) {
    clear(d_key, call.keys, n, call.features);
    if (keys.count == 0) return clear(d_query, call.queries, n, call.features);
    const index S = keys.count;
    const Matrix<const T> weights{call.weights + n * call.queries * call.keys, call.keys};
    const Buffer<T> d_products(call.queries * S), d_keys(S * call.features);
    std::fill_n(d_keys.data(), d_keys.size(), T(0));
    const Matrix<const T> d = matrix_of(d_context, n);
    keys.products(d, {d_products.data(), S});
    for (index t = 0; t < call.queries; ++t) softmax_backward(weights.at(t), d_products.data() + t * S, S);
    keys.mix({d_products.data(), S}, matrix_of(d_query, n));
    keys.add_gradient({d_products.data(), S}, matrix_of(call.query, n), d_keys.data());
    keys.add_gradient(weights, d, d_keys.data());
    for (index s = 0; s < S; ++s)
      std::copy_n(d_keys.data() + s * call.features, call.features, d_key.data + s * d_key.time + n * d_key.row);
  });
}

#define RNNCORE_INSTANTIATE(T)                                  \
  template void attend(const Attention<T>&, Rows<T>, Control&); \
  template void attend_backward(const Attention<T>&, Rows<const T>, Rows<T>, Rows<T>, Control&);
RNNCORE_INSTANTIATE(float)
RNNCORE_INSTANTIATE(double)
#undef RNNCORE_INSTANTIATE

}  // namespace rnncore
