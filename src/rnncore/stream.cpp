#include "rnncore/stream.hpp"

#include <algorithm>
#include <stdexcept>

#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/parallel.hpp"
#include "rnncore/schedule.hpp"

namespace rnncore {

template <class T>
Stream<T>::Stream(std::shared_ptr<const PackedNetwork<T>> packed, index rows)
    : packed_(std::move(packed)), rows_(rows) {
  if (network().num_directions() != 1)
    throw std::invalid_argument("a bidirectional network cannot stream: it reads the future");
  if (rows < 1) throw std::invalid_argument("batch_size must be at least 1, got " + std::to_string(rows));
  for (index s = 0; s < network().num_states(); ++s)
    states_[s] = Buffer<T>(checked_product({network().num_layers(), rows, network().state_size(s)}));
  for (index row = 0; row < rows; ++row) reset(row);
  const index part = rows_at_a_time(rows);
  for (index k = 0; k < 2; ++k)
    if (network().num_layers() > k + 1) between_[k] = Buffer<T>(checked_product({part, network().output_size()}));
  if (one_row()) {
    workspace_ = Buffer<T>(network().template kernel<T>().single_step_workspace(network().hidden_size()));
    return;
  }
  order_ = Buffer<index>(part);
  lengths_ = Buffer<index>(part);
  sort_rows(nullptr, part, 1, order_.data(), lengths_.data());
  workspace_ = Buffer<T>(workspace_size({1, 0, part, order_.data(), lengths_.data()}, part));
}

template <class T>
Forward<T> Stream<T>::call(index layer, const Part& part) const {
  Forward<T> call{
      network().describe(layer, 0, packed_->panels(layer), part.steps, part.rows, part.order, part.lengths)};
  for (index s = 0; s < network().num_states(); ++s)
    call.initial[s] = call.final[s] = states_[s].data() + (layer * rows_ + part.first) * network().state_size(s);
  return call;
}

template <class T>
index Stream<T>::workspace_size(const Part& part, index slots) const {
  index size = 0;
  for (index layer = 0; layer < network().num_layers(); ++layer)
    size = std::max(size, network().template kernel<T>().forward_workspace(call(layer, part), slots));
  return size;
}

template <class T>
void Stream<T>::advance(const Part& part, const Rows<const T>& x, const Rows<T>& y, T* const* between, T* workspace,
                        const Team& team) noexcept {
  const index P = network().output_size(), last = network().num_layers() - 1;
  const auto& kernel = network().template kernel<T>();
  for (index layer = 0; layer <= last; ++layer) {
    auto forward = call(layer, part);
    forward.x = layer == 0 ? x : Rows<const T>{between[(layer + 1) % 2], part.rows * P, P};
    forward.y = layer == last ? y : Rows<T>{between[layer % 2], part.rows * P, P};
    kernel.forward(forward, team, workspace);
    if (team.stopped()) return;
  }
}

template <class T>
void Stream<T>::reset(index row) noexcept {
  for (index layer = 0; layer < network().num_layers(); ++layer)
    for (index s = 0; s < network().num_states(); ++s) {
      const index size = network().state_size(s);
      T* const to = states_[s].data() + (layer * rows_ + row) * size;
      if (const T* const from = packed_->initial(layer, s))
        std::copy_n(from, size, to);
      else
        std::fill_n(to, size, T(0));
    }
}

// As advance() by one step, with as little around the kernel as can be.
template <class T>
void Stream<T>::advance_row(const T* x, T* y) noexcept {
  const index H = network().hidden_size(), last = network().num_layers() - 1, states = network().num_states();
  const auto& kernel = network().template kernel<T>();
  for (index layer = 0; layer <= last; ++layer) {
    T* const to = layer == last ? y : between_[layer % 2].data();
    SingleStep<T> step;
    step.input_size = layer == 0 ? network().input_size() : H;
    step.hidden_size = H;
    step.weights = packed_->panels(layer);
    step.x = x;
    step.y = to;
    step.options = network().options().data();
    for (index s = 0; s < states; ++s) step.state[s] = states_[s].data() + layer * H;
    kernel.single_step(step, workspace_.data());
    x = to;
  }
}

template <class T>
void Stream<T>::step(const T* x, index x_row, T* y, index y_row) noexcept {
  const index part = rows_at_a_time(rows_);
  for (index first = 0; first < rows_; first += part)
    step(first, std::min(part, rows_ - first), x + first * x_row, x_row, y + first * y_row, y_row);
}

template <class T>
void Stream<T>::step(index first, index count, const T* x, index x_row, T* y, index y_row) noexcept {
  if (one_row()) return advance_row(x, y);
  const index split[] = {0, count};
  Team team;
  team.split = split;
  T* const between[] = {between_[0].data(), between_[1].data()};
  advance({1, first, count, order_.data(), lengths_.data()}, {x, 0, x_row}, {y, 0, y_row}, between, workspace_.data(),
          team);
}

template <class T>
void Stream<T>::run(index steps, const Rows<const T>& x, const Rows<T>& y, Control& control) {
  if (steps == 0) return;
  Buffer<T> outputs[2], before[max_states];
  for (index layer = 0; layer + 1 < std::min<index>(network().num_layers(), 3); ++layer)
    outputs[layer] = Buffer<T>(checked_product({steps, rows_, network().output_size()}));
  for (index s = 0; s < network().num_states(); ++s) {
    before[s] = Buffer<T>(states_[s].size());
    std::copy_n(states_[s].data(), states_[s].size(), before[s].data());
  }
  T* const between[] = {outputs[0].data(), outputs[1].data()};
  const Buffer<index> order(rows_), lengths(rows_);
  sort_rows(nullptr, rows_, steps, order.data(), lengths.data());
  const Part part{steps, 0, rows_, order.data(), lengths.data()};
  std::vector<index> split;
  Buffer<T> workspace;
  index each = 0;
  const auto prepare = [&](Team& team) {  // the last that can fail: only then is the stream touched
    split = share_work(lengths.data(), rows_, 1, team);
    for (std::size_t w = 1; w < split.size(); ++w) each = std::max(each, workspace_size(part, split[w] - split[w - 1]));
    workspace = Buffer<T>(checked_product({each, team.workers}));
    team.split = split.data();
  };
  const auto work = [&](const Team& team) {
    advance(part, x, y, between, workspace.data() + each * team.worker, team);
  };
  const index threads = network().useful_threads(control.threads, steps * rows_, rows_, 1, 1);
  parallel(static_cast<int>(std::min(threads, rows_)), prepare, work, control.poll, control.poll_context,
           &control.stop);
  if (!control.stop) return;
  for (index s = 0; s < network().num_states(); ++s) std::swap(states_[s], before[s]);
  throw Stopped();
}

template <class T>
void Stream<T>::replace(std::shared_ptr<const PackedNetwork<T>> packed) {
  if (packed->network().signature() != network().signature())
    throw std::invalid_argument("the weights are of " + packed->network().signature() + ", the stream is of " +
                                network().signature());
  packed_ = std::move(packed);
}

template class Stream<float>;
template class Stream<double>;

}  // namespace rnncore
