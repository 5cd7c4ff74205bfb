// A stack of recurrent layers in one or two directions, over one flat vector of parameters.
// Sizes: T steps, N rows, I inputs, H hidden units, L layers, D directions; P outputs of a direction, H unless
// projected. Twin: python/rnncore/reference/network.py
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rnncore/arrays.hpp"
#include "rnncore/buffer.hpp"
#include "rnncore/cell.hpp"
#include "rnncore/constraints.hpp"
#include "rnncore/control.hpp"
#include "rnncore/dropout.hpp"
#include "rnncore/weight_format.hpp"

namespace rnncore {

// Of the kernels, which only the library's own sources see: kernels/table.hpp.
template <class T>
struct CellKernels;
template <class T>
struct Sequence;
template <class T>
struct Weights;
template <class T>
class PackedNetwork;  // network_packed.hpp

std::vector<std::string> cell_names();
const CellDescription& cell_description(const std::string& name);  // std::invalid_argument for an unknown one

using CellOptions = std::map<std::string, double>;

struct Parameter {
  std::string name;             // PyTorch's, such as weight_ih_l0_reverse
  index offset, rows, columns;  // columns is Parameter::vector for a bias

  static constexpr index vector = -1;
  index size() const { return rows * (columns == vector ? 1 : columns); }
};

// Parameters, or their gradients, in the order of a layout: one flat vector, or an array each. A gradient may be null:
// not wanted.
template <class T>
struct Parameters {
  T* flat = nullptr;
  T* const* arrays = nullptr;

  Parameters() = default;
  Parameters(T* vector) : flat(vector) {}
  explicit Parameters(T* const* each) : arrays(each) {}

  T* at(std::size_t number, index offset) const { return arrays ? arrays[number] : flat ? flat + offset : nullptr; }
};

template <class T>
struct Inputs {
  index steps = 0, rows = 0;
  Parameters<const T> parameters;
  const PackedNetwork<T>* packed = nullptr;  // the same, packed before: then the parameters are not read
  // What the parameters were rounded to, if a call that keeps nothing is to read so few bits of them.
  WeightFormat format = WeightFormat::full;
  Rows<const T> x;  // of a packed batch, y is one too, and so are their gradients; the lengths descend
  // The input by number, where few of its rows differ: row labels[t, n] of the table x (distinct, I), multiplied once
  // for all steps.
  const index* labels = nullptr;  // [T, N] in 0..distinct - 1, or null: x is (T, N, I)
  index distinct = 0;
  const T* initial[max_states] = {};     // [L D, N, state_size] each, or null: zero, or the learned state
  const index* lengths = nullptr;        // [N] in 0..T, or null: T
  const std::uint8_t* resets = nullptr;  // [T, N], or null
  Dropout dropout;                       // between layers
  // Steps between the states that the cache keeps, instead of all that backward needs: backward runs forward again from
  // each of them (Chen et al. 2016), with the same bits in less memory. 0: the cache keeps all. One direction only.
  index checkpoint = 0;
};

// About the root of the steps, where the memory of a checkpointed call is least, in favour of speed.
index automatic_checkpoint(index steps);

template <class T>
struct Outputs {
  Rows<T> y;
  T* final[max_states] = {};
  T* activations = nullptr;  // the caller's memory for what is kept, activation_count() elements; null: the cache's own
};

// What the layers leave for backward, in one piece of memory.
template <class T>
struct Activations {
  Buffer<T> own;
  T* memory = nullptr;
  index count = 0;                             // elements
  std::vector<index> steps, between, dropped;  // where they begin: see below

  // Of direction k = l D + d: its cell's cache.
  T* cell(index k) const { return memory + steps[static_cast<std::size_t>(k)]; }
  // Of a lower layer: what it gave, and that after dropout, if there is any.
  T* outputs(index layer) const { return memory + between[static_cast<std::size_t>(layer)]; }
  bool drops() const { return !dropped.empty(); }
  T* after_dropout(index layer) const { return memory + dropped[static_cast<std::size_t>(layer)]; }
  T* below(index layer) const { return drops() ? after_dropout(layer - 1) : outputs(layer - 1); }

