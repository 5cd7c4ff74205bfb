#include "rnncore/model/file.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "rnncore/files/disk.hpp"
#include "rnncore/files/tensors.hpp"
#include "rnncore/model/json.hpp"

namespace rnncore {
namespace {

constexpr const char* format_name = "rnncore.model";
constexpr int format_version = 1;
const std::string extra = "training/";  // names of tensors that are not parameters begin with it

template <class T>
constexpr const char* dtype_name = sizeof(T) == 4 ? "float32" : "float64";

std::vector<index> shape_of(const Parameter& parameter) {
  if (parameter.columns == Parameter::vector) return {parameter.rows};
  return {parameter.rows, parameter.columns};
}

std::string in_words(const std::string& dtype, const std::vector<index>& shape) {
  std::string text = dtype + " (";
  for (std::size_t k = 0; k < shape.size(); ++k) text += (k ? ", " : "") + std::to_string(shape[k]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

// What a file says of its layers is held against what is in it, before anything is made of that size.
void check_counts(const Architecture& architecture, const Tensors& tensors, const std::string& name) {
  const auto held = static_cast<index>(tensors.named.size());
  for (const auto& layer : architecture.layers) {
    const auto* recurrent = std::get_if<RecurrentOptions>(&layer.options);
    if (recurrent && recurrent->num_layers > held)
      throw FormatError(name + ": layer " + layer.name + " has num_layers " + std::to_string(recurrent->num_layers) +
                        ", the file holds " + std::to_string(held) + " tensors");
  }
}

template <class T>
Buffer<T> read_parameters(const Model& model, const Tensors& tensors, const std::string& name) {
  std::size_t own = 0;
  for (const auto& [key, tensor] : tensors.named) own += !key.starts_with(extra);
  for (const Parameter& parameter : model.layout()) {
    const auto found = tensors.named.find(parameter.name);
    if (found == tensors.named.end()) throw FormatError(name + " lacks the parameter " + parameter.name);
    const std::string expected = in_words(dtype_name<T>, shape_of(parameter));
    const std::string given = in_words(found->second.dtype, found->second.shape);
    if (given != expected)
      throw FormatError(name + ": parameter " + parameter.name + " is " + given + ", expected " + expected);
  }
  if (own != model.layout().size())
    throw FormatError(name + " holds " + std::to_string(own) + " parameters, its model has " +
                      std::to_string(model.layout().size()));
  Buffer<T> parameters(model.parameter_count());  // after the shapes: their sum is the size of the file
  for (const Parameter& parameter : model.layout()) {
    const std::string_view data = tensors.named.at(parameter.name).data;
    if (!data.empty()) std::memcpy(parameters.data() + parameter.offset, data.data(), data.size());
  }
  return parameters;
}

}  // namespace

LoadedModel parse_model(std::string_view content, const std::string& name) {
  const Tensors tensors = parse_tensors(content, name, format_name, format_version);
  const auto described = tensors.metadata.find("architecture");
  if (described == tensors.metadata.end()) throw FormatError(name + " does not say what model it holds");
  Architecture architecture;
  try {
    architecture = parse_architecture(described->second);
    check_counts(architecture, tensors, name);
    Model model(std::move(architecture));
    if (model.architecture().dtype == dtype_name<double>) {
      auto parameters = read_parameters<double>(model, tensors, name);
      return {std::move(model), std::move(parameters)};
    }
    auto parameters = read_parameters<float>(model, tensors, name);
    return {std::move(model), std::move(parameters)};
  } catch (const std::invalid_argument& error) {
    throw FormatError(name + " describes no model of this version: " + error.what());
  } catch (const OutOfMemory& error) {
    throw FormatError(name + " describes no model of this version: " + error.what());
  }
}

LoadedModel load_model(const std::string& path) { return parse_model(read_file(path), path); }

template <class T>
std::string format_model(const Model& model, const T* parameters) {
  if (model.architecture().dtype != dtype_name<T>)
    throw std::invalid_argument("the model is of " + model.architecture().dtype + ", its parameters are " +
                                dtype_name<T>);
  Tensors tensors;
  for (const Parameter& parameter : model.layout()) {
    const std::vector<index> shape = shape_of(parameter);
    index bytes = sizeof(T);
    for (const index extent : shape) bytes *= extent;
    const auto from = reinterpret_cast<const char*>(parameters + parameter.offset);
    tensors.named[parameter.name] = {dtype_name<T>, shape, {from, static_cast<std::size_t>(bytes)}};
  }
  tensors.metadata = {{"rnncore", RNNCORE_VERSION}, {"architecture", to_json(model.architecture())}};
  return format_tensors(tensors, format_name, format_version);
}

template <class T>
void save_model(const Model& model, const T* parameters, const std::string& path) {
  replace_file(path, format_model(model, parameters));
}

template std::string format_model(const Model&, const float*);
template std::string format_model(const Model&, const double*);
template void save_model(const Model&, const float*, const std::string&);
template void save_model(const Model&, const double*, const std::string&);

}  // namespace rnncore
