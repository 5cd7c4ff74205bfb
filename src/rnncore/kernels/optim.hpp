// Optimisers: one pass over parameters, gradients and moments. Twin: python/rnncore/reference/optim.py
#pragma once

#include "rnncore/kernels/table.hpp"
#include "rnncore/simd/denormals.hpp"
#include "rnncore/simd/pack.hpp"

namespace rnncore::RNNCORE_ISA {

// One pack of an array of `count` numbers; the last may be a part.
template <class V>
RNNCORE_INLINE V read(const typename V::Scalar* from, index at, index count) {
  return V::load_part(from + at, count - at);
}
template <class V>
RNNCORE_INLINE void write(V value, typename V::Scalar* to, index at, index count) {
  value.store_part(to + at, count - at);
}

// The gradient at a place, with its sign and with the weight decay that is coupled to it.
template <class V>
RNNCORE_INLINE V gradient(const Update<typename V::Scalar>& update, V parameters, double weight_decay, index at) {
  using T = typename V::Scalar;
  V g = read<V>(update.gradients, at, update.count);
  if (update.maximize) g = -g;
  return weight_decay != 0 ? fma(parameters, V::broadcast(T(weight_decay)), g) : g;
}

// SGD with momentum (Polyak 1964) and Nesterov's (1983), in the form of Sutskever et al. 2013 and PyTorch.
template <class V>
void sgd(const SgdUpdate<typename V::Scalar>& update) {
  using T = typename V::Scalar;
  const FlushDenormals guard;
  const V momentum = V::broadcast(T(update.momentum)), rate = V::broadcast(T(-update.lr)),
          fresh = V::broadcast(T(1 - update.dampening));
  for (index at = 0; at < update.count; at += V::width) {
    const V p = read<V>(update.parameters, at, update.count);
    V g = gradient(update, p, update.weight_decay, at);
    if (update.velocity) {
      const V v = update.first ? g : fma(momentum, read<V>(update.velocity, at, update.count), fresh * g);
      write(v, update.velocity, at, update.count);
      g = update.nesterov ? fma(momentum, v, g) : v;
    }
    write(fma(rate, g, p), update.parameters, at, update.count);
  }
}

// Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019), AMSGrad (Reddi et al. 2018).
template <class V>
void adam(const AdamUpdate<typename V::Scalar>& update) {
  using T = typename V::Scalar;
  const FlushDenormals guard;
  const V beta1 = V::broadcast(T(update.beta1)), beta2 = V::broadcast(T(update.beta2));
  const V rest1 = V::broadcast(T(1 - update.beta1)), rest2 = V::broadcast(T(1 - update.beta2));
  const V keep = V::broadcast(T(update.decoupled ? 1 - update.lr * update.weight_decay : 1));
  const V rate = V::broadcast(T(-update.lr / update.correction1)), eps = V::broadcast(T(update.eps));
  const V root2 = V::broadcast(T(1 / __builtin_sqrt(update.correction2)));
  for (index at = 0; at < update.count; at += V::width) {
    V p = read<V>(update.parameters, at, update.count);
    const V g = gradient(update, p, update.decoupled ? 0 : update.weight_decay, at);
    const V m = fma(beta1, read<V>(update.mean, at, update.count), rest1 * g);
    V v = fma(beta2, read<V>(update.square, at, update.count), rest2 * g * g);
    write(m, update.mean, at, update.count);
    write(v, update.square, at, update.count);
    if (update.greatest) {
      v = max(v, read<V>(update.greatest, at, update.count));
      write(v, update.greatest, at, update.count);
    }
    if (update.decoupled) p = p * keep;
    write(fma(rate, m / fma(sqrt(v), root2, eps), p), update.parameters, at, update.count);
  }
}

// RMSprop (Tieleman & Hinton 2012), centred (Graves 2013) if there is a mean.
template <class V>
void rmsprop(const RmspropUpdate<typename V::Scalar>& update) {
  using T = typename V::Scalar;
  const FlushDenormals guard;
  const V alpha = V::broadcast(T(update.alpha)), rest = V::broadcast(T(1 - update.alpha));
  const V momentum = V::broadcast(T(update.momentum)), rate = V::broadcast(T(-update.lr));
  for (index at = 0; at < update.count; at += V::width) {
    const V p = read<V>(update.parameters, at, update.count);
    const V g = gradient(update, p, update.weight_decay, at);
    const V s = fma(alpha, read<V>(update.square, at, update.count), rest * g * g);
    write(s, update.square, at, update.count);
    V variance = s;
    if (update.mean) {
      const V m = fma(alpha, read<V>(update.mean, at, update.count), rest * g);
      write(m, update.mean, at, update.count);
      variance = max(s - m * m, T(0));
    }
    V step = g / (sqrt(variance) + T(update.eps));
    if (update.velocity) {
      step = fma(momentum, read<V>(update.velocity, at, update.count), step);
      write(step, update.velocity, at, update.count);
    }
    write(fma(rate, step, p), update.parameters, at, update.count);
  }
}

// Eight sums side by side, whatever a register holds.
template <class T>
double squared_norm(const T* values, index count) {
  constexpr int lanes = 8;
  double sums[lanes] = {}, rest = 0;
  index at = 0;
  for (; at + lanes <= count; at += lanes)
    for (int lane = 0; lane < lanes; ++lane) {
      const double value = double(values[at + lane]);
      sums[lane] += value * value;
    }
  for (; at < count; ++at) rest += double(values[at]) * double(values[at]);
  for (int lane = 0; lane < lanes; ++lane) rest += sums[lane];
  return rest;
}

template <class V>
void scale(typename V::Scalar* values, index count, typename V::Scalar factor) {
  const FlushDenormals guard;
  for (index at = 0; at < count; at += V::width) write(read<V>(values, at, count) * factor, values, at, count);
}

template <class V>
void clip_values(typename V::Scalar* values, index count, typename V::Scalar limit) {
  for (index at = 0; at < count; at += V::width)
    write(clamp(read<V>(values, at, count), -limit, limit), values, at, count);
}

template <class V>
OptimKernels<typename V::Scalar> optim_kernels() {
  return {sgd<V>, adam<V>, rmsprop<V>, squared_norm<typename V::Scalar>, scale<V>, clip_values<V>};
}

}  // namespace rnncore::RNNCORE_ISA
