// The forward call: the whole sequence in one block, or in several where only the states between them are kept.
#include <cmath>
#include <stdexcept>

#include "rnncore/network_run.hpp"
#include "rnncore/parallel.hpp"

namespace rnncore {

// Storage grows with the states, T / k of them, and with the caches of one block, k steps: both go with the root of T.
// Blocks of four times the root cost little memory still, and the products over their steps are long enough to run at
// full speed.
index automatic_checkpoint(index steps) {
  return std::max<index>(static_cast<index>(std::ceil(4 * std::sqrt(static_cast<double>(steps)))), 1);
}

template <class T>
class Network::ForwardRun {
 public:
  ForwardRun(const Network& network, const Inputs<T>& inputs, const Outputs<T>& outputs, Cache<T>& cache, bool keep)
      : net_(network),
        inputs_(inputs),
        outputs_(outputs),
        cache_(sorted(cache, inputs, network)),
        blocks_(inputs.steps, network.block_steps(inputs, keep), inputs.rows, cache.lengths.data()),
        stack_(network, inputs, cache.order.data(), blocks_, keep && inputs.checkpoint == 0,
               in_memory(cache.kept, outputs.activations)) {
    for (index s = 0; s < net_.states_; ++s)
      state_sizes_[s] = checked_product({net_.layers_, net_.directions_, inputs.rows, net_.state_size(s)});
    if (!keep || inputs.checkpoint == 0) return;
    cache.checkpoint = blocks_.length();
    for (index s = 0; s < net_.states_; ++s)
      cache.checkpoints.emplace_back(checked_product({blocks_.count() - 1, state_sizes_[s]}));
  }

  void run(Control& control) {
    const index valid = std::accumulate(cache_.lengths.data(), cache_.lengths.data() + inputs_.rows, index{0});
    const int threads = net_.useful_threads(control.threads, valid, inputs_.rows, net_.directions_, 1);
    parallel(
        threads, control, [&](const Team& team) { work(team); }, [&](Team& team) { prepare(team); });
  }

 private:
  // First of all, since the members need the order: sizes that leave 63 bits are refused, rows sorted.
  static Cache<T>& sorted(Cache<T>& cache, const Inputs<T>& inputs, const Network& network) {
    const index N = inputs.rows, steps = inputs.steps, gates = network.kernel<T>().cache_row(network.hidden_size_);
    const index row = gates + network.inputs_of(0) + network.output_size();
    checked_product({steps, N, network.layers_, row, sizeof(T)});
    cache.order = Buffer<index>(N);
    cache.lengths = Buffer<index>(N);
    sort_rows(inputs.lengths, N, steps, cache.order.data(), cache.lengths.data());
    return cache;
  }

  static Activations<T>& in_memory(Activations<T>& kept, T* memory) {
    kept.memory = memory;
    return kept;
  }

  void prepare(Team& team) {
    split_ = share_work(cache_.lengths.data(), inputs_.rows, net_.directions_, team);
    blocks_.prepare(team.workers);
    stack_.prepare(split_, blocks_);
    team.split = split_.data();
  }

  void work(const Team& team) const {
    stack_.pack(team);
    team.synchronise();
    for (index number = 0; number < blocks_.count(); ++number) {
      const Block block = blocks_.block(number, team);
      const auto ends = checkpoint_ends(cache_, inputs_, outputs_, state_sizes_, number, blocks_.count());
      if (!stack_.run(block, steps_from(outputs_.y, block.begin), ends, team)) return;
    }
    if (inputs_.lengths && !outputs_.y.starts)
      clear_padding(outputs_.y, inputs_.steps, net_.output_size(), cache_, team);
  }

