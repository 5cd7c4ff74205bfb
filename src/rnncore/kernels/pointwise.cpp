// The kernels of activations, layer normalisation and losses: compiled once for each instruction set and scalar type.
#include "rnncore/kernels/activation.hpp"
#include "rnncore/kernels/kernels.hpp"
#include "rnncore/kernels/layer_norm.hpp"
#include "rnncore/kernels/losses.hpp"

namespace rnncore::RNNCORE_ISA {

template <class V>
PointwiseKernels<typename V::Scalar> pointwise_kernels() {
  return {activation_kernels<V>(), layer_norm_kernels<V>(), loss_kernels<V>()};
}

template PointwiseKernels<RNNCORE_SCALAR> pointwise_kernels<Pack<RNNCORE_SCALAR>>();

}  // namespace rnncore::RNNCORE_ISA
