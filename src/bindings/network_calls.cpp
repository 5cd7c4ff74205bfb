// Network's calls: the caller's arrays, or new ones, as the engine's inputs and outputs.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/batch_form.hpp"
#include "bindings/call.hpp"
#include "bindings/network.hpp"
#include "bindings/parameters.hpp"

namespace rnncore::bindings {
namespace {

const index* checked_lengths(const py::object& object, index rows, index steps) {
  const index* lengths = pointer<index>(contiguous<index>(object, "lengths", {rows}, Access::read));
  for (index n = 0; n < rows; ++n)
    if (lengths[n] < 0 || lengths[n] > steps)
      throw py::value_error("lengths must be in 0.." + std::to_string(steps) + ", got " + std::to_string(lengths[n]));
  return lengths;
}

template <class T>
const std::shared_ptr<const PackedNetwork<T>>& packed_of(const PyPacked& packed, const Network& network) {
  const auto* const found = std::get_if<std::shared_ptr<const PackedNetwork<T>>>(&packed.packed);
  if (!found) throw py::value_error("the packed weights have another dtype than the network");
  if ((*found)->network().signature() != network.signature())
    throw py::value_error("the packed weights are of " + (*found)->network().signature() + ", the network is " +
                          network.signature());
  return *found;
}

// The caller's memory for what a call keeps, of so many elements at least.
template <class T>
T* memory_of(const py::object& object, index least, Access access) {
  const index count = of_dimensions(object, "memory", 1).shape(0);
  if (count < least)
    throw py::value_error("memory has " + std::to_string(count) + " elements, the call needs " + std::to_string(least));
  return pointer<T>(contiguous<T>(object, "memory", {count}, access));
}

// Rows by number, at no time of their own.
template <class T>
Rows<T> distinct_rows(const py::object& object, const Name& name, index distinct, index columns, Access access) {
  using Value = std::remove_const_t<T>;
  return {pointer<T>(contiguous<Value>(object, name, {distinct, columns}, access)), 0, columns};
}

// A copy: they are addresses in the call, and the caller's may change meanwhile.
std::vector<index> checked_labels(const py::object& object, index steps, index rows, index distinct) {
  const index* given = pointer<index>(contiguous<index>(object, "labels", {steps, rows}, Access::read));
  std::vector<index> labels;
  labels.reserve(static_cast<std::size_t>(steps * rows) + 1);  // not null where there are none
  labels.assign(given, given + steps * rows);
  for (const index label : labels)
    if (label < 0 || label >= distinct)
      throw py::value_error(distinct > 0 ? "labels must be in 0.." + std::to_string(distinct - 1) + ", got " +
                                               std::to_string(label)
                                         : "labels must be empty where x has no rows");
  return labels;
}

// A new array for a batch, (steps, rows, columns), in memory (rows, steps, columns) if rows come first.
template <class T>
Rows<T> new_rows(const BatchForm& batch, index columns, bool rows_first, py::object& result) {
  const index steps = batch.steps(), rows = batch.rows();
  py::array array = rows_first ? empty<T>({rows, steps, columns}) : empty<T>({steps, rows, columns});
  T* const data = static_cast<T*>(array.mutable_data());
  result = std::move(array);
  if (rows_first) return {data, columns, steps * columns};
  return {data, rows * columns, columns};
}

// New arrays for a state.
template <class T>
py::tuple new_states(const Network& network, index rows, T** pointers) {
  py::tuple states(static_cast<std::size_t>(network.num_states()));
  for (index s = 0; s < network.num_states(); ++s) {
    py::array state = empty<T>({network.num_layers() * network.num_directions(), rows, network.state_size(s)});
    pointers[s] = static_cast<T*>(state.mutable_data());
    states[static_cast<std::size_t>(s)] = std::move(state);
  }
  return states;
}

}  // namespace

template <class Pointer>
void PyNetwork::states(const py::object& object, const char* name, index rows, Access access, Pointer* pointers) const {
  const index each = network.num_layers() * network.num_directions();
  const auto shape = [&](index s) { return Shape{each, rows, network.state_size(s)}; };
  bindings::states(object, name, network.num_states(), shape, access, pointers);
}

template <class T, class Results>
std::unique_ptr<PyCache> PyNetwork::forward_as(const py::object& parameters, const py::object& x, const py::object& h0,
                                               const Results& results, const py::object& lengths,
                                               const py::object& resets, double dropout, std::uint64_t key, bool keep,
                                               index checkpoint, int threads, const py::object& labels,
                                               const py::object& memory, WeightFormat format,
                                               const py::object& batch_sizes) const {
  const bool by_number = !labels.is_none(), is_packed = !batch_sizes.is_none();
  if (is_packed && (by_number || !lengths.is_none()))
    throw py::value_error("batch_sizes exclude lengths, which say the same, and labels");
  BatchForm batch(by_number ? of_dimensions(labels, "labels", 2) : of_dimensions(x, "x", is_packed ? 2 : 3),
                  batch_sizes);
  std::vector<index> numbers;
  Inputs<T> in;
  Outputs<T> out;
  in.steps = batch.steps();
  in.rows = batch.rows();
  std::optional<ParameterArrays<const T>> weights;
  std::shared_ptr<const PackedNetwork<T>> packed;
  if (!py::isinstance<py::array>(parameters) && py::isinstance<PyPacked>(parameters)) {  // the cheaper look first
    packed = packed_of<T>(py::cast<const PyPacked&>(parameters), network);
    in.packed = packed.get();
  } else {
    weights.emplace(parameters, "parameters", network, Access::read);
    in.parameters = weights->get();
    in.format = format;
  }
  if (by_number) {
    in.distinct = of_dimensions(x, "x", 2).shape(0);
    numbers = checked_labels(labels, in.steps, in.rows, in.distinct);
    in.labels = numbers.data();
    in.x = distinct_rows<const T>(x, "x", in.distinct, network.input_size(), Access::read);
  } else {
    in.x = batch.view<const T>(x, "x", network.input_size(), Access::read);
  }
  states(h0, "h0", in.rows, Access::read, in.initial);
  const py::object y = results(batch, out);
  in.lengths = lengths.is_none() ? batch.lengths() : checked_lengths(lengths, in.rows, in.steps);
  if (!resets.is_none()) in.resets = batch.flags(resets, "resets");
  if (!(dropout >= 0 && dropout <= 1))
    throw py::value_error("dropout must be between 0 and 1, got " + std::to_string(dropout));
  in.dropout = {dropout, key};
  in.checkpoint = checkpoint < 0 ? automatic_checkpoint(in.steps) : checkpoint;
  if (!memory.is_none()) {
    if (!keep || in.checkpoint > 0)
      throw py::value_error("memory is for a call that keeps a cache, and without checkpoints");
    out.activations = memory_of<T>(memory, network.activation_count(in), Access::write);
  }
  const py::object own_memory = memory.is_none() ? py::object() : memory;
  auto kept = keep ? std::make_unique<PyCache>(PyCache{Cache<T>(), x, y, h0, own_memory}) : nullptr;
  auto* cache = keep ? &std::get<Cache<T>>(kept->cache) : nullptr;
  without_gil(threads, [&](Control& control) { network.forward(in, out, cache, control); });
  return kept;
}

template <class T, class Results>
void PyNetwork::backward_as(const Cache<T>& cache, const py::object& parameters, const py::object& dy,
                            const py::object& dhn, const Results& results, const py::object& dparameters, int threads,
                            const py::object& moved) const {
  const BatchForm batch(cache);
  const index N = batch.rows();
  if (cache.network != network.signature())
    throw py::value_error("cache is of " + cache.network + ", the network is " + network.signature());
  OutputGradients<T> out;
  InputGradients<T> in;
  const ParameterArrays<const T> weights(parameters, "parameters", network, Access::read);
  out.parameters = weights.get();
  Moved<T> places;
  if (!moved.is_none()) {
    const py::tuple given(moved);
    if (given.size() != 4) throw py::value_error("moved must be a tuple of memory, x, y and h0");
    if (cache.inputs.labels) throw py::value_error("the cache of an input by number cannot be moved");
    if (cache.checkpoint == 0) places.activations = memory_of<T>(given[0], cache.kept.count, Access::read);
    places.x = batch.view<const T>(given[1], "x", network.input_size(), Access::read);
    places.y = batch.view<const T>(given[2], "y", network.output_size(), Access::read);
    states(given[3], "h0", N, Access::read, places.initial);
    out.moved = &places;
  }
  if (!dy.is_none()) out.y = batch.view<const T>(dy, "dy", network.output_size(), Access::read);
  states(dhn, "dhn", N, Access::read, out.final);
  results(batch, in);
  const ParameterArrays<T> gradients(dparameters, "dparameters", network, Access::write);
  in.parameters = gradients.get();
  without_gil(threads, [&](Control& control) { network.backward(cache, out, in, control); });
}

std::unique_ptr<PyCache> PyNetwork::forward(const py::object& parameters, const py::object& x, const py::object& h0,
                                            const py::object& y, const py::object& hn, const py::object& lengths,
                                            const py::object& resets, double dropout, std::uint64_t key, bool keep,
                                            index checkpoint, int threads, const py::object& labels,
                                            const py::object& memory, const std::optional<std::string>& weights,
                                            const py::object& batch_sizes) const {
  return dtype.visit([&]<class T>(T) {
    const auto given = [&](const BatchForm& batch, Outputs<T>& out) {
      out.y = batch.view<T>(y, "y", network.output_size(), Access::write);
      if (hn.is_none()) throw py::type_error("hn must be a tuple of arrays");
      states(hn, "hn", batch.rows(), Access::write, out.final);
      return y;
    };
    return forward_as<T>(parameters, x, h0, given, lengths, resets, dropout, key, keep, checkpoint, threads, labels,
                         memory, format_of(weights), batch_sizes);
  });
}

py::tuple PyNetwork::call(const py::object& parameters, const py::object& x, const py::object& h0,
                          const py::object& lengths, const py::object& resets, double dropout, std::uint64_t key,
                          bool keep, index checkpoint, int threads, const py::object& labels,
                          const std::optional<std::string>& weights, bool rows_first) const {
  return dtype.visit([&]<class T>(T) {
    py::object y;
    py::tuple hn;
    const auto made = [&](const BatchForm& batch, Outputs<T>& out) {
      out.y = new_rows<T>(batch, network.output_size(), rows_first, y);
      hn = new_states(network, batch.rows(), out.final);
      return y;
    };
    const py::none none;
    auto cache = forward_as<T>(parameters, x, h0, made, lengths, resets, dropout, key, keep, checkpoint, threads,
                               labels, none, format_of(weights), none);
    return py::make_tuple(std::move(y), std::move(hn), std::move(cache));
  });
}

// work(kept): the cache, as it is held for this dtype.
template <class Work>
void PyNetwork::with_cache(const PyCache& cache, bool moved, const Work& work) const {
  if (cache.holds == PyCache::Holds::nothing) throw py::value_error("the cache was released");
  if (cache.holds == PyCache::Holds::layout && !moved)
    throw py::value_error("the cache has handed over its memory: backward needs it in moved");
  std::visit(
      [&]<class T>(const Cache<T>& kept) {
        if (!dtype.is<T>()) throw py::value_error("cache has another dtype than the network");
        work(kept);
      },
      cache.cache);
}

void PyNetwork::backward(const PyCache& cache, const py::object& parameters, const py::object& dy,
                         const py::object& dhn, const py::object& dx, const py::object& dh0,
                         const py::object& dparameters, int threads, const py::object& moved) const {
  with_cache(cache, !moved.is_none(), [&]<class T>(const Cache<T>& kept) {
    std::vector<Buffer<T>> unwanted;  // gradients on their way from step to step
    const auto given = [&](const BatchForm& batch, InputGradients<T>& in) {
      const index distinct = kept.inputs.distinct, columns = network.input_size();
      if (!dx.is_none())
        in.x = kept.inputs.labels ? distinct_rows<T>(dx, "dx", distinct, columns, Access::write)
                                  : batch.view<T>(dx, "dx", columns, Access::write);
      for (index s = 0; dh0.is_none() && s < network.num_states(); ++s) {
        const auto rows =
            checked_product({network.num_layers(), network.num_directions(), batch.rows(), network.state_size(s)});
        in.initial[s] = unwanted.emplace_back(rows).data();
      }
      states(dh0, "dh0", batch.rows(), Access::write, in.initial);
    };
    backward_as<T>(kept, parameters, dy, dhn, given, dparameters, threads, moved);
  });
}

py::tuple PyNetwork::gradients(const PyCache& cache, const py::object& parameters, const py::object& dy,
                               const py::object& dhn, const py::object& dparameters, int threads, bool input_gradient,
                               bool rows_first) const {
  py::object dx = py::none();
  py::tuple dh0;
  with_cache(cache, false, [&]<class T>(const Cache<T>& kept) {
    const auto made = [&](const BatchForm& batch, InputGradients<T>& in) {
      const index distinct = kept.inputs.distinct, columns = network.input_size();
      if (input_gradient && kept.inputs.labels) {
        dx = empty<T>({distinct, columns});
        in.x = distinct_rows<T>(dx, "dx", distinct, columns, Access::write);
      } else if (input_gradient) {
        in.x = new_rows<T>(batch, columns, rows_first, dx);
      }
      dh0 = new_states(network, batch.rows(), in.initial);
    };
    backward_as<T>(kept, parameters, dy, dhn, made, dparameters, threads, py::none());
  });
  return py::make_tuple(std::move(dx), std::move(dh0));
}

index PyNetwork::memory_size(index steps, index rows, const py::object& lengths, double dropout) const {
  return dtype.visit([&]<class T>(T) {
    Inputs<T> in;
    in.steps = steps;
    in.rows = rows;
    if (!lengths.is_none()) in.lengths = checked_lengths(lengths, rows, steps);
    in.dropout.probability = dropout;
    return network.activation_count(in);
  });
}

}  // namespace rnncore::bindings
