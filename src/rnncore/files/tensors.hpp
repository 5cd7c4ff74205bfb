// Tensors in a safetensors file, under a digest of all that it says. Nothing in a file is trusted. docs/format.md says
// what stands in it. Twin: python/rnncore/files.py
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rnncore/arrays.hpp"

namespace rnncore {

struct Tensor {
  std::string dtype;  // NumPy's name, such as "float32"
  std::vector<index> shape;
  std::string_view data;  // little-endian, at any address
};

struct Tensors {
  std::map<std::string, Tensor> named;
  std::map<std::string, std::string> metadata;
};

// The bytes of a file: its metadata tell format and version, and a SHA-256 over everything.
std::string format_tensors(const Tensors& tensors, const std::string& format, int version);
// What format_tensors has written; the tensors refer to the content. `name` is that of the file, for the errors:
// FormatError for a file of another format or a newer version, DamagedFileError for one that was changed.
Tensors parse_tensors(std::string_view content, const std::string& name, const std::string& format, int version);

}  // namespace rnncore
