// rnncore._core.Linear: views the arrays, releases the GIL around one call, returns.
#include "rnncore/linear.hpp"

#include <optional>
#include <string>

#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "bindings/scalar.hpp"

namespace rnncore::bindings {
namespace {

class PyLinear {
 public:
  PyLinear(index in_features, index out_features, bool bias, const std::string& scalar,
           const std::optional<std::string>& activation)
      : linear(in_features, out_features, bias, activation ? activation_of(*activation) : Activation::none),
        dtype(scalar) {}

  // sums: what the activation is given, or None.
  void forward(const py::object& parameters, const py::object& x, const py::object& y, const py::object& sums,
               int threads) const {
    dtype.visit([&](auto zero) { forward_as<decltype(zero)>(parameters, x, y, sums, threads); });
  }
  void backward(const py::object& parameters, const py::object& x, const py::object& kept, const py::object& dy,
                const py::object& dx, const py::object& dparameters, int threads) const {
    dtype.visit([&](auto zero) { backward_as<decltype(zero)>(parameters, x, kept, dy, dx, dparameters, threads); });
  }

  const Linear linear;
  const Scalar dtype;

 private:
  static index rows_of(const py::object& x) {
    if (!py::isinstance<py::array>(x) || py::reinterpret_borrow<py::array>(x).ndim() != 2)
      throw py::value_error("x must be a NumPy array of 2 dimensions");
    return py::reinterpret_borrow<py::array>(x).shape(0);
  }

  template <class T>
  void forward_as(const py::object& parameters, const py::object& x, const py::object& y, const py::object& sums,
                  int threads) const {
    const index rows = rows_of(x);
    const T* p = pointer<T>(contiguous<T>(parameters, "parameters", {linear.parameter_count()}, Access::read));
    const auto from = matrix<const T>(x, "x", rows, linear.in_features(), Access::read);
    const auto to = matrix<T>(y, "y", rows, linear.out_features(), Access::write);
    T* kept = nullptr;
    if (!sums.is_none()) kept = pointer<T>(contiguous<T>(sums, "sums", {rows, linear.out_features()}, Access::write));
    without_gil(threads, [&](Control& control) { linear.forward(p, rows, from, to, kept, control); });
  }

  template <class T>
  void backward_as(const py::object& parameters, const py::object& x, const py::object& kept, const py::object& dy,
                   const py::object& dx, const py::object& dparameters, int threads) const {
    const index rows = rows_of(x);
    const T* p = pointer<T>(contiguous<T>(parameters, "parameters", {linear.parameter_count()}, Access::read));
    const auto input = matrix<const T>(x, "x", rows, linear.in_features(), Access::read);
    const auto d_output = matrix<const T>(dy, "dy", rows, linear.out_features(), Access::read);
    Matrix<const T> outputs;
    if (linear.activation() != Activation::none)
      outputs = matrix<const T>(kept, "kept", rows, linear.out_features(), Access::read);
    Matrix<T> d_input;
    if (!dx.is_none()) d_input = matrix<T>(dx, "dx", rows, linear.in_features(), Access::write);
    T* const d = pointer<T>(contiguous<T>(dparameters, "dparameters", {linear.parameter_count()}, Access::write));
    without_gil(threads,
                [&](Control& control) { linear.backward(p, rows, input, outputs, d_output, d_input, d, control); });
  }
};

}  // namespace

void bind_linear(py::module_& module) {
  using namespace py::literals;
  module.def("activations", &activation_names);
  py::class_<PyLinear>(module, "Linear", "A linear map of rows; its twin is rnncore.reference.linear.", py::is_final())
      .def(py::init<index, index, bool, const std::string&, const std::optional<std::string>&>(), "in_features"_a,
           "out_features"_a, "bias"_a = true, "dtype"_a = "float32", "activation"_a = py::none())
      .def_property_readonly("in_features", [](const PyLinear& self) { return self.linear.in_features(); })
      .def_property_readonly("out_features", [](const PyLinear& self) { return self.linear.out_features(); })
      .def_property_readonly("bias", [](const PyLinear& self) { return self.linear.bias(); })
      .def_property_readonly("keeps_sums", [](const PyLinear& self) { return self.linear.keeps_sums(); })
      .def_property_readonly("dtype", [](const PyLinear& self) { return self.dtype.name(); })
      .def_property_readonly("parameter_count", [](const PyLinear& self) { return self.linear.parameter_count(); })
      .def("forward", &PyLinear::forward, "parameters"_a, "x"_a, "y"_a, "sums"_a = py::none(), "num_threads"_a = 0)
      .def("backward", &PyLinear::backward, "parameters"_a, "x"_a, "kept"_a, "dy"_a, "dx"_a, "dparameters"_a,
           "num_threads"_a = 0);
}

}  // namespace rnncore::bindings
