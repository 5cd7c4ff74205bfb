#include "bindings/network.hpp"

#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/batch_form.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
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

py::dict network_options(const PyNetwork& self) {
  py::dict options;
  const auto& values = self.network.options();
  for (std::size_t k = 0; k < values.size(); ++k) options[self.network.description().option[k].name] = values[k];
  return options;
}

}  // namespace

Constraints constraints_of(const py::object& mask_hh, const py::object& dale) {
  const auto values = [](const py::object& object, const char* name) {
    if (object.is_none()) return std::vector<std::int8_t>();
    const auto array = py::array_t<std::int8_t, py::array::c_style>::ensure(object);
    if (!array) throw py::type_error(std::string(name) + " must be an array of int8, or None");
    return std::vector<std::int8_t>(array.data(), array.data() + array.size());
  };
  return {values(mask_hh, "mask_hh"), values(dale, "dale")};
}

PyNetwork::PyNetwork(const std::string& cell, index input_size, index hidden_size, index num_layers, bool bias,
                     bool bidirectional, const std::string& scalar, bool learned_state, index proj_size,
                     const CellOptions& options, const Constraints& constraints, Precision precision)
    : network(cell, input_size, hidden_size, num_layers, bias, bidirectional, learned_state, proj_size, options,
              constraints, precision),
      dtype(scalar) {}

py::list PyNetwork::layout() const {
  py::list entries;
  for (const auto& p : network.layout()) {
    const py::tuple shape =
        p.columns == Parameter::vector ? py::tuple(py::make_tuple(p.rows)) : py::make_tuple(p.rows, p.columns);
    entries.append(py::make_tuple(p.name, p.offset, shape));
  }
  return entries;
}

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

template <class T>
void PyNetwork::backward_as(const Cache<T>& cache, const py::object& parameters, const py::object& dy,
                            const py::object& dhn, const py::object& dx, const py::object& dh0,
                            const py::object& dparameters, int threads, const py::object& moved) const {
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
  if (!dx.is_none())
    in.x = cache.inputs.labels ? distinct_rows<T>(dx, "dx", cache.inputs.distinct, network.input_size(), Access::write)
                               : batch.view<T>(dx, "dx", network.input_size(), Access::write);
  std::vector<Buffer<T>> unwanted;  // gradients on their way from step to step
  for (index s = 0; dh0.is_none() && s < network.num_states(); ++s) {
    const auto rows = checked_product({network.num_layers(), network.num_directions(), N, network.state_size(s)});
    in.initial[s] = unwanted.emplace_back(rows).data();
  }
  states(dh0, "dh0", N, Access::write, in.initial);
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
    py::tuple hn(static_cast<std::size_t>(network.num_states()));
    const auto made = [&](const BatchForm& batch, Outputs<T>& out) {
      const index steps = batch.steps(), rows = batch.rows(), columns = network.output_size();
      py::array array = rows_first ? empty<T>({rows, steps, columns}) : empty<T>({steps, rows, columns});
      out.y = {static_cast<T*>(array.mutable_data()), rows_first ? columns : rows * columns,
               rows_first ? steps * columns : columns};
      for (index s = 0; s < network.num_states(); ++s) {
        py::array state = empty<T>({network.num_layers() * network.num_directions(), rows, network.state_size(s)});
        out.final[s] = static_cast<T*>(state.mutable_data());
        hn[static_cast<std::size_t>(s)] = std::move(state);
      }
      return y = std::move(array);
    };
    const py::none none;
    auto cache = forward_as<T>(parameters, x, h0, made, lengths, resets, dropout, key, keep, checkpoint, threads,
                               labels, none, format_of(weights), none);
    return py::make_tuple(std::move(y), std::move(hn), std::move(cache));
  });
}

void PyNetwork::backward(const PyCache& cache, const py::object& parameters, const py::object& dy,
                         const py::object& dhn, const py::object& dx, const py::object& dh0,
                         const py::object& dparameters, int threads, const py::object& moved) const {
  if (cache.holds == PyCache::Holds::nothing) throw py::value_error("the cache was released");
  if (cache.holds == PyCache::Holds::layout && moved.is_none())
    throw py::value_error("the cache has handed over its memory: backward needs it in moved");
  std::visit(
      [&]<class T>(const Cache<T>& kept) {
        if (!dtype.is<T>()) throw py::value_error("cache has another dtype than the network");
        backward_as<T>(kept, parameters, dy, dhn, dx, dh0, dparameters, threads, moved);
      },
      cache.cache);
}

void PyNetwork::trace(const PyCache& cache, const std::string& name, const py::object& to) const {
  if (cache.holds != PyCache::Holds::all)
    throw py::value_error("the cache was released, or has handed over its memory");
  std::visit(
      [&]<class T>(const Cache<T>& kept) {
        if (kept.network != network.signature())
          throw py::value_error("cache is of " + kept.network + ", the network is " + network.signature());
        const std::vector<index> shape{network.num_layers() * network.num_directions(), kept.inputs.steps,
                                       kept.inputs.rows, name == "h" ? network.state_size(0) : network.hidden_size()};
        network.trace<T>(kept, name, pointer<T>(contiguous<T>(to, "to", shape, Access::write)));
      },
      cache.cache);
}

