// rnncore._core.sgd, adam, rmsprop: a step over vectors of parameters is one call, which no signal of Python's can split.
#include "rnncore/optim.hpp"

#include <functional>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"

namespace rnncore::bindings {
namespace {

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
    if (!update.gradients) throw py::value_error("gradients are missing");
  }

 private:
  py::list list(const std::string& name) const { return py::cast<py::list>(arrays_[name.c_str()]); }

  const py::dict arrays_;
  std::vector<index> sizes_;
};

// Every vector is checked before the first is written to; the count of steps moves with them.
template <class Prepare>
void step_all(const py::dict& arrays, const py::object& steps, const Prepare& prepare) {
  const Vectors vectors(arrays);
  index* const counter = pointer<index>(contiguous<index>(steps, "steps", {}, Access::write));
  std::vector<std::function<void()>> updates;
  for (std::size_t k = 0; k < vectors.count(); ++k)
    updates.push_back(vectors.is_float(k) ? prepare(vectors, k, float(), *counter)
                                          : prepare(vectors, k, double(), *counter));
  for (const auto& update : updates) update();
  ++*counter;
}

void step_sgd(const py::dict& arrays, const py::object& steps, double lr, double momentum, double dampening,
              double weight_decay, bool nesterov, bool maximize) {
  step_all(arrays, steps, [&](const Vectors& vectors, std::size_t k, auto scalar, index done) -> std::function<void()> {
    using T = decltype(scalar);
    SgdUpdate<T> update;
    vectors.fill(update, k);
    update.velocity = vectors.at<T>("velocity", k, Access::write);
    update.lr = lr;
    update.weight_decay = weight_decay;
    update.maximize = maximize;
    update.momentum = momentum;
    update.dampening = dampening;
    update.nesterov = nesterov;
    update.first = done == 0;
    return [update] { step(update); };
  });
}

void step_adam(const py::dict& arrays, const py::object& steps, double lr, double beta1, double beta2, double eps,
               double weight_decay, bool decoupled, bool maximize) {
  step_all(arrays, steps, [&](const Vectors& vectors, std::size_t k, auto scalar, index done) -> std::function<void()> {
    using T = decltype(scalar);
    AdamUpdate<T> update;
    vectors.fill(update, k);
    update.mean = vectors.at<T>("mean", k, Access::write);
    update.square = vectors.at<T>("square", k, Access::write);
    update.greatest = vectors.at<T>("greatest", k, Access::write);
    if (!update.mean || !update.square) throw py::value_error("mean or square are missing");
    update.lr = lr;
    update.weight_decay = weight_decay;
    update.maximize = maximize;
    update.beta1 = beta1;
    update.beta2 = beta2;
    update.eps = eps;
    update.decoupled = decoupled;
    return [update, done] { step(update, done + 1); };
  });
}

void step_rmsprop(const py::dict& arrays, const py::object& steps, double lr, double alpha, double eps,
                  double weight_decay, double momentum, bool maximize) {
  step_all(arrays, steps, [&](const Vectors& vectors, std::size_t k, auto scalar, index) -> std::function<void()> {
    using T = decltype(scalar);
    RmspropUpdate<T> update;
    vectors.fill(update, k);
    update.square = vectors.at<T>("square", k, Access::write);
    update.velocity = vectors.at<T>("velocity", k, Access::write);
    update.mean = vectors.at<T>("mean", k, Access::write);
    if (!update.square) throw py::value_error("square is missing");
    update.lr = lr;
    update.weight_decay = weight_decay;
    update.maximize = maximize;
    update.alpha = alpha;
    update.eps = eps;
    update.momentum = momentum;
    return [update] { step(update); };
  });
}

// work(data, size) on a contiguous array of any shape.
template <class Work>
auto with_values(const py::object& values, Access access, const Work& work) {
  if (!py::isinstance<py::array>(values)) throw py::type_error("values must be a NumPy array");
  const auto array = py::reinterpret_borrow<py::array>(values);
  const std::vector<index> shape(array.shape(), array.shape() + array.ndim());
  if (py::isinstance<py::array_t<float>>(values))
    return work(pointer<float>(contiguous<float>(values, "values", shape, access)), array.size());
  return work(pointer<double>(contiguous<double>(values, "values", shape, access)), array.size());
}

double norm_of(const py::object& values) {
  return with_values(values, Access::read, [](auto* data, index size) { return squared_norm(data, size); });
}

void scale(const py::object& values, double factor) {
  with_values(values, Access::write, [factor](auto* data, index size) {
    using T = std::remove_reference_t<decltype(*data)>;
    rnncore::scale(data, size, static_cast<T>(factor));
  });
}

void clip(const py::object& values, double limit) {
  with_values(values, Access::write, [limit](auto* data, index size) {
    using T = std::remove_reference_t<decltype(*data)>;
    rnncore::clip(data, size, static_cast<T>(limit));
  });
}

}  // namespace

void bind_optim(py::module_& module) {
  using namespace py::literals;
  module.def("sgd", &step_sgd, "arrays"_a, "steps"_a, py::kw_only(), "lr"_a, "momentum"_a, "dampening"_a,
             "weight_decay"_a, "nesterov"_a, "maximize"_a);
  module.def("adam", &step_adam, "arrays"_a, "steps"_a, py::kw_only(), "lr"_a, "beta1"_a, "beta2"_a, "eps"_a,
             "weight_decay"_a, "decoupled"_a, "maximize"_a);
  module.def("rmsprop", &step_rmsprop, "arrays"_a, "steps"_a, py::kw_only(), "lr"_a, "alpha"_a, "eps"_a,
             "weight_decay"_a, "momentum"_a, "maximize"_a);
  module.def("squared_norm", &norm_of, "values"_a);
  module.def("scale", &scale, "values"_a, "factor"_a);
  module.def("clip", &clip, "values"_a, "limit"_a);
}

}  // namespace rnncore::bindings
