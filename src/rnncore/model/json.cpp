#include "rnncore/model/json.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "rnncore/files/errors.hpp"

namespace rnncore {
namespace {

using json = nlohmann::ordered_json;

[[noreturn]] void refuse(const std::string& text) {
  throw FormatError("the file describes no model of this version: " + text);
}

constexpr std::array<const char*, 5> activations = {nullptr, "relu", "tanh", "sigmoid", "gelu"};

// The kind of a layer in the file, with its nonlinearity if it has a choice, and the cell that it has.
struct RecurrentKind {
  const char *kind, *nonlinearity, *cell;
};
constexpr std::array<RecurrentKind, 4> recurrent_kinds = {
    {{"RNN", "tanh", "rnn_tanh"}, {"RNN", "relu", "rnn_relu"}, {"LSTM", nullptr, "lstm"}, {"GRU", nullptr, "gru"}}};

// Takes a layer's options out of JSON; a name without a default has to be there.
class Reader {
 public:
  Reader(const json& options, const std::string& layer) : options_(options), layer_(layer) {}

  void required(const char* name, index& to) {
    if (!options_.contains(name)) refuse(layer_ + " lacks " + name);
    optional(name, to);
  }
  void optional(const char* name, index& to) {
    if (const json* value = find(name)) {
      const bool fits = value->is_number_unsigned() && value->get<std::uint64_t>() <= INT64_MAX;
      if (!fits) wrong(name, "a size", *value);
      to = value->get<index>();
    }
  }
  void optional(const char* name, bool& to) {
    if (const json* value = find(name)) {
      if (!value->is_boolean()) wrong(name, "true or false", *value);
      to = value->get<bool>();
    }
  }
  void optional(const char* name, double& to) {
    if (const json* value = find(name)) {
      if (!value->is_number()) wrong(name, "a number", *value);
      to = value->get<double>();
    }
  }
  void optional(const char* name, Activation& to) {
    if (const json* value = find(name)) {
      std::size_t k = 0;
      while (k < activations.size() && *value != (activations[k] ? json(activations[k]) : json())) ++k;
      if (k == activations.size()) wrong(name, "relu, tanh, sigmoid, gelu or null", *value);
      to = static_cast<Activation>(k);
    }
  }
  void optional(const char* name, std::string& to) {
    if (const json* value = find(name)) {
      if (!value->is_string()) wrong(name, "text", *value);
      to = value->get<std::string>();
    }
  }
  // Nothing is overlooked.
  void finish() const {
    if (known_ == options_.size()) return;
    std::string names;
    for (const auto& [name, value] : options_.items()) names += (names.empty() ? "" : ", ") + name;
    refuse(layer_ + " has options that are unknown, among " + names);
  }

 private:
  const json* find(const char* name) {
    const auto found = options_.find(name);
    if (found == options_.end()) return nullptr;
    ++known_;
    return &*found;
  }
  [[noreturn]] void wrong(const char* name, const char* expected, const json& value) const {
    refuse(layer_ + ": " + name + " should be " + expected + ", got " + value.dump());
  }

  const json& options_;
  const std::string& layer_;
  std::size_t known_ = 0;
};

// Puts a layer's options into JSON.
class Writer {
 public:
  explicit Writer(json& options) : options_(options) {}

  void required(const char* name, index value) { options_[name] = value; }
  template <class Value>
  void optional(const char* name, const Value& value) {
    options_[name] = value;
  }
  void optional(const char* name, Activation value) {
    // Where there is none, nothing is written: files that older versions can read stay as they were.
    if (value != Activation::none) options_[name] = activations[static_cast<std::size_t>(value)];
  }

