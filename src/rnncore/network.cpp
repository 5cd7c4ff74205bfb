#include "rnncore/network.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <type_traits>

#include "rnncore/dispatch.hpp"
#include "rnncore/parallel.hpp"
#include "rnncore/schedule.hpp"

namespace rnncore {

std::vector<std::string> cell_names() {
  std::vector<std::string> names;
  for (const auto& cell : kernels<float>().cells) names.emplace_back(cell.name);
  return names;
}

Network::Network(const std::string& cell, index input_size, index hidden_size, index num_layers, bool bias,
                 bool bidirectional)
    : cell_(cell),
      input_size_(input_size),
      hidden_size_(hidden_size),
      layers_(num_layers),
      directions_(bidirectional ? 2 : 1),
      bias_(bias) {
  const auto at_least = [](const char* name, index least, index value) {
    if (value < least)
      throw std::invalid_argument(std::string(name) + " must be at least " + std::to_string(least) + ", got " +
                                  std::to_string(value));
  };
  const auto names = cell_names();
  const auto found = std::find(names.begin(), names.end(), cell);
  if (found == names.end()) {
    std::string all;
    for (const auto& name : names) all += (all.empty() ? "" : ", ") + name;
    throw std::invalid_argument("cell must be one of " + all + ", got '" + cell + "'");
  }
  at_least("input_size", 0, input_size);
  at_least("hidden_size", 1, hidden_size);
  at_least("num_layers", 1, num_layers);
  cell_index_ = static_cast<int>(found - names.begin());
  const auto& kernel = kernels<float>().cells[cell_index_];
  gates_ = kernel.gates;
  states_ = kernel.states;
  const index rows = checked_product({gates_, hidden_size});
  const auto add = [&](const std::string& name, index columns) {
    layout_.push_back({name, parameter_count_, rows, columns});
    if (__builtin_add_overflow(parameter_count_,
                               checked_product({rows, columns == Parameter::vector ? 1 : columns, 8}) / 8,
                               &parameter_count_))
      throw OutOfMemory("more than 2^63");
  };
  for (index layer = 0; layer < layers_; ++layer)
    for (index direction = 0; direction < directions_; ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
      add("weight_ih" + suffix, inputs_of(layer));
      add("weight_hh" + suffix, hidden_size);
      if (!bias) continue;
      add("bias_ih" + suffix, Parameter::vector);
      add("bias_hh" + suffix, Parameter::vector);
    }
}

std::string Network::signature() const {
  return cell_ + "(" + std::to_string(input_size_) + ", " + std::to_string(hidden_size_) +
         ", num_layers=" + std::to_string(layers_) + ", bias=" + (bias_ ? "True" : "False") +
         ", bidirectional=" + (directions_ == 2 ? "True" : "False") + ")";
}

template <class T>
const CellKernels<T>& Network::kernel() const {
  return kernels<T>().cells[cell_index_];
}

template <class T>
Weights<T> Network::weights(const T* parameters, index layer, index direction) const {
  const index per_direction = bias_ ? 4 : 2;
  const auto* entry = layout_.data() + (layer * directions_ + direction) * per_direction;
  const auto at = [&](index i) { return parameters + entry[i].offset; };
  return {inputs_of(layer), hidden_size_, at(0), at(1), bias_ ? at(2) : nullptr, bias_ ? at(3) : nullptr};
}

// Starting threads costs some microseconds: a call has to be worth it.
int Network::useful_threads(int asked, index valid_steps, index rows) const {
  constexpr double worthwhile = 2e6;  // multiply-adds
  double work = 0;
  for (index layer = 0; layer < layers_; ++layer)
    work +=
        static_cast<double>(directions_ * gates_ * hidden_size_) * static_cast<double>(inputs_of(layer) + hidden_size_);
  if (work * static_cast<double>(valid_steps) < worthwhile) return 1;
  return static_cast<int>(std::min<index>(thread_count(asked), std::max<index>(rows, 1)));
}

namespace {

// Memory of all workers, cut into equal parts.
template <class T>
class Workspaces {
 public:
  void allocate(index each, int workers) {
    each_ = each;
    buffer_ = Buffer<T>(checked_product({each, workers}));
  }
  T* of(const Team& team) const { return buffer_.data() + each_ * team.worker; }

