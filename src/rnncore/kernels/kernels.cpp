// One instruction set's kernels for one scalar type: compiled once per pair, see cmake/Isa.cmake. No std:: templates in here:
// the linker would merge their copies across instruction sets.
#include "rnncore/cells/all.hpp"
#include "rnncore/kernels/backward.hpp"
#include "rnncore/kernels/forward.hpp"
#include "rnncore/kernels/linear.hpp"
#include "rnncore/kernels/optim.hpp"
#include "rnncore/kernels/step.hpp"

#define RNNCORE_JOIN_(a, b) a##_##b
#define RNNCORE_JOIN(a, b) RNNCORE_JOIN_(a, b)

namespace rnncore {
namespace RNNCORE_ISA {

template <Cell C, class V>
CellKernels<typename V::Scalar> kernels_of(const char* name) {
  return {name,
          C::gates,
          C::states,
          can_project<C>,
          [](index hidden_size) { return C::cached * padded<V>(hidden_size); },
          [](index input_size, index hidden_size, index output_size) {
            return ForwardPanels<C, V>(input_size, hidden_size, output_size).size;
          },
          [](index input_size, index hidden_size, index output_size) {
            return BackwardPanels<C, V>(input_size, hidden_size, output_size).size;
          },
          pack_forward<C, V>,
          pack_backward<C, V>,
          [](index hidden_size) { return C::accumulators * padded<V>(hidden_size); },
          multiply_distinct<C, V>,
          forward_workspace<C, V>,
          forward<C, V>,
          single_step<C, V>,
          single_step_workspace<C, V>,
          BackwardPass<C, V>::workspace,
          backward_shared<C, V>,
          backward<C, V>,
          distinct_gradients<C, V>};
}

static const KernelTable<RNNCORE_SCALAR>& table() {
  using V = Pack<RNNCORE_SCALAR>;
#define RNNCORE_KERNELS(name, cell) kernels_of<cell, V>(#name),
  static const KernelTable<RNNCORE_SCALAR> kernels{
      V::width, {RNNCORE_FOR_EACH_CELL(RNNCORE_KERNELS)}, linear_kernels<V>(), optim_kernels<V>()};
#undef RNNCORE_KERNELS
  return kernels;
}

}  // namespace RNNCORE_ISA

// What dispatch.cpp calls, e.g. kernels_avx2_float().
const KernelTable<RNNCORE_SCALAR>& RNNCORE_JOIN(RNNCORE_JOIN(kernels, RNNCORE_ISA), RNNCORE_SCALAR)() {
  return RNNCORE_ISA::table();
}

}  // namespace rnncore
