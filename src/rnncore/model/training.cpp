#include "rnncore/model/training.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "rnncore/model/walk.hpp"

namespace rnncore {
namespace {

// Target and weights of what the loss counts, one behind the other as the model's outputs lie.
template <class T>
class Gathered {
 public:
  Gathered(const Steps& steps, bool per_step, const Targets<T>& from, bool of_labels)
      : steps_(steps), per_step_(per_step), rows_(per_step ? steps.valid() : steps.rows()) {
    const index F = from.features;
    Matrix<const T> matrix;
    if (of_labels) {
      labels_ = Buffer<index>(rows_ + 1);
      each([&](index t, index n, index v) { labels_.data()[v] = *from.labels.at(t, n); });
    } else if (per_step && steps.as_matrix(from.values, matrix) && (matrix.row == F || rows_ <= 1)) {
      values_ = matrix.data;
    } else {
      copy_ = Buffer<T>(checked_product({rows_, F}));
      each([&](index t, index n, index v) { std::copy_n(from.values.at(t, n), F, copy_.data() + v * F); });
      values_ = copy_.data();
    }
    if (from.mask.data || from.weights.data) weigh(from);
  }

  void fill(LossCall<T>& call) const {
    call.rows = rows_;
    call.target = values_;
    call.labels = labels_.data();
    call.weights = weights_.data();
    call.weights_by_feature = by_feature_;
  }
  index rows() const { return rows_; }

 private:
  template <class Work>
  void each(const Work& work) const {
    if (per_step_) return steps_.each(0, rows_, work);
    for (index n = 0; n < rows_; ++n) work(0, n, n);
  }

  void weigh(const Targets<T>& from) {
    by_feature_ = from.features > 1 && (from.mask.column != 0 || from.weights.column != 0);
    const index columns = by_feature_ ? from.features : 1;
    weights_ = Buffer<T>(checked_product({rows_, columns}) + 1);
    each([&](index t, index n, index v) {
      for (index j = 0; j < columns; ++j) {
        const bool counts = !from.mask.data || from.mask.at(t, n, j);
        weights_.data()[v * columns + j] = !counts ? T(0) : from.weights.data ? from.weights.at(t, n, j) : T(1);
      }
    });
  }

  const Steps& steps_;
  bool per_step_;
  index rows_;
  const T* values_ = nullptr;
  Buffer<T> copy_, weights_;
  Buffer<index> labels_;
  bool by_feature_ = false;
};

// By value, then by the norm of what is left: as clip_grad_value and clip_grad_norm of Python do.
template <class T>
void clip(T* gradient, index count, const Clipping& clipping, double square) {
  const auto& kernel = kernels<T>().optim;
  if (clipping.value) {
    kernel.clip(gradient, count, static_cast<T>(*clipping.value));
    square = squared_norm(gradient, count);
  }
  if (!clipping.norm) return;
  const double norm = std::sqrt(square);
  if (norm > *clipping.norm) kernel.scale(gradient, count, static_cast<T>(*clipping.norm / (norm + 1e-6)));
}

}  // namespace

template <class T>
LossResult loss_and_gradients(const Model& model, const ModelInputs<T>& inputs, const Targets<T>& targets,
                              const Loss& loss, T* const* final, const ModelInputGradients<T>& gradients,
                              Control& control) {
  const Steps steps(inputs.steps, inputs.rows, inputs.lengths, model.batch_first());
  const Gathered<T> gathered(steps, model.per_step(), targets, loss.of_labels());
  const index columns = model.out_features().value_or(inputs.features);
  const Buffer<T> y(checked_product({gathered.rows(), columns}) + 1), dy(y.size());
  ModelCache<T> cache;
  ModelOutputs<T> outputs;
  outputs.y = {y.data(), 0, columns};
  outputs.final = final;
  outputs.valid_alone = true;
  model.forward(inputs, outputs, &cache, control);
  LossCall<T> call;
  gathered.fill(call);
  call.columns = columns;
  call.prediction = y.data();
  call.gradient = dy.data();
  const LossResult result = take_loss(loss, call, control);
  ModelOutputGradients<T> d_outputs;
  d_outputs.parameters = inputs.parameters;
  d_outputs.y = {dy.data(), 0, columns};
  d_outputs.valid_alone = true;
  model.backward(cache, d_outputs, gradients, control);
  return result;
}

template <class T>
StepResult train_step(const Model& model, const ModelInputs<T>& inputs, const Targets<T>& targets, const Loss& loss,
                      T* const* final, T* gradient, const Clipping& clipping, const AnyUpdate<T>& update, index& steps,
                      Control& control) {
  const index count = model.parameter_count();
  std::fill_n(gradient, count, T(0));
  ModelInputGradients<T> gradients;
  gradients.parameters = gradient;
  const LossResult result = loss_and_gradients(model, inputs, targets, loss, final, gradients, control);
  const double square = squared_norm(gradient, count);
  if (!std::isfinite(result.loss) || !std::isfinite(square)) return {result.loss, result.weight, false};
  if (!(result.weight > 0)) return {result.loss, result.weight, true};
  clip(gradient, count, clipping, square);
  AnyUpdate<T> own = update;
  std::visit(
      [&](auto& any) {
        any.count = count;
        any.gradients = gradient;
      },
      own);
  step(own, steps);
  ++steps;
  return {result.loss, result.weight, true};
}

template LossResult loss_and_gradients(const Model&, const ModelInputs<float>&, const Targets<float>&, const Loss&,
                                       float* const*, const ModelInputGradients<float>&, Control&);
template LossResult loss_and_gradients(const Model&, const ModelInputs<double>&, const Targets<double>&, const Loss&,
                                       double* const*, const ModelInputGradients<double>&, Control&);
template StepResult train_step(const Model&, const ModelInputs<float>&, const Targets<float>&, const Loss&,
                               float* const*, float*, const Clipping&, const AnyUpdate<float>&, index&, Control&);
template StepResult train_step(const Model&, const ModelInputs<double>&, const Targets<double>&, const Loss&,
                               double* const*, double*, const Clipping&, const AnyUpdate<double>&, index&, Control&);

}  // namespace rnncore
