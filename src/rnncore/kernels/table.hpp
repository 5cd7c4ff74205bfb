// What one instruction set provides, and the arguments of its functions. Sizes are counted in elements of T.
#pragma once

#include <cstdint>

#include "rnncore/arrays.hpp"
#include "rnncore/cell.hpp"
#include "rnncore/functions.hpp"
#include "rnncore/update.hpp"
#include "rnncore/weight_format.hpp"

namespace rnncore {

// What the workers of a parallel region divide among them.
enum class Share {
  rows,        // worker w owns the slots [split[w], split[w + 1]) and needs nothing of the others
  directions,  // worker w takes the directions w, w + workers, ... of a layer
  units,       // all workers take part in every step, each for its panels of hidden units
};

// So many rows of x are multiplied with weights as they lie; for more of them panels are packed first.
inline constexpr index most_unpacked_rows = 4;

// So many rows are multiplied with weights in fewer bits while these are widened in registers; for more of them they are
// widened before, once.
inline constexpr index most_short_rows = 4;

// Work between two looks whether the caller wants to stop, in multiply-adds: about 20 ms.
inline constexpr index usual_piece = 500'000'000;

// The workers of one parallel region. What belongs to slots alone is done by their owner: by worker 0 unless rows are
// shared.
struct Team {
  int worker = 0, workers = 1;
  Share share = Share::rows;
  const index* split = nullptr;
  void (*wait)(void*) = nullptr;  // for all workers
  void* barrier = nullptr;
  void (*poll)(void*) = nullptr;  // may set *stop; null: nothing can stop the call
  void* poll_context = nullptr;
  const bool* stop = nullptr;
  index piece = usual_piece;  // of a product between two looks, in multiply-adds

  void synchronise() const {
    if (workers > 1) wait(barrier);
  }
  // Between blocks of steps: worker 0 looks whether the caller wants to stop, all heed it. Where workers have to agree,
  // poll stands before a barrier and stopped behind it. Always inline: no part of it may be shared by the sets.
  [[gnu::always_inline]] void look() const {
    if (worker == 0 && poll) poll(poll_context);
  }
  bool stopped() const { return stop && __atomic_load_n(stop, __ATOMIC_RELAXED); }

  bool by_units() const { return share == Share::units; }
  bool owns_slots() const { return worker == 0 || !by_units(); }
  int place() const { return by_units() ? 0 : worker; }  // whose memory this worker works in
  index first_slot() const { return split[place()]; }
  index slots() const { return split[place() + 1] - split[place()]; }
  // This worker alone, for all slots.
  Team alone() const {
    Team one = *this;
    one.worker = 0, one.workers = 1, one.share = Share::rows;
    if (worker > 0) one.poll = nullptr;
    return one;
  }

  // This worker's share of `count` equal pieces.
  index begin(index count) const { return count * worker / workers; }
  index end(index count) const { return count * (worker + 1) / workers; }
};

// One direction of one layer over a whole sequence. A slot is a row in the order of descending length; a direction
// counts its own steps s = 0, 1, ... from the first step of a row that it visits.
template <class T>
struct Sequence {
  index steps = 0, rows = 0, input_size = 0, hidden_size = 0;
  index output_size = 0;  // of h and y: P where the cell's output is projected, else H
  bool reverse = false;
  bool backwards = false;                // the first step goes through the panels backwards: see Extent
  const index* order = nullptr;          // [rows] the row in each slot
  const index* lengths = nullptr;        // [rows] of each slot, descending
  const std::uint8_t* resets = nullptr;  // [steps, rows] a new segment begins here, or null
  Rows<const T> x;
  const index* labels = nullptr;  // [steps, rows] the input by number, row labels[t, n] of x (distinct, I); or null
  index distinct = 0;
  const T* reset_state[max_states] = {};     // [state_size] each: the state after a reset, or null: zero
  const T* initial[max_states] = {};         // [rows, state_size] each, or null: as after a reset
  const T* weights = nullptr;                // packed
  WeightFormat format = WeightFormat::full;  // in this; bf16 and int8: no cache
  const T* widened = nullptr;                // bf16 and int8: the same in float32 (`widen`) for many rows, or null
  index short_rows = most_short_rows;        // so many read those in fewer bits all the same
  const double* options = nullptr;           // of the cell
  T* cache = nullptr;                        // [valid steps in visiting order, cached, padded H], or null

