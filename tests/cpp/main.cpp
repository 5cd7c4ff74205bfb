// Runs the tests with the instruction set that RNNCORE_ISA names; 77, which CTest takes for skipped, where the
// processor lacks it.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "rnncore/dispatch.hpp"

int main(int argc, char** argv) {
  const auto available = rnncore::available_instruction_sets();
  const char* wanted = std::getenv("RNNCORE_ISA");
  if (wanted && std::find(available.begin(), available.end(), wanted) == available.end()) {
    std::printf("this processor does not run %s\n", wanted);
    return 77;
  }
  std::printf("instruction set: %s\n", rnncore::instruction_set().c_str());
  return doctest::Context(argc, argv).run();
}
