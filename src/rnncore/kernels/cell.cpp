// The kernels of one cell, RNNCORE_CELL, compiled once for each cell, instruction set and scalar type: see cmake/Isa.cmake.
// No std:: templates in here: the linker would merge their copies across instruction sets.
#include "rnncore/cells/all.hpp"
#include "rnncore/kernels/backward.hpp"
#include "rnncore/kernels/forward.hpp"
#include "rnncore/kernels/kernels.hpp"
#include "rnncore/kernels/step.hpp"

#define RNNCORE_JOIN_(a, b) a##b
#define RNNCORE_JOIN(a, b) RNNCORE_JOIN_(a, b)

namespace rnncore::RNNCORE_ISA {

template <class C, class V>
CellKernels<typename V::Scalar> cell_kernels(const char* name) {
  static_assert(Cell<C>);
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

// e.g. cell_lstm
#define RNNCORE_NAME(name, cell) using cell_##name = cell;
RNNCORE_FOR_EACH_CELL(RNNCORE_NAME)
template CellKernels<RNNCORE_SCALAR> cell_kernels<RNNCORE_JOIN(cell_, RNNCORE_CELL), Pack<RNNCORE_SCALAR>>(const char*);

}  // namespace rnncore::RNNCORE_ISA
