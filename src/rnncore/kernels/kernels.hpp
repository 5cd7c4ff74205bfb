// What kernels.cpp collects into a table. cell.cpp and linear.cpp define it, one object for each cell and one for the linear
// layer: several compile side by side, and after a change of one cell that one alone.
#pragma once

#include "rnncore/kernels/table.hpp"

namespace rnncore::RNNCORE_ISA {

template <class C, class V>
CellKernels<typename V::Scalar> cell_kernels(const char* name);

template <class V>
LinearKernels<typename V::Scalar> linear_kernels();

}  // namespace rnncore::RNNCORE_ISA
