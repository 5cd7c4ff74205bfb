// rnncore_bench: the parts of the kernels, then steps and sequences. RNNCORE_ISA chooses the instruction set.
#include <benchmark/benchmark.h>

#include "rnncore/dispatch.hpp"

void add_parts();    // bench_parts.cpp
void add_network();  // bench_network.cpp

int main(int argc, char** argv) {
  add_parts();
  add_network();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("isa", rnncore::instruction_set());
  benchmark::RunSpecifiedBenchmarks();
}
