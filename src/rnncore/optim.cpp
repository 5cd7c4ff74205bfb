#include "rnncore/optim.hpp"

#include <cmath>

#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"

namespace rnncore {

template <class T>
void step(const SgdUpdate<T>& update) {
  kernels<T>().optim.sgd(update);
}
template <class T>
void step(const RmspropUpdate<T>& update) {
  kernels<T>().optim.rmsprop(update);
}
template <class T>
void step(AdamUpdate<T> update, index steps) {
  update.correction1 = 1 - std::pow(update.beta1, static_cast<double>(steps));
  update.correction2 = 1 - std::pow(update.beta2, static_cast<double>(steps));
  kernels<T>().optim.adam(update);
}
template <class T>
double squared_norm(const T* values, index count) {
  return kernels<T>().optim.squared_norm(values, count);
}
template <class T>
void scale(T* values, index count, T factor) {
  kernels<T>().optim.scale(values, count, factor);
}
template <class T>
void clip(T* values, index count, T limit) {
  kernels<T>().optim.clip(values, count, limit);
}

#define RNNCORE_INSTANTIATE(T)                   \
  template void step(const SgdUpdate<T>&);       \
  template void step(const RmspropUpdate<T>&);   \
  template void step(AdamUpdate<T>, index);      \
  template double squared_norm(const T*, index); \
  template void scale(T*, index, T);             \
  template void clip(T*, index, T);
RNNCORE_INSTANTIATE(float)
RNNCORE_INSTANTIATE(double)
#undef RNNCORE_INSTANTIATE

}  // namespace rnncore
