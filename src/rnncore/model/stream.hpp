// A model in operation: weights that streams share, the state of a batch, and steps that neither allocate nor lock.
#pragma once

#include <memory>
#include <vector>

#include "rnncore/model/model.hpp"
#include "rnncore/stream.hpp"

namespace rnncore {

// A model's weights in the kernels' order. They never change.
template <class T>
class PackedModel {
 public:
  // std::invalid_argument for a model that looks ahead. Dropout and LastStep take no part: a stream has an output at every step.
  PackedModel(const Model& model, const T* parameters);
};

template <class T>
class ModelStream {
 public:
  ModelStream(std::shared_ptr<const PackedModel<T>> packed, index rows);  // every row at its start

  index rows() const;
  index input_size() const;  // 1 if the model takes labels
  index output_size() const;

  // The row begins anew, from zero or the learned state.
  void reset(index row) noexcept;
  // One step of all rows: x[n * x_row + i] to y[n * y_row + j].
  void step(const T* x, index x_row, T* y, index y_row) noexcept;
  void step(const index* labels, T* y, index y_row) noexcept;  // [N], of a model that takes labels, each in range
  // As many steps in one go, bit for bit the same, on several threads if there are rows for them; allocates.
  void run(index steps, const Rows<const T>& x, const Rows<T>& y, Control& control);
  void run(index steps, const Rows<const index>& labels, const Rows<T>& y, Control& control);

  // The array number k of the model's states(), [L, N, size], to read and to write between steps.
  T* state(std::size_t k) const;
  // All of them one behind the other: state_size() elements.
  index state_size() const;
  void copy_state(T* to) const noexcept;
  void set_state(const T* from) noexcept;
  // Other weights of the same shape, from the next step on. The state stays.
  void replace(std::shared_ptr<const PackedModel<T>> packed);
};

}  // namespace rnncore
