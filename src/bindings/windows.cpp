// rnncore._core.describe_windows and gather_windows: view the arrays, release the GIL around one call, return.
#include "rnncore/windows.hpp"

#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"

namespace rnncore::bindings {
namespace {

WindowsOf windows_of(const py::object& values, const py::object& starts, index length) {
  const auto from = of_dimensions(values, "values", 1), places = of_dimensions(starts, "starts", 1);
  WindowsOf windows;
  windows.values = pointer<const double>(contiguous<double>(values, "values", {from.shape(0)}, Access::read));
  windows.starts = pointer<const index>(contiguous<index>(starts, "starts", {places.shape(0)}, Access::read));
  windows.count = places.shape(0);
  windows.length = length;
  if (length < 1) throw py::value_error("length must be at least 1, got " + std::to_string(length));
  for (index k = 0; k < windows.count; ++k) {
    const index start = windows.starts[k];
    if (start < 0 || start > from.shape(0) - length)
      throw py::value_error("starts[" + std::to_string(k) + "] is " + std::to_string(start) + ", expected 0 to " +
                            std::to_string(from.shape(0) - length));
  }
  return windows;
}

void describe_windows(const py::object& values, const py::object& starts, index length, index last, index lag,
                      const py::object& measures) {
  const auto windows = windows_of(values, starts, length);
  if (last < 1 || last > length || lag < 1) throw py::value_error("last must be in 1..length, and lag at least 1");
  double* const to =
      pointer<double>(contiguous<double>(measures, "measures", {windows.count, window_measures}, Access::write));
  without_gil(1, [&](Control&) { describe(windows, last, lag, to); });
}

template <class T>
void gather_as(const WindowsOf& windows, const double* level, const double* scale, double limit,
               const std::vector<index>& shape, const py::object& to) {
  const auto out = rows<T>(to, "to", shape, Access::write);
  without_gil(1, [&](Control&) { gather(windows, level, scale, limit, shape[2], out); });
}

// to: (steps, K, columns) float32 or float64, whose columns are contiguous.
void gather_windows(const py::object& values, const py::object& starts, const py::object& level,
                    const py::object& scale, double limit, const py::object& to) {
  const auto view = of_dimensions(to, "to", 3);
  const auto shape = view.shape();
  const auto windows = windows_of(values, starts, shape[0] * shape[2]);
  const std::vector<index> each{windows.count};
  const auto* const levels = pointer<const double>(contiguous<double>(level, "level", each, Access::read));
  const auto* const scales = pointer<const double>(contiguous<double>(scale, "scale", each, Access::read));
  const std::vector<index> expected{shape[0], windows.count, shape[2]};
  if (view.is<float>()) return gather_as<float>(windows, levels, scales, limit, expected, to);
  gather_as<double>(windows, levels, scales, limit, expected, to);
}

}  // namespace

void bind_windows(py::module_& module) {
  using namespace py::literals;
  module.def("describe_windows", &describe_windows, "values"_a, "starts"_a, "length"_a, "last"_a, "lag"_a,
             "measures"_a);
  module.def("gather_windows", &gather_windows, "values"_a, "starts"_a, "level"_a, "scale"_a, "limit"_a, "to"_a);
}

}  // namespace rnncore::bindings
