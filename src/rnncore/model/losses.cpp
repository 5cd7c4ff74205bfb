#include "rnncore/model/losses.hpp"

#include <algorithm>
#include <stdexcept>

#include "rnncore/buffer.hpp"
#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/model/each_rows.hpp"

namespace rnncore {
namespace {

// In the order of LossKind.
constexpr const char* names[] = {"mean_squared_error", "mean_absolute_error", "huber", "pinball",
                                 "gaussian_nll",       "cross_entropy"};

double sum(const double* values, index count) {
  double total = 0;
  for (index i = 0; i < count; ++i) total += values[i];
  return total;
}

// A target's elements, or its weights, once for each output that belongs to them.
template <class T>
Buffer<T> repeated(const T* from, index count, index times) {
  Buffer<T> to(checked_product({count, times}));
  for (index i = 0; i < count; ++i) std::fill_n(to.data() + i * times, times, from[i]);
  return to;
}

template <class T>
LossResult by_rows(const LossCall<T>& call, double weight, double* values, Control& control) {
  RowLosses<T> losses;
  losses.columns = call.columns;
  losses.prediction = call.prediction;
  losses.labels = call.labels;
  losses.weights = call.weights;
  losses.share = static_cast<T>(1 / weight);
  losses.values = values;
  losses.slopes = call.gradient;
  each_rows(call.rows, 16 * call.columns, control,
            [&](index first, index end) { kernels<T>().pointwise.losses.cross_entropy(losses, first, end); });
  return {sum(values, call.rows) / weight, weight};
}

// Means and logarithms lie side by side in each row: they are taken apart, and the gradients put back.
template <class T>
void gaussian(ElementLosses<T> losses, const LossCall<T>& call) {
  const index features = call.columns / 2;
  const Buffer<T> parts(checked_product({4, losses.count}));
  T *const means = parts.data(), *const logs = means + losses.count, *const d_means = logs + losses.count,
           *const d_logs = d_means + losses.count;
  for (index r = 0; r < call.rows; ++r) {
    std::copy_n(call.prediction + r * call.columns, features, means + r * features);
    std::copy_n(call.prediction + r * call.columns + features, features, logs + r * features);
  }
  losses.prediction = means;
  losses.logarithms = logs;
  losses.slopes = d_means;
  losses.log_slopes = d_logs;
  kernels<T>().pointwise.losses.elements(losses);
  for (index r = 0; r < call.rows; ++r) {
    std::copy_n(d_means + r * features, features, call.gradient + r * call.columns);
    std::copy_n(d_logs + r * features, features, call.gradient + r * call.columns + features);
  }
}

}  // namespace

index Loss::outputs_per_feature() const {
  if (kind == LossKind::pinball) return static_cast<index>(quantiles.size());
  return kind == LossKind::gaussian_nll ? 2 : 1;
}

Loss loss_named(const std::string& name, double option, std::vector<double> quantiles) {
  const auto found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names)) throw std::invalid_argument("there is no loss '" + name + "'");
  const Loss loss{static_cast<LossKind>(found - std::begin(names)), option, std::move(quantiles)};
  if (!(option >= 0)) throw std::invalid_argument("the option of a loss must not be negative");
  if (loss.kind == LossKind::pinball && loss.quantiles.empty())
    throw std::invalid_argument("the pinball loss needs at least one quantile");
  return loss;
}

template <class T>
LossResult take_loss(const Loss& loss, const LossCall<T>& call, Control& control) {
  const index per_feature = loss.outputs_per_feature();
  const index features = loss.of_labels() ? 1 : call.columns / per_feature;
  const index elements = checked_product({call.rows, features});
  double weight = static_cast<double>(elements);
  if (call.weights) {
    weight = 0;
    for (index i = 0; i < (call.weights_by_feature ? elements : call.rows); ++i)
      weight += static_cast<double>(call.weights[i]);
    if (!call.weights_by_feature) weight *= static_cast<double>(features);
  }
  if (weight == 0) {
    std::fill_n(call.gradient, checked_product({call.rows, call.columns}), T(0));
    return {};
  }
  const index count = loss.kind == LossKind::pinball ? checked_product({elements, per_feature}) : elements;
  const Buffer<double> values(count);
  if (loss.of_labels()) return by_rows(call, weight, values.data(), control);
  ElementLosses<T> losses;
  losses.kind = loss.kind;
  losses.option = loss.option;
  losses.count = count;
  losses.prediction = call.prediction;
  losses.target = call.target;
  losses.weights = call.weights;
  losses.values = values.data();
  losses.slopes = call.gradient;
  Buffer<T> weights, targets, quantiles;
  if (call.weights && !call.weights_by_feature && features > 1) {
    weights = repeated(call.weights, call.rows, features);
    losses.weights = weights.data();
  }
  double divisor = weight;
  if (loss.kind == LossKind::pinball) {
    divisor *= static_cast<double>(per_feature);
    targets = repeated(call.target, elements, per_feature);
    losses.target = targets.data();
    if (losses.weights) losses.weights = (weights = repeated(losses.weights, elements, per_feature)).data();
    quantiles = Buffer<T>(count);
    for (index i = 0; i < count; ++i)
      quantiles.data()[i] = static_cast<T>(loss.quantiles[static_cast<std::size_t>(i % per_feature)]);
    losses.quantiles = quantiles.data();
  }
  losses.share = static_cast<T>(1 / divisor);
  if (loss.kind == LossKind::gaussian_nll)
    gaussian(losses, call);
  else
    kernels<T>().pointwise.losses.elements(losses);
  return {sum(values.data(), count) / divisor, weight};
}

template LossResult take_loss(const Loss&, const LossCall<float>&, Control&);
template LossResult take_loss(const Loss&, const LossCall<double>&, Control&);

}  // namespace rnncore
