#include "rnncore/linear.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/parallel.hpp"

namespace rnncore {
namespace {

// A worker's share of the rows, a block at a time, until the caller wants to stop.
template <class Work>
void each_block(index rows, const Team& team, const Work& work) {
  constexpr index block = 4096;
  const index end = team.end(rows);
  for (index row = team.begin(rows); row < end && !team.stopped(); row += block) {
    work(row, std::min(row + block, end));
    team.look();
  }
}

// The activation of rows, in place.
template <class T>
void activate(Activation activation, index columns, Matrix<T> y, index first, index end) {
  if (activation == Activation::none) return;
  const auto& kernel = kernels<T>().pointwise.activation;
  if (y.row == columns) return kernel.forward(activation, (end - first) * columns, y.at(first), y.at(first));
  for (index row = first; row < end; ++row) kernel.forward(activation, columns, y.at(row), y.at(row));
}

// In the order of Activation, behind none.
constexpr const char* names_of_activations[] = {"relu", "tanh", "sigmoid", "gelu"};

}  // namespace

std::vector<std::string> activation_names() {
  return {std::begin(names_of_activations), std::end(names_of_activations)};
}

Activation activation_of(const std::string& name) {
  std::string all;
  int at = 0;
  for (const std::string known : names_of_activations) {
    ++at;
    if (name == known) return static_cast<Activation>(at);
    all += known + ", ";
  }
  throw std::invalid_argument("activation must be one of " + all + "or none, got '" + name + "'");
}

Linear::Linear(index in_features, index out_features, bool bias, Activation activation)
    : inputs_(in_features), outputs_(out_features), bias_(bias), activation_(activation) {
  check_at_least("in_features", 0, in_features);
  check_at_least("out_features", 1, out_features);
  checked_product({in_features + 1, out_features, 8});
  parameter_count_ = (in_features + (bias ? 1 : 0)) * out_features;
}

// Starting threads costs some microseconds: a call has to be worth it.
int Linear::useful_threads(int asked, index rows) const {
  constexpr double worthwhile = 2e6;  // multiply-adds
  const double work = static_cast<double>(rows) * static_cast<double>(inputs_) * static_cast<double>(outputs_);
  return work < worthwhile ? 1 : static_cast<int>(std::min<index>(thread_count(asked), std::max<index>(rows, 1)));
}

template <class T>
LinearWeights<T> Linear::weights(const T* parameters) const {
  return {inputs_, outputs_, parameters, bias_ ? parameters + inputs_ * outputs_ : nullptr};
}

template <class T>
void Linear::forward(const T* parameters, index rows, Matrix<const T> x, Matrix<T> y, T* sums, Control& control) const {
  const auto& kernel = kernels<T>().linear;
  const Buffer<T> panels(kernel.forward_panels(inputs_, outputs_));
  parallel(useful_threads(control.threads, rows), control, [&](const Team& team) {
    kernel.pack_forward(weights(parameters), panels.data(), team);
    team.synchronise();
    each_block(rows, team, [&](index first, index end) {
      kernel.forward(inputs_, outputs_, panels.data(), x, y, first, end);
      for (index row = first; sums && row < end; ++row) std::copy_n(y.at(row), outputs_, sums + row * outputs_);
      activate(activation_, outputs_, y, first, end);
    });
  });
}

template <class T>
void Linear::backward(const T* parameters, index rows, Matrix<const T> x, Matrix<const T> kept, Matrix<const T> dy,
                      Matrix<T> dx, T* d_parameters, Control& control) const {
  const Buffer<T> d_sums(activation_ == Activation::none ? 0 : checked_product({rows, outputs_}));
  const Matrix<const T> d_outputs = dy;
  if (activation_ != Activation::none) {
    parallel(useful_threads(control.threads, rows), control, [&](const Team& team) {
      each_block(rows, team, [&](index first, index end) {
        for (index row = first; row < end; ++row)
          kernels<T>().pointwise.activation.backward(activation_, outputs_, kept.at(row), d_outputs.at(row),
                                                     d_sums.data() + row * outputs_);
      });
    });
    dy = {d_sums.data(), outputs_};
  }
  const auto& kernel = kernels<T>().linear;
  const Buffer<T> panels(dx.data ? kernel.backward_panels(inputs_, outputs_) : 0);
  const Buffer<T> workspace(d_parameters ? kernel.gradient_workspace(inputs_) : 0);
  LinearGradients<T> gradients{inputs_, outputs_, rows, x, dy, d_parameters, nullptr};
  if (d_parameters && bias_) gradients.d_bias = d_parameters + inputs_ * outputs_;
  parallel(useful_threads(control.threads, rows), control, [&](const Team& team) {
    if (dx.data) kernel.pack_backward(weights(parameters), panels.data(), team);
    team.synchronise();
    if (dx.data)
      each_block(rows, team, [&](index first, index end) {
        kernel.input_gradient(inputs_, outputs_, panels.data(), dy, dx, first, end);
      });
    if (d_parameters && !team.stopped()) kernel.parameter_gradients(gradients, team, workspace.data());
  });
}

template <class T>
PackedLinear<T>::PackedLinear(const Linear& linear, const T* parameters)
    : linear_(linear), panels_(kernels<T>().linear.forward_panels(linear.in_features(), linear.out_features())) {
  kernels<T>().linear.pack_forward(linear_.weights(parameters), panels_.data(), Team());
}

template <class T>
void PackedLinear<T>::forward(index rows, Matrix<const T> x, Matrix<T> y) const noexcept {
  kernels<T>().linear.forward(linear_.in_features(), linear_.out_features(), panels_.data(), x, y, 0, rows);
  activate(linear_.activation(), linear_.out_features(), y, 0, rows);
}

template void Linear::forward(const float*, index, Matrix<const float>, Matrix<float>, float*, Control&) const;
template void Linear::forward(const double*, index, Matrix<const double>, Matrix<double>, double*, Control&) const;
template void Linear::backward(const float*, index, Matrix<const float>, Matrix<const float>, Matrix<const float>,
                               Matrix<float>, float*, Control&) const;
template void Linear::backward(const double*, index, Matrix<const double>, Matrix<const double>, Matrix<const double>,
                               Matrix<double>, double*, Control&) const;
template class PackedLinear<float>;
template class PackedLinear<double>;
template LinearWeights<float> Linear::weights(const float*) const;
template LinearWeights<double> Linear::weights(const double*) const;

}  // namespace rnncore
