#include "rnncore/stream.hpp"

#include <algorithm>
#include <stdexcept>

#include "rnncore/caches.hpp"
#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/parallel.hpp"
#include "rnncore/row_order.hpp"

namespace rnncore {

template <class T>
StreamPlan<T>::StreamPlan(std::shared_ptr<const PackedNetwork<T>> packed, index rows)
    : packed_(std::move(packed)), rows_(rows) {
  if (network().num_directions() != 1)
    throw std::invalid_argument("a bidirectional network cannot stream: it reads the future");
  check_at_least("batch_size", 1, rows);
  index end = 0;
  for (index s = 0; s < max_states; ++s) {
    state_begin_[s] = end;
    if (s >= network().num_states()) continue;
    end = checked_sum(end, checked_product({network().num_layers(), rows, network().state_size(s)}));
  }
  state_begin_[max_states] = end;
  const index part = rows_at_a_time(rows);
  large_ = network().parameter_count() * index(sizeof(T)) > 4 * caches().first;
  if (network().num_layers() > 1) between_size_ = whole_lines<T>(checked_product({part, network().output_size()}));
  if (one_row()) {
    workspace_size_ = network().template kernel<T>().single_step_workspace(
        packed_->read_format(), std::max(network().input_size(), network().hidden_size()), network().hidden_size());
    return;
  }
  packed_->widen(rows, 1);
  order_ = Buffer<index>(part);
  lengths_ = Buffer<index>(part);
  sort_rows(nullptr, part, 1, order_.data(), lengths_.data());
  workspace_size_ = workspace_of({1, 0, part, order_.data(), lengths_.data()}, part);
}

template <class T>
Forward<T> StreamPlan<T>::shape(index layer, const Part& part) const {
  Forward<T> call{
      network().describe(layer, 0, packed_->panels(layer), part.steps, part.rows, part.order, part.lengths)};
  packed_->lend(layer, rows_, part.steps, call);
  return call;
}

// Every other time. Any thread may ask; where two do at once, it does not matter what they hear.
template <class T>
bool StreamPlan<T>::turns() const noexcept {
  if (!large_) return false;
  const bool backwards = __atomic_load_n(&backwards_, __ATOMIC_RELAXED);
  __atomic_store_n(&backwards_, !backwards, __ATOMIC_RELAXED);
  return backwards;
}

template <class T>
Forward<T> StreamPlan<T>::call(T* state, index layer, const Part& part) const {
  Forward<T> call = shape(layer, part);
  for (index s = 0; s < network().num_states(); ++s)
    call.initial[s] = call.final[s] = state + state_begin_[s] + (layer * rows_ + part.first) * network().state_size(s);
  return call;
}

template <class T>
index StreamPlan<T>::workspace_of(const Part& part, index slots) const {
  index size = 0;
  for (index layer = 0; layer < network().num_layers(); ++layer)
    size = std::max(size, network().template kernel<T>().forward_workspace(shape(layer, part), slots));
  return size;
}

template <class T>
void StreamPlan<T>::advance(T* state, const Part& part, const Rows<const T>& x, const Rows<T>& y, T* const* between,
                            T* workspace, const Team& team) const noexcept {
  const index P = network().output_size(), last = network().num_layers() - 1;
  const auto& kernel = network().template kernel<T>();
  const bool backwards = part.steps == 1 && turns();
  for (index layer = 0; layer <= last; ++layer) {
    auto forward = call(state, layer, part);
    forward.backwards = backwards;
    forward.x = layer == 0 ? x : Rows<const T>{between[(layer + 1) % 2], part.rows * P, P};
    forward.y = layer == last ? y : Rows<T>{between[layer % 2], part.rows * P, P};
    kernel.forward(forward, team, workspace);
    if (team.stopped()) return;
  }
}

template <class T>
void StreamPlan<T>::reset(T* state, index row) const noexcept {
  for (index layer = 0; layer < network().num_layers(); ++layer)
    for (index s = 0; s < network().num_states(); ++s) {
      const index size = network().state_size(s);
      T* const to = state + state_begin_[s] + (layer * rows_ + row) * size;
      if (const T* const from = packed_->initial(layer, s))
        std::copy_n(from, size, to);
      else
        std::fill_n(to, size, T(0));
    }
}

// As advance() by one step, with as little around the kernel as can be.
template <class T>
void StreamPlan<T>::advance_row(T* state, T* scratch, const T* x, T* y) const noexcept {
  const index H = network().hidden_size(), last = network().num_layers() - 1, states = network().num_states();
  const auto& kernel = network().template kernel<T>();
  const bool backwards = turns();
  for (index layer = 0; layer <= last; ++layer) {
    T* const to = layer == last ? y : scratch + layer % 2 * between_size_;
    SingleStep<T> step;
    step.input_size = layer == 0 ? network().input_size() : H;
    step.hidden_size = H;
    step.weights = packed_->panels(layer);
    step.format = packed_->read_format();
    step.x = x;
    step.y = to;
    step.options = network().options().data();
    step.backwards = backwards;
    for (index s = 0; s < states; ++s) step.state[s] = state + state_begin_[s] + layer * H;
    kernel.single_step(step, scratch + 2 * between_size_);
    x = to;
  }
}

template <class T>
void StreamPlan<T>::step(T* state, T* scratch, index first, index count, const T* x, index x_row, T* y,
                         index y_row) const noexcept {
  if (one_row()) return advance_row(state, scratch, x, y);
  const index split[] = {0, count};
  Team team;
  team.split = split;
  T* const between[] = {scratch, scratch + between_size_};
  advance(state, {1, first, count, order_.data(), lengths_.data()}, {x, 0, x_row}, {y, 0, y_row}, between,
          scratch + 2 * between_size_, team);
}

template <class T>
void StreamPlan<T>::run(T* state, index steps, const Rows<const T>& x, const Rows<T>& y, Control& control) const {
  if (steps == 0) return;
  packed_->widen(rows_, steps);
  Buffer<T> outputs[2];
  for (index layer = 0; layer + 1 < std::min<index>(network().num_layers(), 3); ++layer)
    outputs[layer] = Buffer<T>(checked_product({steps, rows_, network().output_size()}));
  T* const between[] = {outputs[0].data(), outputs[1].data()};
  const Buffer<index> order(rows_), lengths(rows_);
  sort_rows(nullptr, rows_, steps, order.data(), lengths.data());
  const Part part{steps, 0, rows_, order.data(), lengths.data()};
  std::vector<index> split;
  Buffer<T> workspace;
  index each = 0;
  const auto prepare = [&](Team& team) {  // the last that can fail: only then is the state touched
    split = share_work(lengths.data(), rows_, 1, team);
    for (std::size_t w = 1; w < split.size(); ++w) each = std::max(each, workspace_of(part, split[w] - split[w - 1]));
    workspace = Buffer<T>(checked_product({each, team.workers}));
    team.split = split.data();
  };
  const auto work = [&](const Team& team) {
    advance(state, part, x, y, between, workspace.data() + each * team.worker, team);
  };
  const index threads = network().useful_threads(control.threads, steps * rows_, rows_, 1, 1);
  parallel(static_cast<int>(std::min(threads, rows_)), control, work, prepare);
}

template class StreamPlan<float>;
template class StreamPlan<double>;

}  // namespace rnncore
