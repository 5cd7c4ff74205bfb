// rnncore._core.Cache: what one forward call of a Network keeps for backward, and how it is given away.
#include <pybind11/numpy.h>

#include <memory>
#include <utility>
#include <variant>

#include "bindings/bindings.hpp"
#include "bindings/network.hpp"

namespace rnncore::bindings {
namespace {

// The memory of a cache as an array that owns it, which goes when the array does.
template <class T>
py::object hand_over(PyCache& self, Cache<T>& cache) {
  self.x = self.y = self.initial = py::none();
  self.holds = PyCache::Holds::layout;
  if (self.memory) return std::exchange(self.memory, py::object());
  auto memory = std::make_unique<Buffer<T>>(std::move(cache.kept.own));
  T* const data = memory->data();
  const index count = cache.kept.count;
  const py::capsule owner(memory.release(), [](void* kept) { delete static_cast<Buffer<T>*>(kept); });
  return py::array_t<T>(count, data, owner);
}

py::object detach(PyCache& self) {
  if (self.holds != PyCache::Holds::all) throw py::value_error("the cache was released, or has handed over its memory");
  return std::visit(
      [&](auto& cache) {
        if (cache.checkpoint > 0) throw py::value_error("a checkpointed cache has no memory to hand over");
        return hand_over(self, cache);
      },
      self.cache);
}

void release(PyCache& self) {
  self.x = self.y = self.initial = py::none();
  self.memory = py::object();
  self.holds = PyCache::Holds::nothing;
  std::visit(
      [](auto& cache) {
        cache.kept.own = {};
        cache.checkpoints.clear();
      },
      self.cache);
}

index bytes(const PyCache& self) {
  if (self.holds == PyCache::Holds::nothing) return 0;
  return std::visit([](const auto& cache) { return cache.bytes(); }, self.cache);
}

}  // namespace

void bind_cache(py::module_& module) {
  py::class_<PyCache>(module, "Cache", "What one forward call keeps for backward.", py::is_final())
      .def_property_readonly("nbytes", &bytes)
      .def("release", &release)
      .def("detach", &detach);
}

}  // namespace rnncore::bindings
