// A call's way through the layers of a network, in blocks of steps. Internal to network_forward.cpp and
// network_backward.cpp.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "rnncore/kernels/table.hpp"
#include "rnncore/network_packed.hpp"
#include "rnncore/row_order.hpp"

namespace rnncore {

// Memory of all workers, cut into equal parts.
template <class T>
class Workspaces {
 public:
  void allocate(index each, int workers) {
    each_ = each;
    buffer_ = Buffer<T>(checked_product({each, workers}));
  }
  T* of(int worker) const { return buffer_.data() + each_ * worker; }

 private:
  Buffer<T> buffer_;
  index each_ = 0;
};

// Steps [begin, begin + steps) of a sequence, whose slots keep their order.
struct Block {
  index number = 0, begin = 0, steps = 0;
  const index* lengths = nullptr;  // by slot, of the block
};

// A sequence cut into blocks of equal length; without steps it is one block.
class Blocks {
 public:
  Blocks(index steps, index block, index rows, const index* lengths)
      : steps_(steps), block_(std::clamp<index>(block, 1, std::max<index>(steps, 1))), rows_(rows), lengths_(lengths) {}

  index count() const { return std::max<index>((steps_ + block_ - 1) / block_, 1); }
  index length() const { return block_; }
  index longest() const { return std::min(block_, steps_); }
  index valid() const {  // steps of all rows in the fullest block, which is the first
    return std::accumulate(lengths_, lengths_ + rows_, index{0},
                           [&](index sum, index length) { return sum + std::min(length, block_); });
  }
  // The most that any worker's share of the slots needs, in a whole block and in the last one: a smaller share can need
  // more, since its own blocks of steps are longer.
  template <class Size>
  index largest(const std::vector<index>& split, const Size& size_of) const {
    index most = 0;
    const index last = count() - 1, other = last > 0 ? last : 1;  // one block is asked for once
    for (index number = 0; number <= last; number += other)
      for (std::size_t w = 1; w < split.size(); ++w)
        most = std::max(most, size_of(cut(number, lengths_), split[w] - split[w - 1]));
    return most;
  }

  void prepare(int workers) {
    if (count() > 1) cut_.allocate(rows_, workers);
  }
  Block block(index number, const Team& team) const {
    if (count() == 1) return cut(0, lengths_);
    index* const lengths = cut_.of(team.worker);
    const Block block = cut(number, lengths);
    for (index slot = 0; slot < rows_; ++slot)
      lengths[slot] = std::clamp<index>(lengths_[slot] - block.begin, 0, block.steps);
    return block;
  }

 private:
  Block cut(index number, const index* lengths) const {
    return {number, number * block_, std::min(block_, steps_ - number * block_), lengths};
  }

  index steps_, block_, rows_;
  const index* lengths_;
  Workspaces<index> cut_;
};

template <class T>
Rows<T> contiguous(T* data, index rows, index columns) {
  return {data, rows * columns, columns};
}

template <class T>
Rows<T> columns_from(const Rows<T>& rows, index column) {
  return {rows.data ? rows.data + column : nullptr, rows.time, rows.row, rows.starts};
}

template <class T>
Rows<T> steps_from(const Rows<T>& rows, index step) {
  return {rows.data ? rows.data + step * rows.time : nullptr, rows.time, rows.row,
          rows.starts ? rows.starts + step : nullptr};
}

// Zeros past the rows' ends, for a worker's slots.
template <class T>
void clear_padding(const Rows<T>& rows, index steps, index columns, const Cache<std::remove_const_t<T>>& cache,
                   const Team& team) {
  for (index slot = team.split[team.worker]; slot < team.split[team.worker + 1]; ++slot)
    for (index t = cache.lengths.data()[slot]; t < steps; ++t)
      std::fill_n(rows.at(t, cache.order.data()[slot]), columns, T(0));
}

// to = from * dropout, element by element, for a worker's slots of a block; the two may be one.
template <class T>
void drop(const Inputs<T>& call, index layer, const Block& block, const index* order, index columns, const T* from,
          T* to, const Team& team) {
  const index N = call.rows;
  for (index slot = team.split[team.worker]; slot < team.split[team.worker + 1]; ++slot)
    for (index t = 0; t < block.lengths[slot]; ++t) {
      const index row = t * N + order[slot], first = (layer * call.steps + block.begin) * N + row;
      drop(call.dropout, first * columns, columns, from + row * columns, to + row * columns);
    }
}

// States before and after a block: [L D, N, state_size] each.
template <class T>
struct Ends {
  const T* initial[max_states] = {};
  T* final[max_states] = {};
};

// What a layer reads in a block: x or what the layer below left, (T, N, columns).
template <class T>
void read_inputs(Sequence<T>& call, index layer, const Inputs<T>& inputs, const Activations<T>& kept,
                 const Block& block, index columns) {
  call.resets = inputs.resets ? inputs.resets + block.begin * inputs.rows : nullptr;
  call.x =
      layer == 0 ? steps_from(inputs.x, block.begin) : contiguous<const T>(kept.below(layer), inputs.rows, columns);
  if (layer > 0 || !inputs.labels) return;
  call.labels = inputs.labels + block.begin * inputs.rows;
  call.distinct = inputs.distinct;
}

// The layers forward over a block of steps, for the forward call itself and again in the backward call of a
// checkpointed one.
template <class T>
class Network::ForwardStack {
 public:
  // With `gates` the cells' caches are kept.
  ForwardStack(const Network& network, const Inputs<T>& inputs, const index* order, const Blocks& blocks, bool gates,
               Activations<T>& kept)
      : net_(network),
        kernel_(network.kernel<T>()),
        inputs_(inputs),
        order_(order),
        kept_(kept),
        gates_(gates),
        unpacked_(!inputs.packed && !inputs.labels && format() == WeightFormat::full && few_rows(blocks)) {
    lay_out(network, inputs, blocks, gates, kept_);
    if (!kept_.memory) {
      kept_.own = Buffer<T>(kept_.count);
      kept_.memory = kept_.own.data();
    }
    for (index k = 0; !inputs.packed && k < net_.layers_ * net_.directions_; ++k)
      own_panels_.emplace_back(kernel_.forward_panels(format(), net_.inputs_of(k / net_.directions_), net_.hidden_size_,
                                                      net_.state_size(0)));
    if (inputs.packed) inputs.packed->widen(inputs.rows, inputs.steps);
    for (index k = 0; widens_own() && k < net_.layers_ * net_.directions_; ++k)
      own_widened_.emplace_back(kernel_.forward_panels(WeightFormat::full, net_.inputs_of(k / net_.directions_),
                                                       net_.hidden_size_, net_.state_size(0)));
    for (index d = 0; inputs.labels && d < net_.directions_; ++d)
      by_label_.emplace_back(checked_product({inputs.distinct, kernel_.label_row(net_.hidden_size_)}));
  }

