// Losses and their slopes, element by element; the cross-entropy row by row. Twin: python/rnncore/reference/losses.py
#pragma once

#include "rnncore/kernels/table.hpp"
#include "rnncore/simd/math.hpp"

namespace rnncore::RNNCORE_ISA {

// e^x: 0 for -infinity, infinity from about 88 (709 in double precision) on; NaN stays NaN.
template <class T>
RNNCORE_INLINE Pack<T> exp(Pack<T> x) {
  using C = ExpConstants<T>;
  constexpr T log2e = T(1.4426950408889634), lowest = C::exp_low / log2e, highest = (C::exp_high - T(0.5)) / log2e;
  const Pack<T> scale = Pack<T>::broadcast(log2e), inside = clamp(x, lowest, highest);
  const ExpParts<T> e(exponent_of(inside, scale));
  const Pack<T> value = fma(e.scale, e.p, e.scale);
  // Past the ends: x - inside is negative below, and what it adds above is more than any number can hold.
  const Pack<T> past = max(x - inside, T(0)) * T(__builtin_inf());
  return where_not_positive_zero(x - lowest, value) + where_not_positive_zero(x - highest, past);
}

// A mask that is 0 leaves an element out, whatever it holds.
template <class T, class F>
inline void each_element(const ElementLosses<T>& call, const F& loss) {
  for (index i = 0; i < call.count; ++i) {
    const T weight = call.weights ? call.weights[i] : T(1);
    T slope = 0;
    const double value = loss(i, slope);
    call.values[i] = weight > 0 ? double(weight) * value : 0.0;
    call.slopes[i] = weight > 0 ? weight * call.share * slope : T(0);
  }
}

// l = (log v + (t - m)^2 / v) / 2 with v = exp(s) + eps: slopes by m, and by s in log_slopes.
template <class V>
void gaussian_losses(const ElementLosses<typename V::Scalar>& call) {
  using T = typename V::Scalar;
  const V floor = V::broadcast(T(call.option)), half = V::broadcast(T(0.5));
  for (index at = 0; at < call.count; at += V::width) {
    const index left = call.count - at;
    const V weight = call.weights ? V::load_part(call.weights + at, left) : V::broadcast(T(1));
    const V spread = exp(V::load_part(call.logarithms + at, left)), variance = spread + floor;
    const V error = V::load_part(call.prediction + at, left) - V::load_part(call.target + at, left);
    const V ratio = error * error / variance, share = weight * call.share;
    where_not_positive_zero(weight, share * (error / variance)).store_part(call.slopes + at, left);
    where_not_positive_zero(weight, share * ((T(1) - ratio) * half * (spread / variance)))
        .store_part(call.log_slopes + at, left);
    T v[V::width], q[V::width], w[V::width];
    variance.store(v), ratio.store(q), weight.store(w);
    for (int lane = 0; lane < V::width && lane < left; ++lane)
      call.values[at + lane] =
          w[lane] > 0 ? double(w[lane]) * (__builtin_log(double(v[lane])) + double(q[lane])) / 2 : 0.0;
  }
}

template <class V>
void element_losses(const ElementLosses<typename V::Scalar>& call) {
  using T = typename V::Scalar;
  const T limit = T(call.option);
  const auto error = [&](index i) { return call.prediction[i] - call.target[i]; };
  switch (call.kind) {
    case LossKind::mean_squared_error:
      return each_element(call, [&](index i, T& slope) {
        const T e = error(i);
        slope = 2 * e;
        return double(e) * double(e);
      });
    case LossKind::mean_absolute_error:
      return each_element(call, [&](index i, T& slope) {
        const T e = error(i);
        slope = e > 0 ? T(1) : e < 0 ? T(-1) : e;  // 0 where they are equal, and NaN stays
        return double(e < 0 ? -e : e);
      });
    case LossKind::huber:
      return each_element(call, [&](index i, T& slope) {
        const T e = error(i);
        slope = e > limit ? limit : e < -limit ? -limit : e;
        return double(slope * (e - slope / 2));
      });
    case LossKind::pinball:
      return each_element(call, [&](index i, T& slope) {
        const T e = -error(i), q = call.quantiles[i], by_error = e > 0 ? q : q - 1;
        slope = e == 0 ? T(0) : e == e ? -by_error : e;
        return double(by_error * e);
      });
    case LossKind::gaussian_nll:
      return gaussian_losses<V>(call);
    case LossKind::cross_entropy:
      return;  // goes by rows
  }
}

// l = log(sum over k of exp(p_k)) - p_label, with the largest p_k taken off first; slopes softmax(p) - onehot(label).
template <class V>
void cross_entropies(const RowLosses<typename V::Scalar>& call, index first, index end) {
  using T = typename V::Scalar;
  const index C = call.columns;
  for (index r = first; r < end; ++r) {
    const T weight = call.weights ? call.weights[r] : T(1);
    T* const to = call.slopes + r * C;
    if (!(weight > 0)) {
      for (index k = 0; k < C; ++k) to[k] = 0;
      call.values[r] = 0;
      continue;
    }
    const T* const p = call.prediction + r * C;
    T largest = p[0];
    {
      index at = 0;
      if (C >= V::width) {
        V most = V::load(p);
        for (at = V::width; at + V::width <= C; at += V::width) most = max(most, V::load(p + at));
        T lanes[V::width];
        most.store(lanes);
        for (int lane = 0; lane < V::width; ++lane) largest = lanes[lane] > largest ? lanes[lane] : largest;
      }
      for (; at < C; ++at) largest = p[at] > largest ? p[at] : largest;
    }
    V sum = V::zero();
    index at = 0;
    for (; at + V::width <= C; at += V::width) {
      const V e = exp(V::load(p + at) - largest);
      e.store(to + at);
      sum = sum + e;
    }
    T lanes[V::width], total = 0;
    sum.store(lanes);
    for (int lane = 0; lane < V::width; ++lane) total += lanes[lane];
    if (at < C) {
      exp(V::load_part(p + at, C - at) - largest).store_part(to + at, C - at);
      for (index k = at; k < C; ++k) total += to[k];
    }
    const index label = call.labels[r];
    const T picked = p[label] - largest, scale = weight * call.share;
    call.values[r] = double(weight) * (__builtin_log(double(total)) - double(picked));
    const T own = (to[label] / total - T(1)) * scale, factor = scale / total;
    for (at = 0; at < C; at += V::width) (V::load_part(to + at, C - at) * factor).store_part(to + at, C - at);
    to[label] = own;
  }
}

template <class V>
LossKernels<typename V::Scalar> loss_kernels() {
  return {element_losses<V>, cross_entropies<V>};
}

}  // namespace rnncore::RNNCORE_ISA
