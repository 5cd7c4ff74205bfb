// rnncore_peak [THREADS]: what the machine can do at most, with the instruction set in use. A question a line, an
// answer a line:
//   fma float32|float64          GFLOP/s of multiply-adds in registers
//   read float32|float64 BYTES   GB/s of reading a block of so many bytes again and again
//   tanh float32|float64         10^9 values a second, in L1
// Threads measure at the same time, each on its own data, and their sum is answered. Two questions are about
// themselves:
//   region                       microseconds that a call takes to start them and to end with them
//   barrier                      microseconds that they take to wait for one another
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "probe.hpp"
#include "rnncore/dispatch.hpp"
#include "rnncore/parallel.hpp"

namespace {

constexpr double seconds = 0.02;

// The best rate of short runs of `run`, which says how much it did.
double rate(const std::function<double()>& run) {
  using clock = std::chrono::steady_clock;
  const auto end = clock::now() + std::chrono::duration<double>(seconds);
  double best = 0;
  while (clock::now() < end) {
    const auto start = clock::now();
    const double done = run();
    best = std::max(best, 1e-9 * done / std::chrono::duration<double>(clock::now() - start).count());
  }
  return best;
}

template <class T>
double answer(const std::string& what, std::size_t bytes) {
  const auto probe = rnncore::probe::probe<T>();
  if (what == "fma") return rnncore::probe::peak(probe, seconds);
  const std::size_t count = what == "read" ? std::max<std::size_t>(bytes / sizeof(T), 1024) : 1024;
  std::vector<T> data(count, T(0.5)), y(what == "tanh" ? count : 0);
  const auto size = static_cast<rnncore::index>(count);
  const int repeats = static_cast<int>(std::max<std::size_t>((1 << 20) / (count * sizeof(T)), 1));
  volatile double sink = 0;
  if (what == "read")
    return rate([&] {
      for (int i = 0; i < repeats; ++i) sink = probe.read(data.data(), size);
      return double(repeats) * double(count * sizeof(T));
    });
  if (what == "tanh")
    return rate([&] {
      for (int i = 0; i < repeats; ++i) probe.tanh(data.data(), size, y.data());
      return double(repeats) * double(count);
    });
  return 0;
}

// The least time of a region of so many threads that meet so often, in microseconds.
double region(int threads, int meetings) {
  using clock = std::chrono::steady_clock;
  double best = 1e9;
  for (int i = 0; i < 300; ++i) {
    rnncore::Control control;
    const auto start = clock::now();
    rnncore::parallel(threads, control, [&](const rnncore::Team& team) {
      for (int k = 0; k < meetings; ++k) team.synchronise();
    });
    best = std::min(best, 1e6 * std::chrono::duration<double>(clock::now() - start).count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  if (threads < 1) return std::fputs("usage: rnncore_peak [THREADS]\n", stderr), 2;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what, scalar;
    std::size_t bytes = 0;
    words >> what >> scalar >> bytes;
    if (what == "region" || what == "barrier") {
      const double alone = region(threads, 0);
      constexpr int meetings = 1000;
      std::printf("%.4f\n", what == "region" ? alone : (region(threads, meetings) - alone) / meetings);
      std::fflush(stdout);
      continue;
    }
    std::vector<double> answers(static_cast<std::size_t>(threads));
    std::vector<std::thread> others;
    const auto measure = [&](std::size_t i) {
      answers[i] = scalar == "float64" ? answer<double>(what, bytes) : answer<float>(what, bytes);
    };
    for (std::size_t i = 1; i < answers.size(); ++i) others.emplace_back(measure, i);
    measure(0);
    for (auto& thread : others) thread.join();
    double sum = 0;
    for (const double one : answers) sum += one;
    std::printf("%.3f\n", sum);
    std::fflush(stdout);
  }
}