 private:
  json& options_;
};

// The options of each kind, once for both ways.
template <class To>
void each(To& to, EmbeddingOptions& o, std::string&) {
  to.required("num_embeddings", o.num_embeddings);
  to.required("embedding_dim", o.embedding_dim);
}
template <class To>
void each(To& to, RecurrentOptions& o, std::string& nonlinearity) {
  to.required("input_size", o.input_size);
  to.required("hidden_size", o.hidden_size);
  to.optional("num_layers", o.num_layers);
  to.optional("bias", o.bias);
  to.optional("batch_first", o.batch_first);
  to.optional("dropout", o.dropout);
  to.optional("bidirectional", o.bidirectional);
  to.optional("learned_state", o.learned_state);
  if (o.cell == "lstm") to.optional("proj_size", o.proj_size);
  if (!nonlinearity.empty()) to.optional("nonlinearity", nonlinearity);
}
template <class To>
void each(To& to, LinearOptions& o, std::string&) {
  to.required("in_features", o.in_features);
  to.required("out_features", o.out_features);
  to.optional("bias", o.bias);
  to.optional("activation", o.activation);
}
template <class To>
void each(To& to, LayerNormOptions& o, std::string&) {
  to.required("normalized_shape", o.normalized_shape);
  to.optional("eps", o.eps);
  to.optional("elementwise_affine", o.elementwise_affine);
  to.optional("bias", o.bias);
}
template <class To>
void each(To& to, DropoutOptions& o, std::string&) {
  to.optional("p", o.p);
}
template <class To>
void each(To&, LastStepOptions&, std::string&) {}

LayerOptions options_of(const std::string& kind) {
  if (kind == "Embedding") return EmbeddingOptions();
  if (kind == "Linear") return LinearOptions();
  if (kind == "LayerNorm") return LayerNormOptions();
  if (kind == "Dropout") return DropoutOptions();
  if (kind == "LastStep") return LastStepOptions();
  for (const auto& each : recurrent_kinds)
    if (kind == each.kind) return RecurrentOptions{.cell = each.cell};
  refuse("there is no layer of the kind " + kind);
}

const char* kind_of(const EmbeddingOptions&) { return "Embedding"; }
const char* kind_of(const LinearOptions&) { return "Linear"; }
const char* kind_of(const LayerNormOptions&) { return "LayerNorm"; }
const char* kind_of(const DropoutOptions&) { return "Dropout"; }
const char* kind_of(const LastStepOptions&) { return "LastStep"; }
const RecurrentKind& recurrent_kind(const std::string& cell) {
  for (const auto& each : recurrent_kinds)
    if (cell == each.cell) return each;
  throw std::invalid_argument("files know no layer of the cell " + cell);
}
const char* kind_of(const RecurrentOptions& options) { return recurrent_kind(options.cell).kind; }

std::string text_of(const json& entry, const char* name, const std::string& where) {
  const auto found = entry.find(name);
  if (found == entry.end() || !found->is_string()) refuse(where + " should have a " + name);
  return found->get<std::string>();
}

LayerDescription read_layer(const json& entry, const std::string& place) {
  if (!entry.is_object()) refuse(place + " is no object of JSON");
  LayerDescription layer{text_of(entry, "name", place), options_of(text_of(entry, "kind", place))};
  const std::string here = "layer " + layer.name;
  const auto options = entry.find("options");
  if (options == entry.end() || !options->is_object()) refuse(here + " should have options");
  Reader reader(*options, here);
  if (auto* recurrent = std::get_if<RecurrentOptions>(&layer.options)) {
    const RecurrentKind& kind = recurrent_kind(recurrent->cell);
    std::string nonlinearity = kind.nonlinearity ? kind.nonlinearity : "";
    each(reader, *recurrent, nonlinearity);
    for (const auto& other : recurrent_kinds)
      if (other.kind == std::string(kind.kind) && other.nonlinearity && nonlinearity == other.nonlinearity) {
        recurrent->cell = other.cell;
        nonlinearity.clear();
      }
    if (!nonlinearity.empty()) refuse(here + ": nonlinearity should be tanh or relu, got " + nonlinearity);
  } else {
    std::string none;
    std::visit([&](auto& options_of_layer) { each(reader, options_of_layer, none); }, layer.options);
  }
  reader.finish();
  return layer;
}

}  // namespace

std::string to_json(const Architecture& architecture) {
  json layers = json::array();
  for (LayerDescription layer : architecture.layers) {
    json options = json::object();
    Writer writer(options);
    std::string nonlinearity;
    if (const auto* recurrent = std::get_if<RecurrentOptions>(&layer.options))
      if (const char* text = recurrent_kind(recurrent->cell).nonlinearity) nonlinearity = text;
    std::visit([&](auto& given) { each(writer, given, nonlinearity); }, layer.options);
    const char* kind = std::visit([](const auto& given) { return kind_of(given); }, layer.options);
    layers.push_back({{"name", layer.name}, {"kind", kind}, {"options", options}});
  }
  return json{{"dtype", architecture.dtype}, {"layers", layers}}.dump(-1, ' ', true);
}

Architecture parse_architecture(const std::string& text) {
  const json described = json::parse(text, nullptr, false);
  if (!described.is_object() || text.find('\0') != text.npos) refuse("its architecture is no object of JSON");
  const auto layers = described.find("layers");
  if (layers == described.end() || !layers->is_array()) refuse("its architecture should have layers");
  constexpr std::size_t most = 10'000;
  if (layers->size() > most)
    refuse("it has " + std::to_string(layers->size()) + " layers, at most " + std::to_string(most) + " can be");
  Architecture architecture{text_of(described, "dtype", "its architecture"), {}};
  for (std::size_t k = 0; k < layers->size(); ++k)
    architecture.layers.push_back(read_layer((*layers)[k], "layer number " + std::to_string(k)));
  return architecture;
}

}  // namespace rnncore
