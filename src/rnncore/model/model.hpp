// A model: layers one behind the other, over one flat vector of parameters.
// Sizes: T steps, N rows, I inputs, O outputs, L layers and D directions of a recurrent layer. Twin:
// python/rnncore/reference/model.py
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rnncore/control.hpp"
#include "rnncore/linear.hpp"
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
  Rows<const T> x;           // (T, N, I), unless the model takes labels
  Rows<const index> labels;  // (T, N, 1) in 0..num_embeddings - 1, if it does; past a row's length they are not read
  index features = 0;        // I, where nothing in the model fixes it
  // [states().size()] arrays in the order of states(); a null one is zero or the learned state, and so are all if this
  // is null.
  const T* const* initial = nullptr;
  const index* lengths = nullptr;        // [N] in 0..T, or null: T
  const std::uint8_t* resets = nullptr;  // [T, N], or null
  const std::uint64_t* keys =
      nullptr;           // [layers] of the dropout in this call; null, or 0 for a layer: nothing is dropped out
  index checkpoint = 0;  // of the recurrent layers, see Inputs
};

template <class T>
struct ModelOutputs {
  Rows<T> y;                  // (T, N, O), zero past a row's length; (N, O) behind a LastStep, y.time is not used then
  T* const* final = nullptr;  // [states().size()] arrays, all of them given
  bool valid_alone =
      false;  // y is (V, O), the valid steps in the order of the caller's arrays, with y.row between them
};

template <class T>
struct ModelOutputGradients {
  const T* parameters = nullptr;
  Rows<const T> y;                  // data may be null: zero
  const T* const* final = nullptr;  // null, and null ones: zero
  bool valid_alone = false;         // y is (V, O), as of ModelOutputs
};

template <class T>
struct ModelInputGradients {
  Rows<T> x;                    // (T, N, I); data may be null: not wanted
  T* const* initial = nullptr;  // [states().size()] arrays; null: not wanted
  T* parameters = nullptr;      // added to
};

// What backward needs of one forward call. It refers to x, y, the initial states and the parameters, and copies the
// rest.
template <class T>
class ModelCache {
 public:
  using Scalar = T;
  ModelCache();
  ModelCache(ModelCache&&) noexcept;
  ModelCache& operator=(ModelCache&&) noexcept;
  ~ModelCache();

  const std::string& signature() const;  // of the model that it belongs to; empty before the first forward call
  index steps() const;
  index rows() const;
  bool by_number() const;  // whether the network behind an Embedding got each of its rows once

  struct Kept;  // see walk.hpp

 private:
  friend class Model;
  std::unique_ptr<Kept> kept_;
};

// A layer in its place: what it takes and gives, and where its parameters lie.
struct ModelLayer {
  std::string kind;  // as in the file, for messages
  LayerOptions options;
  std::optional<Network> network;     // of a recurrent layer
  std::optional<Linear> linear;       // of a linear one
  std::optional<index> takes, gives;  // features, if anything fixes them
  index offset = 0, parameter_count = 0;
  std::size_t first_state = 0;  // of a recurrent layer, among the model's states

  template <class Options>
  const Options* as() const {
    return std::get_if<Options>(&options);
  }
  bool last_step() const { return as<LastStepOptions>() != nullptr; }
};

class Model {
 public:
  // std::invalid_argument for layers whose sizes do not fit, for an order in which they cannot stand, and for options
  // out of range.
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
  const std::vector<ModelLayer>& layers() const { return layers_; }
  // Rounds all matrices among the parameters in place, and constrains those that have constraints.
  // std::invalid_argument unless they are float32 and finite.
  template <class T>
  void round(WeightFormat format, T* parameters) const;

 private:
  template <class T>
  class ForwardWalk;
  template <class T>
  class BackwardWalk;

  void check_place(std::size_t k, const std::string& here);

  Architecture architecture_;
  std::vector<ModelLayer> layers_;
  std::vector<Parameter> layout_;
  std::vector<ModelState> states_;
  index parameter_count_ = 0;
  bool takes_labels_ = false, per_step_ = true, looks_ahead_ = false, batch_first_ = false;
  std::optional<index> in_features_, out_features_;
};

}  // namespace rnncore
