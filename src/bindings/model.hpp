// rnncore._core.Model: views the arrays, releases the GIL around one call, returns.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bindings/scalar.hpp"
#include "rnncore/model/model.hpp"

namespace rnncore::bindings {

namespace py = pybind11;

// The engine's cache, and the arrays that it refers to.
struct PyModelCache {
  std::variant<ModelCache<float>, ModelCache<double>> cache;
  index features = 0;  // of x
  py::object parameters, x, y, initial;
};

// The description of a model from (name, kind, options): kind is that of the file, but the name of the cell for a
// recurrent layer.
Architecture architecture_of(const std::string& dtype, const py::list& layers,
                             WeightFormat weights = WeightFormat::full);

class PyModel {
 public:
  PyModel(const std::string& dtype, const py::list& layers, const std::optional<std::string>& weights)
      : model(architecture_of(dtype, layers, format_of(weights))) {}

  std::unique_ptr<PyModelCache> forward(const py::object& parameters, const py::object& x, const py::object& initial,
                                        const py::object& y, const py::object& final, const py::object& lengths,
                                        const py::object& resets, const py::object& keys, bool keep, index checkpoint,
                                        int threads) const;
  void backward(const PyModelCache& cache, const py::object& parameters, const py::object& dy,
                const py::object& d_final, const py::object& dx, const py::object& d_initial,
                const py::object& d_parameters, int threads) const;

  void round(const std::string& weights, const py::object& parameters) const;

  bool is_float() const { return model.architecture().dtype == "float32"; }

  const Model model;
};

// The arguments that forward and a step of training have in common. The vectors hold what `inputs` points to.
template <class T>
struct Arguments {
  Arguments(const Model& model, const py::object& parameters, const py::object& x, const py::object& initial,
            const py::object& final, const py::object& lengths, const py::object& resets, const py::object& keys);

  ModelInputs<T> inputs;
  std::vector<const T*> initial;
  std::vector<T*> final;
};

// One array for each state of the model, (layers, N, size); None for all, or where optional for one: null.
template <class T>
std::vector<T*> model_states(const Model& model, const py::object& arrays, const std::string& name, index rows,
                             bool optional);

}  // namespace rnncore::bindings
