// A model in operation: weights that streams share, the state of a batch, and steps that neither allocate nor lock.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
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

// What calls need to know of a model and of its rows, whatever the dtype.
struct StreamSizes {
  index element = 0;  // bytes of an element of y and of the state
  index rows = 0, features = 0, outputs = 0;
  index labels = 0;  // num_embeddings of a model that takes labels, else 0
  index state = 0;   // elements of the state of all rows

  index input_element() const { return labels > 0 ? index{sizeof(index)} : element; }  // bytes
};

template <class T>
class PackedModel;

// The memory of a stream: what it shares with others, which is a ModelPlan, and behind it its state.
struct StreamMemory {
  const StreamSizes* shared;
};

// All that streams of one model and of as many rows have in common: a stream is little more than its state. A
// PackedModel makes it for the first of them, and drops it behind the last.
template <class T>
struct ModelPlan : StreamSizes {
  ModelPlan(const PackedModel<T>& packed, index rows);

  const PackedModel<T>& packed;
  std::vector<StreamPlan<T>> networks;        // of the recurrent layers, in their order
  std::vector<index> network_begin;           // where the state of each lies among all
  std::vector<index> state_begin;             // and each of the model's states()
  index widest = 1, between = 0;              // columns of what lies between two layers; elements of it
  index scratch = 0;                          // elements of what a step works in: between, twice, then the networks'
  index state_at = 0, scratch_at = 0, bytes;  // of a stream's memory; scratch_at 0: a step works on the stack
  // For the PackedModel, under its mutex: how many streams there are, and what keeps it while there are any.
  mutable index streams = 0;
  mutable std::shared_ptr<const PackedModel<T>> owner;
};

// A model's weights in the kernels' order. They never change.
template <class T>
class PackedModel : public std::enable_shared_from_this<PackedModel<T>> {
 public:
  using Stage = std::variant<std::shared_ptr<const PackedNetwork<T>>, PackedLinear<T>, PackedLayerNorm<T>>;

  // std::invalid_argument for a model that looks ahead. Dropout and LastStep take no part: a stream has an output at
  // every step.
  // In fewer bits: all matrices are rounded, and those of recurrent layers packed so. full: as the model's calls.
  PackedModel(const Model& model, const T* parameters, WeightFormat format = WeightFormat::full);

  const Model& model() const { return model_; }
  WeightFormat format() const { return format_; }
  const std::vector<Stage>& stages() const { return stages_; }
  index input_size() const { return input_size_; }  // 1 if the model takes labels
  index output_size() const { return output_size_; }
  // The row of the table of an Embedding; null if the model takes none.
  const T* table_row(index label) const { return table_.data() ? table_.data() + label * table_columns_ : nullptr; }
  index table_columns() const { return table_columns_; }

  // For a stream that begins, and one that ends; any thread may call them.
  const ModelPlan<T>* join(index rows) const;
  static void leave(const ModelPlan<T>* plan) noexcept;

 private:
  Model model_;
  WeightFormat format_;
  std::vector<Stage> stages_;
  Buffer<T> table_;
  index input_size_, output_size_, table_columns_ = 0;
  mutable std::mutex mutex_;
  mutable std::map<index, std::unique_ptr<const ModelPlan<T>>> plans_;  // by the number of rows
};

template <class T>
class ModelStream;

// A stream that somebody else keeps.
template <class T>
class StreamView {
 public:
  explicit StreamView(StreamMemory* memory) : memory_(memory) {}

  const PackedModel<T>& packed() const { return plan().packed; }
  const Model& model() const { return packed().model(); }
  const StreamSizes& sizes() const { return *memory_->shared; }
  index rows() const { return sizes().rows; }
  index input_size() const { return sizes().features; }
  index output_size() const { return sizes().outputs; }

  // The row begins anew, from zero or the learned state.
  void reset(index row) const noexcept;
  // One step of all rows: x[n * x_row + i] to y[n * y_row + j].
  void step(const T* x, index x_row, T* y, index y_row) const noexcept;
  void step(const index* labels, T* y, index y_row) const noexcept;  // [N], of a model that takes labels, each in range
  // As many steps in one go, bit for bit the same, on several threads if there are rows for them; allocates.
  void run(index steps, const Rows<const T>& x, const Rows<T>& y, Control& control) const;
  void run(index steps, const Rows<const index>& labels, const Rows<T>& y, Control& control) const;

  // The array number k of the model's states(), [L, N, size], to read and to write between steps.
  T* state(std::size_t k) const { return all_states() + plan().state_begin[k]; }
  // All of them one behind the other: state_size() elements.
  index state_size() const { return sizes().state; }
  void copy_state(T* to) const noexcept;
  void set_state(const T* from) const noexcept;
  // Another stream with the same weights, whose state begins as this one's.
  ModelStream<T> fork() const;
  // Other weights of the same shape, from the next step on. The state stays.
  void replace(const std::shared_ptr<const PackedModel<T>>& packed) const;

 protected:
  const ModelPlan<T>& plan() const { return static_cast<const ModelPlan<T>&>(sizes()); }
  T* at(index bytes) const { return reinterpret_cast<T*>(reinterpret_cast<std::byte*>(memory_) + bytes); }
  T* all_states() const { return at(plan().state_at); }
  template <class Work>
  void with_scratch(const Work& work) const noexcept;
  void step_part(T* scratch, index first, index count, const T* x, index x_row, T* y, index y_row) const noexcept;
  void run_block(index steps, const Rows<const T>& x, const Rows<T>& y, Control& control) const;

  StreamMemory* memory_;
};

template <class T>
class ModelStream : public StreamView<T> {
 public:
  ModelStream(const std::shared_ptr<const PackedModel<T>>& packed, index rows);  // every row at its start
  // One that release() has given away.
  explicit ModelStream(const StreamView<T>& released) : StreamView<T>(released) {}
  ModelStream(ModelStream&& other) noexcept : StreamView<T>(other.release()) {}
  ModelStream& operator=(ModelStream&& other) noexcept {
    std::swap(this->memory_, other.memory_);
    return *this;
  }
  ~ModelStream();

  // The memory, which somebody else keeps from now on.
  StreamMemory* release() { return std::exchange(this->memory_, nullptr); }
};

}  // namespace rnncore
