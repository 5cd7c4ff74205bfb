// rnncore._core.Network: views the arrays, releases the GIL around one call, returns.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/scalar.hpp"
#include "rnncore/network_packed.hpp"

namespace rnncore::bindings {

namespace py = pybind11;

// The engine's cache, and the arrays that it refers to.
struct PyCache {
  std::variant<Cache<float>, Cache<double>> cache;
  py::object x, y, initial, memory;
  // layout: what lies where in memory that was handed over; nothing: it was released.
  enum class Holds { all, layout, nothing } holds = Holds::all;
};

// Packed weights, for as many calls as the caller likes.
struct PyPacked {
  std::variant<std::shared_ptr<const PackedNetwork<float>>, std::shared_ptr<const PackedNetwork<double>>> packed;
};

// Of a mask (H, H) and signs (H,), each an array of int8 or None.
Constraints constraints_of(const py::object& mask_hh, const py::object& dale);

class PyNetwork {
 public:
  PyNetwork(const std::string& cell, index input_size, index hidden_size, index num_layers, bool bias,
            bool bidirectional, const std::string& scalar, bool learned_state, index proj_size,
            const CellOptions& options, const Constraints& constraints, Precision precision);

  py::list layout() const;
  std::unique_ptr<PyCache> forward(const py::object& parameters, const py::object& x, const py::object& h0,
                                   const py::object& y, const py::object& hn, const py::object& lengths,
                                   const py::object& resets, double dropout, std::uint64_t key, bool keep,
                                   index checkpoint, int threads, const py::object& labels, const py::object& memory,
                                   const std::optional<std::string>& weights, const py::object& batch_sizes) const;
  // As forward, into new arrays: y, of (rows, steps, columns) if rows come first, then hn, and the cache or None.
  py::tuple call(const py::object& parameters, const py::object& x, const py::object& h0, const py::object& lengths,
                 const py::object& resets, double dropout, std::uint64_t key, bool keep, index checkpoint, int threads,
                 const py::object& labels, const std::optional<std::string>& weights, bool rows_first) const;
  void backward(const PyCache& cache, const py::object& parameters, const py::object& dy, const py::object& dhn,
                const py::object& dx, const py::object& dh0, const py::object& dparameters, int threads,
                const py::object& moved) const;
  // As backward, into new arrays: the gradient by x, or None, in the order of call's y, then those by the initial state.
  py::tuple gradients(const PyCache& cache, const py::object& parameters, const py::object& dy, const py::object& dhn,
                      const py::object& dparameters, int threads, bool input_gradient, bool rows_first) const;
  PyPacked pack(const py::object& parameters, const std::optional<std::string>& weights) const;
  index memory_size(index steps, index rows, const py::object& lengths, double dropout) const;

  void trace(const PyCache& cache, const std::string& name, const py::object& to) const;
  void constrain(const py::object& parameters) const;

  const Network network;
  const Scalar dtype;

 private:
  // A state, or the gradients by one, of a caller.
  template <class Pointer>
  void states(const py::object& object, const char* name, index rows, Access access, Pointer* pointers) const;

  // results(batch, outputs) says where the outputs go, and returns y.
  template <class T, class Results>
  std::unique_ptr<PyCache> forward_as(const py::object& parameters, const py::object& x, const py::object& h0,
                                      const Results& results, const py::object& lengths, const py::object& resets,
                                      double dropout, std::uint64_t key, bool keep, index checkpoint, int threads,
                                      const py::object& labels, const py::object& memory, WeightFormat format,
                                      const py::object& batch_sizes) const;
  // results(batch, gradients) says where the gradients by x and by the initial state go.
  template <class T, class Results>
  void backward_as(const Cache<T>& cache, const py::object& parameters, const py::object& dy, const py::object& dhn,
                   const Results& results, const py::object& dparameters, int threads, const py::object& moved) const;
  template <class Work>
  void with_cache(const PyCache& cache, bool moved, const Work& work) const;
};

}  // namespace rnncore::bindings