 private:
  Buffer<T> buffer_;
  index each_ = 0;
};

// The most that any worker's share of the slots needs: a smaller share can need more, since its blocks hold more steps.
template <class Size>
index largest_workspace(const std::vector<index>& split, const Size& size_of) {
  index most = 0;
  for (std::size_t w = 1; w < split.size(); ++w) most = std::max(most, size_of(split[w] - split[w - 1]));
  return most;
}

// Zeros past the rows' ends, for a worker's slots.
template <class T>
void clear_padding(const Rows<T>& rows, index steps, index columns, const Cache<std::remove_const_t<T>>& cache,
                   const Team& team) {
  for (index slot = team.split[team.worker]; slot < team.split[team.worker + 1]; ++slot)
    for (index t = cache.lengths.data()[slot]; t < steps; ++t)
      std::fill_n(rows.at(t, cache.order.data()[slot]), columns, T(0));
}

// to = from * dropout, element by element, for a worker's slots; the two may be one.
template <class T>
void drop(const Dropout& dropout, index layer, index steps, index rows, index columns, const T* from, T* to,
          const Cache<T>& cache, const Team& team) {
  for (index slot = team.split[team.worker]; slot < team.split[team.worker + 1]; ++slot)
    for (index t = 0; t < cache.lengths.data()[slot]; ++t) {
      const index row = t * rows + cache.order.data()[slot], first = layer * steps * rows + row;
      for (index j = 0; j < columns; ++j)
        to[row * columns + j] = from[row * columns + j] * static_cast<T>(dropout.factor(first * columns + j));
    }
}

template <class T>
Rows<T> contiguous(T* data, index rows, index columns) {
  return {data, rows * columns, columns};
}

template <class T>
Rows<T> columns_from(const Rows<T>& rows, index column) {
  return {rows.data ? rows.data + column : nullptr, rows.time, rows.row};
}

}  // namespace

template <class T>
class Network::ForwardRun {
 public:
  ForwardRun(const Network& network, const Inputs<T>& inputs, const Outputs<T>& outputs, Cache<T>& cache, bool keep)
      : net_(network), kernel_(network.kernel<T>()), inputs_(inputs), outputs_(outputs), cache_(cache), keep_(keep) {
    const index N = inputs.rows, steps = inputs.steps, columns = net_.directions_ * net_.hidden_size_;
    checked_product(
        {steps, N, net_.layers_, kernel_.cache_row(net_.hidden_size_) + net_.inputs_of(0) + columns, sizeof(T)});
    cache_.order = Buffer<index>(N);
    cache_.lengths = Buffer<index>(N);
    sort_rows(inputs.lengths, N, steps, cache_.order.data(), cache_.lengths.data());
    valid_ = std::accumulate(cache_.lengths.data(), cache_.lengths.data() + N, index{0});
    for (index layer = 0; layer + 1 < net_.layers_; ++layer) {
      cache_.between.emplace_back(steps * N * columns);
      if (inputs.dropout.probability > 0) cache_.dropped.emplace_back(steps * N * columns);
    }
    for (index k = 0; k < net_.layers_ * net_.directions_; ++k) {
      if (keep) cache_.steps.emplace_back(valid_ * kernel_.cache_row(net_.hidden_size_));
      panels_.emplace_back(kernel_.forward_panels(net_.inputs_of(k / net_.directions_), net_.hidden_size_));
    }
  }

  void run(Control& control) {
    parallel(
        net_.useful_threads(control.threads, valid_, inputs_.rows), [&](int workers) { return prepare(workers); },
        [&](const Team& team) { work(team); }, control.poll, control.poll_context, &control.stop);
    if (control.stop) throw Stopped();
  }

 private:
  const index* prepare(int workers) {
    split_ = split_rows(cache_.lengths.data(), inputs_.rows, workers);
    index each = 0;
    for (index layer = 0; layer < net_.layers_; ++layer)
      each = std::max(each, largest_workspace(
                                split_, [&](index slots) { return kernel_.forward_workspace(call(layer, 0), slots); }));
    workspaces_.allocate(each, workers);
    return split_.data();
  }

  Forward<T> call(index layer, index direction) const {
    const index k = layer * net_.directions_ + direction, N = inputs_.rows, H = net_.hidden_size_,
                columns = net_.directions_ * H;
    const auto at = static_cast<std::size_t>(layer);
    Forward<T> call;
    call.steps = inputs_.steps;
    call.rows = N;
    call.input_size = net_.inputs_of(layer);
    call.hidden_size = H;
    call.reverse = direction == 1;
    call.order = cache_.order.data();
    call.lengths = cache_.lengths.data();
    call.resets = inputs_.resets;
    const auto& below = cache_.dropped.empty() ? cache_.between : cache_.dropped;
    call.x = layer == 0 ? inputs_.x : contiguous<const T>(below[at - 1].data(), N, columns);
    const bool last = layer + 1 == net_.layers_;
    call.y = columns_from(last ? outputs_.y : contiguous(cache_.between[at].data(), N, columns), direction * H);
    for (index s = 0; s < net_.states_; ++s) {
      call.initial[s] = inputs_.initial[s] ? inputs_.initial[s] + k * N * H : nullptr;
      call.final[s] = outputs_.final[s] + k * N * H;
    }
    call.weights = panels_[static_cast<std::size_t>(k)].data();
    call.cache = keep_ ? cache_.steps[static_cast<std::size_t>(k)].data() : nullptr;
    return call;
  }

