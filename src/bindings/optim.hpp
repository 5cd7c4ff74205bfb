// Optimisers' updates from dictionaries of arrays and options.
#pragma once

#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "rnncore/optim.hpp"

namespace rnncore::bindings {

// The k-th vectors of a step: parameters, gradients, and the state by name.
class Vectors {
 public:
  explicit Vectors(const py::dict& arrays) : arrays_(arrays) {
    const auto parameters = list("parameters");
    for (const auto& vector : parameters) {
      if (!py::isinstance<py::array>(vector)) throw py::type_error("parameters must be NumPy arrays");
      sizes_.push_back(py::reinterpret_borrow<py::array>(vector).size());
    }
    for (const auto& entry : arrays)
      if (const auto name = py::cast<std::string>(entry.first); list(name).size() != sizes_.size())
        throw py::value_error(name + " has " + std::to_string(list(name).size()) + " vectors, expected " +
                              std::to_string(sizes_.size()));
  }

  std::size_t count() const { return sizes_.size(); }
  index size(std::size_t k) const { return sizes_[k]; }
  bool is_float(std::size_t k) const { return py::isinstance<py::array_t<float>>(list("parameters")[k]); }

  // Null where the step has no such vectors.
  template <class T>
  T* at(const char* name, std::size_t k, Access access) const {
    if (!arrays_.contains(name)) return nullptr;
    return pointer<T>(contiguous<T>(list(name)[k], name, {sizes_[k]}, access));
  }
  template <class T>
  void fill(Update<T>& update, std::size_t k) const {
    update.count = sizes_[k];
    update.parameters = at<T>("parameters", k, Access::write);
    update.gradients = at<T>("gradients", k, Access::read);
  }

 private:
  py::list list(const std::string& name) const { return py::cast<py::list>(arrays_[name.c_str()]); }

  const py::dict arrays_;
  std::vector<index> sizes_;
};

// kind is sgd, adam or rmsprop; without gradients the update has to be given them.
template <class T>
AnyUpdate<T> update_of(const std::string& kind, const Vectors& vectors, std::size_t k, const py::dict& options);

}  // namespace rnncore::bindings
