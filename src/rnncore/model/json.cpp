#include "rnncore/model/json.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "rnncore/short_weights.hpp"

namespace rnncore {
namespace {

using json = nlohmann::ordered_json;

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

constexpr std::array<const char*, 5> activations = {nullptr, "relu", "tanh", "sigmoid", "gelu"};

// What a layer's options say of its cell beside the sizes, in the words of the constructors.
struct CellWords {
  std::string nonlinearity = "tanh";
  bool peepholes = false, learned_alpha = false;
  double alpha = 0.2;
};

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
  void optional(const char* name, Precision& to) {
    if (const json* value = find(name)) {
      if (*value != name_of(Precision::bf16) && *value != name_of(Precision::float32))
        wrong(name, "float32 or bf16", *value);
      to = *value == name_of(Precision::bf16) ? Precision::bf16 : Precision::float32;
    }
  }
  void optional(const char* name, std::string& to) {
    if (const json* value = find(name)) {
      if (!value->is_string()) wrong(name, "text", *value);
      to = value->get<std::string>();
    }
  }
  // Rows of `columns` numbers each, or one row for 0; null: none. Which numbers may stand there is for Network to say.
  void optional(const char* name, std::vector<std::int8_t>& to, index columns) {
    const json* const value = find(name);
    if (!value || value->is_null()) return;
    if (!value->is_array()) wrong(name, "a list or null", *value);
    const auto add = [&](const json& number) {
      const bool fits = number.is_number_integer() && (number == -1 || number == 0 || number == 1);
      if (!fits) wrong(name, "of whole numbers from -1 to 1", number);
      to.push_back(number.get<std::int8_t>());
    };
    for (const json& row : *value) {
      if (columns == 0) {
        add(row);
        continue;
      }
      if (!row.is_array() || static_cast<index>(row.size()) != columns)
        wrong(name, "of rows with " + std::to_string(columns) + " numbers", row);
      for (const json& number : row) add(number);
    }
    if (to.empty()) wrong(name, "a list that holds something, or null", *value);
  }
  // Nothing is overlooked.
  void finish() const {
    for (const auto& [name, value] : options_.items())
      if (read_.count(name) == 0) refuse(layer_ + " has the option " + name + ", which is unknown");
  }

 private:
  const json* find(const char* name) {
    const auto found = options_.find(name);
    if (found == options_.end()) return nullptr;
    read_.insert(name);
    return &*found;
  }
  [[noreturn]] void wrong(const char* name, const std::string& expected, const json& value) const {
    refuse(layer_ + ": " + name + " should be " + expected + ", got " + value.dump());
  }

  const json& options_;
  const std::string& layer_;
  std::set<std::string> read_;
};

// Puts a layer's options into JSON.
class Writer {
 public:
  explicit Writer(json& options) : options_(options) {}

  void required(const char* name, index value) { options_[name] = value; }
  void optional(const char* name, const std::vector<std::int8_t>& values, index columns) {
    json& to = options_[name];
    for (std::size_t k = 0; k < values.size(); ++k)
      (columns == 0 ? to : to[k / static_cast<std::size_t>(columns)]).push_back(values[k]);
  }
  template <class Value>
  void optional(const char* name, const Value& value) {
    options_[name] = value;
  }
  // Where there is none, nothing is written: files that older versions can read stay as they were.
  void optional(const char* name, Precision value) {
    if (value != Precision::float32) options_[name] = name_of(value);
  }
  void optional(const char* name, Activation value) {
    if (value != Activation::none) options_[name] = activations[static_cast<std::size_t>(value)];
  }

