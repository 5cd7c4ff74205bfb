// Which instruction set's kernels run: the best that the processor has, or the one that RNNCORE_ISA names. Chosen once.
#pragma once

#include <string>
#include <vector>

#include "rnncore/caches.hpp"

namespace rnncore {

template <class T>
struct KernelTable;  // kernels/table.hpp

template <class T>
const KernelTable<T>& kernels();  // throws std::invalid_argument where RNNCORE_ISA names a set that cannot run

std::string instruction_set();                          // in use
std::vector<std::string> compiled_instruction_sets();   // best first
std::vector<std::string> available_instruction_sets();  // of those, what this processor runs
bool has_tiles();                                       // does the set in use multiply in bf16 on the tiles of AMX?

// These functions as a table: the Python module has no kernels of its own and takes those of the shared library.
struct Dispatcher {
  const KernelTable<float>& (*single)();
  const KernelTable<double>& (*twofold)();
  std::string (*in_use)();
  std::vector<std::string> (*compiled)();
  std::vector<std::string> (*available)();
  const Caches& (*caches)();
  bool (*has_tiles)();
};
const Dispatcher& dispatcher();

}  // namespace rnncore
