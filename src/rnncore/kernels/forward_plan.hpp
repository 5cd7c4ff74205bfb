// What a forward pass holds beside its arguments: how many steps at once, and where each array lies.
#pragma once

#include "rnncore/kernels/short_step.hpp"
#include "rnncore/kernels/step.hpp"

namespace rnncore::RNNCORE_ISA {

// The steps whose inputs and pre-activations are held at once: about half of a second-level cache.
constexpr index block_bytes = 256 * 1024;

template <class C, class V>
struct ForwardPlan {
  using T = typename V::Scalar;
  index panels, x_stride, h_stride, state_stride, block_steps, block_rows;
  bool folded;
  T *h, *h_next, *others[others_of<C>], *x, *pre, *partial, *sums;
  const T** pre_rows;  // where the pre-activations of each row begin: in pre, or by its label
  T** y;
  T *raw = nullptr, **raw_rows = nullptr;  // the output before its projection
  RoundedRows rounded;

  ForwardPlan(const Forward<T>& call, index slots, Arena<T>& arena) {
    const index H = call.hidden_size, I = call.input_size;
    panels = panels_of<V>(H);
    // Weights that stay in L1 beside the rows are multiplied in one go; one or two rows gain more from tiles over
    // several steps.
    const index weights = (I + H) * C::gates * V::width * index(sizeof(T));
    folded = !call.labels && !call.weight_ih && (I <= 4 || call.steps == 1 || (slots > 2 && weights <= 24 * 1024));
    x_stride = I <= 4 ? I : row_stride<T>(I);
    h_stride = row_stride<T>(padded<V>(call.output_size));
    state_stride = row_stride<T>(padded<V>(H));
    const index pre_row = folded ? 0 : panels * C::gates * V::width;
    const index row_bytes = slots * (x_stride + pre_row) * index(sizeof(T));
    block_steps = call.steps;
    const auto limit = [&](index step, index most) {
      if (step * block_steps > most) block_steps = step < most ? most / step : 1;
    };
    // Pairs are multiplied so fast that their weights are read for several steps, if they come from beyond the cache.
    const index pairs = call.format == WeightFormat::pairs ? I * C::gates * H * index(sizeof(Half)) : 0;
    limit(row_bytes, pairs > block_bytes ? pairs : block_bytes);
    // Between blocks the worker looks; steps of few rows wait for memory several times as long as they multiply.
    limit(slots * C::gates * padded<V>(H) * (I + call.output_size), usual_piece / 8);
    block_rows = block_steps * slots;
    h = arena.take(slots * h_stride);
    h_next = arena.take(slots * h_stride);
    for (auto& other : others) other = arena.take(C::states > 1 ? slots * state_stride : 0);
    x = arena.take(call.labels ? 0 : block_rows * x_stride);
    pre = arena.take(call.labels ? 0 : block_rows * pre_row);
    pre_rows = arena.template take_as<const T*>(folded ? 0 : block_rows);
    partial = arena.take(slots * 8 * C::accumulators * V::width);
    sums = arena.take(call.format == WeightFormat::full ? 0 : ShortWeights<C, V>::sums_size(H, slots));
    y = arena.template take_as<T*>(slots);
    if (can_be_short<V> && call.format == WeightFormat::pairs) {
      const index x_rows = folded ? slots : block_rows, h_width = call.projected() ? H : call.output_size;
      rounded.x = arena.template take_as<Half>(pair_rows(x_rows) * pair_stride(I));
      rounded.h = arena.template take_as<Half>(pair_rows(slots) * pair_stride(h_width));
    }
    if (!call.projected()) return;
    raw = arena.take(slots * state_stride);
    raw_rows = arena.template take_as<T*>(slots);
  }
};

template <class C, class V>
index forward_workspace(const Forward<typename V::Scalar>& call, index slots) {
  using T = typename V::Scalar;
  index most = 0;
  const index longest = Slabs<T>(call.hidden_size, slots).longest();
  for (index slab = longest > 0 ? longest - 1 : 0; slab <= longest; ++slab) {  // a smaller one may hold more steps
    Arena<T> arena(nullptr);
    ForwardPlan<C, V>(call, slab, arena);
    if (arena.used() > most) most = arena.used();
  }
  return most;
}

}  // namespace rnncore::RNNCORE_ISA
