// A model: layers one behind the other, over one flat vector of parameters.
// Sizes: T steps, N rows, I inputs, O outputs, L layers and D directions of a recurrent layer. Twin: python/rnncore/reference/model.py
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rnncore/control.hpp"
#include "rnncore/model/architecture.hpp"
#include "rnncore/network.hpp"

namespace rnncore {

// One of the arrays that make up the state of a model: h, or c, of one recurrent layer.
struct ModelState {
  std::size_t layer;   // which of the model's layers
  std::string name;    // such as "0.h"
  index layers, size;  // the array is [layers = L D, N, size]
};

template <class T>
struct ModelInputs {
  index steps = 0, rows = 0;
  const T* parameters = nullptr;
  Rows<const T> x;  // (T, N, I), unless the model takes labels
  Rows<const index>
      labels;  // (T, N, 1) in 0..num_embeddings - 1, if it does; what lies past a row's length is not read
  // [states().size()] arrays in the order of states(); a null one is zero or the learned state, and so are all if this is null.
  const T* const* initial = nullptr;
  const index* lengths = nullptr;        // [N] in 0..T, or null: T
  const std::uint8_t* resets = nullptr;  // [T, N], or null
  const std::uint64_t* keys = nullptr;  // [layers] of the dropout in this call; null: inference, nothing is dropped out
  index checkpoint = 0;                 // of the recurrent layers, see Inputs
};

template <class T>
struct ModelOutputs {
  Rows<T> y;                  // (T, N, O), zero past a row's length; (N, O) behind a LastStep, y.time is not used then
  T* const* final = nullptr;  // [states().size()] arrays, all of them given
};

template <class T>
struct ModelOutputGradients {
  const T* parameters = nullptr;
  Rows<const T> y;                  // data may be null: zero
  const T* const* final = nullptr;  // null, and null ones: zero
};

template <class T>
struct ModelInputGradients {
  Rows<T> x;                    // (T, N, I); data may be null: not wanted
  T* const* initial = nullptr;  // [states().size()] arrays; null: not wanted
  T* parameters = nullptr;      // added to
};

// What backward needs of one forward call. It refers to x, y, the initial states and the parameters, and copies the rest.
template <class T>
class ModelCache {
 public:
  ModelCache();
  ModelCache(ModelCache&&) noexcept;
  ModelCache& operator=(ModelCache&&) noexcept;
  ~ModelCache();

  const std::string& signature() const;  // of the model that it belongs to; empty before the first forward call
  index steps() const;
  index rows() const;

 private:
  friend class Model;
  struct Kept;
  std::unique_ptr<Kept> kept_;
};

class Model {
 public:
  // std::invalid_argument for layers whose sizes do not fit, for an order in which they cannot stand, and for options out of range.
  explicit Model(Architecture architecture);

  const Architecture& architecture() const { return architecture_; }
  index parameter_count() const { return parameter_count_; }
  const std::vector<Parameter>& layout() const { return layout_; }  // names as in the file: "0.weight_ih_l0"
  const std::vector<ModelState>& states() const { return states_; }

  bool takes_labels() const { return takes_labels_; }  // the first layer is an Embedding
  bool per_step() const { return per_step_; }          // there is no LastStep
  bool looks_ahead() const { return looks_ahead_; }    // a layer is bidirectional: no stream
  bool batch_first() const { return batch_first_; }
  std::optional<index> in_features() const { return in_features_; }    // nothing: any number will do, or x holds labels
  std::optional<index> out_features() const { return out_features_; }  // nothing: as many as x has
  std::string signature() const;                                       // equal for models of one shape

  // Writes all of y and the final states; fills the cache unless it is null.
  template <class T>
  void forward(const ModelInputs<T>&, const ModelOutputs<T>&, ModelCache<T>*, Control&) const;
  template <class T>
  void backward(const ModelCache<T>&, const ModelOutputGradients<T>&, const ModelInputGradients<T>&, Control&) const;
};

}  // namespace rnncore
