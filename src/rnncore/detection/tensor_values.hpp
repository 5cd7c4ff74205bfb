// The values of a tensor in a detector's file, if they are of the type and the number that is expected.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "rnncore/files/errors.hpp"
#include "rnncore/files/tensors.hpp"

namespace rnncore {

constexpr index any_size = -1;

// FormatError otherwise.
template <class T>
std::vector<T> values_of(const Tensors& tensors, const std::string& name, index size, const std::string& file) {
  const auto found = tensors.named.find(name);
  if (found == tensors.named.end()) throw FormatError(file + " lacks the array " + name);
  const std::string expected = sizeof(T) == 4 ? "float32" : "float64";
  if (found->second.dtype != expected)
    throw FormatError(file + ": " + name + " is of " + found->second.dtype + ", expected " + expected);
  const std::string_view data = found->second.data;
  const std::size_t count = data.size() / sizeof(T);
  if (size != any_size && static_cast<index>(count) != size)
    throw FormatError(file + ": " + name + " has " + std::to_string(count) + " values, expected " +
                      std::to_string(size));
  std::vector<T> values(count);
  if (count > 0) std::memcpy(values.data(), data.data(), data.size());
  return values;
}

}  // namespace rnncore
