// The parts of a call, each alone: activations, the register tile, the packing of weights.
#include <benchmark/benchmark.h>

#include <random>
#include <string>

#include "counters.hpp"
#include "probe.hpp"
#include "rnncore/buffer.hpp"
#include "rnncore/network.hpp"

namespace {

using rnncore::Buffer;
using rnncore::index;

template <class T>
Buffer<T> uniform(index count, double scale) {  // on cache lines, as the engine's own memory
  std::mt19937 random(1);
  std::uniform_real_distribution<double> distribution(-scale, scale);
  Buffer<T> values(count);
  for (index i = 0; i < count; ++i) values.data()[i] = static_cast<T>(distribution(random));
  return values;
}

template <class T>
void activation(benchmark::State& state, void (*function)(const T*, index, T*)) {
  constexpr index count = 1024;
  const auto x = uniform<T>(count, 4);
  const Buffer<T> y(count);
  for (auto _ : state) {
    function(x.data(), count, y.data());
    benchmark::ClobberMemory();
  }
  state.counters["time/element"] =
      benchmark::Counter(double(count), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

template <class T>
void multiply(benchmark::State& state, const rnncore::probe::Tile<T>& tile, index k) {
  const index width = rnncore::probe::probe<T>().width;
  const auto a = uniform<T>(tile.rows * k, 1), b = uniform<T>(k * tile.columns * width, 1);
  const Buffer<T> out(tile.rows * tile.columns * width);
  for (auto _ : state) {
    tile.multiply(a.data(), b.data(), k, out.data());
    benchmark::ClobberMemory();
  }
  count_operations<T>(state, 2.0 * double(tile.rows * tile.columns * width) * double(k));
}

template <class T>
void pack(benchmark::State& state, const std::string& cell, index size) {
  const rnncore::Network network(cell, size, size, 1, true, false);
  const auto parameters = uniform<T>(network.parameter_count(), 1);
  for (auto _ : state) benchmark::DoNotOptimize(network.pack<T>(parameters.data(), 0).data());
  state.counters["bytes/s"] =
      benchmark::Counter(double(network.parameter_count()) * sizeof(T), benchmark::Counter::kIsIterationInvariantRate);
}

template <class T>
void add(const std::string& scalar) {
  const auto probe = rnncore::probe::probe<T>();
  const auto add = [&](const std::string& name, auto run) {
    benchmark::RegisterBenchmark((name + "/" + scalar).c_str(), run);
  };
  add("tanh", [probe](benchmark::State& state) { activation<T>(state, probe.tanh); });
  add("tanh_of_exponent", [probe](benchmark::State& state) { activation<T>(state, probe.tanh_of_exponent); });
  add("sigmoid_of_exponent", [probe](benchmark::State& state) { activation<T>(state, probe.sigmoid_of_exponent); });
  for (int i = 0; i < probe.tile_count; ++i)
    for (const index k : {16, 64, 256}) {
      const auto tile = probe.tiles[i];
      add("tile/" + std::to_string(tile.rows) + "x" + std::to_string(tile.columns) + "/k:" + std::to_string(k),
          [tile, k](benchmark::State& state) { multiply<T>(state, tile, k); });
    }
  for (const auto& cell : rnncore::cell_names())
    for (const index size : {16, 128, 512})
      add("pack/" + cell + "/H:" + std::to_string(size),
          [cell, size](benchmark::State& state) { pack<T>(state, cell, size); });
}

}  // namespace

void add_parts() {
  add<float>("float32");
  add<double>("float64");
}