  // The same layout over memory that lies elsewhere by now.
  Activations at(T* other) const {
    Activations moved;
    moved.memory = other;
    moved.count = count;
    moved.steps = steps;
    moved.between = between;
    moved.dropped = dropped;
    return moved;
  }
};

// What backward needs of one forward call. It refers to x, y, the initial states, and copies the rest.
template <class T>
struct Cache {
  Inputs<T> inputs;
  Rows<const T> y;
  std::string network;           // the signature of the one it belongs to
  Buffer<index> order, lengths;  // by slot
  Buffer<index> labels;
  Buffer<index> starts;  // of a packed batch
  Buffer<std::uint8_t> resets;
  Activations<T> kept;   // of the whole sequence, unless it is checkpointed
  index checkpoint = 0;  // steps of a block, or 0
  // [s] state s before the second block and those behind it: [block, L, N, state_size]
  std::vector<Buffer<T>> checkpoints;

  index bytes() const;
};

// Where the arrays are by now that a cache refers to, for a caller who has moved them.
template <class T>
struct Moved {
  Rows<const T> x, y;
  const T* initial[max_states] = {};
  T* activations = nullptr;  // only read
};

template <class T>
struct OutputGradients {
  Parameters<const T> parameters;
  Rows<const T> y;                  // data may be null: zero
  const T* final[max_states] = {};  // null: zero
  const Moved<T>* moved = nullptr;  // null: all is where the cache says
};

template <class T>
struct InputGradients {
  Rows<T> x;  // (T, N, I), or (distinct, I) of an input by number; data may be null: not wanted
  T* initial[max_states] = {};
  Parameters<T> parameters;  // added to
};

class Network {
 public:
  // With a learned state the parameters end with the state at the start and after resets: h0_l0 (and c0_l0), ... A
  // proj_size P > 0 gives an LSTM outputs of P elements, W_hr o tanh(c). Options that are not given have the values of
  // the cell's description. Constraints hold in every layer and direction; they are for cells of one gate.
  // Precision::bf16 is for calls in float32: std::invalid_argument in others.
  Network(const std::string& cell, index input_size, index hidden_size, index num_layers, bool bias, bool bidirectional,
          bool learned_state = false, index proj_size = 0, const CellOptions& options = {},
          Constraints constraints = {}, Precision precision = Precision::float32);

  const std::string& cell() const { return cell_; }
  const CellDescription& description() const;
  const std::vector<double>& options() const { return options_; }  // in the order of the description
  index input_size() const { return input_size_; }
  index hidden_size() const { return hidden_size_; }
  index num_layers() const { return layers_; }
  bool bias() const { return bias_; }
  bool learned_state() const { return learned_state_; }
  index num_directions() const { return directions_; }
  index num_states() const { return states_; }
  index proj_size() const { return proj_size_; }  // 0: no projection
  // Elements of a row's state s in one direction of a layer: of h, then of c.
  index state_size(index s) const { return s == 0 && proj_size_ > 0 ? proj_size_ : hidden_size_; }
  index output_size() const { return directions_ * state_size(0); }
  // Where state s of direction k lies among the learned ones.
  index learned_offset(index k, index s) const {
    return k * (state_size(0) + (states_ - 1) * hidden_size_) + (s > 0 ? state_size(0) : 0);
  }
  index parameter_count() const { return parameter_count_; }
  const std::vector<Parameter>& layout() const { return layout_; }
  const std::string& signature() const { return signature_; }  // equal for networks of one shape
  const Constraints& constraints() const { return constraints_; }
  Precision precision() const { return precision_; }
  // Each W_hh becomes what the network runs on. Calls and packing do so by themselves, on a copy.
  template <class T>
  void constrain(T* parameters) const;