 private:
  json& options_;
};

// The options of each kind, once for both ways.
template <class To>
void each(To& to, EmbeddingOptions& o, const std::string&, CellWords&) {
  to.required("num_embeddings", o.num_embeddings);
  to.required("embedding_dim", o.embedding_dim);
}
template <class To>
void each(To& to, RecurrentOptions& o, const std::string& kind, CellWords& words) {
  to.required("input_size", o.input_size);
  to.required("hidden_size", o.hidden_size);
  to.optional("num_layers", o.num_layers);
  to.optional("bias", o.bias);
  to.optional("batch_first", o.batch_first);
  to.optional("dropout", o.dropout);
  to.optional("bidirectional", o.bidirectional);
  to.optional("learned_state", o.learned_state);
  to.optional("precision", o.precision);
  if (kind == "LSTM") {
    to.optional("proj_size", o.proj_size);
    to.optional("peepholes", words.peepholes);
  }
  if (kind == "RNN" || kind == "LeakyRNN") to.optional("nonlinearity", words.nonlinearity);
  if (kind == "LeakyRNN") {
    to.optional("alpha", words.alpha);
    to.optional("learned_alpha", words.learned_alpha);
    to.optional("mask_hh", o.constraints.mask_hh, o.hidden_size);
    to.optional("dale", o.constraints.dale, 0);
  }
}
template <class To>
void each(To& to, LinearOptions& o, const std::string&, CellWords&) {
  to.required("in_features", o.in_features);
  to.required("out_features", o.out_features);
  to.optional("bias", o.bias);
  to.optional("activation", o.activation);
}
template <class To>
void each(To& to, LayerNormOptions& o, const std::string&, CellWords&) {
  to.required("normalized_shape", o.normalized_shape);
  to.optional("eps", o.eps);
  to.optional("elementwise_affine", o.elementwise_affine);
  to.optional("bias", o.bias);
}
template <class To>
void each(To& to, DropoutOptions& o, const std::string&, CellWords&) {
  to.optional("p", o.p);
}
template <class To>
void each(To&, LastStepOptions&, const std::string&, CellWords&) {}

LayerOptions options_of(const std::string& kind) {
  if (kind == "Embedding") return EmbeddingOptions();
  if (kind == "Linear") return LinearOptions();
  if (kind == "LayerNorm") return LayerNormOptions();
  if (kind == "Dropout") return DropoutOptions();
  if (kind == "LastStep") return LastStepOptions();
  for (const char* recurrent : {"RNN", "LSTM", "GRU", "MGU", "LeakyRNN"})
    if (kind == recurrent) return RecurrentOptions();
  refuse("there is no layer of the kind " + kind);
}

const char* kind_of(const EmbeddingOptions&) { return "Embedding"; }
const char* kind_of(const LinearOptions&) { return "Linear"; }
const char* kind_of(const LayerNormOptions&) { return "LayerNorm"; }
const char* kind_of(const DropoutOptions&) { return "Dropout"; }
const char* kind_of(const LastStepOptions&) { return "LastStep"; }
std::string kind_of(const RecurrentOptions& options) {
  if (options.cell.starts_with("rnn_")) return "RNN";
  if (options.cell.starts_with("lstm")) return "LSTM";
  if (options.cell == "gru") return "GRU";
  if (options.cell == "mgu") return "MGU";
  if (options.cell == "leaky") return "LeakyRNN";
  throw std::invalid_argument("files know no layer of the cell " + options.cell);
}

// The cell that the words name, and back.
void choose_cell(RecurrentOptions& o, const std::string& kind, const CellWords& words, const std::string& here) {
  const bool relu = words.nonlinearity == "relu";
  if (!relu && words.nonlinearity != "tanh")
    refuse(here + ": nonlinearity should be tanh or relu, got " + words.nonlinearity);
  if (kind == "RNN") o.cell = relu ? "rnn_relu" : "rnn_tanh";
  if (kind == "LSTM") o.cell = words.peepholes ? "lstm_peephole" : "lstm";
  if (kind == "GRU") o.cell = "gru";
  if (kind == "MGU") o.cell = "mgu";
  if (kind != "LeakyRNN") return;
  o.cell = "leaky";
  o.cell_options = {{"alpha", words.alpha}, {"learned_alpha", words.learned_alpha}, {"relu", relu}};
}
CellWords words_of(const RecurrentOptions& o) {
  CellWords words;
  const auto given = [&](const char* name, double otherwise) {
    const auto found = o.cell_options.find(name);
    return found == o.cell_options.end() ? otherwise : found->second;
  };
  if (o.cell == "rnn_relu" || given("relu", 0) != 0) words.nonlinearity = "relu";
  words.peepholes = o.cell == "lstm_peephole";
  words.alpha = given("alpha", words.alpha);
  words.learned_alpha = given("learned_alpha", 0) != 0;
  return words;
}

std::string text_of(const json& entry, const char* name, const std::string& where) {
  const auto found = entry.find(name);
  if (found == entry.end() || !found->is_string()) refuse(where + " should have a " + name);
  return found->get<std::string>();
}

LayerDescription read_layer(const json& entry, const std::string& place) {
  if (!entry.is_object()) refuse(place + " is no object of JSON");
  const std::string kind = text_of(entry, "kind", place);
  LayerDescription layer{text_of(entry, "name", place), options_of(kind)};
  const std::string here = "layer " + layer.name;
  const auto options = entry.find("options");
  if (options == entry.end() || !options->is_object()) refuse(here + " should have options");
  Reader reader(*options, here);
  CellWords words;
  std::visit([&](auto& given) { each(reader, given, kind, words); }, layer.options);
  reader.finish();
  if (auto* recurrent = std::get_if<RecurrentOptions>(&layer.options)) choose_cell(*recurrent, kind, words, here);
  return layer;
}

}  // namespace

std::string to_json(const Architecture& architecture) {
  json layers = json::array();
  for (LayerDescription layer : architecture.layers) {
    json options = json::object();
    Writer writer(options);
    CellWords words;
    if (const auto* recurrent = std::get_if<RecurrentOptions>(&layer.options)) words = words_of(*recurrent);
    const std::string kind = std::visit([](const auto& given) { return std::string(kind_of(given)); }, layer.options);
    std::visit([&](auto& given) { each(writer, given, kind, words); }, layer.options);
    layers.push_back({{"name", layer.name}, {"kind", kind}, {"options", options}});
  }
  json described{{"dtype", architecture.dtype}, {"layers", layers}};
  if (architecture.weights != WeightFormat::full) described["weights"] = name_of(architecture.weights);
  return described.dump(-1, ' ', true);
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
  if (described.contains("weights"))
    architecture.weights = weight_format_of(text_of(described, "weights", "its architecture"));
  for (std::size_t k = 0; k < layers->size(); ++k)
    architecture.layers.push_back(read_layer((*layers)[k], "layer number " + std::to_string(k)));
  return architecture;
}

}  // namespace rnncore
