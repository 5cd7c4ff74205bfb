#include "rnncore/dispatch.hpp"

#include "rnncore/amx.hpp"
#include "rnncore/kernels/table.hpp"

#include <cstdlib>
#include <stdexcept>

namespace rnncore {

#define RNNCORE_DECLARE(set)                         \
  const KernelTable<float>& kernels_##set##_float(); \
  const KernelTable<double>& kernels_##set##_double();
RNNCORE_DECLARE(baseline)
RNNCORE_DECLARE(avx2)
RNNCORE_DECLARE(avx512)
RNNCORE_DECLARE(neon)
#undef RNNCORE_DECLARE

namespace {

struct InstructionSet {
  const char* name;
  bool (*runs)();
  const KernelTable<float>& (*single)();
  const KernelTable<double>& (*twofold)();
};

// Best first.
const InstructionSet sets[] = {
#ifdef RNNCORE_HAVE_AVX512
    {"avx512",
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
     },
     kernels_avx512_float, kernels_avx512_double},
#endif
#ifdef RNNCORE_HAVE_AVX2
    {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }, kernels_avx2_float,
     kernels_avx2_double},
#endif
#ifdef RNNCORE_HAVE_NEON
    {"neon", [] { return true; }, kernels_neon_float, kernels_neon_double},
#endif
#ifdef RNNCORE_HAVE_BASELINE
    {"baseline", [] { return true; }, kernels_baseline_float, kernels_baseline_double},
#endif
};

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

const InstructionSet& choose() {
  const char* wanted = std::getenv("RNNCORE_ISA");
  const bool any = !wanted || !*wanted;
  for (const auto& set : sets)
    if (any ? set.runs() : set.name == std::string(wanted) && set.runs()) return set;
  throw std::invalid_argument("RNNCORE_ISA is '" + std::string(any ? "" : wanted) +
                              "', this processor and build offer " + join(available_instruction_sets()));
}

const InstructionSet& chosen() {
  static const InstructionSet& set = choose();
  return set;
}

}  // namespace

template <>
const KernelTable<float>& kernels<float>() {
  return chosen().single();
}
template <>
const KernelTable<double>& kernels<double>() {
  return chosen().twofold();
}

std::string instruction_set() { return chosen().name; }

std::vector<std::string> compiled_instruction_sets() {
  std::vector<std::string> names;
  for (const auto& set : sets) names.emplace_back(set.name);
  return names;
}

std::vector<std::string> available_instruction_sets() {
  std::vector<std::string> names;
  for (const auto& set : sets)
    if (set.runs()) names.emplace_back(set.name);
  return names;
}

bool has_tiles() { return kernels<float>().width == 16 && amx_tiles(); }

const Dispatcher& dispatcher() {
  static const Dispatcher table{
      kernels<float>, kernels<double>, instruction_set, compiled_instruction_sets, available_instruction_sets,
      caches,         has_tiles};
  return table;
}

}  // namespace rnncore