  // A row needs nothing of the others: each worker takes its rows through all layers.
  void work(const Team& team) const {
    const index columns = net_.directions_ * net_.hidden_size_;
    for (index k = 0; k < net_.layers_ * net_.directions_; ++k)
      kernel_.pack_forward(net_.weights(inputs_.parameters, k / net_.directions_, k % net_.directions_),
                           panels_[static_cast<std::size_t>(k)].data(), team);
    team.synchronise();
    for (index layer = 0; layer < net_.layers_; ++layer) {
      for (index direction = 0; direction < net_.directions_; ++direction)
        kernel_.forward(call(layer, direction), team, workspaces_.of(team));
      if (team.stopped()) return;
      const auto at = static_cast<std::size_t>(layer);
      if (at < cache_.dropped.size())
        drop(inputs_.dropout, layer, inputs_.steps, inputs_.rows, columns, cache_.between[at].data(),
             cache_.dropped[at].data(), cache_, team);
    }
    if (inputs_.lengths) clear_padding(outputs_.y, inputs_.steps, columns, cache_, team);
  }

  const Network& net_;
  const CellKernels<T>& kernel_;
  const Inputs<T>& inputs_;
  const Outputs<T>& outputs_;
  Cache<T>& cache_;
  const bool keep_;
  index valid_ = 0;
  std::vector<Buffer<T>> panels_;
  std::vector<index> split_;
  Workspaces<T> workspaces_;
};

template <class T>
class Network::BackwardRun {
 public:
  BackwardRun(const Network& network, const Cache<T>& cache, const OutputGradients<T>& outputs,
              const InputGradients<T>& inputs)
      : net_(network), kernel_(network.kernel<T>()), cache_(cache), outputs_(outputs), inputs_(inputs) {
    const index cells = cache.inputs.steps * cache.inputs.rows, columns = net_.directions_ * net_.hidden_size_;
    for (index k = 0; k < net_.layers_ * net_.directions_; ++k)
      panels_.emplace_back(kernel_.backward_panels(net_.inputs_of(k / net_.directions_), net_.hidden_size_));
    for (auto& d : between_)
      if (net_.layers_ > 1) d = Buffer<T>(cells * columns);
  }

  void run(Control& control) {
    const index* lengths = cache_.lengths.data();
    const index rows = cache_.inputs.rows, valid = std::accumulate(lengths, lengths + rows, index{0});
    parallel(
        net_.useful_threads(control.threads, valid, rows), [&](int workers) { return prepare(workers); },
        [&](const Team& team) { work(team); }, control.poll, control.poll_context, &control.stop);
    if (control.stop) throw Stopped();
  }

 private:
  const index* prepare(int workers) {
    split_ = split_rows(cache_.lengths.data(), cache_.inputs.rows, workers);
    index each = 0, together = 0;
    for (index layer = 0; layer < net_.layers_; ++layer) {
      each = std::max(each, largest_workspace(split_, [&](index slots) {
                        return kernel_.backward_workspace(call(layer, 0), slots);
                      }));
      together = std::max(together, kernel_.backward_shared(call(layer, 0)));
    }
    workspaces_.allocate(each, workers);
    shared_ = Buffer<T>(together);
    return split_.data();
  }

