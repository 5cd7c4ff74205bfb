// Models in files, as docs/format.md says: parameters by name, the architecture in the metadata.
// Twin: python/rnncore/models/file.py
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "rnncore/files/errors.hpp"
#include "rnncore/model/model.hpp"

namespace rnncore {

struct LoadedModel {
  Model model;
  std::variant<Buffer<float>, Buffer<double>> parameters;  // of the model's dtype
};

// The model of a file that save_model or Python has written, or of a checkpoint of `fit`. Throws
// std::filesystem::filesystem_error, DamagedFileError for a file that was changed in any bit, FormatError for one that
// holds something else or is of a newer version.
LoadedModel load_model(const std::string& path);
// The same of a file's content; `name` stands in the errors.
LoadedModel parse_model(std::string_view content, const std::string& name);

// Replaces the file in one go. T is the model's dtype.
template <class T>
void save_model(const Model& model, const T* parameters, const std::string& path);
template <class T>
std::string format_model(const Model& model, const T* parameters);

}  // namespace rnncore
