// rnncore._core.update and its kin: a step over vectors of parameters is one call, which no signal can split.
#include "bindings/optim.hpp"

#include <functional>

#include "bindings/bindings.hpp"

namespace rnncore::bindings {
namespace {

template <class T>
std::function<void()> prepared(const std::string& kind, const Vectors& vectors, std::size_t k, const py::dict& options,
                               index done) {
  return [update = update_of<T>(kind, vectors, k, options), done] { step(update, done); };
}

// Every vector is checked before the first is written to; the count of steps moves with them.
void update_vectors(const std::string& kind, const py::dict& arrays, const py::object& steps, const py::dict& options) {
  const Vectors vectors(arrays);
  index* const counter = pointer<index>(contiguous<index>(steps, "steps", {}, Access::write));
  std::vector<std::function<void()>> updates;
  for (std::size_t k = 0; k < vectors.count(); ++k) {
    if (!arrays.contains("gradients")) throw py::value_error("gradients are missing");
    updates.push_back(vectors.is_float(k) ? prepared<float>(kind, vectors, k, options, *counter)
                                          : prepared<double>(kind, vectors, k, options, *counter));
  }
  for (const auto& update : updates) update();
  ++*counter;
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

template <class T>
AnyUpdate<T> update_of(const std::string& kind, const Vectors& vectors, std::size_t k, const py::dict& options) {
  const auto number = [&](const char* name) { return py::cast<double>(options[name]); };
  const auto common = [&](auto update) {
    vectors.fill(update, k);
    update.lr = number("lr");
    update.weight_decay = number("weight_decay");
    update.maximize = py::cast<bool>(options["maximize"]);
    return update;
  };
  const auto state = [&](const char* name) { return vectors.at<T>(name, k, Access::write); };
  const auto needed = [&](const char* name) {
    T* const found = state(name);
    if (!found) throw py::value_error(std::string(name) + " is missing");
    return found;
  };
  if (kind == "sgd") {
    auto update = common(SgdUpdate<T>());
    update.velocity = state("velocity");
    update.momentum = number("momentum");
    update.dampening = number("dampening");
    update.nesterov = py::cast<bool>(options["nesterov"]);
    return update;
  }
  if (kind == "adam") {
    auto update = common(AdamUpdate<T>());
    update.mean = needed("mean");
    update.square = needed("square");
    update.greatest = state("greatest");
    update.beta1 = number("beta1");
    update.beta2 = number("beta2");
    update.eps = number("eps");
    update.decoupled = py::cast<bool>(options["decoupled"]);
    return update;
  }
  if (kind != "rmsprop") throw py::value_error("kind must be one of sgd, adam, rmsprop, got '" + kind + "'");
  auto update = common(RmspropUpdate<T>());
  update.square = needed("square");
  update.velocity = state("velocity");
  update.mean = state("mean");
  update.alpha = number("alpha");
  update.eps = number("eps");
  update.momentum = number("momentum");
  return update;
}

template AnyUpdate<float> update_of(const std::string&, const Vectors&, std::size_t, const py::dict&);
template AnyUpdate<double> update_of(const std::string&, const Vectors&, std::size_t, const py::dict&);

void bind_optim(py::module_& module) {
  using namespace py::literals;
  module.def("update", &update_vectors, "kind"_a, "arrays"_a, "steps"_a, "options"_a);
  module.def("squared_norm", &norm_of, "values"_a);
  module.def("scale", &scale, "values"_a, "factor"_a);
  module.def("clip", &clip, "values"_a, "limit"_a);
}

}  // namespace rnncore::bindings