  const Network& net_;
  const Inputs<T>& inputs_;
  const Outputs<T>& outputs_;
  Cache<T>& cache_;
  Blocks blocks_;
  ForwardStack<T> stack_;
  index state_sizes_[max_states] = {};
  std::vector<index> split_;
};

// Inference in one direction needs the lower layers' outputs of a few steps only: no more than stay in a cache.
template <class T>
index Network::block_steps(const Inputs<T>& inputs, bool keep) const {
  constexpr index most = 1 << 18;  // elements
  if (inputs.checkpoint != 0 && directions_ == 2)
    throw std::invalid_argument("a bidirectional network cannot be checkpointed: it reads the future");
  if (inputs.checkpoint < 0) throw std::invalid_argument("checkpoint must not be negative");
  if (inputs.checkpoint > 0) return inputs.checkpoint;
  if (keep || directions_ == 2 || layers_ == 1) return inputs.steps;
  return std::max<index>(most / std::max<index>(checked_product({inputs.rows, state_size(0)}), 1), 32);
}

template <class T>
void Network::forward(const Inputs<T>& inputs, const Outputs<T>& outputs, Cache<T>* cache, Control& control) const {
  Cache<T> own;
  Buffer<T> constrained;
  Inputs<T> run_on = inputs;
  if (!inputs.packed) {
    run_on.parameters = effective(inputs.parameters, constrained);
    check_format(inputs.format, run_on.parameters);
  }
  if (inputs.labels && precision_ == Precision::bf16)
    throw std::invalid_argument("an input by number needs precision 'float32', got 'bf16'");
  if (cache && (inputs.packed ? inputs.packed->format() : inputs.format) != WeightFormat::full)
    throw std::invalid_argument(
        "weights in fewer bits are for inference: a call that keeps a cache needs float32 ones");
  if (cache) *cache = Cache<T>();
  Cache<T>& kept = cache ? *cache : own;
  ForwardRun<T>(*this, run_on, outputs, kept, cache != nullptr).run(control);
  if (!cache) return;
  if (cache->checkpoint > 0) cache->kept = Activations<T>();  // of the last block
  cache->inputs = inputs;
  cache->inputs.parameters = {};  // backward is told them
  cache->inputs.packed = nullptr;
  cache->network = signature();
  cache->y = {outputs.y.data, outputs.y.time, outputs.y.row};
  if (inputs.labels) {
    const index count = inputs.steps * inputs.rows;
    cache->labels = Buffer<index>(count + 1);  // not null where there are none
    std::copy_n(inputs.labels, count, cache->labels.data());
    cache->inputs.labels = cache->labels.data();
  }
  if (inputs.x.starts) {
    cache->starts = Buffer<index>(inputs.steps);
    std::copy_n(inputs.x.starts, inputs.steps, cache->starts.data());
    cache->inputs.x.starts = cache->y.starts = cache->starts.data();
  }
  if (!inputs.resets) return;
  cache->resets = Buffer<std::uint8_t>(inputs.steps * inputs.rows);
  std::copy_n(inputs.resets, cache->resets.size(), cache->resets.data());
  cache->inputs.resets = cache->resets.data();
}

template <class T>
index Network::activation_count(const Inputs<T>& inputs) const {
  std::vector<index> lengths(static_cast<std::size_t>(inputs.rows), inputs.steps);
  if (inputs.lengths) lengths.assign(inputs.lengths, inputs.lengths + inputs.rows);
  Activations<T> kept;
  ForwardStack<T>::lay_out(*this, inputs, Blocks(inputs.steps, inputs.steps, inputs.rows, lengths.data()), true, kept);
  return kept.count;
}

template <class T>
index Cache<T>::bytes() const {
  index count = kept.count;
  for (const auto& states : checkpoints) count += states.size();
  return count * index(sizeof(T)) +
         (order.size() + lengths.size() + labels.size() + starts.size()) * index(sizeof(index)) + resets.size();
}

template void Network::forward(const Inputs<float>&, const Outputs<float>&, Cache<float>*, Control&) const;
template void Network::forward(const Inputs<double>&, const Outputs<double>&, Cache<double>*, Control&) const;
template index Network::activation_count(const Inputs<float>&) const;
template index Network::activation_count(const Inputs<double>&) const;
template index Cache<float>::bytes() const;
template index Cache<double>::bytes() const;

}  // namespace rnncore
