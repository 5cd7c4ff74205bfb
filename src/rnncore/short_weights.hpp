// Weights rounded to what fewer bits can hold, as float32. Twin: python/rnncore/reference/short_weights.py
#pragma once

#include <string>

#include "rnncore/arrays.hpp"
#include "rnncore/weight_format.hpp"

namespace rnncore {

WeightFormat weight_format_of(const std::string& name);  // bf16 or int8; std::invalid_argument for another name
const char* name_of(WeightFormat format);
Precision precision_of(const std::string& name);  // float32 or bf16; std::invalid_argument for another name
const char* name_of(Precision precision);

// std::invalid_argument, which names the parameter, unless all its values are finite.
template <class T>
void check_finite(WeightFormat format, const std::string& name, index count, const T* values);

// Rounds a matrix (rows, columns) in place; rounding it again changes nothing.
void round_weights(WeightFormat format, index rows, index columns, float* matrix);

}  // namespace rnncore
