// The kernels of the linear layer: compiled once for each instruction set and scalar type.
#include "rnncore/kernels/linear.hpp"

#include "rnncore/kernels/kernels.hpp"

namespace rnncore::RNNCORE_ISA {

template LinearKernels<RNNCORE_SCALAR> linear_kernels<Pack<RNNCORE_SCALAR>>();

}  // namespace rnncore::RNNCORE_ISA
