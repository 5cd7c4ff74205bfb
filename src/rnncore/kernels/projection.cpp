// The products of a projection: compiled once for each instruction set and scalar type, and not again for every cell that may be
// projected.
#include "rnncore/kernels/projection.hpp"

#include "rnncore/kernels/gradients.hpp"

namespace rnncore::RNNCORE_ISA {

template <class Body>
void project(const Body& body, const Extent& extent) {
  product(body, extent);
}

using V = Pack<RNNCORE_SCALAR>;
template void project(const ProjectedStep<V>&, const Extent&);
template void project(const OperandGradient<Projection, V>&, const Extent&);
template void project(const WeightGradient<Projection, V>&, const Extent&);

}  // namespace rnncore::RNNCORE_ISA
