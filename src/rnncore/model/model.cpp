// Which layers fit behind each other, and where their parameters and states lie.
#include "rnncore/model/model.hpp"

#include <stdexcept>

#include "rnncore/short_weights.hpp"

namespace rnncore {
namespace {

// Overloads of one function object, for std::visit.
template <class... F>
struct Cases : F... {
  using F::operator()...;
};
template <class... F>
Cases(F...) -> Cases<F...>;

std::string kind_of(const LayerOptions& options) {
  return std::visit(Cases{[](const EmbeddingOptions&) { return std::string("Embedding"); },
                          [](const RecurrentOptions& o) { return o.cell; },
                          [](const LinearOptions&) { return std::string("Linear"); },
                          [](const LayerNormOptions&) { return std::string("LayerNorm"); },
                          [](const DropoutOptions&) { return std::string("Dropout"); },
                          [](const LastStepOptions&) { return std::string("LastStep"); }},
                    options);
}

void probability(const std::string& here, const char* name, double value) {
  if (!(value >= 0 && value <= 1))
    throw std::invalid_argument(here + ": " + name + " must be between 0 and 1, got " + std::to_string(value));
}

// Fills what the options fix; names and shapes of the parameters go to layout, from the layer's own offset 0.
void describe(const std::string& here, ModelLayer& layer, std::vector<Parameter>& layout) {
  const auto add = [&](const char* name, index rows, index columns) {
    layout.push_back({name, layer.parameter_count, rows, columns});
    layer.parameter_count += checked_product({rows, columns == Parameter::vector ? 1 : columns, 8}) / 8;
  };
  std::visit(Cases{[&](const EmbeddingOptions& o) {
                     check_at_least(here + ": num_embeddings", 1, o.num_embeddings);
                     check_at_least(here + ": embedding_dim", 1, o.embedding_dim);
                     add("weight", o.num_embeddings, o.embedding_dim);
                     layer.gives = o.embedding_dim;
                   },
                   [&](const RecurrentOptions& o) {
                     probability(here, "dropout", o.dropout);
                     layer.network.emplace(o.cell, o.input_size, o.hidden_size, o.num_layers, o.bias, o.bidirectional,
                                           o.learned_state, o.proj_size, o.cell_options, o.constraints, o.precision);
                     layout = layer.network->layout();
                     layer.parameter_count = 0;
                     for (const auto& entry : layout)
                       layer.parameter_count += entry.rows * (entry.columns == Parameter::vector ? 1 : entry.columns);
                     layer.takes = o.input_size;
                     layer.gives = layer.network->output_size();
                   },
                   [&](const LinearOptions& o) {
                     layer.linear.emplace(o.in_features, o.out_features, o.bias, o.activation);
                     add("weight", o.out_features, o.in_features);
                     if (o.bias) add("bias", o.out_features, Parameter::vector);
                     layer.takes = o.in_features;
                     layer.gives = o.out_features;
                   },
                   [&](const LayerNormOptions& o) {
                     check_at_least(here + ": normalized_shape", 1, o.normalized_shape);
                     if (!(o.eps >= 0))
                       throw std::invalid_argument(here + ": eps must not be negative, got " + std::to_string(o.eps));
                     if (o.elementwise_affine) add("weight", o.normalized_shape, Parameter::vector);
                     if (o.elementwise_affine && o.bias) add("bias", o.normalized_shape, Parameter::vector);
                     layer.takes = layer.gives = o.normalized_shape;
                   },
                   [&](const DropoutOptions& o) { probability(here, "p", o.p); }, [](const LastStepOptions&) {}},
             layer.options);
}

}  // namespace

Model::Model(Architecture architecture) : architecture_(std::move(architecture)) {
  if (architecture_.dtype != "float32" && architecture_.dtype != "float64")
    throw std::invalid_argument("dtype must be float32 or float64, got '" + architecture_.dtype + "'");
  if (architecture_.weights != WeightFormat::full && architecture_.dtype != "float32")
    throw std::invalid_argument(std::string("weights in ") + name_of(architecture_.weights) +
                                " need dtype float32, got " + architecture_.dtype);
  if (architecture_.layers.empty()) throw std::invalid_argument("a model needs at least one layer, got none");
  std::string giver;  // the layer that gives out_features_
  bool first_recurrent = true;
  for (std::size_t k = 0; k < architecture_.layers.size(); ++k) {
    const auto& described = architecture_.layers[k];
    ModelLayer layer{
        kind_of(described.options), described.options, {}, {}, {}, {}, parameter_count_, 0, states_.size()};
    const std::string here = "layer " + described.name + " (" + layer.kind + ")";
    if (described.name.empty() || described.name.find('.') != std::string::npos)
      throw std::invalid_argument("the name of a layer must hold no dot and not be empty, got '" + described.name +
                                  "'");
    for (std::size_t before = 0; before < k; ++before)
      if (architecture_.layers[before].name == described.name)
        throw std::invalid_argument("two layers are called " + described.name);
    std::vector<Parameter> own;
    describe(here, layer, own);
    layers_.push_back(std::move(layer));
    check_place(k, here);
    const ModelLayer& added = layers_.back();
    if (added.takes && out_features_ && *added.takes != *out_features_)
      throw std::invalid_argument(here + " expects " + std::to_string(*added.takes) + " features, " + giver +
                                  " gives " + std::to_string(*out_features_));
    if (added.takes && !in_features_ && !out_features_) in_features_ = added.takes;
    if (added.gives) out_features_ = added.gives, giver = here;
    if (added.network) {
      added.network->check_format(architecture_.weights);
      const bool batch_first = added.as<RecurrentOptions>()->batch_first;
      if (!first_recurrent && batch_first != batch_first_)
        throw std::invalid_argument(here + " differs in batch_first from the recurrent layers before it");
      first_recurrent = false;
      batch_first_ = batch_first;
      looks_ahead_ = looks_ahead_ || added.network->num_directions() == 2;
      for (index s = 0; s < added.network->num_states(); ++s)
        states_.push_back({k, described.name + "." + added.network->description().state_names[s],
                           added.network->num_layers() * added.network->num_directions(),
                           added.network->state_size(s)});
    }
    for (auto& entry : own)
      layout_.push_back(
          {described.name + "." + entry.name, parameter_count_ + entry.offset, entry.rows, entry.columns});
    parameter_count_ = checked_sum(parameter_count_, added.parameter_count);
  }
}

// Behind the layers before it.
void Model::check_place(std::size_t k, const std::string& here) {
  const ModelLayer& layer = layers_[k];
  if (layer.as<EmbeddingOptions>()) {
    if (k > 0) throw std::invalid_argument(here + " takes integers: it must be the first layer");
    takes_labels_ = true;
  }
  if (layer.last_step()) {
    if (!per_step_) throw std::invalid_argument("a model has at most one LastStep");
    if (k == 0 || !layers_[k - 1].network) throw std::invalid_argument(here + " must follow a recurrent layer");
    per_step_ = false;
  }
  if (layer.network && !per_step_) throw std::invalid_argument(here + " needs all steps, and stands behind a LastStep");
}

template <class T>
void Model::round(WeightFormat format, T* parameters) const {
  if (format == WeightFormat::full) return;
  if constexpr (sizeof(T) != sizeof(float)) {
    throw std::invalid_argument(std::string("weights in ") + name_of(format) + " need dtype float32, got float64");
  } else {
    for (const auto& layer : layers_)
      if (layer.network) layer.network->check_format(format);
    for (const auto& layer : layers_)
      if (layer.network) layer.network->constrain(parameters + layer.offset);
    for (const Parameter& p : layout_) {
      float* const values = parameters + p.offset;
      if (p.columns == Parameter::vector) continue;
      check_finite(format, p.name, p.size(), values);
      round_weights(format, p.rows, p.columns, values);
    }
  }
}

template void Model::round(WeightFormat, float*) const;
template void Model::round(WeightFormat, double*) const;

std::string Model::signature() const {
  std::string text = architecture_.dtype;
  for (const auto& layer : layers_) {
    text.append(", ").append(layer.network ? layer.network->signature() : layer.kind);
    if (layer.network || !layer.gives) continue;
    text.append(" ").append(std::to_string(layer.takes.value_or(0)));
    text.append(" ").append(std::to_string(*layer.gives));
    text.append(" of ").append(std::to_string(layer.parameter_count));
    if (layer.linear) text.append(" ").append(std::to_string(static_cast<int>(layer.linear->activation())));
  }
  return text;
}

}  // namespace rnncore
