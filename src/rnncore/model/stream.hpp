// A model in operation: weights that streams share, the state of a batch, and steps that neither allocate nor lock.
#pragma once

#include <memory>
#include <variant>
#include <vector>

#include "rnncore/model/model.hpp"
#include "rnncore/stream.hpp"

namespace rnncore {

// A layer that looks at one step alone, on its own copy of the parameters.
template <class T>
struct PackedLayerNorm {
  index size;
  double eps;
  bool affine, bias;
  Buffer<T> parameters;  // weight, bias

  void forward(index rows, Matrix<const T> x, Matrix<T> y) const noexcept;
};

// A model's weights in the kernels' order. They never change.
template <class T>
class PackedModel {
 public:
  using Stage = std::variant<std::shared_ptr<const PackedNetwork<T>>, PackedLinear<T>, PackedLayerNorm<T>>;

  // std::invalid_argument for a model that looks ahead. Dropout and LastStep take no part: a stream has an output at every step.
  PackedModel(const Model& model, const T* parameters);

  const Model& model() const { return model_; }
  const std::vector<Stage>& stages() const { return stages_; }
  index input_size() const { return input_size_; }  // 1 if the model takes labels
  index output_size() const { return output_size_; }
  // The row of the table of an Embedding; null if the model takes none.
  const T* table_row(index label) const { return table_.data() ? table_.data() + label * table_columns_ : nullptr; }
  index table_columns() const { return table_columns_; }

 private:
  Model model_;
  std::vector<Stage> stages_;
  Buffer<T> table_;
  index input_size_, output_size_, table_columns_ = 0;
};

template <class T>
class ModelStream {
 public:
  ModelStream(std::shared_ptr<const PackedModel<T>> packed, index rows);  // every row at its start

  // Another stream with the same weights, whose state begins as this one's.
  ModelStream fork() const;

  const PackedModel<T>& packed() const { return *packed_; }
  const Model& model() const { return packed_->model(); }
  index rows() const { return rows_; }
  index input_size() const { return packed_->input_size(); }
  index output_size() const { return packed_->output_size(); }

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

 private:
  using Stage = typename PackedModel<T>::Stage;

  void look_up(index rows, const index* labels, T* to) const noexcept;
  void step_part(index first, index count, const T* x, index x_row, T* y, index y_row) noexcept;
  void run_block(index steps, const Rows<const T>& x, const Rows<T>& y, Control& control);

  std::shared_ptr<const PackedModel<T>> packed_;
  index rows_;
  std::vector<Stream<T>> streams_;  // of the recurrent layers, in their order
  Buffer<T> between_[2];            // [rows_at_a_time(N), the widest layer's outputs]
  index widest_ = 0;
};

}  // namespace rnncore
