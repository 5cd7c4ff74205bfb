// Steps, and sequences forward and with backward. Counted are 2 T N G H (I + H) operations forward, three times that
// with backward.
#include <benchmark/benchmark.h>

#include <string>

#include "counters.hpp"
#include "problem.hpp"

namespace {

using rnncore::bench::Case;
using rnncore::bench::Problem;

const Case sequences[] = {
    {"lstm", 8, 1, 1, 1000},    {"lstm", 16, 1, 1, 1000},       {"lstm", 32, 32, 1, 1000},
    {"lstm", 32, 16, 32, 100},  {"lstm", 100, 20, 16, 50},      {"lstm", 128, 128, 1, 100},
    {"lstm", 128, 64, 32, 100}, {"lstm", 200, 200, 16, 50},     {"lstm", 256, 256, 64, 50},
    {"lstm", 300, 300, 16, 50}, {"lstm", 512, 512, 1, 50},      {"lstm", 512, 512, 32, 50},
    {"gru", 32, 32, 1, 1000},   {"gru", 32, 16, 32, 100},       {"gru", 128, 64, 32, 100},
    {"gru", 512, 512, 32, 50},  {"rnn_tanh", 128, 64, 32, 100}, {"rnn_tanh", 512, 512, 32, 50},
};
const Case steps[] = {
    {"lstm", 8, 1, 1, 1},     {"lstm", 16, 1, 1, 1},  {"lstm", 32, 1, 1, 1}, {"lstm", 32, 32, 1, 1},
    {"lstm", 64, 16, 1, 1},   {"lstm", 32, 32, 4, 1}, {"gru", 8, 1, 1, 1},   {"gru", 16, 1, 1, 1},
    {"gru", 32, 1, 1, 1},     {"gru", 32, 32, 1, 1},  {"gru", 64, 16, 1, 1}, {"rnn_tanh", 32, 1, 1, 1},
    {"lstm", 512, 512, 1, 1},
};

template <class T>
void add(const char* mode, const Case& c, const char* scalar, void (Problem<T>::*run)(), int passes) {
  benchmark::RegisterBenchmark((std::string(mode) + "/" + c.name() + "/" + scalar).c_str(),
                               [=](benchmark::State& state) {
                                 Problem<T> problem(c);
                                 for (auto _ : state) (problem.*run)();
                                 count_operations<T>(state, passes * c.operations());
                               });
}

template <class T>
void add(const char* scalar) {
  for (const auto& c : steps) add<T>("step", c, scalar, &Problem<T>::step, 1);
  for (const auto& c : sequences) add<T>("infer", c, scalar, &Problem<T>::infer, 1);
  for (const auto& c : sequences) add<T>("train", c, scalar, &Problem<T>::train, 3);
}

}  // namespace

void add_network() {
  add<float>("float32");
  add<double>("float64");
}
