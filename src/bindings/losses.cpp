// rnncore._core.Loss: views the arrays, releases the GIL around one call, returns.
#include "rnncore/model/losses.hpp"

#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"

namespace rnncore::bindings {
namespace {

template <class T>
py::tuple take_as(const Loss& loss, const py::object& prediction, const py::object& target, const py::object& weights,
                  const py::object& gradient, int threads) {
  if (py::reinterpret_borrow<py::array>(prediction).ndim() != 2)
    throw py::value_error("prediction must be a NumPy array of 2 dimensions");
  const auto array = py::reinterpret_borrow<py::array>(prediction);
  LossCall<T> call;
  const index rows = call.rows = array.shape(0), columns = call.columns = array.shape(1);
  call.prediction = pointer<T>(contiguous<T>(prediction, "prediction", {rows, columns}, Access::read));
  const index features = loss.of_labels() ? 1 : columns / loss.outputs_per_feature();
  if (!loss.of_labels()) {
    call.target = pointer<T>(contiguous<T>(target, "target", {rows, features}, Access::read));
  } else {
    call.labels = pointer<index>(contiguous<index>(target, "target", {rows}, Access::read));
  }
  if (!weights.is_none()) {
    call.weights_by_feature = py::reinterpret_borrow<py::array>(weights).ndim() == 2;
    call.weights = pointer<T>(contiguous<T>(
        weights, "weights", call.weights_by_feature ? std::vector<index>{rows, features} : std::vector<index>{rows},
        Access::read));
  }
  for (index r = 0; call.labels && r < rows; ++r)
    if ((call.labels[r] < 0 || call.labels[r] >= columns) && !(call.weights && call.weights[r] == 0))
      throw py::value_error("target must be in 0.." + std::to_string(columns - 1) + ", got " +
                            std::to_string(call.labels[r]));
  call.gradient = pointer<T>(contiguous<T>(gradient, "gradient", {rows, columns}, Access::write));
  LossResult result;
  without_gil(threads, [&](Control& control) { result = take_loss(loss, call, control); });
  return py::make_tuple(result.loss, result.weight);
}

py::tuple take(const Loss& loss, const py::object& prediction, const py::object& target, const py::object& weights,
               const py::object& gradient, int threads) {
  if (!py::isinstance<py::array>(prediction)) throw py::type_error("prediction must be a NumPy array");
  return py::isinstance<py::array_t<float>>(prediction)
             ? take_as<float>(loss, prediction, target, weights, gradient, threads)
             : take_as<double>(loss, prediction, target, weights, gradient, threads);
}

}  // namespace

void bind_losses(py::module_& module) {
  using namespace py::literals;
  py::class_<Loss>(module, "Loss", "A loss with its options; its twin is rnncore.reference.losses.", py::is_final())
      .def(py::init(&loss_named), "name"_a, "option"_a = 0.0, "quantiles"_a = std::vector<double>())
      .def_property_readonly("of_labels", &Loss::of_labels)
      .def_property_readonly("outputs_per_feature", &Loss::outputs_per_feature)
      .def("take", &take, "prediction"_a, "target"_a, "weights"_a, "gradient"_a, "num_threads"_a = 0);
}

}  // namespace rnncore::bindings
