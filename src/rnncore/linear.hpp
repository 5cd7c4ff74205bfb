// A fully connected layer, y = x W^T + b, over one flat vector of parameters: W [O, I], then b [O].
// A row's bits depend on that row alone. Twin: python/rnncore/reference/linear.py
#pragma once

#include "rnncore/arrays.hpp"
#include "rnncore/control.hpp"
#include "rnncore/workspace.hpp"

namespace rnncore {

template <class T>
struct LinearWeights;  // kernels/table.hpp

class Linear {
 public:
  Linear(index in_features, index out_features, bool bias);  // std::invalid_argument for sizes out of range

  index in_features() const { return inputs_; }
  index out_features() const { return outputs_; }
  bool bias() const { return bias_; }
  index parameter_count() const { return parameter_count_; }

  template <class T>
  void forward(const T* parameters, index rows, Matrix<const T> x, Matrix<T> y, Control&) const;
  // Writes dx, unless its data is null, and adds to d_parameters, unless null.
  template <class T>
  void backward(const T* parameters, index rows, Matrix<const T> x, Matrix<const T> dy, Matrix<T> dx, T* d_parameters,
                Control&) const;

  template <class T>
  LinearWeights<T> weights(const T* parameters) const;

 private:
  int useful_threads(int asked, index rows) const;

  index inputs_, outputs_, parameter_count_;
  bool bias_;
};

// Weights in the kernels' order, for calls that neither allocate nor lock. They never change.
template <class T>
class PackedLinear {
 public:
  PackedLinear(const Linear& linear, const T* parameters);

  const Linear& linear() const { return linear_; }
  // The bits of Linear::forward.
  void forward(index rows, Matrix<const T> x, Matrix<T> y) const noexcept;

 private:
  Linear linear_;
  Buffer<T> panels_;
};

}  // namespace rnncore
