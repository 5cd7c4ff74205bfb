#include "rnncore/constraints.hpp"

#include <cmath>
#include <stdexcept>
#include <string>

#include "rnncore/buffer.hpp"

namespace rnncore {
namespace {

void check_values(const char* name, const std::vector<std::int8_t>& given, index expected, std::int8_t low) {
  if (given.empty()) return;
  if (static_cast<index>(given.size()) != expected)
    throw std::invalid_argument(std::string(name) + " must have " + std::to_string(expected) + " elements, got " +
                                std::to_string(given.size()));
  for (const std::int8_t value : given)
    if (value != low && value != 1)
      throw std::invalid_argument(std::string(name) + " should hold " + std::to_string(low) + " and 1 only, got " +
                                  std::to_string(value));
}

}  // namespace

void Constraints::check(index hidden_size) const {
  check_values("mask_hh", mask_hh, checked_product({hidden_size, hidden_size}), 0);
  check_values("dale", dale, hidden_size, -1);
}

template <class T>
void Constraints::constrain(index hidden_size, T* weight_hh) const {
  for (index k = 0; k < hidden_size * hidden_size; ++k) {
    const auto at = static_cast<std::size_t>(k), from = static_cast<std::size_t>(k % hidden_size);
    if (!dale.empty()) weight_hh[k] = std::abs(weight_hh[k]) * T(dale[from]);
    if (!mask_hh.empty()) weight_hh[k] *= T(mask_hh[at]);
  }
}

template <class T>
void Constraints::pull_back(index hidden_size, const T* weight_hh, T* gradient) const {
  for (index k = 0; k < hidden_size * hidden_size; ++k) {
    const auto at = static_cast<std::size_t>(k), from = static_cast<std::size_t>(k % hidden_size);
    if (!dale.empty()) gradient[k] *= weight_hh[k] < 0 ? -T(dale[from]) : T(dale[from]);
    if (!mask_hh.empty()) gradient[k] *= T(mask_hh[at]);
  }
}

template void Constraints::constrain(index, float*) const;
template void Constraints::constrain(index, double*) const;
template void Constraints::pull_back(index, const float*, float*) const;
template void Constraints::pull_back(index, const double*, double*) const;

}  // namespace rnncore
