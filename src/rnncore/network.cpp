#include "rnncore/network.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "rnncore/dispatch.hpp"
#include "rnncore/kernels/table.hpp"
#include "rnncore/parallel.hpp"
#include "rnncore/short_weights.hpp"

namespace rnncore {

std::vector<std::string> cell_names() {
  std::vector<std::string> names;
  for (const auto& kernel : kernels<float>().cells) names.emplace_back(kernel.cell.name);
  return names;
}

namespace {

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::vector<std::string> projecting() {
  std::vector<std::string> names;
  for (const auto& kernel : kernels<float>().cells)
    if (kernel.cell.can_project) names.emplace_back(kernel.cell.name);
  return names;
}

int find_cell(const std::string& cell) {
  const auto names = cell_names();
  const auto found = std::find(names.begin(), names.end(), cell);
  if (found == names.end()) throw std::invalid_argument("cell must be one of " + join(names) + ", got '" + cell + "'");
  return static_cast<int>(found - names.begin());
}

// The shortest text that reads back as the same number.
std::string text_of(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

std::vector<double> checked_options(const CellDescription& cell, const CellOptions& given) {
  std::vector<double> values;
  std::vector<std::string> names;
  for (const auto* option = cell.option; option != cell.option + cell.options; ++option) {
    names.emplace_back(option->name);
    const auto found = given.find(option->name);
    const double value = found == given.end() ? option->value : found->second;
    if (option->flag ? value != 0 && value != 1 : !(value >= option->least && value <= option->most))
      throw std::invalid_argument(
          names.back() + " must be " +
          (option->flag ? "0 or 1" : "in " + text_of(option->least) + ".." + text_of(option->most)) + ", got " +
          text_of(value));
    values.push_back(value);
  }
  for (const auto& [name, value] : given)
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw std::invalid_argument(std::string(cell.name) + " has no option '" + name + "'" +
                                  (names.empty() ? "" : ", it has " + join(names)));
  return values;
}

}  // namespace

const CellDescription& cell_description(const std::string& name) {
  return kernels<float>().cells[find_cell(name)].cell;
}

Network::Network(const std::string& cell, index input_size, index hidden_size, index num_layers, bool bias,
                 bool bidirectional, bool learned_state, index proj_size, const CellOptions& options,
                 Constraints constraints, Precision precision)
    : cell_(cell),
      input_size_(input_size),
      hidden_size_(hidden_size),
      layers_(num_layers),
      directions_(bidirectional ? 2 : 1),
      proj_size_(proj_size),
      cell_index_(find_cell(cell)),
      constraints_(std::move(constraints)),
      precision_(precision),
      bias_(bias),
      learned_state_(learned_state) {
  check_at_least("input_size", 0, input_size);
  check_at_least("hidden_size", 1, hidden_size);
  check_at_least("num_layers", 1, num_layers);
  gates_ = description().gates;
  states_ = description().states;
  options_ = checked_options(description(), options);
  check_at_least("proj_size", 0, proj_size);
  if (proj_size > 0 && !description().can_project)
    throw std::invalid_argument("proj_size is for " + join(projecting()) + " only, cell is '" + cell + "'");
  if (proj_size >= hidden_size)
    throw std::invalid_argument("proj_size must be smaller than hidden_size " + std::to_string(hidden_size) + ", got " +
                                std::to_string(proj_size));
  constraints_.check(hidden_size);
  if (constraints_.any() && (gates_ != 1 || proj_size > 0))
    throw std::invalid_argument("mask_hh and dale are for cells of one gate, cell is '" + cell + "'");
  add_layout();
  signature_ = described();
}

const CellDescription& Network::description() const { return kernels<float>().cells[cell_index_].cell; }

bool Network::is_parameter(const CellVector& vector) const {
  return vector.option < 0 || options_[static_cast<std::size_t>(vector.option)] != 0;
}

void Network::add_layout() {
  const CellDescription& cell = description();
  const index rows = checked_product({gates_, hidden_size_});
  const index arrays = 5 + cell.vectors + cell.states;  // of a direction, at most
  const index bytes = checked_product({layers_, directions_, arrays, sizeof(Parameter)});
  constexpr index addressable = index(1) << 57;  // no processor has more, and not every allocator outlives the question
  try {
    if (bytes > addressable) throw std::bad_alloc();
    layout_.reserve(static_cast<std::size_t>(layers_ * directions_ * arrays));
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(std::to_string(bytes));
  }
  const auto add = [&](const std::string& name, index length, index columns) {
    layout_.push_back({name, parameter_count_, length, columns});
    const index count = checked_product({length, columns == Parameter::vector ? 1 : columns, 8}) / 8;
    parameter_count_ = checked_sum(parameter_count_, count);
  };
  const auto suffix = [&](index k) {
    return "_l" + std::to_string(k / directions_) + (k % directions_ ? "_reverse" : "");
  };
  for (index k = 0; k < layers_ * directions_; ++k) {
    add("weight_ih" + suffix(k), rows, inputs_of(k / directions_));
    add("weight_hh" + suffix(k), rows, state_size(0));
    if (bias_) add("bias_ih" + suffix(k), rows, Parameter::vector);
    if (bias_) add("bias_hh" + suffix(k), rows, Parameter::vector);
    if (proj_size_ > 0) add("weight_hr" + suffix(k), proj_size_, hidden_size_);
    for (int v = 0; v < cell.vectors; ++v)
      if (is_parameter(cell.vector[v])) add(cell.vector[v].name + suffix(k), hidden_size_, Parameter::vector);
  }
  for (index k = 0; learned_state_ && k < layers_ * directions_; ++k)
    for (index s = 0; s < states_; ++s)
      add(std::string(cell.state_names[s]) + "0" + suffix(k), state_size(s), Parameter::vector);
}

std::string Network::described() const {
  std::string own;
  for (std::size_t k = 0; k < options_.size(); ++k)
    own += std::string(", ") + description().option[k].name + "=" + text_of(options_[k]);
  return cell_ + "(" + std::to_string(input_size_) + ", " + std::to_string(hidden_size_) +
         ", num_layers=" + std::to_string(layers_) + ", bias=" + (bias_ ? "True" : "False") +
         ", bidirectional=" + (directions_ == 2 ? "True" : "False") + (learned_state_ ? ", learned_state=True" : "") +
         (proj_size_ > 0 ? ", proj_size=" + std::to_string(proj_size_) : "") + own +
         (precision_ == Precision::bf16 ? ", precision=bf16" : "") + (constraints_.mask_hh.empty() ? "" : ", mask_hh") +
         (constraints_.dale.empty() ? "" : ", dale") + ")";
}

template <class T>
void Network::constrain(T* parameters) const {
  for (const Parameter& entry : layout_)
    if (constraints_.any() && entry.name.starts_with("weight_hh"))
      constraints_.constrain(hidden_size_, parameters + entry.offset);
}

template <class T>
Parameters<const T> Network::effective(const Parameters<const T>& parameters, Buffer<T>& memory) const {
  if (!constraints_.any()) return parameters;
  memory = Buffer<T>(parameter_count_);
  for (std::size_t number = 0; number < layout_.size(); ++number) {
    const Parameter& p = layout_[number];
    std::copy_n(parameters.at(number, p.offset), p.size(), memory.data() + p.offset);
  }
  constrain(memory.data());
  return memory.data();
}

template <class T>
const CellKernels<T>& Network::kernel() const {
  return kernels<T>().cells[cell_index_];
}

template <class T>
Weights<T> Network::weights(const Parameters<T>& parameters, index layer, index direction) const {
  const CellDescription& cell = description();
  const index learned = learned_state_ ? layers_ * directions_ * states_ : 0;
  const index each = (static_cast<index>(layout_.size()) - learned) / (layers_ * directions_);
  auto number = static_cast<std::size_t>((layer * directions_ + direction) * each);
  const auto next = [&] {
    const std::size_t here = number++;
    return parameters.at(here, layout_[here].offset);
  };
  Weights<T> weights;
  weights.input_size = inputs_of(layer);
  weights.hidden_size = hidden_size_;
  weights.output_size = state_size(0);
  weights.options = options_.data();
  weights.weight_ih = next();
  weights.weight_hh = next();
  if (bias_) weights.bias_ih = next();
  if (bias_) weights.bias_hh = next();
  if (proj_size_ > 0) weights.weight_hr = next();
  for (int v = 0; v < cell.vectors; ++v)
    if (is_parameter(cell.vector[v])) weights.vectors[v] = next();
  return weights;
}

template <class T>
Sequence<T> Network::describe(index layer, index direction, const T* panels, index steps, index rows,
                              const index* order, const index* lengths) const {
  Sequence<T> call;
  call.steps = steps;
  call.rows = rows;
  call.input_size = inputs_of(layer);
  call.hidden_size = hidden_size_;
  call.output_size = state_size(0);
  call.reverse = direction == 1;
  call.order = order;
  call.lengths = lengths;
  call.weights = panels;
  call.options = options_.data();
  return call;
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
Buffer<T> Network::pack(const Parameters<const T>& parameters, index k, WeightFormat format) const {
  Buffer<T> panels(kernel<T>().forward_panels(format, inputs_of(k / directions_), hidden_size_, state_size(0)));
  kernel<T>().pack_forward(format, weights(parameters, k / directions_, k % directions_), panels.data(), Team());
  return panels;
}

template <class T>
Buffer<T> Network::widen(WeightFormat format, index k, const T* panels) const {
  const index inputs = inputs_of(k / directions_), outputs = state_size(0);
  Buffer<T> full(kernel<T>().forward_panels(WeightFormat::full, inputs, hidden_size_, outputs));
  kernel<T>().widen(format, inputs, hidden_size_, outputs, panels, full.data(), Team());
  return full;
}

void Network::check_format(WeightFormat format) const {
  if (format == WeightFormat::int8 && precision_ == Precision::bf16)
    throw std::invalid_argument("weights in int8 need precision 'float32', got 'bf16', which would round them again");
}

template <class T>
void Network::check_format(WeightFormat format, const Parameters<const T>& parameters) const {
  if (sizeof(T) != sizeof(float) && (format != WeightFormat::full || precision_ != Precision::float32))
    throw std::invalid_argument(
        std::string(format == WeightFormat::full ? "precision 'bf16' needs" : "weights in fewer bits need") +
        " dtype float32, got float64");
  if (format == WeightFormat::full) return;
  check_format(format);
  for (std::size_t number = 0; number < layout_.size(); ++number) {
    const Parameter& p = layout_[number];
    if (p.columns != Parameter::vector) check_finite(format, p.name, p.size(), parameters.at(number, p.offset));
  }
}

template <class T>
Buffer<T> Network::rounded(WeightFormat format, const Parameters<const T>& parameters) const {
  Buffer<T> copy(format == WeightFormat::full ? 0 : parameter_count_);
  for (std::size_t number = 0; number < layout_.size() && copy.size() > 0; ++number) {
    const Parameter& p = layout_[number];
    std::copy_n(parameters.at(number, p.offset), p.size(), copy.data() + p.offset);
    if constexpr (sizeof(T) == sizeof(float))
      if (p.columns != Parameter::vector) round_weights(format, p.rows, p.columns, copy.data() + p.offset);
  }
  return copy;
}

template const CellKernels<float>& Network::kernel() const;
template const CellKernels<double>& Network::kernel() const;
template Weights<const float> Network::weights(const Parameters<const float>&, index, index) const;
template Weights<const double> Network::weights(const Parameters<const double>&, index, index) const;
template Weights<float> Network::weights(const Parameters<float>&, index, index) const;
template Weights<double> Network::weights(const Parameters<double>&, index, index) const;
template Sequence<float> Network::describe(index, index, const float*, index, index, const index*, const index*) const;
template Sequence<double> Network::describe(index, index, const double*, index, index, const index*,
                                            const index*) const;
template void Network::constrain(float*) const;
template void Network::constrain(double*) const;
template Parameters<const float> Network::effective(const Parameters<const float>&, Buffer<float>&) const;
template Parameters<const double> Network::effective(const Parameters<const double>&, Buffer<double>&) const;
template Buffer<float> Network::pack(const Parameters<const float>&, index, WeightFormat) const;
template Buffer<double> Network::pack(const Parameters<const double>&, index, WeightFormat) const;
template Buffer<float> Network::widen(WeightFormat, index, const float*) const;
template Buffer<double> Network::widen(WeightFormat, index, const double*) const;
template void Network::check_format(WeightFormat, const Parameters<const float>&) const;
template void Network::check_format(WeightFormat, const Parameters<const double>&) const;
template Buffer<float> Network::rounded(WeightFormat, const Parameters<const float>&) const;
template Buffer<double> Network::rounded(WeightFormat, const Parameters<const double>&) const;

}  // namespace rnncore
