// What a step of an optimiser reads and writes.
#pragma once

#include "rnncore/arrays.hpp"

namespace rnncore {

// One step of an optimiser over a vector: parameters and state are read and written, in one pass.
template <class T>
struct Update {
  index count = 0;
  T* parameters = nullptr;
  const T* gradients = nullptr;
  double lr = 0, weight_decay = 0;  // added to the gradient times the parameters, before anything else
  bool maximize = false;
};
template <class T>
struct SgdUpdate : Update<T> {
  T* velocity = nullptr;  // null: no momentum
  double momentum = 0, dampening = 0;
  bool nesterov = false, first = false;  // the first step takes the gradient as it is for the velocity
};
template <class T>
struct AdamUpdate : Update<T> {
  T *mean = nullptr, *square = nullptr, *greatest = nullptr;  // greatest null: not AMSGrad
  double beta1 = 0, beta2 = 0, eps = 0;
  bool decoupled = false;  // weight decay straight on the parameters: AdamW
  double correction1 = 1, correction2 = 1;
};
template <class T>
struct RmspropUpdate : Update<T> {
  T *square = nullptr, *velocity = nullptr, *mean = nullptr;  // null: no momentum; not centred
  double alpha = 0, eps = 0, momentum = 0;
};

}  // namespace rnncore
