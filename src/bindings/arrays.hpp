// The caller's arrays as the engine's pointers and strides. What does not fit is an error that names the argument;
// nothing is converted.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include "bindings/dlpack.hpp"
#include "rnncore/arrays.hpp"

namespace rnncore::bindings {

namespace py = pybind11;

enum class Access { read, write };

// The sizes of an array: written in place, at most four of them, or those of a vector that outlives it. A call checks
// a dozen shapes, none of which is worth an allocation.
class Shape {
 public:
  Shape(std::initializer_list<index> sizes) : count_(sizes.size()) { std::copy(sizes.begin(), sizes.end(), own_); }
  Shape(const std::vector<index>& sizes) : outside_(sizes.data()), count_(sizes.size()) {}

  const index* begin() const { return outside_ ? outside_ : own_; }
  const index* end() const { return begin() + count_; }
  std::size_t size() const { return count_; }
  index operator[](std::size_t axis) const { return begin()[axis]; }

 private:
  const index* outside_ = nullptr;
  index own_[4] = {};
  std::size_t count_;
};

inline std::string shape_text(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

// What an error calls an array: an argument, or a part of one. The text is put together only where there is an error.
class Name {
 public:
  Name(const char* argument) : argument_(argument) {}
  Name(const std::string& argument) : argument_(argument.c_str()) {}
  Name(const std::string& argument, const std::string& part) : argument_(argument.c_str()), part_(part.c_str()) {}

  std::string operator+(const std::string& rest) const {
    return part_ ? std::string(argument_) + ": " + part_ + rest : argument_ + rest;
  }

 private:
  const char *argument_, *part_ = nullptr;
};

// Where the numbers of an array lie: NumPy's, or a tensor on the processor. The object itself stays with the caller.
class View {
 public:
  View(const py::handle& object, const Name& name) {
    if (py::isinstance<py::array>(object)) {
      take(py::reinterpret_borrow<py::array>(object));
      return;
    }
    const auto* const exchange = dlpack::exchange_of(object.ptr());
    if (!exchange)
      throw py::type_error(name + " must be a NumPy array, got " +
                           std::string(py::str(py::type::of(object).attr("__name__"))));
    dlpack::Tensor tensor;
    if (exchange->view(object.ptr(), &tensor) != 0) throw py::error_already_set();
    take(tensor, name);
  }

  template <class T>
  bool is() const {
    return array_ ? py::isinstance<py::array_t<T>>(array_) : code_ == code<T>() && bits_ == 8 * sizeof(T);
  }
  std::string dtype() const {
    if (array_) return py::str(array_.attr("dtype"));
    const auto bits = std::to_string(bits_);
    switch (code_) {
      case dlpack::code_bool:
        return "bool";
      case dlpack::code_int:
        return "int" + bits;
      case dlpack::code_unsigned:
        return "uint" + bits;
      case dlpack::code_float:
        return "float" + bits;
      default:
        return "of another kind with " + bits + " bits";
    }
  }
  void* data() const { return data_; }
  bool writeable() const { return writeable_; }
  int ndim() const { return ndim_; }
  std::vector<index> shape() const { return {shape_, shape_ + ndim_}; }
  bool has_shape(const Shape& other) const { return std::equal(shape_, shape_ + ndim_, other.begin(), other.end()); }
  index shape(int axis) const { return shape_[axis]; }
  index strides(int axis) const { return strides_[axis] * unit_; }  // in bytes
  index size() const {
    index count = 1;
    for (int axis = 0; axis < ndim_; ++axis) count *= shape(axis);
    return count;
  }
  bool aligned(index bytes) const {
    index all = static_cast<index>(reinterpret_cast<std::uintptr_t>(data_));
    for (int axis = 0; axis < ndim_; ++axis)
      if (shape(axis) > 1) all |= strides(axis);
    return all % bytes == 0 || size() == 0;
  }
  bool contiguous(index itemsize) const {
    if (size() == 0) return true;
    for (int axis = ndim_ - 1; axis >= 0; --axis) {
      if (shape(axis) > 1 && strides(axis) != itemsize) return false;
      itemsize *= shape(axis);
    }
    return true;
  }

 private:
  template <class T>
  static constexpr std::uint8_t code() {
    if (std::is_same_v<T, bool>) return dlpack::code_bool;
    return std::is_floating_point_v<T> ? dlpack::code_float
           : std::is_signed_v<T>       ? dlpack::code_int
                                       : dlpack::code_unsigned;
  }

  void take(const py::array& array) {
    array_ = array;
    data_ = py::detail::array_proxy(array.ptr())->data;
    writeable_ = array.writeable();
    ndim_ = static_cast<int>(array.ndim());
    shape_ = array.shape();
    strides_ = array.strides();
  }
  void take(const dlpack::Tensor& tensor, const Name& name) {
    if (tensor.device_type != dlpack::cpu) throw py::value_error(name + " must be in the memory of the processor");
    if (tensor.lanes != 1 || (!tensor.strides && tensor.dimensions > 0))
      throw py::value_error(name + " must be an array of single numbers with strides");
    data_ = static_cast<char*>(tensor.data) + tensor.byte_offset;
    code_ = tensor.code;
    bits_ = tensor.bits;
    ndim_ = tensor.dimensions;
    shape_ = tensor.shape;
    strides_ = tensor.strides;
    unit_ = bits_ / 8;
  }

  py::object array_;
  void* data_ = nullptr;
  int ndim_ = 0;
  const py::ssize_t *shape_ = nullptr, *strides_ = nullptr;  // the object's own
  index unit_ = 1;                                           // of strides, in bytes
  bool writeable_ = true;
  std::uint8_t code_ = 0, bits_ = 0;
};

inline View of_dimensions(const py::object& object, const Name& name, int count) {
  View view(object, name);
  if (view.ndim() != count)
    throw py::value_error(name + " must be a NumPy array of " + std::to_string(count) + " dimensions");
  return view;
}

// A new array, not initialised; MemoryError tells the number of bytes, be it beyond memory or beyond any address.
// Twin: empty in python/rnncore/arguments.py
template <class T>
py::array empty(const Shape& shape) {
  auto& numpy = py::detail::npy_api::get();
  PyObject* const array = numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, py::dtype::of<T>().release().ptr(),
                                                      static_cast<int>(shape.size()), const_cast<index*>(shape.begin()),
                                                      nullptr, nullptr, 0, nullptr);
  if (array) return py::reinterpret_steal<py::array>(array);
  PyErr_Clear();
  py::object bytes = py::int_(sizeof(T));
  for (const index size : shape) bytes = bytes * py::int_(size);
  const std::string text =
      py::str("unable to allocate {} bytes for an array of shape " + shape_text(shape)).format(bytes);
  PyErr_SetString(PyExc_MemoryError, text.c_str());
  throw py::error_already_set();
}

// The array, if it has this type and shape and may be read (written) in place.
template <class T>
View checked(const py::handle& object, const Name& name, const Shape& shape, Access access) {
  View view(object, name);
  if (!view.is<T>())
    throw py::value_error(name + " has dtype " + view.dtype() + ", expected " +
                          std::string(py::str(py::dtype::of<T>())));
  if (!view.has_shape(shape))
    throw py::value_error(name + " has shape " + shape_text(view.shape()) + ", expected " + shape_text(shape));
  if (access == Access::write && !view.writeable()) throw py::value_error(name + " is read-only");
  if (!view.aligned(alignof(T))) throw py::value_error(name + " is not aligned");
  return view;
}

template <class T>
View contiguous(const py::handle& object, const Name& name, const Shape& shape, Access access) {
  auto view = checked<T>(object, name, shape, access);
  if (!view.contiguous(sizeof(T))) throw py::value_error(name + " is not C-contiguous");
  return view;
}

template <class T>
T* pointer(const View& view) {
  return static_cast<T*>(view.data());
}

// (time, row, column) with contiguous columns.
template <class T>
Rows<T> rows(const py::handle& object, const Name& name, const Shape& shape, Access access) {
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
Matrix<T> matrix(const py::handle& object, const Name& name, index row_count, index columns, Access access) {
  using Value = std::remove_const_t<T>;
  const auto array = checked<Value>(object, name, {row_count, columns}, access);
  constexpr index size = sizeof(Value);
  if (array.size() == 0) return {pointer<T>(array), 0};
  if (columns > 1 && array.strides(1) != size) throw py::value_error(name + " has columns that are not contiguous");
  if (row_count > 1 && array.strides(0) % size) throw py::value_error(name + " has strides between its elements");
  return {pointer<T>(array), row_count > 1 ? array.strides(0) / size : 0};
}

// A state: `count` arrays, of h (and c), each of the shape that shape_of(s) gives.
template <class Pointer, class ShapeOf>
void states(const py::object& object, const Name& name, index count, const ShapeOf& shape_of, Access access,
            Pointer* pointers) {
  using Value = std::remove_const_t<std::remove_pointer_t<Pointer>>;
  if (object.is_none()) return;
  if (!py::isinstance<py::sequence>(object)) throw py::type_error(name + " must be a tuple of arrays");
  const py::tuple arrays(object);
  if (static_cast<index>(arrays.size()) != count)
    throw py::value_error(name + " has " + std::to_string(arrays.size()) + " arrays, expected " +
                          std::to_string(count));
  for (index s = 0; s < count; ++s)
    pointers[s] = pointer<Value>(contiguous<Value>(arrays[static_cast<std::size_t>(s)], name, shape_of(s), access));
}

}  // namespace rnncore::bindings