  bool projected() const { return output_size != hidden_size; }
  index state_size(int k) const { return k == 0 ? output_size : hidden_size; }
};

// The weights of one direction of one layer (T const), or their gradients. Null: there are none, or they are not
// wanted.
template <class T>
struct Weights {
  index input_size = 0, hidden_size = 0, output_size = 0;
  T *weight_ih = nullptr, *weight_hh = nullptr, *bias_ih = nullptr, *bias_hh = nullptr;
  T* weight_hr = nullptr;           // [P, H], or null: the cell's output is h
  T* vectors[max_vectors] = {};     // [H] each, the cell's own
  const double* options = nullptr;  // of the cell
};

template <class T>
struct Forward : Sequence<T> {
  // Of W_ih and W_hh what was not packed, for a call of so few rows and steps that it would cost more than it saves; or
  // null. W_hh of a single step alone.
  const T *weight_ih = nullptr, *weight_hh = nullptr;
  Rows<T> y = {};
  T* by_label = nullptr;      // [panel][part][distinct][gate][W] the input's products, which multiply_distinct writes
  T* final[max_states] = {};  // [rows, state_size] each
};

template <class T>
struct Backward : Sequence<T> {
  Rows<const T> y = {}, dy = {};  // dy may be null: zero
  const T* d_final[max_states] = {};
  Rows<T> dx = {};  // may be null: not wanted
  bool add_dx = false;
  T* by_label = nullptr;  // [panel][distinct][accumulator][W] gradients of the sums, added up for distinct_gradients
  T* d_initial[max_states] = {};
  T* d_reset_state[max_states] = {};  // [rows, state_size] each, added to at resets, or null: not wanted
  Weights<T> d_weights = {};          // added to
};

// One step of one row that projects nothing.
template <class T>
struct SingleStep {
  index input_size, hidden_size;
  const T* weights;  // packed
  WeightFormat format;
  const T* x;
  T* y;
  const double* options;
  bool backwards;        // as above
  T* state[max_states];  // from where it goes on, and where it ends
};

template <class T>
struct CellKernels {
  CellDescription cell;
  index (*cache_row)(index hidden_size);  // per valid step
  index (*forward_panels)(WeightFormat, index input_size, index hidden_size, index output_size);
  index (*backward_panels)(WeightFormat, index input_size, index hidden_size, index output_size);  // full or pairs
  // But for W_ih and W_hh that are null.
  void (*pack_forward)(WeightFormat, const Weights<const T>&, T* panels, const Team&);
  void (*pack_backward)(WeightFormat, const Weights<const T>&, T* panels, const Team&);
  // Packed weights in bf16 as in WeightFormat::full; in int8 so, but for the scales.
  void (*widen)(WeightFormat, index input_size, index hidden_size, index output_size, const T* panels, T* to,
                const Team&);
  index (*label_row)(index hidden_size);                       // of by_label
  void (*multiply_distinct)(const Forward<T>&, const Team&);   // before forward, if the input comes by number
  index (*forward_workspace)(const Forward<T>&, index slots);  // of one worker that owns so many slots
  void (*forward)(const Forward<T>&, const Team&, T* workspace);
  void (*single_step)(const SingleStep<T>&, T* workspace);
  index (*single_step_workspace)(WeightFormat, index input_size, index hidden_size);
  index (*backward_workspace)(const Backward<T>&, index slots);
  index (*backward_shared)(const Backward<T>&);                                // of all workers together
  bool (*backward)(const Backward<T>&, const Team&, T* workspace, T* shared);  // false: stopped, and all workers say so
  void (*distinct_gradients)(const Backward<T>&, const Team&, T* shared);      // then dW_ih and dx, by number
};

// y = x W^T + b over rows: W (outputs, inputs), b (outputs,) or null.
template <class T>
struct LinearWeights {
  index inputs = 0, outputs = 0;
  const T *weight = nullptr, *bias = nullptr;
};

template <class T>
struct LinearGradients {
  index inputs = 0, outputs = 0, rows = 0;
  Matrix<const T> x, dy;
  T *d_weight = nullptr, *d_bias = nullptr;  // added to, row by row; the bias may be null
};

template <class T>
struct LinearKernels {
  index (*forward_panels)(index inputs, index outputs);
  index (*backward_panels)(index inputs, index outputs);
  void (*pack_forward)(const LinearWeights<T>&, T* panels, const Team&);
  void (*pack_backward)(const LinearWeights<T>&, T* panels, const Team&);
  // The rows [first, end).
  void (*forward)(index inputs, index outputs, const T* panels, Matrix<const T> x, Matrix<T> y, index first, index end);
  void (*input_gradient)(index inputs, index outputs, const T* panels, Matrix<const T> dy, Matrix<T> dx, index first,
                         index end);
  index (*gradient_workspace)(index inputs);  // of all workers together
  void (*parameter_gradients)(const LinearGradients<T>&, const Team&, T* workspace);
};

// The nodes of one level of trees, [first, end) by slot: those of greater height have greater slots. Arrays are (slots,
// ...).
template <class T>
struct TreeNodes {
  index first = 0, end = 0, hidden_size = 0;
  bool binary = false;                 // a node has a left and a right child; otherwise any number, whose h are summed
  const index* child_begin = nullptr;  // [slots + 1]: the children of slot s are child[child_begin[s]] ...
  const index *child = nullptr, *position = nullptr;  // slots; 0 left, 1 right
  T *gates = nullptr, *forget = nullptr;              // see tree.hpp; forget gates stand at the child's slot
  T *h = nullptr, *c = nullptr;
};
template <class T>
struct TreeLevel : TreeNodes<T> {
  T* children_h = nullptr;    // what the recurrent product reads: H, or 2H of a binary node
  const T* h_sums = nullptr;  // [slot - first] what it gives; null where no node has children
};
template <class T>
struct TreeLevelGradient : TreeNodes<T> {
  const index *parent = nullptr, *position_of = nullptr;  // by slot; -1: a root
  const T *d_h = nullptr, *d_children_h = nullptr;
  const T* d_h_forget = nullptr;  // [slot - first] through the parent's forget gate, or null
  T *d_c = nullptr, *d_x_sums = nullptr, *d_h_sums = nullptr, *d_forget = nullptr;
};
template <class T>
struct TreeKernels {
  void (*gather)(const TreeLevel<T>&, index first, index end);
  void (*lstm_forward)(const TreeLevel<T>&, index first, index end);
  void (*lstm_backward)(const TreeLevelGradient<T>&, index first, index end);
  void (*rnn_forward)(const TreeLevel<T>&, index first, index end);
  void (*rnn_backward)(const TreeLevelGradient<T>&, index first, index end);
};

template <class T>
struct ActivationKernels {
  void (*forward)(Activation, index count, const T* z, T* y);  // z and y may be one
  // kept is y, but z for gelu; dy and dz may be one.
  void (*backward)(Activation, index count, const T* kept, const T* dy, T* dz);
};

// y = (x - mean) / sqrt(variance + eps) * weight + bias over rows of `size` elements; weight and bias may be null.
template <class T>
struct LayerNormWeights {
  index size = 0;
  double eps = 0;
  const T *weight = nullptr, *bias = nullptr;
};

template <class T>
struct LayerNormKernels {
  // The rows [first, end). normal (rows, size) and inverse (rows) are what backward needs, both null: it is not kept.
  void (*forward)(const LayerNormWeights<T>&, Matrix<const T> x, Matrix<T> y, T* normal, T* inverse, index first,
                  index end);
  void (*input_gradient)(const LayerNormWeights<T>&, const T* normal, const T* inverse, Matrix<const T> dy,
                         Matrix<T> dx, index first, index end);
  // Adds for the columns [first, end), in the order of the rows; either may be null.
  void (*parameter_gradients)(index size, index rows, const T* normal, Matrix<const T> dy, T* d_weight, T* d_bias,
                              index first, index end);
};

// values[i] = w l and slopes[i] = share w dl/dprediction; a weight of 0 leaves out what the element holds, NaN too.
template <class T>
struct ElementLosses {
  LossKind kind;
  double option = 0;  // Huber's delta; eps of the Gaussian
  index count = 0;
  const T *prediction = nullptr, *target = nullptr;
  const T* logarithms = nullptr;  // of the Gaussian's variance
  const T* quantiles = nullptr;   // of the pinball loss
  const T* weights = nullptr;     // null: 1
  T share = 1;
  double* values = nullptr;
  T *slopes = nullptr, *log_slopes = nullptr;
};

// The same by rows of logits (rows, columns), with labels in 0..columns - 1: the cross-entropy.
template <class T>
struct RowLosses {
  index columns = 0;
  const T* prediction = nullptr;
  const index* labels = nullptr;  // not read where the weight is 0
  const T* weights = nullptr;     // [rows], null: 1
  T share = 1;
  double* values = nullptr;  // [rows]
  T* slopes = nullptr;
};

template <class T>
struct LossKernels {
  void (*elements)(const ElementLosses<T>&);
  void (*cross_entropy)(const RowLosses<T>&, index first, index end);
};

// What a model needs beside the cells and the linear layer: compiled apart, in pointwise.cpp.
template <class T>
struct PointwiseKernels {
  ActivationKernels<T> activation;
  LayerNormKernels<T> layer_norm;
  LossKernels<T> losses;
};

template <class T>
struct OptimKernels {
  void (*sgd)(const SgdUpdate<T>&);
  void (*adam)(const AdamUpdate<T>&);
  void (*rmsprop)(const RmspropUpdate<T>&);
  double (*squared_norm)(const T*, index count);  // in double precision, in an order that no instruction set changes
  void (*scale)(T*, index count, T factor);
  void (*clip)(T*, index count, T limit);  // to [-limit, limit]; NaN stays
};

template <class T>
struct List {
  const T* first;
  int count;

  const T* begin() const { return first; }
  const T* end() const { return first + count; }
  const T& operator[](int i) const { return first[i]; }
};

template <class T>
struct KernelTable {
  int width;                   // elements of T in a register
  List<CellKernels<T>> cells;  // in the order of cells/all.hpp
  LinearKernels<T> linear;
  PointwiseKernels<T> pointwise;
  OptimKernels<T> optim;
  TreeKernels<T> trees;
};

}  // namespace rnncore
