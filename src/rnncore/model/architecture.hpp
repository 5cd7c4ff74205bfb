// What a model is made of: plain data without parameters, in the words of the model file.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "rnncore/functions.hpp"
#include "rnncore/network.hpp"
#include "rnncore/weight_format.hpp"

namespace rnncore {

// One struct for each kind of layer; the names of its members are those of the constructor's arguments in Python.
struct EmbeddingOptions {
  index num_embeddings = 0, embedding_dim = 0;
};
struct RecurrentOptions {
  std::string cell;  // one of cell_names(); in the file it is the kind of the layer, and for an RNN its nonlinearity
  index input_size = 0, hidden_size = 0, num_layers = 1;
  bool bias = true, batch_first = false;
  double dropout = 0;  // between layers, in training
  bool bidirectional = false, learned_state = false;
  index proj_size = 0;
  CellOptions cell_options = {};  // of the cell itself, such as alpha of a leaky one
  Constraints constraints = {};   // of a leaky one
  Precision precision = Precision::float32;
};
struct LinearOptions {
  index in_features = 0, out_features = 0;
  bool bias = true;
  Activation activation = Activation::none;
};
struct LayerNormOptions {
  index normalized_shape = 0;
  double eps = 1e-5;
  bool elementwise_affine = true, bias = true;
};
struct DropoutOptions {
  double p = 0.5;
};
struct LastStepOptions {};

using LayerOptions =
    std::variant<EmbeddingOptions, RecurrentOptions, LinearOptions, LayerNormOptions, DropoutOptions, LastStepOptions>;

struct LayerDescription {
  std::string name;  // before the dot in the names of its parameters
  LayerOptions options;
};

struct Architecture {
  std::string dtype = "float32";  // or "float64"
  std::vector<LayerDescription> layers;
  // But for full: calls are inference alone, on parameters that were rounded to this.
  WeightFormat weights = WeightFormat::full;
};

}  // namespace rnncore