void PyNetwork::constrain(const py::object& parameters) const {
  dtype.visit([&]<class T>(T) {
    network.constrain(pointer<T>(contiguous<T>(parameters, "parameters", {network.parameter_count()}, Access::write)));
  });
}

PyPacked PyNetwork::pack(const py::object& parameters, const std::optional<std::string>& weights) const {
  return dtype.visit([&]<class T>(T) {
    const ParameterArrays<const T> arrays(parameters, "parameters", network, Access::read);
    return PyPacked{std::make_shared<const PackedNetwork<T>>(network, arrays.get(), format_of(weights))};
  });
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

void bind_network(py::module_& module) {
  using namespace py::literals;
  py::class_<PyPacked>(module, "Packed", "Weights in the order of the kernels.", py::is_final())
      .def_property_readonly("weights", [](const PyPacked& self) {
        return std::visit([](const auto& packed) { return name_of(packed->format()); }, self.packed);
      });
  py::class_<PyNetwork>(module, "Network", "The engine; its twin is rnncore.reference.network.Network.", py::is_final())
      .def(py::init([](const std::string& cell, index input_size, index hidden_size, index num_layers, bool bias,
                       bool bidirectional, const std::string& dtype, bool learned_state, index proj_size,
                       const CellOptions& options, const py::object& mask_hh, const py::object& dale,
                       const std::string& precision) {
             return std::make_unique<PyNetwork>(cell, input_size, hidden_size, num_layers, bias, bidirectional, dtype,
                                                learned_state, proj_size, options, constraints_of(mask_hh, dale),
                                                precision_of(precision));
           }),
           "cell"_a, "input_size"_a, "hidden_size"_a, "num_layers"_a = 1, "bias"_a = true, "bidirectional"_a = false,
           "dtype"_a = "float32", "learned_state"_a = false, "proj_size"_a = 0, "options"_a = CellOptions(),
           "mask_hh"_a = py::none(), "dale"_a = py::none(), "precision"_a = "float32")
      .def_property_readonly("cell", [](const PyNetwork& self) { return self.network.cell(); })
      .def_property_readonly("options", &network_options)
      .def_property_readonly("input_size", [](const PyNetwork& self) { return self.network.input_size(); })
      .def_property_readonly("hidden_size", [](const PyNetwork& self) { return self.network.hidden_size(); })
      .def_property_readonly("num_layers", [](const PyNetwork& self) { return self.network.num_layers(); })
      .def_property_readonly("bias", [](const PyNetwork& self) { return self.network.bias(); })
      .def_property_readonly("learned_state", [](const PyNetwork& self) { return self.network.learned_state(); })
      .def_property_readonly("proj_size", [](const PyNetwork& self) { return self.network.proj_size(); })
      .def_property_readonly("precision", [](const PyNetwork& self) { return name_of(self.network.precision()); })
      .def_property_readonly("bidirectional", [](const PyNetwork& self) { return self.network.num_directions() == 2; })
      .def_property_readonly("dtype", [](const PyNetwork& self) { return self.dtype.name(); })
      .def_property_readonly("num_directions", [](const PyNetwork& self) { return self.network.num_directions(); })
      .def_property_readonly("num_states", [](const PyNetwork& self) { return self.network.num_states(); })
      .def_property_readonly("parameter_count", [](const PyNetwork& self) { return self.network.parameter_count(); })
      .def_property_readonly("layout", &PyNetwork::layout)
      .def("forward", &PyNetwork::forward, "parameters"_a, "x"_a, "h0"_a, "y"_a, "hn"_a, "lengths"_a = py::none(),
           "resets"_a = py::none(), "dropout"_a = 0.0, "key"_a = 0, "keep"_a = false, "checkpoint"_a = 0,
           "num_threads"_a = 0, "labels"_a = py::none(), "memory"_a = py::none(), "weights"_a = py::none(),
           "batch_sizes"_a = py::none())
      .def("call", &PyNetwork::call, "parameters"_a, "x"_a, "h0"_a, "lengths"_a = py::none(), "resets"_a = py::none(),
           "dropout"_a = 0.0, "key"_a = 0, "keep"_a = false, "checkpoint"_a = 0, "num_threads"_a = 0,
           "labels"_a = py::none(), "weights"_a = py::none(), "rows_first"_a = false)
      .def("pack", &PyNetwork::pack, "parameters"_a, "weights"_a = py::none())
      .def("memory_size", &PyNetwork::memory_size, "steps"_a, "rows"_a, "lengths"_a = py::none(), "dropout"_a = 0.0)
      .def_property_readonly("cached_names", [](const PyNetwork& self) { return self.network.cached_names(); })
      .def("constrain", &PyNetwork::constrain, "parameters"_a)
      .def("trace", &PyNetwork::trace, "cache"_a, "name"_a, "to"_a)
      .def("backward", &PyNetwork::backward, "cache"_a, "parameters"_a, "dy"_a, "dhn"_a, "dx"_a, "dh0"_a,
           "dparameters"_a, "num_threads"_a = 0, "moved"_a = py::none());
}

}  // namespace rnncore::bindings
