// What kernels.cpp collects into a table. cell.cpp, linear.cpp and pointwise.cpp define it, one object for each cell
// and one for the others: several compile side by side, and after a change of one cell that one alone.
#pragma once

#include "rnncore/kernels/table.hpp"

namespace rnncore::RNNCORE_ISA {

template <class C, class V>
CellKernels<typename V::Scalar> cell_kernels(const char* name);

template <class V>
LinearKernels<typename V::Scalar> linear_kernels();

template <class V>
PointwiseKernels<typename V::Scalar> pointwise_kernels();

}  // namespace rnncore::RNNCORE_ISA