  // Where in one piece of memory everything begins, each on a cache line.
  static void lay_out(const Network& network, const Inputs<T>& inputs, const Blocks& blocks, bool gates,
                      Activations<T>& kept) {
    const auto take = [&](std::initializer_list<index> sizes) {
      const index begin = kept.count;
      kept.count = checked_sum(begin, whole_lines<T>(checked_product(sizes)));
      return begin;
    };
    for (index layer = 0; layer + 1 < network.layers_; ++layer) {
      kept.between.push_back(take({blocks.longest(), inputs.rows, network.output_size()}));
      if (inputs.dropout.probability > 0)
        kept.dropped.push_back(take({blocks.longest(), inputs.rows, network.output_size()}));
    }
    const index valid = blocks.valid(), row = network.kernel<T>().cache_row(network.hidden_size_);
    for (index k = 0; gates && k < network.layers_ * network.directions_; ++k) kept.steps.push_back(take({valid, row}));
  }

  void prepare(const std::vector<index>& split, const Blocks& blocks) {
    index each = 0;
    for (index layer = 0; layer < net_.layers_; ++layer)
      each = std::max(each, blocks.largest(split, [&](const Block& block, index slots) {
        return kernel_.forward_workspace(call(layer, 0, block, {}, {}), slots);
      }));
    workspaces_.allocate(each, static_cast<int>(split.size()) - 1);
  }

  void pack(const Team& team) const {
    for (std::size_t k = 0; k < own_panels_.size(); ++k) {
      T* const own = own_panels_[k].data();
      kernel_.pack_forward(format(), weights(static_cast<index>(k), true), own, team);
      if (widens_own())  // each worker what it has packed
        kernel_.widen(format(), net_.inputs_of(static_cast<index>(k) / net_.directions_), net_.hidden_size_,
                      net_.state_size(0), own, own_widened_[k].data(), team);
    }
    if (!inputs_.labels) return;
    team.synchronise();
    for (index d = 0; d < net_.directions_; ++d) kernel_.multiply_distinct(call(0, d, {}, {}, {}), team);
  }

  // Where rows are shared they need nothing of each other: each worker takes its own through all layers. y is the
  // block's; false: stopped.
  bool run(const Block& block, const Rows<T>& y, const Ends<T>& ends, const Team& team) const {
    for (index layer = 0; layer < net_.layers_; ++layer) {
      if (!directions(layer, block, y, ends, team)) return false;
      if (!kept_.drops() || layer + 1 == net_.layers_) continue;
      drop(inputs_, layer, block, order_, net_.output_size(), kept_.outputs(layer), kept_.after_dropout(layer), team);
      if (team.share != Share::rows) team.synchronise();
    }
    return true;
  }

