// rnncore._core.drop and add_rows: what the layers between the recurrent ones need of the engine.
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "rnncore/dropout.hpp"
#include "rnncore/embedding.hpp"

namespace rnncore::bindings {
namespace {

std::vector<index> shape_of(const py::object& object, const char* name) {
  if (!py::isinstance<py::array>(object)) throw py::type_error(std::string(name) + " must be a NumPy array");
  const auto array = py::reinterpret_borrow<py::array>(object);
  return {array.shape(), array.shape() + array.ndim()};
}

template <class T>
void drop_as(const py::object& from, const py::object& to, const Dropout& dropout) {
  const auto shape = shape_of(from, "x");
  const auto source = contiguous<T>(from, "x", shape, Access::read);
  const auto target = contiguous<T>(to, "y", shape, Access::write);
  rnncore::drop(dropout, 0, source.size(), pointer<T>(source), pointer<T>(target));
}

void drop(const py::object& x, const py::object& y, double probability, std::uint64_t key) {
  const Dropout dropout{probability, key};
  py::isinstance<py::array_t<float>>(x) ? drop_as<float>(x, y, dropout) : drop_as<double>(x, y, dropout);
}

template <class T>
void add_rows_as(const py::object& values, const py::object& rows, const py::object& table) {
  const auto shape = shape_of(table, "table");
  if (shape.size() != 2) throw py::value_error("table must have 2 dimensions");
  const auto numbers = contiguous<index>(rows, "rows", shape_of(rows, "rows"), Access::read);
  const index count = numbers.size();
  const T* from = pointer<T>(contiguous<T>(values, "values", {count, shape[1]}, Access::read));
  T* to = pointer<T>(contiguous<T>(table, "table", shape, Access::write));
  const index* number = pointer<index>(numbers);
  for (index k = 0; k < count; ++k)
    if (number[k] < 0 || number[k] >= shape[0])
      throw py::value_error("rows must be in 0.." + std::to_string(shape[0] - 1) + ", got " +
                            std::to_string(number[k]));
  rnncore::add_rows(from, number, count, shape[1], to);
}

void add_rows(const py::object& values, const py::object& rows, const py::object& table) {
  py::isinstance<py::array_t<float>>(table) ? add_rows_as<float>(values, rows, table)
                                            : add_rows_as<double>(values, rows, table);
}

}  // namespace

void bind_pointwise(py::module_& module) {
  using namespace py::literals;
  module.def("drop", &drop, "x"_a, "y"_a, "probability"_a, "key"_a);
  module.def("add_rows", &add_rows, "values"_a, "rows"_a, "table"_a);
}

}  // namespace rnncore::bindings
