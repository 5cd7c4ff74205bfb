// The products that are the same for all cells: compiled once for each instruction set and scalar type, and not again
// with every cell.
#include "rnncore/kernels/gradients.hpp"
#include "rnncore/kernels/input_product.hpp"
#include "rnncore/kernels/projection.hpp"
#include "rnncore/kernels/unpacked.hpp"

namespace rnncore::RNNCORE_ISA {

template <class Body>
void shared_product(const Body& body, const Extent& extent) {
  tiled_product(body, extent);
}

template <class V>
void shared_product(const UnpackedProduct<V>& call) {
  index row = 0;
  for (; call.rows - row >= 4; row += 4) add_unpacked<4>(call, row);
  if (call.rows - row == 3) add_unpacked<3>(call, row);
  if (call.rows - row == 2) add_unpacked<2>(call, row);
  if (call.rows - row == 1) add_unpacked<1>(call, row);
}

using V = Pack<RNNCORE_SCALAR>;
template void shared_product(const UnpackedProduct<V>&);
template void shared_product(const ProjectedStep<V>&, const Extent&);
template void shared_product(const OperandGradient<0, V>&, const Extent&);
template void shared_product(const OperandGradient<1, V>&, const Extent&);
template void shared_product(const WeightGradient<V>&, const Extent&);
// For each number of gates in a panel.
template void shared_product(const InputProduct<1, V>&, const Extent&);
template void shared_product(const InputProduct<2, V>&, const Extent&);
template void shared_product(const InputProduct<3, V>&, const Extent&);
template void shared_product(const InputProduct<4, V>&, const Extent&);

}  // namespace rnncore::RNNCORE_ISA