 private:
  // What the panels are in. Those of one call in bf16 would be no faster than the same weights widened, with the same
  // bits.
  WeightFormat format() const {
    if (inputs_.packed) return inputs_.packed->read_format();
    const WeightFormat read = net_.read_format(inputs_.format);
    return read == WeightFormat::bf16 ? WeightFormat::full : read;
  }
  bool directions(index layer, const Block& block, const Rows<T>& y, const Ends<T>& ends, const Team& team) const {
    const bool apart = team.share == Share::directions;
    Team own = apart ? team.alone() : team;
    const index whole[] = {0, inputs_.rows};
    if (apart) own.split = whole;
    for (index direction = apart ? team.worker : 0; direction < net_.directions_; direction += apart ? team.workers : 1)
      kernel_.forward(call(layer, direction, block, y, ends), own, workspaces_.of(team.place()));
    if (!apart) return !team.stopped();
    team.synchronise();
    const bool stopped = team.stopped();
    team.synchronise();  // nobody looks again before all have seen the same
    return !stopped;
  }

  Forward<T> call(index layer, index direction, const Block& block, const Rows<T>& y, const Ends<T>& ends) const {
    const index k = layer * net_.directions_ + direction, N = inputs_.rows, columns = net_.output_size();
    const T* const panels =
        inputs_.packed ? inputs_.packed->panels(k) : own_panels_[static_cast<std::size_t>(k)].data();
    Forward<T> call{net_.describe(layer, direction, panels, block.steps, N, order_, block.lengths)};
    call.format = format();
    if (inputs_.packed)
      inputs_.packed->lend(k, N, inputs_.steps, call);
    else if (widens_own())
      call.widened = own_widened_[static_cast<std::size_t>(k)].data();
    read_inputs(call, layer, inputs_, kept_, block, columns);
    if (call.labels) call.by_label = by_label_[static_cast<std::size_t>(direction)].data();
    const bool last = layer + 1 == net_.layers_;
    call.y = columns_from(last ? y : contiguous(kept_.outputs(layer), N, columns), direction * call.output_size);
    for (index s = 0; s < net_.states_; ++s) {
      call.reset_state[s] = inputs_.packed ? inputs_.packed->initial(k, s) : net_.reset_state(inputs_.parameters, k, s);
      const index first = k * N * net_.state_size(s);
      call.initial[s] = ends.initial[s] ? ends.initial[s] + first : nullptr;
      call.final[s] = ends.final[s] ? ends.final[s] + first : nullptr;
    }
    call.cache = gates_ ? kept_.cell(k) : nullptr;
    if (!unpacked_) return call;
    const Weights<const T> left = weights(k, false);
    call.weight_ih = left.weight_ih;
    call.weight_hh = left.weight_hh;
    return call;
  }

  // Of direction k those that are packed, or those that are not: W_ih where rows are few, and W_hh if there is one
  // step.
  Weights<const T> weights(index k, bool packed) const {
    auto weights = net_.weights(inputs_.parameters, k / net_.directions_, k % net_.directions_);
    if (unpacked_ == packed) weights.weight_ih = nullptr;
    if ((unpacked_ && inputs_.steps == 1 && inputs_.rows <= most_unpacked_rows) == packed) weights.weight_hh = nullptr;
    return weights;
  }

  const Network& net_;
  const CellKernels<T>& kernel_;
  const Inputs<T>& inputs_;
  const index* order_;
  Activations<T>& kept_;
  const bool gates_;
  // Rows of all steps which gain less from packed weights than packing costs; which read large weights of x when they
  // are packed, and not again.
  static constexpr index some = 32, large = 1 << 17;
  bool few_rows(const Blocks& blocks) const {
    const index rows = inputs_.steps * inputs_.rows;
    return rows <= most_unpacked_rows ||
           (rows <= some && blocks.count() == 1 && net_.gates_ * net_.hidden_size_ * net_.input_size_ >= large);
  }
  const bool unpacked_;
  // Widening takes as long as it saves in so many rows.
  static constexpr index worth_widening = 64;
  bool widens_own() const {
    return !inputs_.packed && format() == WeightFormat::int8 && inputs_.rows > most_short_rows &&
           inputs_.steps * inputs_.rows >= worth_widening;
  }
  std::vector<Buffer<T>> own_panels_, own_widened_, by_label_;  // by_label_ [d] of the lowest layer
  Workspaces<T> workspaces_;
};

// The state before a block of a checkpointed call, as the cache keeps it.
template <class T>
Ends<T> checkpoint_ends(const Cache<T>& cache, const Inputs<T>& inputs, const Outputs<T>& outputs,
                        const index (&sizes)[max_states], index number, index count) {
  Ends<T> ends;
  for (std::size_t s = 0; s < max_states; ++s) {
    T* const kept = s < cache.checkpoints.size() ? cache.checkpoints[s].data() : nullptr;
    ends.initial[s] = number == 0 ? inputs.initial[s] : kept ? kept + (number - 1) * sizes[s] : outputs.final[s];
    ends.final[s] = number + 1 == count || !kept ? outputs.final[s] : kept + number * sizes[s];
  }
  return ends;
}

}  // namespace rnncore
