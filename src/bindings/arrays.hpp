// NumPy arrays as the engine's pointers and strides. What does not fit is an error that names the argument; nothing is converted.
#pragma once

#include <pybind11/numpy.h>

#include <string>
#include <vector>

#include "rnncore/arrays.hpp"

namespace rnncore::bindings {

namespace py = pybind11;

enum class Access { read, write };

inline std::string shape_text(const std::vector<index>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

// The array, if it has this type and shape and may be read (written) in place.
template <class T>
py::array checked(const py::handle& object, const std::string& name, const std::vector<index>& shape, Access access) {
  if (!py::isinstance<py::array>(object))
    throw py::type_error(name + " must be a NumPy array, got " +
                         std::string(py::str(py::type::of(object).attr("__name__"))));
  auto array = py::reinterpret_borrow<py::array>(object);
  if (!py::isinstance<py::array_t<T>>(object))
    throw py::value_error(name + " has dtype " + std::string(py::str(array.dtype())) + ", expected " +
                          std::string(py::str(py::dtype::of<T>())));
  const std::vector<index> got(array.shape(), array.shape() + array.ndim());
  if (got != shape) throw py::value_error(name + " has shape " + shape_text(got) + ", expected " + shape_text(shape));
  if (access == Access::write && !array.writeable()) throw py::value_error(name + " is read-only");
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) throw py::value_error(name + " is not aligned");
  return array;
}

template <class T>
py::array contiguous(const py::handle& object, const std::string& name, const std::vector<index>& shape,
                     Access access) {
  auto array = checked<T>(object, name, shape, access);
  if (!(array.flags() & py::array::c_style)) throw py::value_error(name + " is not C-contiguous");
  return array;
}

template <class T>
T* pointer(const py::array& array) {
  return static_cast<T*>(static_cast<void*>(py::detail::array_proxy(array.ptr())->data));
}

// (time, row, column) with contiguous columns.
template <class T>
Rows<T> rows(const py::handle& object, const std::string& name, const std::vector<index>& shape, Access access) {
  using Value = std::remove_const_t<T>;
  const auto array = checked<Value>(object, name, shape, access);
  constexpr index size = sizeof(Value);
  if (array.size() == 0) return {pointer<T>(array), 0, 0};
  // The stride of an axis of extent 1 is never used, and NumPy lets it be anything.
  const auto stride = [&](int axis) { return shape[static_cast<std::size_t>(axis)] > 1 ? array.strides(axis) : 0; };
  if (shape[2] > 1 && stride(2) != size) throw py::value_error(name + " has columns that are not contiguous");
  if (stride(0) % size || stride(1) % size) throw py::value_error(name + " has strides between its elements");
  return {pointer<T>(array), stride(0) / size, stride(1) / size};
}

// (rows, columns) with contiguous columns.
template <class T>
Matrix<T> matrix(const py::handle& object, const std::string& name, index row_count, index columns, Access access) {
  using Value = std::remove_const_t<T>;
  const auto array = checked<Value>(object, name, {row_count, columns}, access);
  constexpr index size = sizeof(Value);
  if (array.size() == 0) return {pointer<T>(array), 0};
  if (columns > 1 && array.strides(1) != size) throw py::value_error(name + " has columns that are not contiguous");
  if (row_count > 1 && array.strides(0) % size) throw py::value_error(name + " has strides between its elements");
  return {pointer<T>(array), row_count > 1 ? array.strides(0) / size : 0};
}

// A state: one array (L * D, N, size) each of h (and c), the sizes by state.
template <class Pointer>
void states(const py::object& object, const std::string& name, const std::vector<std::vector<index>>& shapes,
            Access access, Pointer* pointers) {
  using Value = std::remove_const_t<std::remove_pointer_t<Pointer>>;
  if (object.is_none()) return;
  if (!py::isinstance<py::sequence>(object)) throw py::type_error(name + " must be a tuple of arrays");
  const py::tuple arrays(object);
  if (arrays.size() != shapes.size())
    throw py::value_error(name + " has " + std::to_string(arrays.size()) + " arrays, expected " +
                          std::to_string(shapes.size()));
  for (std::size_t s = 0; s < shapes.size(); ++s)
    pointers[s] = pointer<Value>(contiguous<Value>(arrays[s], name, shapes[s], access));
}

}  // namespace rnncore::bindings
