#include "rnncore/model/file.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <stdexcept>

#include "rnncore/dispatch.hpp"
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

// How a file holds a parameter: as it is, or a matrix in fewer bits, in int8 with the scales of its rows beside it.
WeightFormat stored_format(const Model& model, const Parameter& parameter) {
  return parameter.columns == Parameter::vector ? WeightFormat::full : model.architecture().weights;
}
std::string scale_of(const Parameter& parameter) { return parameter.name + ".scale"; }

const Tensor& find_tensor(const Tensors& tensors, const std::string& key, const std::string& dtype,
                          const std::vector<index>& shape, const std::string& name) {
  const auto found = tensors.named.find(key);
  if (found == tensors.named.end()) throw FormatError(name + " lacks the parameter " + key);
  const std::string expected = in_words(dtype, shape);
  const std::string given = in_words(found->second.dtype, found->second.shape);
  if (given != expected) throw FormatError(name + ": parameter " + key + " is " + given + ", expected " + expected);
  return found->second;
}

float element(std::string_view data, index at) {
  float value;
  std::memcpy(&value, data.data() + at * index{sizeof value}, sizeof value);
  return value;
}
// A matrix that is stored in fewer bits.
void widen(WeightFormat format, const Parameter& parameter, std::string_view data, std::string_view scales, float* to) {
  for (index r = 0, at = 0; r < parameter.rows; ++r)
    for (index k = 0; k < parameter.columns; ++k, ++at) {
      if (format == WeightFormat::int8) {
        to[at] = static_cast<float>(static_cast<signed char>(data[static_cast<std::size_t>(at)])) * element(scales, r);
      } else {
        std::uint16_t upper;
        std::memcpy(&upper, data.data() + 2 * at, sizeof upper);
        to[at] = float_of(std::uint32_t{upper} << 16);
      }
    }
}
// And back: what it is stored as, and the scales of its rows.
std::string shortened(WeightFormat format, const Parameter& parameter, const float* from, std::string& scales) {
  std::string data;
  const auto add = [](std::string& to, auto value) { to.append(reinterpret_cast<const char*>(&value), sizeof value); };
  for (index r = 0; r < parameter.rows; ++r) {
    const float* const row = from + r * parameter.columns;
    const float scale = int8_scale(row, parameter.columns);
    if (format == WeightFormat::int8) add(scales, scale);
    for (index k = 0; k < parameter.columns; ++k)
      if (format == WeightFormat::int8)
        add(data, static_cast<signed char>(int8_of(row[k], scale)));
      else
        add(data, static_cast<std::uint16_t>(bf16_of(row[k])));
  }
  return data;
}

template <class T>
Buffer<T> read_parameters(const Model& model, const Tensors& tensors, const std::string& name) {
  std::size_t own = 0;
  for (const auto& [key, tensor] : tensors.named) own += !key.starts_with(extra);
  const auto dtype_of = [&](WeightFormat format) {
    return format == WeightFormat::full ? dtype_name<T> : format == WeightFormat::bf16 ? "bfloat16" : "int8";
  };
  std::size_t expected = 0;
  for (const Parameter& parameter : model.layout()) {
    const WeightFormat format = stored_format(model, parameter);
    find_tensor(tensors, parameter.name, dtype_of(format), shape_of(parameter), name);
    if (format == WeightFormat::int8) find_tensor(tensors, scale_of(parameter), "float32", {parameter.rows}, name);
    expected += format == WeightFormat::int8 ? 2 : 1;
  }
  if (own != expected)
    throw FormatError(name + " holds " + std::to_string(own) + " parameters, its model has " +
                      std::to_string(expected));
  Buffer<T> parameters(model.parameter_count());  // after the shapes: their sum is the size of the file
  for (const Parameter& parameter : model.layout()) {
    const WeightFormat format = stored_format(model, parameter);
    const std::string_view data = tensors.named.at(parameter.name).data;
    T* const to = parameters.data() + parameter.offset;
    if (data.empty()) continue;
    if constexpr (sizeof(T) == sizeof(float))
      if (format != WeightFormat::full) {
        widen(format, parameter, data, format == WeightFormat::int8 ? tensors.named.at(scale_of(parameter)).data : "",
              to);
        continue;
      }
    std::memcpy(to, data.data(), data.size());
  }
  return parameters;
}

}  // namespace

LoadedModel parse_model(std::string_view content, const std::string& name) {
  instruction_set();  // one that is not there is no fault of the file
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
  std::deque<std::string> made;  // what some tensors refer to
  for (const Parameter& parameter : model.layout()) {
    const std::vector<index> shape = shape_of(parameter);
    const WeightFormat format = stored_format(model, parameter);
    if constexpr (sizeof(T) == sizeof(float))
      if (format != WeightFormat::full) {
        std::string& scales = made.emplace_back();
        const std::string& data =
            made.emplace_back(shortened(format, parameter, parameters + parameter.offset, scales));
        tensors.named[parameter.name] = {format == WeightFormat::int8 ? "int8" : "bfloat16", shape, data};
        if (format == WeightFormat::int8) tensors.named[scale_of(parameter)] = {"float32", {parameter.rows}, scales};
        continue;
      }
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
