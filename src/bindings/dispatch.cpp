// dispatch.hpp for the Python module: everything is the shared library's, so that a wheel holds the kernels once.
#include "rnncore/dispatch.hpp"

#include "rnncore/rnncore.h"

namespace rnncore {

const Dispatcher& dispatcher() {
  static const auto& table = *static_cast<const Dispatcher*>(rnncore_kernels());
  return table;
}

template <>
const KernelTable<float>& kernels<float>() {
  static const auto& table = dispatcher().single();
  return table;
}
template <>
const KernelTable<double>& kernels<double>() {
  static const auto& table = dispatcher().twofold();
  return table;
}

std::string instruction_set() { return dispatcher().in_use(); }
std::vector<std::string> compiled_instruction_sets() { return dispatcher().compiled(); }
std::vector<std::string> available_instruction_sets() { return dispatcher().available(); }
const Caches& caches() { return dispatcher().caches(); }
bool has_tiles() { return dispatcher().has_tiles(); }

}  // namespace rnncore
