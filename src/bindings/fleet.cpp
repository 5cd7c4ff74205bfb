// rnncore._core.FleetStream: the streams of many models, one call for all. Python's rnncore.FleetStream adds the rest.
#include "rnncore/model/fleet.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <variant>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "bindings/model.hpp"

namespace rnncore::bindings {
namespace {

class PyFleetStream {
 public:
  PyFleetStream(const PyModel& model, const py::object& parameters, index models, index rows)
      : engine_(make(model, parameters, models, rows)) {}

  // x (K, N, I) or labels (K, N); of several steps (K, T, N, I) or (K, T, N). y as x, with O for I.
  void step(const py::object& x, const py::object& y, int threads) {
    const InUse guard(in_use_);
    advance(x, y, threads, {});
  }
  void run(const py::object& x, const py::object& y, index steps, int threads) {
    const InUse guard(in_use_);
    advance(x, y, threads, {steps});
  }

  // One array (K, L, N, size) for each of the model's states.
  py::tuple states() {
    const InUse guard(in_use_);
    return std::visit(
        [&](const auto& engine) {
          using T = ScalarOf<decltype(engine)>;
          const auto& described = engine[0].model().states();
          py::tuple arrays(described.size());
          for (std::size_t s = 0; s < described.size(); ++s) {
            py::array_t<T> array(state_shape(engine, s));
            const index size = array.size() / engine.models();
            for (index k = 0; k < engine.models(); ++k)
              std::copy_n(engine[k].state(s), size, array.mutable_data() + k * size);
            arrays[s] = array;
          }
          return arrays;
        },
        engine_);
  }
  void set_states(const py::tuple& arrays) {
    const InUse guard(in_use_);
    std::visit(
        [&](const auto& engine) {
          using T = ScalarOf<decltype(engine)>;
          const auto& described = engine[0].model().states();
          if (arrays.size() != described.size())
            throw py::value_error("states has " + std::to_string(arrays.size()) + " arrays, expected " +
                                  std::to_string(described.size()));
          std::vector<const T*> from;
          for (std::size_t s = 0; s < described.size(); ++s)
            from.push_back(
                pointer<T>(contiguous<T>(arrays[s], described[s].name, state_shape(engine, s), Access::read)));
          for (std::size_t s = 0; s < described.size(); ++s) {
            const index size = described[s].layers * engine[0].rows() * described[s].size;
            for (index k = 0; k < engine.models(); ++k) std::copy_n(from[s] + k * size, size, engine[k].state(s));
          }
        },
        engine_);
  }

  void reset(const std::vector<index>& models) {
    const InUse guard(in_use_);
    std::visit(
        [&](const auto& engine) {
          for (const index k : models)
            if (k < 0 || k >= engine.models())
              throw py::index_error("there is no model " + std::to_string(k) + " among " +
                                    std::to_string(engine.models()));
          for (const index k : models)
            for (index row = 0; row < engine[k].rows(); ++row) engine[k].reset(row);
        },
        engine_);
  }

  void replace(const py::object& parameters) {
    const InUse guard(in_use_);
    std::visit(
        [&](auto& engine) {
          using T = ScalarOf<decltype(engine)>;
          const index P = engine[0].model().parameter_count();
          engine.replace(pointer<T>(contiguous<T>(parameters, "parameters", {engine.models(), P}, Access::read)));
        },
        engine_);
  }

 private:
  using Engine = std::variant<FleetStream<float>, FleetStream<double>>;
  template <class Fleet>
  using ScalarOf = std::remove_pointer_t<decltype(std::declval<Fleet&>()[0].state(0))>;

  template <class Fleet>
  static std::vector<index> state_shape(const Fleet& engine, std::size_t s) {
    const auto& state = engine[0].model().states()[s];
    return {engine.models(), state.layers, engine[0].rows(), state.size};
  }

  template <class T>
  static Engine make_as(const PyModel& model, const py::object& parameters, index models, index rows) {
    const auto array = contiguous<T>(parameters, "parameters", {models, model.model.parameter_count()}, Access::read);
    return FleetStream<T>(model.model, models, pointer<T>(array), rows);
  }
  static Engine make(const PyModel& model, const py::object& parameters, index models, index rows) {
    return model.is_float() ? make_as<float>(model, parameters, models, rows)
                            : make_as<double>(model, parameters, models, rows);
  }

  // One step, or with `time` {T} as many.
  void advance(const py::object& x, const py::object& y, int threads, const std::vector<index>& time) {
    std::visit(
        [&](const auto& engine) {
          using T = ScalarOf<decltype(engine)>;
          const StreamSizes& sizes = engine[0].sizes();
          std::vector<index> shape{engine.models()};
          shape.insert(shape.end(), time.begin(), time.end());
          shape.push_back(sizes.rows);
          const auto with = [&](index columns) {
            std::vector<index> all(shape);
            all.push_back(columns);
            return all;
          };
          T* const to = pointer<T>(contiguous<T>(y, "y", with(sizes.outputs), Access::write));
          const auto call = [&](const auto* from) {
            without_gil(threads, [&](Control& control) {
              time.empty() ? engine.step(from, to, control) : engine.run(time[0], from, to, control);
            });
          };
          if (sizes.labels == 0) return call(pointer<T>(contiguous<T>(x, "x", with(sizes.features), Access::read)));
          const View labels = contiguous<index>(x, "x", shape, Access::read);
          const index* const from = pointer<index>(labels);
          for (index k = 0; k < labels.size(); ++k) check_label(from[k], sizes.labels);
          call(from);
        },
        engine_);
  }

  Engine engine_;
  std::atomic_flag in_use_;
};

}  // namespace

void bind_fleet(py::module_& module) {
  using namespace py::literals;
  py::class_<PyFleetStream>(module, "FleetStream", "A stream of each of many models.", py::is_final())
      .def(py::init<const PyModel&, const py::object&, index, index>(), "model"_a, "parameters"_a, "models"_a,
           "batch_size"_a)
      .def("step", &PyFleetStream::step, "x"_a, "y"_a, "num_threads"_a = 0)
      .def("run", &PyFleetStream::run, "x"_a, "y"_a, "steps"_a, "num_threads"_a = 0)
      .def("states", &PyFleetStream::states)
      .def("set_states", &PyFleetStream::set_states, "states"_a)
      .def("reset", &PyFleetStream::reset, "models"_a)
      .def("replace", &PyFleetStream::replace, "parameters"_a);
}

}  // namespace rnncore::bindings
