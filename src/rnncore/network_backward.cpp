// The backward call: through the layers from the last to the first; where only states were kept, block by block from
// the last to the first, each after another forward pass over it. The gradients of the weights are one chain of
// additions in descending time: blocks change none of their bits.
#include <optional>

#include "rnncore/network_run.hpp"
#include "rnncore/parallel.hpp"

namespace rnncore {

template <class T>
class Network::BackwardRun {
 public:
  BackwardRun(const Network& network, const Cache<T>& cache, const OutputGradients<T>& outputs,
              const InputGradients<T>& inputs)
      : net_(network),
        kernel_(network.kernel<T>()),
        format_(network.read_format(WeightFormat::full)),
        cache_(cache),
        in_(resolved(cache, outputs.moved)),
        y_(outputs.moved ? outputs.moved->y : cache.y),
        kept_(cache.kept.at(outputs.moved ? outputs.moved->activations : cache.kept.memory)),
        outputs_(outputs),
        inputs_(inputs),
        blocks_(cache.inputs.steps, cache.checkpoint > 0 ? cache.checkpoint : cache.inputs.steps, cache.inputs.rows,
                cache.lengths.data()) {
    const index rows = cache.inputs.rows, values = checked_product({blocks_.longest(), rows, net_.output_size()});
    for (index k = 0; k < net_.layers_ * net_.directions_; ++k)
      panels_.emplace_back(kernel_.backward_panels(format_, net_.inputs_of(k / net_.directions_), net_.hidden_size_,
                                                   net_.state_size(0)));
    for (auto& d : between_)
      if (net_.layers_ > 1) d = Buffer<T>(values);
    for (index s = 0; s < net_.states_; ++s)
      state_sizes_[s] = checked_product({net_.layers_, net_.directions_, rows, net_.state_size(s)});
    for (index s = 0; net_.learned_state_ && s < net_.states_; ++s) {
      d_reset_state_[s] = Buffer<T>(state_sizes_[s]);
      std::fill_n(d_reset_state_[s].data(), state_sizes_[s], T(0));
    }
    for (index d = 0; cache.inputs.labels && d < net_.directions_; ++d) {
      auto& sums = by_label_[d] =
          Buffer<T>(checked_product({cache.inputs.distinct, kernel_.label_row(net_.hidden_size_)}));
      std::fill_n(sums.data(), sums.size(), T(0));
    }
    if (cache.checkpoint == 0) return;
    again_inputs_ = in_;
    again_inputs_.parameters = outputs.parameters;
    again_.emplace(net_, again_inputs_, cache.order.data(), blocks_, true, again_kept_);
    again_y_ = Buffer<T>(values);
    for (index s = 0; s < net_.states_; ++s) {
      again_final_[s] = Buffer<T>(state_sizes_[s]);
      again_outputs_.final[s] = again_final_[s].data();
    }
  }

  void run(Control& control) {
    const index* lengths = cache_.lengths.data();
    const index rows = cache_.inputs.rows, valid = std::accumulate(lengths, lengths + rows, index{0});
    parallel(
        net_.useful_threads(control.threads, valid, rows, 1, 3), control, [&](const Team& team) { work(team); },
        [&](Team& team) { prepare(team); });
    if (net_.learned_state_) add_learned_state();
  }

 private:
  static Inputs<T> resolved(const Cache<T>& cache, const Moved<T>* moved) {
    Inputs<T> inputs = cache.inputs;
    if (!moved) return inputs;
    inputs.x = moved->x;
    std::copy_n(moved->initial, max_states, inputs.initial);
    return inputs;
  }

