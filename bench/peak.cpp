// rnncore_peak ISA: prints the float32 GFLOP/s that one core reaches with this instruction set.
#include "peak.hpp"

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: rnncore_peak baseline|avx2|avx512\n", stderr), 2;
  std::printf("%.1f\n", rnncore::bench::peak(argv[1]));
}
