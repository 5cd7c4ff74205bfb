// Optimisers over flat vectors: the kernels of the instruction set in use. Twin: python/rnncore/reference/optim.py
#pragma once

#include <cmath>

#include "rnncore/dispatch.hpp"

namespace rnncore {

template <class T>
void step(const SgdUpdate<T>& update) {
  kernels<T>().optim.sgd(update);
}
template <class T>
void step(const RmspropUpdate<T>& update) {
  kernels<T>().optim.rmsprop(update);
}
// `steps` counts this step too: from it come the corrections of the moments' bias.
template <class T>
void step(AdamUpdate<T> update, index steps) {
  update.correction1 = 1 - std::pow(update.beta1, static_cast<double>(steps));
  update.correction2 = 1 - std::pow(update.beta2, static_cast<double>(steps));
  kernels<T>().optim.adam(update);
}

// The Euclidean norm's square, in double precision; neither threads nor the instruction set change its bits.
template <class T>
double squared_norm(const T* values, index count) {
  return kernels<T>().optim.squared_norm(values, count);
}

}  // namespace rnncore
