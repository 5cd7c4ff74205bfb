// A fully connected layer, y = f(x W^T + b) with f an activation or none, over one flat vector of parameters: W [O, I],
// then b [O]. A row's bits depend on that row alone. Twin: python/rnncore/reference/linear.py
#pragma once

#include <string>
#include <vector>

#include "rnncore/arrays.hpp"
#include "rnncore/buffer.hpp"
#include "rnncore/control.hpp"
#include "rnncore/functions.hpp"

namespace rnncore {

template <class T>
struct LinearWeights;  // kernels/table.hpp

std::vector<std::string> activation_names();        // but for none
Activation activation_of(const std::string& name);  // std::invalid_argument for another name

class Linear {
 public:
  // std::invalid_argument for sizes out of range
  Linear(index in_features, index out_features, bool bias, Activation activation = Activation::none);

  index in_features() const { return inputs_; }
  index out_features() const { return outputs_; }
  bool bias() const { return bias_; }
  Activation activation() const { return activation_; }
  // Backward needs what the activation was given, not what it gave.
  bool keeps_sums() const { return activation_ == Activation::gelu; }
  index parameter_count() const { return parameter_count_; }

  // sums [rows, out_features]: x W^T + b before the activation, or null: not wanted.
  template <class T>
  void forward(const T* parameters, index rows, Matrix<const T> x, Matrix<T> y, T* sums, Control&) const;
  // Writes dx, unless its data is null, and adds to d_parameters, unless null. kept is y, or the sums if it keeps
  // those; it is not read without an activation.
  template <class T>
  void backward(const T* parameters, index rows, Matrix<const T> x, Matrix<const T> kept, Matrix<const T> dy,
                Matrix<T> dx, T* d_parameters, Control&) const;

  template <class T>
  LinearWeights<T> weights(const T* parameters) const;

 private:
  int useful_threads(int asked, index rows) const;

  index inputs_, outputs_, parameter_count_;
  bool bias_;
  Activation activation_;
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
