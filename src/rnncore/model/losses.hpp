// Losses with masks and weights: the mean sum w l / sum w and its gradient. Twin: python/rnncore/reference/losses.py
#pragma once

#include <string>
#include <vector>

#include "rnncore/arrays.hpp"
#include "rnncore/control.hpp"
#include "rnncore/functions.hpp"

namespace rnncore {

struct Loss {
  LossKind kind = LossKind::mean_squared_error;
  double option = 0;              // Huber's delta; eps of the Gaussian
  std::vector<double> quantiles;  // of the pinball loss

  bool of_labels() const { return kind == LossKind::cross_entropy; }
  // Outputs of the model for each feature of the target: the quantiles; mean and logarithm of the variance; else 1.
  index outputs_per_feature() const;
};

// std::invalid_argument for an unknown name and for options out of range. Names are those of the functions in Python.
Loss loss_named(const std::string& name, double option, std::vector<double> quantiles);

template <class T>
struct LossCall {
  index rows = 0, columns = 0;      // of the prediction; the target has columns / outputs_per_feature()
  const T* prediction = nullptr;    // (rows, columns)
  const T* target = nullptr;        // (rows, features)
  const index* labels = nullptr;    // [rows], for the cross-entropy instead; not read where the weight is 0
  const T* weights = nullptr;       // null: 1
  bool weights_by_feature = false;  // (rows, features) rather than [rows]
  T* gradient = nullptr;            // (rows, columns)
};

struct LossResult {
  double loss = 0;
  double weight = 0;  // sum w over the target's elements
};

// If nothing is left to average, the loss and the gradient are zero. The sum is one chain in the order of the rows: a
// row of weight 0 changes no bit of it, nor does the number of threads.
template <class T>
LossResult take_loss(const Loss&, const LossCall<T>&, Control&);

}  // namespace rnncore
