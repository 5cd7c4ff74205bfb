// Optimisers over flat vectors: the kernels of the instruction set in use. Twin: python/rnncore/reference/optim.py
#pragma once

#include <variant>

#include "rnncore/update.hpp"

namespace rnncore {

template <class T>
void step(const SgdUpdate<T>& update);
template <class T>
void step(const RmspropUpdate<T>& update);
// `steps` counts this step too: from it come the corrections of the moments' bias.
template <class T>
void step(AdamUpdate<T> update, index steps);

template <class T>
using AnyUpdate = std::variant<SgdUpdate<T>, AdamUpdate<T>, RmspropUpdate<T>>;

// The step that follows `done` others.
template <class T>
void step(const AnyUpdate<T>& update, index done) {
  if (auto* adam = std::get_if<AdamUpdate<T>>(&update)) return step(*adam, done + 1);
  if (auto* rmsprop = std::get_if<RmspropUpdate<T>>(&update)) return step(*rmsprop);
  auto sgd = std::get<SgdUpdate<T>>(update);
  sgd.first = done == 0;
  step(sgd);
}

// The Euclidean norm's square, in double precision; neither threads nor the instruction set change its bits.
template <class T>
double squared_norm(const T* values, index count);
template <class T>
void scale(T* values, index count, T factor);
template <class T>
void clip(T* values, index count, T limit);  // to [-limit, limit]; NaN stays

}  // namespace rnncore
