// The scalar type of an engine object, and the format of its weights: the one place that reads their names.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <type_traits>

#include "rnncore/short_weights.hpp"

namespace rnncore::bindings {

class Scalar {
 public:
  explicit Scalar(const std::string& name) : is_double_(name == "float64") {
    if (name != "float32" && !is_double_)
      throw pybind11::value_error("dtype must be one of float32, float64, got '" + name + "'");
  }

  const char* name() const { return is_double_ ? "float64" : "float32"; }
  template <class T>
  bool is() const {
    return std::is_same_v<T, double> == is_double_;
  }
  // work(zero), where zero is of the type.
  template <class Work>
  auto visit(const Work& work) const {
    return is_double_ ? work(double()) : work(float());
  }

 private:
  bool is_double_;
};

// What the caller named, or full.
inline WeightFormat format_of(const std::optional<std::string>& weights) {
  return weights ? weight_format_of(*weights) : WeightFormat::full;
}

}  // namespace rnncore::bindings
