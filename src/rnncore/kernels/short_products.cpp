// The products with weights in fewer bits, for each number of gates: compiled once for all cells, for float alone.
#include "rnncore/kernels/short_product.hpp"

namespace rnncore::RNNCORE_ISA {

template <class Body>
void shared_product(const Body& body, const Extent& extent) {
  tiled_product(body, extent);
}

using V = Pack<float>;
#define RNNCORE_SHORT(gates)                                                                      \
  template void shared_product(const ShortProduct<WeightFormat::bf16, gates, V>&, const Extent&); \
  template void shared_product(const ShortProduct<WeightFormat::int8, gates, V>&, const Extent&);
RNNCORE_SHORT(1)
RNNCORE_SHORT(2)
RNNCORE_SHORT(3)
RNNCORE_SHORT(4)

}  // namespace rnncore::RNNCORE_ISA
