// Streams in operation: the median and the slowest of a million steps, the steps of a model beside those of its parts,
// and the memory of many streams beside that of their states. rnncore_steps [steps]
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "rnncore/model/stream.hpp"

namespace {

using rnncore::Architecture;
using rnncore::index;
using rnncore::Model;
using Clock = std::chrono::steady_clock;
using Packed = std::shared_ptr<const rnncore::PackedModel<float>>;
using Stream = rnncore::ModelStream<float>;

rnncore::LayerDescription lstm(index inputs, index units, index layers = 1) {
  rnncore::RecurrentOptions options;
  options.cell = "lstm";
  options.input_size = inputs;
  options.hidden_size = units;
  options.num_layers = layers;
  return {"lstm", options};
}
rnncore::LayerDescription norm(index size) { return {"norm", rnncore::LayerNormOptions{size}}; }
rnncore::LayerDescription linear(index inputs, index outputs) {
  return {"linear", rnncore::LinearOptions{inputs, outputs, true, rnncore::Activation::tanh}};
}

Packed packed(std::vector<rnncore::LayerDescription> layers) {
  const Model model(Architecture{"float32", std::move(layers)});
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-0.2f, 0.2f);
  std::vector<float> parameters(static_cast<std::size_t>(model.parameter_count()));
  for (float& p : parameters) p = uniform(generator);
  return std::make_shared<const rnncore::PackedModel<float>>(model, parameters.data());
}

// Seconds of each of `count` steps, in ascending order, after some to warm up.
std::vector<double> times_of(Stream& stream, std::size_t count) {
  const auto N = static_cast<std::size_t>(stream.rows());
  std::vector<float> x(N * static_cast<std::size_t>(stream.input_size()), 0.5f);
  std::vector<float> y(N * static_cast<std::size_t>(stream.output_size()));
  std::vector<double> times(count);
  for (int warm = 0; warm < 100; ++warm) stream.step(x.data(), stream.input_size(), y.data(), stream.output_size());
  for (double& time : times) {
    const auto begin = Clock::now();
    stream.step(x.data(), stream.input_size(), y.data(), stream.output_size());
    time = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  std::sort(times.begin(), times.end());
  return times;
}

double median_of(const Packed& model, index rows, std::size_t count) {
  Stream stream(model, rows);
  return times_of(stream, count)[count / 2];
}

void slowest(const char* name, const Packed& model, std::size_t count) {
  Stream stream(model, 1);
  const auto times = times_of(stream, count);
  std::printf("%-34s median %7.0f ns, 99.9 %% %7.0f ns, slowest of %zu %9.0f ns\n", name, 1e9 * times[count / 2],
              1e9 * times[count - 1 - count / 1000], count, 1e9 * times.back());
}

// A model beside its layers, each a model of its own. The clock's own time is taken off.
void whole_and_parts(index rows, std::size_t count) {
  std::vector<double> nothing(count);
  for (double& time : nothing) {
    const auto begin = Clock::now();
    time = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  std::sort(nothing.begin(), nothing.end());
  const Packed whole = packed({lstm(8, 32), norm(32), linear(32, 4)});
  const Packed parts[] = {packed({lstm(8, 32)}), packed({norm(32)}), packed({linear(32, 4)})};
  double together = 1e9, apart = 1e9;  // the fastest of some rounds that take turns
  for (int round = 0; round < 9; ++round) {
    together = std::min(together, median_of(whole, rows, count) - nothing[count / 2]);
    double sum = 0;
    for (const auto& part : parts) sum += median_of(part, rows, count) - nothing[count / 2];
    apart = std::min(apart, sum);
  }
  std::printf("LSTM 32, LayerNorm, Linear with tanh, %5lld rows: %10.0f ns a step, its parts alone %10.0f ns: %.2f\n",
              static_cast<long long>(rows), 1e9 * together, 1e9 * apart, together / apart);
}

std::size_t bytes_in_use() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// The memory of `count` streams of `rows` rows beside that of their states.
void memory(const char* name, const Packed& model, std::size_t count, index rows) {
  const Stream first(model, rows);  // with what the others share
  std::vector<Stream> streams;
  const std::size_t before = bytes_in_use();
  streams.reserve(count);
  for (std::size_t k = 0; k < count; ++k) streams.emplace_back(model, rows);
  const double used = static_cast<double>(bytes_in_use() - before);
  const double states = static_cast<double>(count) * static_cast<double>(first.state_size()) * sizeof(float);
  std::printf("%-34s %5zu streams of %5lld rows: %8.2f MB, states %8.2f MB: %.2f\n", name, count,
              static_cast<long long>(rows), used / 1e6, states / 1e6, used / states);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000;
  if (count < 1000) return std::fprintf(stderr, "usage: rnncore_steps [steps, at least 1000]\n"), 2;
  setenv("RNNCORE_KEEP_MB", "0", 0);
  const Packed small = packed({lstm(8, 32), norm(32), linear(32, 4)});
  const Packed large = packed({lstm(32, 256, 2), linear(256, 1)});
  slowest("LSTM 32, LayerNorm, Linear", small, count);
  slowest("LSTM 256, 2 layers, Linear", large, count / 10);
  for (const index rows : {1, 16, 10'000})
    whole_and_parts(rows, std::max<std::size_t>(count / static_cast<std::size_t>(20 * rows), 20));
  memory("LSTM 32, LayerNorm, Linear", small, 10'000, 1);
  memory("LSTM 256, 2 layers, Linear", large, 10'000, 1);
  memory("LSTM 32, LayerNorm, Linear", small, 1, 10'000);
  memory("LSTM 256, 2 layers, Linear", large, 1, 10'000);
}