  Backward<T> call(index layer, index direction) const {
    const auto& in = cache_.inputs;
    const index k = layer * net_.directions_ + direction, N = in.rows, H = net_.hidden_size_,
                columns = net_.directions_ * H;
    const auto at = static_cast<std::size_t>(layer);
    const bool last = layer + 1 == net_.layers_;
    Backward<T> call;
    call.steps = in.steps;
    call.rows = N;
    call.input_size = net_.inputs_of(layer);
    call.hidden_size = H;
    call.reverse = direction == 1;
    call.order = cache_.order.data();
    call.lengths = cache_.lengths.data();
    call.resets = cache_.resets.data();
    const auto& below = cache_.dropped.empty() ? cache_.between : cache_.dropped;
    call.x = layer == 0 ? in.x : contiguous<const T>(below[at - 1].data(), N, columns);
    call.y = columns_from(last ? cache_.y : contiguous<const T>(cache_.between[at].data(), N, columns), direction * H);
    call.dy =
        columns_from(last ? outputs_.y : contiguous<const T>(between_[layer % 2].data(), N, columns), direction * H);
    call.dx = layer == 0 ? inputs_.x : contiguous(between_[(layer + 1) % 2].data(), N, columns);
    call.add_dx = direction == 1;
    for (index s = 0; s < net_.states_; ++s) {
      call.initial[s] = in.initial[s] ? in.initial[s] + k * N * H : nullptr;
      call.d_final[s] = outputs_.final[s] ? outputs_.final[s] + k * N * H : nullptr;
      call.d_initial[s] = inputs_.initial[s] + k * N * H;
    }
    call.weights = panels_[static_cast<std::size_t>(k)].data();
    call.cache = cache_.steps[static_cast<std::size_t>(k)].data();
    const Weights<T> d = net_.weights<T>(inputs_.parameters, layer, direction);
    call.d_weight_ih = const_cast<T*>(d.weight_ih);
    call.d_weight_hh = const_cast<T*>(d.weight_hh);
    call.d_bias_ih = const_cast<T*>(d.bias_ih);
    call.d_bias_hh = const_cast<T*>(d.bias_hh);
    return call;
  }

  void work(const Team& team) const {
    const auto& in = cache_.inputs;
    const index columns = net_.directions_ * net_.hidden_size_;
    for (index k = 0; k < net_.layers_ * net_.directions_; ++k)
      kernel_.pack_backward(net_.weights(outputs_.parameters, k / net_.directions_, k % net_.directions_),
                            panels_[static_cast<std::size_t>(k)].data(), team);
    team.synchronise();
    for (index layer = net_.layers_ - 1; layer >= 0; --layer) {
      for (index direction = 0; direction < net_.directions_; ++direction)
        if (!kernel_.backward(call(layer, direction), team, workspaces_.of(team), shared_.data())) return;
      if (layer > 0 && in.dropout.probability > 0) {
        T* const d = between_[(layer + 1) % 2].data();
        drop(in.dropout, layer - 1, in.steps, in.rows, columns, d, d, cache_, team);
      }
    }
    if (inputs_.x.data) clear_padding(inputs_.x, in.steps, net_.input_size_, cache_, team);
  }

  const Network& net_;
  const CellKernels<T>& kernel_;
  const Cache<T>& cache_;
  const OutputGradients<T>& outputs_;
  const InputGradients<T>& inputs_;
  std::vector<Buffer<T>> panels_;
  Buffer<T> between_[2];  // gradients of the outputs of the layers below
  std::vector<index> split_;
  Workspaces<T> workspaces_;
  Buffer<T> shared_;
};

template <class T>
Buffer<T> Network::pack(const T* parameters, index layer) const {
  Buffer<T> panels(kernel<T>().forward_panels(inputs_of(layer), hidden_size_));
  kernel<T>().pack_forward(weights(parameters, layer, 0), panels.data(), Team());
  return panels;
}

template <class T>
void Network::forward(const Inputs<T>& inputs, const Outputs<T>& outputs, Cache<T>* cache, Control& control) const {
  Cache<T> own;
  Cache<T>& kept = cache ? *cache : own;
  ForwardRun<T>(*this, inputs, outputs, kept, cache != nullptr).run(control);
  if (!cache) return;
  cache->inputs = inputs;
  cache->network = signature();
  cache->y = {outputs.y.data, outputs.y.time, outputs.y.row};
  if (!inputs.resets) return;
  cache->resets = Buffer<std::uint8_t>(inputs.steps * inputs.rows);
  std::copy_n(inputs.resets, cache->resets.size(), cache->resets.data());
}

template <class T>
void Network::backward(const Cache<T>& cache, const OutputGradients<T>& outputs, const InputGradients<T>& inputs,
                       Control& control) const {
  BackwardRun<T>(*this, cache, outputs, inputs).run(control);
}

template const CellKernels<float>& Network::kernel() const;
template const CellKernels<double>& Network::kernel() const;
template Buffer<float> Network::pack(const float*, index) const;
template Buffer<double> Network::pack(const double*, index) const;
template void Network::forward(const Inputs<float>&, const Outputs<float>&, Cache<float>*, Control&) const;
template void Network::forward(const Inputs<double>&, const Outputs<double>&, Cache<double>*, Control&) const;
template void Network::backward(const Cache<float>&, const OutputGradients<float>&, const InputGradients<float>&,
                                Control&) const;
template void Network::backward(const Cache<double>&, const OutputGradients<double>&, const InputGradients<double>&,
                                Control&) const;

}  // namespace rnncore
