#include "rnncore/model/stream.hpp"

#include <algorithm>
#include <stdexcept>

#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/model/walk.hpp"

namespace rnncore {

template <class T>
void PackedLayerNorm<T>::forward(index rows, Matrix<const T> x, Matrix<T> y) const noexcept {
  const T* const weight = affine ? parameters.data() : nullptr;
  const LayerNormWeights<T> weights{size, eps, weight, bias ? weight + size : nullptr};
  kernels<T>().pointwise.layer_norm.forward(weights, x, y, nullptr, nullptr, 0, rows);
}

template <class T>
PackedModel<T>::PackedModel(const Model& model, const T* parameters)
    : model_(model),
      input_size_(model.takes_labels() ? 1 : model.in_features().value_or(0)),
      output_size_(model.out_features().value_or(0)) {
  if (model.looks_ahead()) throw std::invalid_argument("a bidirectional layer cannot stream: it reads the future");
  for (const auto& layer : model.layers()) {
    const T* const own = parameters + layer.offset;
    if (layer.network) {
      stages_.emplace_back(std::make_shared<const PackedNetwork<T>>(*layer.network, own));
    } else if (layer.linear) {
      stages_.emplace_back(PackedLinear<T>(*layer.linear, own));
    } else if (const auto* o = layer.template as<LayerNormOptions>()) {
      Buffer<T> copy(layer.parameter_count);
      std::copy_n(own, layer.parameter_count, copy.data());
      stages_.emplace_back(PackedLayerNorm<T>{o->normalized_shape, o->eps, o->elementwise_affine,
                                              o->elementwise_affine && o->bias, std::move(copy)});
    } else if (layer.template as<EmbeddingOptions>()) {
      table_columns_ = layer.gives.value();
      table_ = Buffer<T>(layer.parameter_count);
      std::copy_n(own, layer.parameter_count, table_.data());
    }
  }
  if (!model.out_features())
    throw std::invalid_argument("a model that streams needs a layer with a number of features, got Dropout alone");
}

template <class T>
ModelStream<T>::ModelStream(std::shared_ptr<const PackedModel<T>> packed, index rows)
    : packed_(std::move(packed)), rows_(rows) {
  if (rows < 1) throw std::invalid_argument("batch_size must be at least 1, got " + std::to_string(rows));
  widest_ = std::max<index>(packed_->table_columns(), 1);
  for (const auto& layer : model().layers()) widest_ = std::max(widest_, layer.gives.value_or(0));
  for (const auto& stage : packed_->stages())
    if (const auto* network = std::get_if<std::shared_ptr<const PackedNetwork<T>>>(&stage))
      streams_.emplace_back(*network, rows);
  for (std::size_t k = 0; k < 2; ++k)
    if (packed_->stages().size() > k + 1 || (k == 1 && packed_->table_row(0)))
      between_[k] = Buffer<T>(checked_product({rows_at_a_time(rows), widest_}));
}

template <class T>
ModelStream<T> ModelStream<T>::fork() const {
  ModelStream copy(packed_, rows_);
  const auto& states = model().states();
  for (std::size_t k = 0; k < states.size(); ++k)
    std::copy_n(state(k), states[k].layers * rows_ * states[k].size, copy.state(k));
  return copy;
}

template <class T>
void ModelStream<T>::reset(index row) noexcept {
  for (auto& stream : streams_) stream.reset(row);
}

template <class T>
void ModelStream<T>::look_up(index rows, const index* labels, T* to) const noexcept {
  const index E = packed_->table_columns();
  for (index n = 0; n < rows; ++n) std::copy_n(packed_->table_row(labels[n]), E, to + n * widest_);
}

template <class T>
void ModelStream<T>::step(const index* labels, T* y, index y_row) noexcept {
  const index part = rows_at_a_time(rows_);
  T* const found = between_[1].data();
  for (index first = 0; first < rows_; first += part) {
    const index count = std::min(part, rows_ - first);
    look_up(count, labels + first, found);
    if (packed_->stages().empty())
      for (index n = 0; n < count; ++n) std::copy_n(found + n * widest_, output_size(), y + (first + n) * y_row);
    else
      step_part(first, count, found, widest_, y + first * y_row, y_row);
  }
}

template <class T>
void ModelStream<T>::step(const T* x, index x_row, T* y, index y_row) noexcept {
  const index part = rows_at_a_time(rows_);
  for (index first = 0; first < rows_; first += part)
    step_part(first, std::min(part, rows_ - first), x + first * x_row, x_row, y + first * y_row, y_row);
}

template <class T>
void ModelStream<T>::step_part(index first, index count, const T* x, index x_row, T* y, index y_row) noexcept {
  const auto& stages = packed_->stages();
  Matrix<const T> from{x, x_row};
  std::size_t recurrent = 0;
  for (std::size_t k = 0; k < stages.size(); ++k) {
    Matrix<T> to{between_[k % 2].data(), widest_};
    if (k + 1 == stages.size()) to = {y, y_row};
    if (std::holds_alternative<std::shared_ptr<const PackedNetwork<T>>>(stages[k]))
      streams_[recurrent++].step(first, count, from.data, from.row, to.data, to.row);
    else if (const auto* linear = std::get_if<PackedLinear<T>>(&stages[k]))
      linear->forward(count, from, to);
    else if (const auto* norm = std::get_if<PackedLayerNorm<T>>(&stages[k]))
      norm->forward(count, from, to);
    from = {to.data, to.row};
  }
}

// Stage by stage over a block of steps. The states of all recurrent layers come back if the caller stops it.
template <class T>
void ModelStream<T>::run_block(index steps, const Rows<const T>& x, const Rows<T>& y, Control& control) {
  const auto& stages = packed_->stages();
  const Buffer<T> before(state_size());
  copy_state(before.data());
  Buffer<T> outputs[2];
  for (std::size_t k = 0; k + 1 < std::min<std::size_t>(stages.size(), 3); ++k)
    outputs[k] = Buffer<T>(checked_product({steps, rows_, widest_}));
  Rows<const T> from = x;
  std::size_t recurrent = 0;
  try {
    for (std::size_t k = 0; k < stages.size(); ++k) {
      Rows<T> to{outputs[k % 2].data(), rows_ * widest_, widest_};
      if (k + 1 == stages.size()) to = y;
      const auto each_step = [&](const auto& stage) {
        each_rows(steps * rows_, widest_ * widest_, control, [&](index first, index end) {
          for (index r = first; r < end;) {  // the rows of one step, as far as they are this worker's
            const index t = r / rows_, n = r % rows_, count = std::min(end - r, rows_ - n);
            stage.forward(count, {from.at(t, n), from.row}, {to.at(t, n), to.row});
            r += count;
          }
        });
      };
      if (std::holds_alternative<std::shared_ptr<const PackedNetwork<T>>>(stages[k]))
        streams_[recurrent++].run(steps, from, to, control);
      else if (const auto* linear = std::get_if<PackedLinear<T>>(&stages[k]))
        each_step(*linear);
      else if (const auto* norm = std::get_if<PackedLayerNorm<T>>(&stages[k]))
        each_step(*norm);
      from = {to.data, to.time, to.row};
    }
  } catch (...) {
    set_state(before.data());
    throw;
  }
}

template <class T>
void ModelStream<T>::run(index steps, const Rows<const T>& x, const Rows<T>& y, Control& control) {
  if (steps > 0) run_block(steps, x, y, control);
}

template <class T>
void ModelStream<T>::run(index steps, const Rows<const index>& labels, const Rows<T>& y, Control& control) {
  if (steps == 0) return;
  const index E = packed_->table_columns();
  const bool table_alone = packed_->stages().empty();
  const Buffer<T> found(table_alone ? 0 : checked_product({steps, rows_, E}));
  for (index t = 0; t < steps; ++t)
    for (index n = 0; n < rows_; ++n)
      std::copy_n(packed_->table_row(*labels.at(t, n)), E,
                  table_alone ? y.at(t, n) : found.data() + (t * rows_ + n) * E);
  if (!table_alone) run_block(steps, {found.data(), rows_ * E, E}, y, control);
}

template <class T>
T* ModelStream<T>::state(std::size_t k) const {
  std::size_t recurrent = 0;
  for (const auto& stream : streams_) {
    const auto count = static_cast<std::size_t>(stream.network().num_states());
    if (k < recurrent + count) return stream.state(static_cast<index>(k - recurrent));
    recurrent += count;
  }
  return nullptr;
}

template <class T>
index ModelStream<T>::state_size() const {
  index size = 0;
  for (const auto& state : model().states()) size += checked_product({state.layers, rows_, state.size});
  return size;
}

template <class T>
void ModelStream<T>::copy_state(T* to) const noexcept {
  const auto& states = model().states();
  for (std::size_t k = 0; k < states.size(); ++k)
    to = std::copy_n(state(k), states[k].layers * rows_ * states[k].size, to);
}

template <class T>
void ModelStream<T>::set_state(const T* from) noexcept {
  const auto& states = model().states();
  for (std::size_t k = 0; k < states.size(); ++k) {
    const index size = states[k].layers * rows_ * states[k].size;
    std::copy_n(from, size, state(k));
    from += size;
  }
}

template <class T>
void ModelStream<T>::replace(std::shared_ptr<const PackedModel<T>> packed) {
  if (packed->model().signature() != model().signature())
    throw std::invalid_argument("the weights are of " + packed->model().signature() + ", the stream is of " +
                                model().signature());
  std::size_t recurrent = 0;
  for (const auto& stage : packed->stages())
    if (const auto* network = std::get_if<std::shared_ptr<const PackedNetwork<T>>>(&stage))
      streams_[recurrent++].replace(*network);
  packed_ = std::move(packed);
}

template struct PackedLayerNorm<float>;
template struct PackedLayerNorm<double>;
template class PackedModel<float>;
template class PackedModel<double>;
template class ModelStream<float>;
template class ModelStream<double>;

}  // namespace rnncore
