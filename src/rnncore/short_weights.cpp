#include "rnncore/short_weights.hpp"

#include <cmath>
#include <stdexcept>

#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"

namespace rnncore {

WeightFormat weight_format_of(const std::string& name) {
  if (name == "bf16") return WeightFormat::bf16;
  if (name == "int8") return WeightFormat::int8;
  throw std::invalid_argument("weights should be 'bf16', 'int8' or None, got '" + name + "'");
}

const char* name_of(WeightFormat format) {
  return format == WeightFormat::bf16 ? "bf16" : format == WeightFormat::int8 ? "int8" : "float32";
}

Precision precision_of(const std::string& name) {
  if (name == "float32") return Precision::float32;
  if (name == "bf16") return Precision::bf16;
  throw std::invalid_argument("precision should be 'float32' or 'bf16', got '" + name + "'");
}

const char* name_of(Precision precision) { return precision == Precision::bf16 ? "bf16" : "float32"; }

template <class T>
void check_finite(WeightFormat format, const std::string& name, index count, const T* values) {
  // The squares of all float32 numbers that are finite are added up without overflow in double precision. (Those of
  // float64 are not asked for: they have no fewer bits.)
  if (!std::isfinite(kernels<T>().optim.squared_norm(values, count)))
    throw std::invalid_argument(std::string("weights in ") + name_of(format) + " must be finite, " + name + " is not");
}

template void check_finite(WeightFormat, const std::string&, index, const float*);
template void check_finite(WeightFormat, const std::string&, index, const double*);

void round_weights(WeightFormat format, index rows, index columns, float* matrix) {
  for (index r = 0; r < rows && format != WeightFormat::full; ++r) {
    float* const row = matrix + r * columns;
    const float scale = format == WeightFormat::int8 ? int8_scale(row, columns) : 0;
    for (index k = 0; k < columns; ++k)
      row[k] = format == WeightFormat::int8 ? int8_of(row[k], scale) * scale : float_of(bf16_of(row[k]) << 16);
  }
}

}  // namespace rnncore