  void prepare(Team& team) {
    split_ = share_work(cache_.lengths.data(), cache_.inputs.rows, 1, team);
    blocks_.prepare(team.workers);
    index each = 0, together = 0;
    for (index layer = 0; layer < net_.layers_; ++layer)
      each = std::max(each, blocks_.largest(split_, [&](const Block& block, index slots) {
        const auto backward = call(layer, 0, block);
        together = std::max(together, kernel_.backward_shared(backward));
        return kernel_.backward_workspace(backward, slots);
      }));
    workspaces_.allocate(each, team.workers);
    shared_ = Buffer<T>(together);
    if (again_) again_->prepare(split_, blocks_);
    team.split = split_.data();
  }

  Backward<T> call(index layer, index direction, const Block& block) const {
    const auto& in = in_;
    const index k = layer * net_.directions_ + direction, N = in.rows, columns = net_.output_size();
    const bool last = layer + 1 == net_.layers_;
    const auto& kept = again_ ? again_kept_ : kept_;
    const T* const panels = panels_[static_cast<std::size_t>(k)].data();
    Backward<T> call{net_.describe(layer, direction, panels, block.steps, N, cache_.order.data(), block.lengths)};
    call.format = format_;
    read_inputs(call, layer, in, kept, block, columns);
    if (call.labels) call.by_label = by_label_[direction].data();
    const auto y = again_ ? contiguous<const T>(again_y_.data(), N, columns) : y_;
    call.y =
        columns_from(last ? y : contiguous<const T>(kept.outputs(layer), N, columns), direction * call.output_size);
    call.dy = columns_from(
        last ? steps_from(outputs_.y, block.begin) : contiguous<const T>(between_[layer % 2].data(), N, columns),
        direction * call.output_size);
    call.dx =
        layer == 0 ? steps_from(inputs_.x, block.begin) : contiguous(between_[(layer + 1) % 2].data(), N, columns);
    call.add_dx = direction == 1;
    const auto ends = checkpoint_ends(cache_, in, {}, state_sizes_, block.number, blocks_.count());
    const bool final =
        block.number + 1 == blocks_.count();  // a block before it takes up where the one behind it arrived
    for (index s = 0; s < net_.states_; ++s) {
      const index first = k * N * net_.state_size(s);
      const T* const d_final = final ? outputs_.final[s] : inputs_.initial[s];
      call.reset_state[s] = net_.reset_state(outputs_.parameters, k, s);
      if (net_.learned_state_) call.d_reset_state[s] = d_reset_state_[s].data() + first;
      call.initial[s] = ends.initial[s] ? ends.initial[s] + first : nullptr;
      call.d_final[s] = d_final ? d_final + first : nullptr;
      call.d_initial[s] = inputs_.initial[s] + first;
    }
    call.cache = kept.cell(k);
    call.d_weights = net_.weights(inputs_.parameters, layer, direction);
    return call;
  }

  void work(const Team& team) const {
    const auto& in = in_;
    for (index k = 0; k < net_.layers_ * net_.directions_; ++k)
      kernel_.pack_backward(format_, net_.weights(outputs_.parameters, k / net_.directions_, k % net_.directions_),
                            panels_[static_cast<std::size_t>(k)].data(), team);
    if (again_) again_->pack(team);
    team.synchronise();
    for (index number = blocks_.count() - 1; number >= 0; --number) {
      const Block block = blocks_.block(number, team);
      if ((again_ && !forward_again(block, team)) || !backward(block, team)) return;
    }
    for (index d = 0; in.labels && d < net_.directions_; ++d)
      kernel_.distinct_gradients(call(0, d, {}), team, shared_.data());
    if (inputs_.x.data && !inputs_.x.starts && !in.labels)
      clear_padding(inputs_.x, in.steps, net_.input_size_, cache_, team);
  }

  // False: stopped, and all workers say so.
  bool forward_again(const Block& block, const Team& team) const {
    auto ends = checkpoint_ends(cache_, in_, again_outputs_, state_sizes_, block.number, blocks_.count());
    for (index s = 0; s < net_.states_; ++s) ends.final[s] = again_final_[s].data();
    team.synchronise();  // the block behind it is done with the memory
    again_->run(block, contiguous(again_y_.data(), in_.rows, net_.output_size()), ends, team);
    team.synchronise();
    const bool stopped = team.stopped();
    team.synchronise();  // nobody looks again before all have seen the same
    return !stopped;
  }