  // Writes all of y and the final states; fills the cache unless it is null.
  template <class T>
  void forward(const Inputs<T>&, const Outputs<T>&, Cache<T>*, Control&) const;
  template <class T>
  void backward(const Cache<T>&, const OutputGradients<T>&, const InputGradients<T>&, Control&) const;
  // Elements that a kept call without checkpoints leaves in Outputs::activations.
  template <class T>
  index activation_count(const Inputs<T>&) const;

  // What the cells of a kept call computed in every step, [L D, T, N, H] (h: P): "h", or one of cached_names(), such as
  // "c" and the gates. Zero past a row's length.
  std::vector<std::string> cached_names() const;
  template <class T>
  void trace(const Cache<T>&, const std::string& name, T* to) const;

  // Workers that make a call faster, if they wait so often for one another in a step whose units they share.
  int useful_threads(int asked, index valid_steps, index rows, index directions, int waits) const;
  // The parameters that the kernels run on: those given, or a constrained copy of them in `memory`.
  template <class T>
  Parameters<const T> effective(const Parameters<const T>& parameters, Buffer<T>& memory) const;
  // The kernels of its cell, and the weights of direction k = l D + d in their order, out of effective() parameters.
  template <class T>
  const CellKernels<T>& kernel() const;
  template <class T>
  Buffer<T> pack(const Parameters<const T>& parameters, index k, WeightFormat format = WeightFormat::full) const;
  // The same packed weights in float32, as CellKernels::widen makes them.
  template <class T>
  Buffer<T> widen(WeightFormat format, index k, const T* panels) const;
  // What the kernels read: all bits of weights that are near anyway, and gain nothing by fewer (measured: AVX-512, 2 MB
  // of second-level cache). It depends on the network alone, and so does what a row's bits are.
  WeightFormat read_format(WeightFormat format) const {
    if (precision_ == Precision::bf16) return WeightFormat::pairs;
    constexpr index least = 7 << 18;  // bytes of float32
    return 4 * parameter_count_ < least ? WeightFormat::full : format;
  }
  // A copy of the parameters, rounded; nothing for full.
  template <class T>
  Buffer<T> rounded(WeightFormat format, const Parameters<const T>& parameters) const;
  // Fewer bits are for float32 and for finite weights, int8 for Precision::float32: std::invalid_argument otherwise.
  template <class T>
  void check_format(WeightFormat format, const Parameters<const T>& parameters) const;
  void check_format(WeightFormat format) const;  // as far as the weights do not matter
  // One direction of a layer over some steps: all that does not depend on inputs and states.
  template <class T>
  Sequence<T> describe(index layer, index direction, const T* panels, index steps, index rows, const index* order,
                       const index* lengths) const;
  // State s of direction k = l D + d at the start and after resets: in the parameters, or null for zero.
  template <class T>
  T* reset_state(const Parameters<T>& parameters, index k, index s) const {
    if (!learned_state_) return nullptr;
    const std::size_t number = layout_.size() - static_cast<std::size_t>((layers_ * directions_ - k) * states_ - s);
    return parameters.at(number, layout_[number].offset);
  }

 private:
  template <class T>
  class ForwardStack;
  template <class T>
  class ForwardRun;
  template <class T>
  class BackwardRun;

  index inputs_of(index layer) const { return layer == 0 ? input_size_ : output_size(); }
  template <class T>
  Weights<T> weights(const Parameters<T>& parameters, index layer, index direction) const;
  template <class T>
  index block_steps(const Inputs<T>& inputs, bool keep) const;

  std::string cell_;
  void add_layout();
  std::string described() const;
  bool is_parameter(const CellVector& vector) const;

  index input_size_, hidden_size_, layers_, directions_, gates_, states_, parameter_count_ = 0, proj_size_;
  int cell_index_;
  std::vector<double> options_;
  Constraints constraints_;
  Precision precision_;
  bool bias_, learned_state_;
  std::vector<Parameter> layout_;
  std::string signature_;
};

}  // namespace rnncore
