// The table of one instruction set's kernels for one scalar type, compiled once for each pair: see cmake/Isa.cmake. No std::
// templates in here: the linker would merge their copies across instruction sets.
#include "rnncore/kernels/kernels.hpp"

#include "rnncore/cells/all.hpp"
#include "rnncore/kernels/optim.hpp"
#include "rnncore/kernels/tree.hpp"

#define RNNCORE_JOIN_(a, b) a##_##b
#define RNNCORE_JOIN(a, b) RNNCORE_JOIN_(a, b)

namespace rnncore {
namespace RNNCORE_ISA {

static const KernelTable<RNNCORE_SCALAR>& table() {
  using V = Pack<RNNCORE_SCALAR>;
#define RNNCORE_KERNELS(name, cell) cell_kernels<cell, V>(#name),
  static const CellKernels<RNNCORE_SCALAR> cells[] = {RNNCORE_FOR_EACH_CELL(RNNCORE_KERNELS)};
  static const KernelTable<RNNCORE_SCALAR> kernels{V::width,
                                                   {cells, int(sizeof(cells) / sizeof(cells[0]))},
                                                   linear_kernels<V>(),
                                                   optim_kernels<V>(),
                                                   tree_kernels<V>()};
#undef RNNCORE_KERNELS
  return kernels;
}

}  // namespace RNNCORE_ISA

// What dispatch.cpp calls, e.g. kernels_avx2_float().
const KernelTable<RNNCORE_SCALAR>& RNNCORE_JOIN(RNNCORE_JOIN(kernels, RNNCORE_ISA), RNNCORE_SCALAR)() {
  return RNNCORE_ISA::table();
}

}  // namespace rnncore
