// The counters that all benchmarks share.
#pragma once

#include <benchmark/benchmark.h>

#include "probe.hpp"

// GFLOP/s, and its share of the multiply-add peak measured at the start.
template <class T>
void count_operations(benchmark::State& state, double operations) {
  static const double peak = rnncore::probe::peak(rnncore::probe::probe<T>(), 0.2);
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GFLOP/s"] = benchmark::Counter(operations * 1e-9, rate);
  state.counters["%peak"] = benchmark::Counter(operations * 1e-7 / peak, rate);
}