  bool backward(const Block& block, const Team& team) const {
    for (index layer = net_.layers_ - 1; layer >= 0; --layer) {
      for (index direction = 0; direction < net_.directions_; ++direction)
        if (!kernel_.backward(call(layer, direction, block), team, workspaces_.of(team.place()), shared_.data()))
          return false;
      if (layer > 0 && in_.dropout.probability > 0) {
        T* const d = between_[(layer + 1) % 2].data();
        drop(in_, layer - 1, block, cache_.order.data(), net_.output_size(), d, d, team);
      }
    }
    return true;
  }

  // What reached the learned state through resets and, unless another was given, from the start: row by row, in one
  // order.
  void add_learned_state() const {
    const index N = in_.rows;
    for (index k = 0; k < net_.layers_ * net_.directions_; ++k)
      for (index s = 0; s < net_.states_; ++s) {
        T* const to = net_.reset_state(inputs_.parameters, k, s);
        const index size = net_.state_size(s);
        const bool given = in_.initial[s];
        if (!to) continue;
        for (index i = k * N * size; i < (k + 1) * N * size; ++i)
          to[i % size] += d_reset_state_[s].data()[i] + (given ? T(0) : inputs_.initial[s][i]);
      }
  }

  const Network& net_;
  const CellKernels<T>& kernel_;
  const WeightFormat format_;
  const Cache<T>& cache_;
  const Inputs<T> in_;  // the cache's inputs, where they are by now
  const Rows<const T> y_;
  const Activations<T> kept_;
  const OutputGradients<T>& outputs_;
  const InputGradients<T>& inputs_;
  Blocks blocks_;
  index state_sizes_[max_states] = {};
  std::vector<Buffer<T>> panels_;
  Buffer<T> between_[2];   // gradients of the outputs of the layers below
  Buffer<T> by_label_[2];  // [direction] of the lowest layer, of an input by number
  Buffer<T> d_reset_state_[max_states];
  std::vector<index> split_;
  Workspaces<T> workspaces_;
  Buffer<T> shared_;
  // Of a checkpointed call: the forward pass over a block, and what it leaves.
  Inputs<T> again_inputs_;
  Outputs<T> again_outputs_;
  Activations<T> again_kept_;
  std::optional<ForwardStack<T>> again_;
  Buffer<T> again_y_, again_final_[max_states];
};

template <class T>
void Network::backward(const Cache<T>& cache, const OutputGradients<T>& outputs, const InputGradients<T>& inputs,
                       Control& control) const {
  if (!constraints_.any()) return BackwardRun<T>(*this, cache, outputs, inputs).run(control);
  Buffer<T> constrained;
  const Buffer<T> gradient(parameter_count_);
  std::fill_n(gradient.data(), parameter_count_, T(0));
  OutputGradients<T> run_on = outputs;
  run_on.parameters = effective(outputs.parameters, constrained);
  InputGradients<T> results = inputs;
  results.parameters = gradient.data();
  BackwardRun<T>(*this, cache, run_on, results).run(control);
  for (std::size_t number = 0; number < layout_.size(); ++number) {
    const Parameter& p = layout_[number];
    T* const from = gradient.data() + p.offset;
    if (p.name.starts_with("weight_hh"))
      constraints_.pull_back(hidden_size_, outputs.parameters.at(number, p.offset), from);
    T* const to = inputs.parameters.at(number, p.offset);
    for (index k = 0; to && k < p.size(); ++k) to[k] += from[k];
  }
}

template void Network::backward(const Cache<float>&, const OutputGradients<float>&, const InputGradients<float>&,
                                Control&) const;
template void Network::backward(const Cache<double>&, const OutputGradients<double>&, const InputGradients<double>&,
                                Control&) const;

}  // namespace rnncore
