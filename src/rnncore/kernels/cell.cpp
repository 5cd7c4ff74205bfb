// The kernels of one cell, RNNCORE_CELL, compiled once for each cell, instruction set and scalar type: see
// cmake/Isa.cmake. No std:: templates in here: the linker would merge their copies across instruction sets.
#include "rnncore/cells/all.hpp"
#include "rnncore/kernels/backward.hpp"
#include "rnncore/kernels/forward.hpp"
#include "rnncore/kernels/kernels.hpp"
#include "rnncore/kernels/single_step.hpp"

#define RNNCORE_JOIN_(a, b) a##b
#define RNNCORE_JOIN(a, b) RNNCORE_JOIN_(a, b)

namespace rnncore::RNNCORE_ISA {

constexpr bool same_text(const char* a, const char* b) { return __builtin_strcmp(a, b) == 0; }

// Is state[0] h, and does the cache keep every other state under its own name?
template <Cell C>
constexpr bool states_are_kept() {
  for (int k = 1; k < C::states; ++k)
    if (C::cached_state[k] < 0 || !same_text(C::cached_names[C::cached_state[k]], C::state_names[k])) return false;
  return same_text(C::state_names[0], "h");
}

template <Cell C>
CellDescription cell_description_of(const char* name) {
  static_assert(C::states >= 1 && C::states <= max_states, "raise max_states");
  static_assert(vectors_of<C> <= max_vectors && options_of<C> <= max_options, "raise max_vectors or max_options");
  static_assert(sizeof(OptionsOf<C>) == (has_options<C> ? options_of<C> * sizeof(double) : 1), "Options are doubles");
  static_assert(states_are_kept<C>());
  CellDescription cell{name,           C::gates,      C::states,      C::cached,       vectors_of<C>, options_of<C>,
                       can_project<C>, C::gate_names, C::state_names, C::cached_names, nullptr,       nullptr};
  if constexpr (has_vectors<C>) cell.vector = C::vectors;
  if constexpr (has_options<C>) cell.option = C::options;
  return cell;
}

template <class C, class V>
CellKernels<typename V::Scalar> cell_kernels(const char* name) {
  static_assert(Cell<C>);
  return {cell_description_of<C>(name),
          [](index hidden_size) { return C::cached * padded<V>(hidden_size); },
          [](WeightFormat format, index input_size, index hidden_size, index output_size) {
            return format == WeightFormat::full ? ForwardPanels<C, V>(input_size, hidden_size, output_size).size
                                                : ShortPanels<C, V>(format, input_size, hidden_size, output_size).size;
          },
          [](WeightFormat format, index input_size, index hidden_size, index output_size) {
            return BackwardPanels<C, V>(format, input_size, hidden_size, output_size).size;
          },
          [](WeightFormat format, const Weights<const typename V::Scalar>& weights, typename V::Scalar* to,
             const Team& team) {
            if (format == WeightFormat::full) return pack_forward<C, V>(weights, to, team);
            if constexpr (can_be_short<V>) pack_short_forward<C, V>(format, weights, to, team);
          },
          pack_backward<C, V>,
          [](WeightFormat format, index input_size, index hidden_size, index output_size,
             const typename V::Scalar* panels, typename V::Scalar* to, const Team& team) {
            if constexpr (can_be_short<V>)
              widen_forward<C, V>(format, input_size, hidden_size, output_size, panels, to, team);
          },
          [](index hidden_size) { return gradients_of<C> * padded<V>(hidden_size); },
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
