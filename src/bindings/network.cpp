#include "bindings/network.hpp"

#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/parameters.hpp"

namespace rnncore::bindings {
namespace {

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
           "dparameters"_a, "num_threads"_a = 0, "moved"_a = py::none())
      .def("gradients", &PyNetwork::gradients, "cache"_a, "parameters"_a, "dy"_a, "dhn"_a, "dparameters"_a,
           "num_threads"_a = 0, "input_gradient"_a = true, "rows_first"_a = false);
}

}  // namespace rnncore::bindings
