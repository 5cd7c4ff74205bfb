// rnncore_instructions: the named kernels; rnncore_instructions NAME: runs that one in measured(), whose instructions
// Callgrind counts. All data are the same in every run. See instructions.py.
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "probe.hpp"
#include "problem.hpp"

using rnncore::index;
using rnncore::bench::Case;
using rnncore::bench::Problem;

namespace {

struct Kernel {
  std::function<void()> run;
  double count;      // of
  const char* unit;  // these
};

Kernel of_elements(void (*function)(const float*, index, float*)) {
  static std::vector<float> x(4096), y(4096);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(i % 64) / 8.0f - 4.0f;
  return {[=] { function(x.data(), index(x.size()), y.data()); }, double(x.size()), "element"};
}

Kernel of_tile(int which) {
  constexpr index k = 128;
  static std::vector<float> a(6 * k, 0.5f), b(16 * 16 * k, 0.5f), out(6 * 16 * 16);
  const auto probe = rnncore::probe::probe<float>();
  const auto tile = probe.tiles[which];
  return {[=] { tile.multiply(a.data(), b.data(), k, out.data()); },
          double(tile.rows * tile.columns * probe.width * int(k)), "multiply-add"};
}

Kernel of_pack(const std::string& cell, index size) {
  static std::vector<float> parameters(size_t(16 * size * size), 0.5f);
  const rnncore::Network network(cell, size, size, 1, true, false);
  return {[=] { network.pack<float>(parameters.data(), 0); }, double(network.parameter_count()), "weight"};
}

Kernel of_problem(const Case& c, void (Problem<float>::*run)()) {
  auto problem = std::make_shared<Problem<float>>(c);
  ((*problem).*run)();  // the first call touches memory
  return {[=] { ((*problem).*run)(); }, double(c.steps * c.rows), "step and row"};
}

const std::vector<std::pair<std::string, std::function<Kernel()>>> kernels = {
    {"tanh", [] { return of_elements(rnncore::probe::probe<float>().tanh); }},
    {"sigmoid of an exponent", [] { return of_elements(rnncore::probe::probe<float>().sigmoid_of_exponent); }},
    {"tile, 4 gates", [] { return of_tile(2); }},
    {"tile, 2 gates", [] { return of_tile(5); }},
    {"pack lstm H=64 I=64", [] { return of_pack("lstm", 64); }},
    {"step lstm H=16 I=1",
     [] {
       return of_problem({"lstm", 16, 1, 1, 1}, &Problem<float>::step);
     }},
    {"step gru H=32 I=32",
     [] {
       return of_problem({"gru", 32, 32, 1, 1}, &Problem<float>::step);
     }},
    {"infer lstm H=16 I=1 N=1",
     [] {
       return of_problem({"lstm", 16, 1, 1, 100}, &Problem<float>::infer);
     }},
    {"infer lstm H=64 I=32 N=1",
     [] {
       return of_problem({"lstm", 64, 32, 1, 20}, &Problem<float>::infer);
     }},
    {"infer lstm H=64 I=32 N=8",
     [] {
       return of_problem({"lstm", 64, 32, 8, 20}, &Problem<float>::infer);
     }},
    {"infer lstm H=128 I=64 N=16",
     [] {
       return of_problem({"lstm", 128, 64, 16, 20}, &Problem<float>::infer);
     }},
    {"infer gru H=100 I=20 N=8",
     [] {
       return of_problem({"gru", 100, 20, 8, 20}, &Problem<float>::infer);
     }},
    {"train lstm H=64 I=32 N=8",
     [] {
       return of_problem({"lstm", 64, 32, 8, 20}, &Problem<float>::train);
     }},
    {"train gru H=100 I=20 N=8",
     [] {
       return of_problem({"gru", 100, 20, 8, 20}, &Problem<float>::train);
     }},
    {"train rnn_tanh H=64 I=32 N=8",
     [] {
       return of_problem({"rnn_tanh", 64, 32, 8, 20}, &Problem<float>::train);
     }},
};

// Those above, and a step of every cell: one row, as a stream takes it, and one of a training call.
std::vector<std::pair<std::string, std::function<Kernel()>>> all_kernels() {
  auto all = kernels;
  for (const auto& cell : rnncore::cell_names()) {
    all.emplace_back("step " + cell + " H=32 I=8", [cell] {
      return of_problem({cell, 32, 8, 1, 1}, &Problem<float>::step);
    });
    all.emplace_back("train " + cell + " H=32 I=8 N=8", [cell] {
      return of_problem({cell, 32, 8, 8, 20}, &Problem<float>::train);
    });
  }
  return all;
}

}  // namespace

extern "C" [[gnu::noinline]] void measured(const Kernel& kernel) {
  kernel.run();
  asm volatile("" ::: "memory");  // no tail call: the instructions stay inside
}

int main(int argc, char** argv) {
  for (const auto& [name, make] : all_kernels()) {
    if (argc == 1) {
      std::puts(name.c_str());
    } else if (name == argv[1]) {
      const Kernel kernel = make();
      measured(kernel);
      std::printf("%.0f %s\n", kernel.count, kernel.unit);
      return 0;
    }
  }
  if (argc == 1) return 0;
  std::fprintf(stderr, "no kernel is named %s\n", argv[1]);
  return 2;
}
