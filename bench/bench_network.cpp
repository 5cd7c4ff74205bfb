// Sequences forward and backward, single steps among them, with GFLOP/s and the share of the measured multiply-add peak.
// Counted are 2 T N G H (I + H) operations forward and three times that with backward. RNNCORE_ISA chooses the instruction set.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "peak.hpp"
#include "rnncore/dispatch.hpp"
#include "rnncore/network.hpp"

namespace {

using rnncore::index;

struct Case {
  const char* cell;
  index hidden, input, rows, steps;
};

constexpr Case cases[] = {
    {"lstm", 8, 1, 1, 1000},        {"lstm", 16, 1, 1, 1000},   {"lstm", 32, 32, 1, 1000},
    {"lstm", 32, 16, 32, 100},      {"lstm", 100, 20, 16, 50},  {"lstm", 128, 128, 1, 100},
    {"lstm", 128, 64, 32, 100},     {"lstm", 256, 256, 64, 50}, {"lstm", 512, 512, 1, 50},
    {"lstm", 512, 512, 32, 50},     {"gru", 32, 32, 1, 1000},   {"gru", 32, 16, 32, 100},
    {"gru", 128, 64, 32, 100},      {"gru", 512, 512, 32, 50},  {"rnn_tanh", 128, 64, 32, 100},
    {"rnn_tanh", 512, 512, 32, 50},
};

double peak() {
  static const double value = rnncore::bench::peak(rnncore::instruction_set());
  return value;
}

template <class T>
class Sequences {
 public:
  explicit Sequences(const Case& c)
      : network(c.cell, c.input, c.hidden, 1, true, false),
        parameters(filled(network.parameter_count(), 0.1)),
        x(filled(c.steps * c.rows * c.input, 1)),
        y(filled(c.steps * c.rows * c.hidden, 1)),
        dy(y),
        dx(x),
        d_parameters(parameters) {
    for (auto& state : states) state = filled(c.rows * c.hidden, 1);
    inputs = {c.steps, c.rows, parameters.data(), {x.data(), c.rows * c.input, c.input}, {}, nullptr, nullptr, {}};
    outputs.y = {y.data(), c.rows * c.hidden, c.hidden};
    outputs.final[0] = states[0].data();
    outputs.final[1] = states[1].data();
    control.threads = 1;
  }

  void forward() { network.forward(inputs, outputs, static_cast<rnncore::Cache<T>*>(nullptr), control); }
  void train() {
    rnncore::Cache<T> cache;
    network.forward(inputs, outputs, &cache, control);
    const rnncore::OutputGradients<T> d_outputs{parameters.data(), {dy.data(), outputs.y.time, outputs.y.row}, {}};
    rnncore::InputGradients<T> d_inputs{{dx.data(), inputs.x.time, inputs.x.row}, {}, d_parameters.data()};
    d_inputs.initial[0] = states[2].data();
    d_inputs.initial[1] = states[3].data();
    network.backward(cache, d_outputs, d_inputs, control);
  }

 private:
  static std::vector<T> filled(index count, double scale) {
    std::mt19937 random(1);
    std::uniform_real_distribution<double> uniform(-scale, scale);
    std::vector<T> values(static_cast<std::size_t>(count));
    for (auto& value : values) value = static_cast<T>(uniform(random));
    return values;
  }

  rnncore::Network network;
  std::vector<T> parameters, x, y, dy, dx, d_parameters, states[4];
  rnncore::Inputs<T> inputs;
  rnncore::Outputs<T> outputs;
  rnncore::Control control;
};

template <class T>
void run(benchmark::State& state, const Case& c, bool train) {
  Sequences<T> sequences(c);
  for (auto _ : state) train ? sequences.train() : sequences.forward();
  const std::string cell = c.cell;
  const double gates = cell == "lstm" ? 4 : cell == "gru" ? 3 : 1;
  const double operations =
      2.0 * double(c.steps * c.rows * c.hidden) * gates * double(c.input + c.hidden) * (train ? 3 : 1);
  state.counters["GFLOP/s"] = benchmark::Counter(operations * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  if (peak() > 0) {
    const double possible = peak() / (sizeof(T) == 8 ? 2 : 1);
    state.counters["%peak"] =
        benchmark::Counter(operations * 1e-7 / possible, benchmark::Counter::kIsIterationInvariantRate);
  }
}

template <class T>
void add(const Case& c, bool train, const char* scalar) {
  const std::string name = std::string(train ? "train/" : "infer/") + c.cell + "/H:" + std::to_string(c.hidden) +
                           "/I:" + std::to_string(c.input) + "/N:" + std::to_string(c.rows) +
                           "/T:" + std::to_string(c.steps) + "/" + scalar;
  benchmark::RegisterBenchmark(name.c_str(), [c, train](benchmark::State& state) { run<T>(state, c, train); });
}

}  // namespace

int main(int argc, char** argv) {
  for (const bool train : {false, true})
    for (const auto& c : cases) {
      add<float>(c, train, "float32");
      add<double>(c, train, "float64");
    }
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("isa", rnncore::instruction_set());
  benchmark::RunSpecifiedBenchmarks();
}
