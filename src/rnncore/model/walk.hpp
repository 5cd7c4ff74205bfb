// A batch between two layers of a model: all steps, or the valid ones alone. Internal to forward.cpp and backward.cpp.
#pragma once

#include <algorithm>
#include <vector>

#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/model/each_rows.hpp"
#include "rnncore/model/model.hpp"

namespace rnncore {

// Which steps of which rows count, and in which order layers that do not look along time take them: that of the
// caller's arrays.
class Steps {
 public:
  Steps() = default;
  Steps(index steps, index rows, const index* lengths, bool batch_first)
      : steps_(steps), rows_(rows), batch_first_(batch_first), valid_(checked_product({steps, rows})) {
    if (!lengths || std::all_of(lengths, lengths + rows, [&](index length) { return length == steps; })) return;
    places_ = Buffer<index>(valid_ + 1);
    padded_ = true;
    valid_ = 0;
    for (index outer = 0; outer < (batch_first ? rows : steps); ++outer)
      for (index inner = 0; inner < (batch_first ? steps : rows); ++inner) {
        const index t = batch_first ? inner : outer, n = batch_first ? outer : inner;
        if (t < lengths[n]) places_.data()[valid_++] = t * rows + n;
      }
  }

  index steps() const { return steps_; }
  index rows() const { return rows_; }
  index valid() const { return valid_; }
  bool padded() const { return padded_; }
  // All steps, one behind the other in the caller's order.
  template <class T>
  Rows<T> whole(T* data, index columns) const {
    return batch_first_ ? Rows<T>{data, columns, steps_ * columns} : Rows<T>{data, rows_ * columns, columns};
  }
  // The same memory as a matrix, if there is no padding and the steps lie one behind the other.
  template <class T>
  bool as_matrix(const Rows<T>& x, Matrix<T>& matrix) const {
    if (padded_) return false;
    const index inner = batch_first_ ? x.time : x.row, outer = batch_first_ ? x.row : x.time;
    const index count = batch_first_ ? steps_ : rows_;
    const bool one_outer = (batch_first_ ? rows_ : steps_) <= 1;
    if (!one_outer && count > 1 && outer != inner * count) return false;
    matrix = {x.data, count > 1 ? inner : outer};
    return true;
  }
  // work(t, n, v) for the valid steps v in [first, end), in their order.
  template <class Work>
  void each(index first, index end, const Work& work) const {
    for (index v = first; v < end; ++v) {
      const index place = padded_ ? places_.data()[v] : batch_first_ ? (v % steps_) * rows_ + v / steps_ : v;
      work(place / rows_, place % rows_, v);
    }
  }

 private:
  index steps_ = 0, rows_ = 0;
  bool batch_first_ = false, padded_ = false;
  index valid_ = 0;
  Buffer<index> places_;  // t N + n of the valid steps
};

template <class T>
LayerNormWeights<T> layer_norm_weights(const ModelLayer& layer, const T* parameters) {
  const auto& o = *layer.as<LayerNormOptions>();
  const T* const weight = o.elementwise_affine ? parameters : nullptr;
  return {o.normalized_shape, o.eps, weight, weight && o.bias ? weight + o.normalized_shape : nullptr};
}

enum class Form {
  whole,  // (T, N, F)
  valid,  // (V, F): the valid steps
  rows,   // (N, F): behind a LastStep
};

// What one layer hands to the next.
template <class T>
struct Values {
  Form form = Form::whole;
  Rows<T> data;  // row strides alone unless it is whole
  index columns = 0;

  Matrix<T> matrix() const { return {data.data, data.row}; }
};

template <class T>
Values<T> values_of(Form form, Matrix<T> matrix, index columns) {
  return {form, {matrix.data, 0, matrix.row}, columns};
}

// The valid steps, in place where their memory allows, else copied into the buffer.
template <class T>
Values<const T> picked(const Steps& steps, const Values<const T>& from, Buffer<T>& buffer, Control& control) {
  if (from.form != Form::whole) return from;
  Matrix<const T> matrix;
  if (steps.as_matrix(from.data, matrix)) return values_of(Form::valid, matrix, from.columns);
  buffer = Buffer<T>(checked_product({steps.valid(), from.columns}));
  T* const to = buffer.data();
  each_rows(steps.valid(), from.columns, control, [&](index first, index end) {
    steps.each(first, end, [&](index t, index n, index v) {
      std::copy_n(from.data.at(t, n), from.columns, to + v * from.columns);
    });
  });
  return values_of<const T>(Form::valid, {to, from.columns}, from.columns);
}

// to[t, n] = the valid step's values, zero elsewhere.
template <class T>
void put_back(const Steps& steps, Matrix<const T> from, index columns, const Rows<T>& to, Control& control) {
  for (index t = 0; steps.padded() && t < steps.steps(); ++t)
    for (index n = 0; n < steps.rows(); ++n) std::fill_n(to.at(t, n), columns, T(0));
  each_rows(steps.valid(), columns, control, [&](index first, index end) {
    steps.each(first, end, [&](index t, index n, index v) { std::copy_n(from.at(v), columns, to.at(t, n)); });
  });
}

// All steps, in place where there is no padding, else copied into the buffer.
template <class T>
Values<const T> put_back(const Steps& steps, const Values<const T>& from, Buffer<T>& buffer, Control& control) {
  if (from.form == Form::whole) return from;
  const index columns = from.columns;
  if (!steps.padded()) return {Form::whole, steps.whole(from.data.data, from.data.row), columns};
  buffer = Buffer<T>(checked_product({steps.steps(), steps.rows(), columns}));
  const Rows<T> to = steps.whole(buffer.data(), columns);
  put_back(steps, from.matrix(), columns, to, control);
  return {Form::whole, {to.data, to.time, to.row}, columns};
}

// What one layer keeps for backward.
template <class T>
struct LayerCache {
  Values<const T> x, y;       // y is not set for the layers that need no more of it than x
  Buffer<T> input, output;    // the memory of x where it was copied, and of y
  Buffer<T> sums;             // of a linear layer, before its activation
  Buffer<T> normal, inverse;  // of a LayerNorm
  Cache<T> network;           // of a recurrent layer
  Dropout dropout;
  Buffer<index> labels, distinct;  // of an Embedding: [V] of the steps; or [T, N] among the distinct ones, and those
  bool by_number = false;
};

template <class T>
struct ModelCache<T>::Kept {
  std::string signature;
  ModelInputs<T> inputs;
  std::vector<const T*> initial;
  Buffer<index> lengths;
  Steps steps;
  std::vector<LayerCache<T>> layers;
};

}  // namespace rnncore
