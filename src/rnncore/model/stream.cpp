#include "rnncore/model/stream.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>
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
PackedModel<T>::PackedModel(const Model& model, const T* parameters, WeightFormat format)
    : model_(model),
      format_(format == WeightFormat::full ? model.architecture().weights : format),
      input_size_(model.takes_labels() ? 1 : model.in_features().value_or(0)),
      output_size_(model.out_features().value_or(0)) {
  if (model.looks_ahead()) throw std::invalid_argument("a bidirectional layer cannot stream: it reads the future");
  Buffer<T> rounded;
  if (format_ != WeightFormat::full) {
    rounded = Buffer<T>(model.parameter_count());
    std::copy_n(parameters, model.parameter_count(), rounded.data());
    model.round(format_, rounded.data());
    parameters = rounded.data();
  }
  for (const auto& layer : model.layers()) {
    const T* const own = parameters + layer.offset;
    if (layer.network) {
      stages_.emplace_back(std::make_shared<const PackedNetwork<T>>(*layer.network, own, format_));
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

// Streams of one row are many: their memory is the plan's address and the state, and scratch memory that is small is on
// the stack of the thread that steps. From `large` bytes on a state begins with a cache line.
namespace {
constexpr index large = 1 << 12, on_stack = 1 << 14;  // bytes

StreamMemory* allocate(index bytes, bool aligned) {
  const auto whole = static_cast<std::size_t>(aligned ? whole_lines<std::byte>(bytes) : bytes);
  void* const memory = aligned ? std::aligned_alloc(cache_line, whole) : std::malloc(whole);
  return memory ? new (memory) StreamMemory{nullptr} : nullptr;
}
}  // namespace

template <class T>
ModelPlan<T>::ModelPlan(const PackedModel<T>& of, index count) : packed(of) {
  element = sizeof(T);
  rows = count;
  features = packed.input_size();
  outputs = packed.output_size();
  const Model& model = packed.model();
  if (model.takes_labels()) labels = model.layers().front().template as<EmbeddingOptions>()->num_embeddings;
  index networks_scratch = 0;
  for (const auto& stage : packed.stages())
    if (const auto* network = std::get_if<std::shared_ptr<const PackedNetwork<T>>>(&stage)) {
      const auto& added = networks.emplace_back(*network, rows);
      network_begin.push_back(state);
      for (index s = 0; s < added.network().num_states(); ++s) state_begin.push_back(state + added.state_begin(s));
      state = checked_sum(state, added.state_size());
      networks_scratch = std::max(networks_scratch, added.scratch_size());
    }
  widest = std::max(widest, packed.table_columns());
  for (const auto& layer : model.layers()) widest = std::max(widest, layer.gives.value_or(0));
  between = whole_lines<T>(checked_product({rows_at_a_time(rows), widest}));
  scratch = checked_product({2, between}) + networks_scratch;
  const index state_bytes = checked_product({state, element}), scratch_bytes = checked_product({scratch, element});
  state_at = state_bytes < large ? index{sizeof(StreamMemory)} : cache_line;
  bytes = state_at + state_bytes;
  if (scratch_bytes <= on_stack) return;
  state_at = cache_line;
  scratch_at = cache_line + whole_lines<std::byte>(state_bytes);
  bytes = checked_sum(scratch_at, scratch_bytes);
}

template <class T>
const ModelPlan<T>* PackedModel<T>::join(index rows) const {
  check_at_least("batch_size", 1, rows);
  const std::lock_guard lock(mutex_);
  auto found = plans_.find(rows);
  if (found == plans_.end()) found = plans_.emplace(rows, std::make_unique<const ModelPlan<T>>(*this, rows)).first;
  const ModelPlan<T>* const plan = found->second.get();
  if (plan->streams == 0) plan->owner = this->shared_from_this();
  ++plan->streams;
  return plan;
}

template <class T>
void PackedModel<T>::leave(const ModelPlan<T>* plan) noexcept {
  const PackedModel& self = plan->packed;
  std::shared_ptr<const PackedModel> owner;  // may be the last to hold it: the mutex goes with it
  const std::lock_guard lock(self.mutex_);
  if (--plan->streams > 0) return;
  owner = std::move(plan->owner);
  self.plans_.erase(plan->rows);
}

template <class T>
ModelStream<T>::ModelStream(const std::shared_ptr<const PackedModel<T>>& packed, index rows) : StreamView<T>(nullptr) {
  const ModelPlan<T>* const plan = packed->join(rows);
  this->memory_ = allocate(plan->bytes, plan->state_at == cache_line);
  if (!this->memory_) {
    const std::string bytes = std::to_string(plan->bytes);
    PackedModel<T>::leave(plan);
    throw OutOfMemory(bytes);
  }
  this->memory_->shared = plan;
  for (index row = 0; row < rows; ++row) this->reset(row);
}

template <class T>
ModelStream<T>::~ModelStream() {
  if (!this->memory_) return;
  const ModelPlan<T>* const plan = &this->plan();
  std::free(this->memory_);
  PackedModel<T>::leave(plan);
}

template <class T>
ModelStream<T> StreamView<T>::fork() const {
  ModelStream<T> copy(packed().shared_from_this(), rows());
  copy.set_state(all_states());
  return copy;
}

template <class T>
void StreamView<T>::reset(index row) const noexcept {
  for (std::size_t k = 0; k < plan().networks.size(); ++k)
    plan().networks[k].reset(all_states() + plan().network_begin[k], row);
}

template <class T>
template <class Work>
void StreamView<T>::with_scratch(const Work& work) const noexcept {
  if (plan().scratch_at > 0) return work(at(plan().scratch_at));
  alignas(cache_line) T scratch[on_stack / sizeof(T)];  // not initialised
  work(scratch);
}

template <class T>
void StreamView<T>::step(const index* labels, T* y, index y_row) const noexcept {
  const index part = rows_at_a_time(rows()), E = packed().table_columns();
  with_scratch([&](T* scratch) {
    T* const found = scratch + plan().between;
    for (index first = 0; first < rows(); first += part) {
      const index count = std::min(part, rows() - first);
      T* const to = packed().stages().empty() ? y + first * y_row : found;
      const index to_row = packed().stages().empty() ? y_row : plan().widest;
      for (index n = 0; n < count; ++n) std::copy_n(packed().table_row(labels[first + n]), E, to + n * to_row);
      if (to == found) step_part(scratch, first, count, found, to_row, y + first * y_row, y_row);
    }
  });
}

template <class T>
void StreamView<T>::step(const T* x, index x_row, T* y, index y_row) const noexcept {
  const index part = rows_at_a_time(rows());
  with_scratch([&](T* scratch) {
    for (index first = 0; first < rows(); first += part)
      step_part(scratch, first, std::min(part, rows() - first), x + first * x_row, x_row, y + first * y_row, y_row);
  });
}

template <class T>
void StreamView<T>::step_part(T* scratch, index first, index count, const T* x, index x_row, T* y,
                              index y_row) const noexcept {
  const auto& stages = packed().stages();
  Matrix<const T> from{x, x_row};
  std::size_t recurrent = 0;
  for (std::size_t k = 0; k < stages.size(); ++k) {
    Matrix<T> to{scratch + static_cast<index>(k % 2) * plan().between, plan().widest};
    if (k + 1 == stages.size()) to = {y, y_row};
    if (std::holds_alternative<std::shared_ptr<const PackedNetwork<T>>>(stages[k])) {
      T* const own = all_states() + plan().network_begin[recurrent];
      plan().networks[recurrent++].step(own, scratch + 2 * plan().between, first, count, from.data, from.row, to.data,
                                        to.row);
    } else if (const auto* linear = std::get_if<PackedLinear<T>>(&stages[k])) {
      linear->forward(count, from, to);
    } else if (const auto* norm = std::get_if<PackedLayerNorm<T>>(&stages[k])) {
      norm->forward(count, from, to);
    }
    from = {to.data, to.row};
  }
}

// Stage by stage over a block of steps. The states of all recurrent layers come back if the caller stops it.
template <class T>
void StreamView<T>::run_block(index steps, const Rows<const T>& x, const Rows<T>& y, Control& control) const {
  const auto& stages = packed().stages();
  const Buffer<T> before(state_size());
  copy_state(before.data());
  Buffer<T> outputs[2];
  const index N = rows(), widest = plan().widest;
  for (std::size_t k = 0; k + 1 < std::min<std::size_t>(stages.size(), 3); ++k)
    outputs[k] = Buffer<T>(checked_product({steps, N, widest}));
  Rows<const T> from = x;
  std::size_t recurrent = 0;
  try {
    for (std::size_t k = 0; k < stages.size(); ++k) {
      Rows<T> to{outputs[k % 2].data(), N * widest, widest};
      if (k + 1 == stages.size()) to = y;
      const auto each_step = [&](const auto& stage) {
        each_rows(steps * N, widest * widest, control, [&](index first, index end) {
          for (index r = first; r < end;) {  // the rows of one step, as far as they are this worker's
            const index t = r / N, n = r % N, count = std::min(end - r, N - n);
            stage.forward(count, {from.at(t, n), from.row}, {to.at(t, n), to.row});
            r += count;
          }
        });
      };
      if (std::holds_alternative<std::shared_ptr<const PackedNetwork<T>>>(stages[k])) {
        T* const own = all_states() + plan().network_begin[recurrent];
        plan().networks[recurrent++].run(own, steps, from, to, control);
      } else if (const auto* linear = std::get_if<PackedLinear<T>>(&stages[k])) {
        each_step(*linear);
      } else if (const auto* norm = std::get_if<PackedLayerNorm<T>>(&stages[k])) {
        each_step(*norm);
      }
      from = {to.data, to.time, to.row};
    }
  } catch (...) {
    set_state(before.data());
    throw;
  }
}

template <class T>
void StreamView<T>::run(index steps, const Rows<const T>& x, const Rows<T>& y, Control& control) const {
  if (steps > 0) run_block(steps, x, y, control);
}

template <class T>
void StreamView<T>::run(index steps, const Rows<const index>& labels, const Rows<T>& y, Control& control) const {
  if (steps == 0) return;
  const index E = packed().table_columns(), N = rows();
  const bool table_alone = packed().stages().empty();
  const Buffer<T> found(table_alone ? 0 : checked_product({steps, N, E}));
  for (index t = 0; t < steps; ++t)
    for (index n = 0; n < N; ++n)
      std::copy_n(packed().table_row(*labels.at(t, n)), E, table_alone ? y.at(t, n) : found.data() + (t * N + n) * E);
  if (!table_alone) run_block(steps, {found.data(), N * E, E}, y, control);
}

template <class T>
void StreamView<T>::copy_state(T* to) const noexcept {
  std::copy_n(all_states(), state_size(), to);
}

template <class T>
void StreamView<T>::set_state(const T* from) const noexcept {
  std::copy_n(from, state_size(), all_states());
}

template <class T>
void StreamView<T>::replace(const std::shared_ptr<const PackedModel<T>>& other) const {
  if (other->model().signature() != model().signature())
    throw std::invalid_argument("the weights are of " + other->model().signature() + ", the stream is of " +
                                model().signature());
  const ModelPlan<T>* const before = &plan();
  memory_->shared = other->join(rows());
  PackedModel<T>::leave(before);
}

template struct PackedLayerNorm<float>;
template struct PackedLayerNorm<double>;
template struct ModelPlan<float>;
template struct ModelPlan<double>;
template class PackedModel<float>;
template class PackedModel<double>;
template class StreamView<float>;
template class StreamView<double>;
template class ModelStream<float>;
template class ModelStream<double>;

}  // namespace rnncore
