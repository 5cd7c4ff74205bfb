// DLPack's exchange interface in C (version 1.3), as far as arrays are read through it: how a tensor of another
// library, such as PyTorch, tells where its numbers lie, without a copy and within nanoseconds. The layout of these
// structs is DLPack's promise.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace rnncore::bindings::dlpack {

struct Tensor {  // DLTensor
  void* data;
  std::int32_t device_type, device;
  std::int32_t dimensions;
  std::uint8_t code, bits;
  std::uint16_t lanes;
  const pybind11::ssize_t *shape, *strides;  // counted in elements
  std::uint64_t byte_offset;
};

struct Exchange {  // DLPackExchangeAPI
  std::uint32_t major, minor;
  Exchange* previous;
  int (*allocate)(Tensor*, void**, void*, void (*)(void*, const char*, const char*));
  int (*managed_from_object)(void*, void**);
  int (*managed_to_object)(void*, void**);
  int (*view)(void* object, Tensor*);  // of a tensor that stays with its owner; 0, or -1 with a Python error set
  int (*current_stream)(std::int32_t, std::int32_t, void**);
};

inline constexpr std::int32_t cpu = 1;
inline constexpr std::uint8_t code_int = 0, code_unsigned = 1, code_float = 2, code_bool = 6;

// What the type of an object offers, or null. Types that were seen are remembered, and kept alive.
inline const Exchange* exchange_of(PyObject* object) {
  struct Seen {
    PyTypeObject* type;
    const Exchange* exchange;
  };
  constexpr std::size_t most = 4;
  static Seen seen[most] = {};  // under the GIL
  static std::size_t next = 0;
  PyTypeObject* const type = Py_TYPE(object);
  for (const Seen& one : seen)
    if (one.type == type) return one.exchange;
  const auto capsule = pybind11::reinterpret_steal<pybind11::object>(
      PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__"));
  if (!capsule) {
    PyErr_Clear();
    return nullptr;
  }
  const auto* exchange = static_cast<const Exchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (!exchange) PyErr_Clear();
  while (exchange && exchange->major != 1) exchange = exchange->previous;
  if (!exchange) return nullptr;
  Py_INCREF(type);
  Py_XDECREF(seen[next].type);
  seen[next] = {type, exchange};
  next = (next + 1) % most;
  return exchange;
}

}  // namespace rnncore::bindings::dlpack
