// The table of one instruction set's kernels for one scalar type, compiled once for each pair: see cmake/Isa.cmake. No
// std:: templates in here: the linker would merge their copies across instruction sets.
#include "rnncore/kernels/kernels.hpp"

#include "rnncore/cells/all.hpp"
#include "rnncore/kernels/optim.hpp"
#include "rnncore/kernels/tree.hpp"

#define RNNCORE_JOIN_(a, b) a##_##b
#define RNNCORE_JOIN(a, b) RNNCORE_JOIN_(a, b)

namespace rnncore {
namespace RNNCORE_ISA {

namespace {  // float and double have a type of their own under this name

// One object, so that a call meets one guard of a static variable.
struct Tables {
  using V = Pack<RNNCORE_SCALAR>;
#define RNNCORE_KERNELS(name, cell) cell_kernels<cell, V>(#name),
#define RNNCORE_COUNT(name, cell) +1
  static constexpr int count = 0 RNNCORE_FOR_EACH_CELL(RNNCORE_COUNT);
  CellKernels<RNNCORE_SCALAR> cells[count] = {RNNCORE_FOR_EACH_CELL(RNNCORE_KERNELS)};
#undef RNNCORE_KERNELS
#undef RNNCORE_COUNT
  KernelTable<RNNCORE_SCALAR> table{V::width,           {cells, count},   linear_kernels<V>(), pointwise_kernels<V>(),
                                    optim_kernels<V>(), tree_kernels<V>()};
};

const KernelTable<RNNCORE_SCALAR>& table() {
  static const Tables tables;
  return tables.table;
}

}  // namespace

}  // namespace RNNCORE_ISA

// What dispatch.cpp calls, e.g. kernels_avx2_float().
const KernelTable<RNNCORE_SCALAR>& RNNCORE_JOIN(RNNCORE_JOIN(kernels, RNNCORE_ISA), RNNCORE_SCALAR)() {
  return RNNCORE_ISA::table();
}

}  // namespace rnncore
