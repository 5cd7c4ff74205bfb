// What holds W_hh to a form, whatever an optimiser does to the parameters: a network runs on mask |W_hh| dale.
// Twin: python/rnncore/reference/constraints.py
#pragma once

#include <cstdint>
#include <vector>

#include "rnncore/arrays.hpp"

namespace rnncore {

struct Constraints {
  std::vector<std::int8_t> mask_hh;  // [H, H] of 0 and 1, or empty: where it is 0, so is W_hh[to, from]
  std::vector<std::int8_t> dale;     // [H] of 1 and -1, or empty: the sign of all that a unit sends, W_hh[:, from]

  bool any() const { return !mask_hh.empty() || !dale.empty(); }
  // std::invalid_argument for arrays of another size than H asks for, and for other values.
  void check(index hidden_size) const;

  // W_hh (H, H) becomes what the network runs on; the gradient by that becomes the gradient by W_hh.
  template <class T>
  void constrain(index hidden_size, T* weight_hh) const;
  template <class T>
  void pull_back(index hidden_size, const T* weight_hh, T* gradient) const;
};

}  // namespace rnncore
