#include "rnncore/network.hpp"

#include <algorithm>
#include <stdexcept>

#include "rnncore/dispatch.hpp"
#include "rnncore/parallel.hpp"

namespace rnncore {

std::vector<std::string> cell_names() {
  std::vector<std::string> names;
  for (const auto& cell : kernels<float>().cells) names.emplace_back(cell.name);
  return names;
}

Network::Network(const std::string& cell, index input_size, index hidden_size, index num_layers, bool bias,
                 bool bidirectional, bool learned_state, index proj_size)
    : cell_(cell),
      input_size_(input_size),
      hidden_size_(hidden_size),
      layers_(num_layers),
      directions_(bidirectional ? 2 : 1),
      proj_size_(proj_size),
      bias_(bias),
      learned_state_(learned_state) {
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
  if (proj_size < 0) throw std::invalid_argument("proj_size must be at least 0, got " + std::to_string(proj_size));
  if (proj_size > 0 && !kernel.can_project)
    throw std::invalid_argument("proj_size is for lstm only, cell is '" + cell + "'");
  if (proj_size >= hidden_size)
    throw std::invalid_argument("proj_size must be smaller than hidden_size " + std::to_string(hidden_size) + ", got " +
                                std::to_string(proj_size));
  const index rows = checked_product({gates_, hidden_size});
  const index bytes = checked_product({layers_, directions_, 7, sizeof(Parameter)});  // names of 7 arrays at most
  constexpr index addressable = index(1) << 57;  // no processor has more, and not every allocator outlives the question
  try {
    if (bytes > addressable) throw std::bad_alloc();
    layout_.reserve(static_cast<std::size_t>(layers_ * directions_ * 7));
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(std::to_string(bytes));
  }
  const auto add = [&](const std::string& name, index length, index columns) {
    layout_.push_back({name, parameter_count_, length, columns});
    if (__builtin_add_overflow(parameter_count_,
                               checked_product({length, columns == Parameter::vector ? 1 : columns, 8}) / 8,
                               &parameter_count_))
      throw OutOfMemory("more than 2^63");
  };
  const auto suffix = [](index layer, index direction) {
    return "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
  };
  for (index layer = 0; layer < layers_; ++layer)
    for (index direction = 0; direction < directions_; ++direction) {
      const std::string end = suffix(layer, direction);
      add("weight_ih" + end, rows, inputs_of(layer));
      add("weight_hh" + end, rows, state_size(0));
      if (bias) add("bias_ih" + end, rows, Parameter::vector);
      if (bias) add("bias_hh" + end, rows, Parameter::vector);
      if (proj_size > 0) add("weight_hr" + end, proj_size, hidden_size);
    }
  for (index k = 0; learned_state && k < layers_ * directions_; ++k)
    for (index s = 0; s < states_; ++s)
      add((s == 0 ? "h0" : "c0") + suffix(k / directions_, k % directions_), state_size(s), Parameter::vector);
}

std::string Network::signature() const {
  return cell_ + "(" + std::to_string(input_size_) + ", " + std::to_string(hidden_size_) +
         ", num_layers=" + std::to_string(layers_) + ", bias=" + (bias_ ? "True" : "False") +
         ", bidirectional=" + (directions_ == 2 ? "True" : "False") + (learned_state_ ? ", learned_state=True" : "") +
         (proj_size_ > 0 ? ", proj_size=" + std::to_string(proj_size_) : "") + ")";
}

template <class T>
const CellKernels<T>& Network::kernel() const {
  return kernels<T>().cells[cell_index_];
}

template <class T>
Weights<T> Network::weights(const T* parameters, index layer, index direction) const {
  const bool projected = proj_size_ > 0;
  const index per_direction = (bias_ ? 4 : 2) + (projected ? 1 : 0);
  const auto* entry = layout_.data() + (layer * directions_ + direction) * per_direction;
  const auto at = [&](index i) { return parameters + entry[i].offset; };
  return {inputs_of(layer),
          hidden_size_,
          state_size(0),
          at(0),
          at(1),
          bias_ ? at(2) : nullptr,
          bias_ ? at(3) : nullptr,
          projected ? at(per_direction - 1) : nullptr};
}

// Measured (AVX2, two cores): entering a parallel region costs about 5 us, waiting for one another about 0.3 us.
int Network::useful_threads(int asked, index valid_steps, index rows, index directions, int waits) const {
  constexpr double worth_a_region = 1e6, worth_a_wait = 3e4;  // multiply-adds
  constexpr index rows_of_one_tile = 3;                       // more of them are not split by units
  double work = 0;
  for (index layer = 0; layer < layers_; ++layer)
    work += static_cast<double>(directions_ * hidden_size_) *
            static_cast<double>(gates_ * (inputs_of(layer) + state_size(0)) + proj_size_);
  if (work * static_cast<double>(valid_steps) < worth_a_region) return 1;
  const index threads = thread_count(asked);
  const double step = static_cast<double>(rows * gates_ * hidden_size_) * static_cast<double>(hidden_size_);
  index most = std::max({rows, directions, index{1}});
  if (proj_size_ == 0 && rows <= rows_of_one_tile && step >= waits * worth_a_wait)
    most = std::max(most, hidden_size_ / 32);
  return static_cast<int>(std::min(threads, most));
}

template <class T>
Buffer<T> Network::pack(const T* parameters, index layer) const {
  Buffer<T> panels(kernel<T>().forward_panels(inputs_of(layer), hidden_size_, state_size(0)));
  kernel<T>().pack_forward(weights(parameters, layer, 0), panels.data(), Team());
  return panels;
}

template const CellKernels<float>& Network::kernel() const;
template const CellKernels<double>& Network::kernel() const;
template Weights<float> Network::weights(const float*, index, index) const;
template Weights<double> Network::weights(const double*, index, index) const;
template Buffer<float> Network::pack(const float*, index) const;
template Buffer<double> Network::pack(const double*, index) const;

}  // namespace rnncore
