// rnncore._core.Forest and Tree: view the arrays, release the GIL around one call, return.
#include "rnncore/tree.hpp"

#include <memory>
#include <string>
#include <variant>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "bindings/scalar.hpp"

namespace rnncore::bindings {
namespace {

struct PyTreeCache {
  std::variant<TreeCache<float>, TreeCache<double>> cache;
  py::object x;  // the cache refers to it
};

index extent(const py::object& array, const char* name) {
  if (!py::isinstance<py::array>(array) || py::reinterpret_borrow<py::array>(array).ndim() == 0)
    throw py::type_error(std::string(name) + " must be a NumPy array with an axis of nodes");
  return py::reinterpret_borrow<py::array>(array).shape(0);
}

Forest forest_of_parents(const py::object& parents) {
  const index nodes = extent(parents, "parent");
  return Forest::from_parents(pointer<index>(contiguous<index>(parents, "parent", {nodes}, Access::read)), nodes);
}

Forest forest_of_children(const py::object& children) {
  const index nodes = extent(children, "children");
  return Forest::from_children(pointer<index>(contiguous<index>(children, "children", {nodes, 2}, Access::read)),
                               nodes);
}

class PyTree {
 public:
  PyTree(const std::string& cell, bool binary, index input_size, index hidden_size, bool bias,
         const std::string& scalar)
      : tree(cell, binary, input_size, hidden_size, bias), dtype(scalar) {}

  py::list layout() const {
    py::list entries;
    for (const auto& p : tree.layout())
      entries.append(py::make_tuple(
          p.name, p.offset, p.name == "bias" ? py::tuple(py::make_tuple(p.rows)) : py::make_tuple(p.rows, p.columns)));
    return entries;
  }

  std::unique_ptr<PyTreeCache> forward(const py::object& parameters, const Forest& forest, const py::object& x,
                                       const py::object& h, const py::object& c, bool keep, int threads) const {
    return dtype.visit(
        [&](auto zero) { return forward_as<decltype(zero)>(parameters, forest, x, h, c, keep, threads); });
  }

  void backward(const PyTreeCache& cache, const py::object& parameters, const py::object& dh, const py::object& dc,
                const py::object& dx, const py::object& d_parameters, int threads) const {
    std::visit(
        [&](const auto& kept) {
          using T = std::remove_reference_t<decltype(*kept.h.data())>;
          if (!dtype.is<T>()) throw py::value_error("cache has another dtype than the network");
          backward_as<T>(kept, parameters, dh, dc, dx, d_parameters, threads);
        },
        cache.cache);
  }

  const Tree tree;
  const Scalar dtype;

 private:
  void check(const Forest& forest) const {
    if (forest.binary != tree.binary())
      throw py::value_error(tree.binary() ? "the network expects trees of left and right children"
                                          : "the network expects trees by parent");
  }

  template <class T>
  T* of_nodes(const py::object& array, const char* name, index nodes, Access access) const {
    return pointer<T>(contiguous<T>(array, name, {nodes, tree.hidden_size()}, access));
  }

  template <class T>
  std::unique_ptr<PyTreeCache> forward_as(const py::object& parameters, const Forest& forest, const py::object& x,
                                          const py::object& h, const py::object& c, bool keep, int threads) const {
    check(forest);
    const T* p = pointer<T>(contiguous<T>(parameters, "parameters", {tree.parameter_count()}, Access::read));
    const auto from = matrix<const T>(x, "x", forest.nodes(), tree.input_size(), Access::read);
    T* const to_h = of_nodes<T>(h, "h", forest.nodes(), Access::write);
    T* const to_c = tree.lstm() ? of_nodes<T>(c, "c", forest.nodes(), Access::write) : nullptr;
    auto kept = keep ? std::make_unique<PyTreeCache>(PyTreeCache{TreeCache<T>(), x}) : nullptr;
    auto* const cache = keep ? &std::get<TreeCache<T>>(kept->cache) : nullptr;
    without_gil(threads, [&](Control& control) { tree.forward(p, forest, from, to_h, to_c, cache, control); });
    return kept;
  }

  template <class T>
  void backward_as(const TreeCache<T>& cache, const py::object& parameters, const py::object& dh, const py::object& dc,
                   const py::object& dx, const py::object& d_parameters, int threads) const {
    const index nodes = cache.forest.nodes();
    const T* p = pointer<T>(contiguous<T>(parameters, "parameters", {tree.parameter_count()}, Access::read));
    const T* d_h = dh.is_none() ? nullptr : of_nodes<T>(dh, "dh", nodes, Access::read);
    const T* d_c = dc.is_none() ? nullptr : of_nodes<T>(dc, "dc", nodes, Access::read);
    Matrix<T> d_x;
    if (!dx.is_none()) d_x = matrix<T>(dx, "dx", nodes, tree.input_size(), Access::write);
    T* const d = pointer<T>(contiguous<T>(d_parameters, "d_parameters", {tree.parameter_count()}, Access::write));
    without_gil(threads, [&](Control& control) { tree.backward(p, cache, d_h, d_c, d_x, d, control); });
  }
};

}  // namespace

void bind_tree(py::module_& module) {
  using namespace py::literals;
  py::class_<Forest>(module, "Forest", "The shape of trees, and the order in which their nodes are visited.",
                     py::is_final())
      .def_static("from_parents", &forest_of_parents, "parent"_a)
      .def_static("from_children", &forest_of_children, "children"_a)
      .def_property_readonly("nodes", &Forest::nodes)
      .def_property_readonly("levels", &Forest::levels);
  py::class_<PyTreeCache>(module, "TreeCache", "What one forward call of a Tree keeps for backward.", py::is_final());
  py::class_<PyTree>(module, "Tree", "A recursive network; its twin is rnncore.reference.trees.", py::is_final())
      .def(py::init<const std::string&, bool, index, index, bool, const std::string&>(), "cell"_a, "binary"_a,
           "input_size"_a, "hidden_size"_a, "bias"_a = true, "dtype"_a = "float32")
      .def_property_readonly("layout", &PyTree::layout)
      .def("forward", &PyTree::forward, "parameters"_a, "forest"_a, "x"_a, "h"_a, "c"_a, "keep"_a = false,
           "num_threads"_a = 0)
      .def("backward", &PyTree::backward, "cache"_a, "parameters"_a, "dh"_a, "dc"_a, "dx"_a, "d_parameters"_a,
           "num_threads"_a = 0);
}

}  // namespace rnncore::bindings
