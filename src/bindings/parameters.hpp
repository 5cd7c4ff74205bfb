// The parameters of a network, or their gradients, as a caller gives them.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "bindings/arrays.hpp"
#include "rnncore/network.hpp"

namespace rnncore::bindings {

// One flat vector, or a list of arrays in the order of the layout; of gradients None, for all or for one: not wanted.
template <class T>
class ParameterArrays {
 public:
  ParameterArrays(const py::object& object, const std::string& name, const Network& network, Access access) {
    const bool optional = access == Access::write;
    if (optional && object.is_none()) return;
    if (!py::isinstance<py::list>(object) && !py::isinstance<py::tuple>(object)) {
      flat_ = pointer<T>(contiguous<Value>(object, name, {network.parameter_count()}, access));
      return;
    }
    const auto given = py::reinterpret_borrow<py::sequence>(object);
    const auto& layout = network.layout();
    if (given.size() != layout.size())
      throw py::value_error(name + " has " + std::to_string(given.size()) + " arrays, expected " +
                            std::to_string(layout.size()) + ", from " + layout.front().name + " to " +
                            layout.back().name);
    arrays_.reserve(layout.size());
    for (std::size_t k = 0; k < layout.size(); ++k) {
      const py::object array = given[k];
      const auto& p = layout[k];
      const Shape shape = p.columns == Parameter::vector ? Shape{p.rows} : Shape{p.rows, p.columns};
      arrays_.push_back(optional && array.is_none()
                            ? nullptr
                            : pointer<T>(contiguous<Value>(array, Name(name, p.name), shape, access)));
    }
  }

  Parameters<T> get() const { return arrays_.empty() ? Parameters<T>(flat_) : Parameters<T>(arrays_.data()); }

 private:
  using Value = std::remove_const_t<T>;
  T* flat_ = nullptr;
  std::vector<T*> arrays_;
};

}  // namespace rnncore::bindings
