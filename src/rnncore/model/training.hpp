// One step of training: forward, loss, backward, clipping, update, in one call. It equals its parts called one by one,
// bit for bit.
#pragma once

#include <optional>

#include "rnncore/model/losses.hpp"
#include "rnncore/model/model.hpp"
#include "rnncore/optim.hpp"

namespace rnncore {

// An array over time, rows and columns; a stride of 0: the same along that axis.
template <class T>
struct Cells {
  T* data = nullptr;
  index time = 0, row = 0, column = 0;

  T at(index t, index n, index j) const { return data[t * time + n * row + j * column]; }
};

// What is to be learnt, in the form of y: by step, or by row behind a LastStep (time is 0 then).
template <class T>
struct Targets {
  Rows<const T> values;      // (T, N, F); or
  Rows<const index> labels;  // (T, N, 1) in 0..O - 1, where the weight is not 0
  index features = 1;
  Cells<const std::uint8_t> mask;  // data null: all count
  Cells<const T> weights;          // data null: 1
};

struct Clipping {
  std::optional<double> value, norm;  // the first comes first
};

struct StepResult {
  double loss = 0, weight = 0;  // as of LossResult
  bool finite = true;           // loss and gradient; otherwise nothing was updated
};

// Writes the final states and adds to gradients.parameters; gradients.x and gradients.initial as of Model::backward.
template <class T>
LossResult loss_and_gradients(const Model&, const ModelInputs<T>&, const Targets<T>&, const Loss&, T* const* final,
                              const ModelInputGradients<T>& gradients, Control&);

// Clips the gradient, and updates the parameters; false, and nothing is changed, if loss or gradient are not finite or
// the weight is 0. `steps` counts the updates of the optimiser.
template <class T>
StepResult train_step(const Model&, const ModelInputs<T>&, const Targets<T>&, const Loss&, T* const* final, T* gradient,
                      const Clipping&, const AnyUpdate<T>&, index& steps, Control&);

}  // namespace rnncore
