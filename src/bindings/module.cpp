// rnncore._core: a table of contents.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "rnncore/buffer.hpp"
#include "rnncore/dispatch.hpp"
#include "rnncore/parallel.hpp"

namespace py = pybind11;

namespace {

py::dict config() {
  using namespace py::literals;
  const auto& caches = rnncore::caches();
  return py::dict("isa"_a = rnncore::instruction_set(), "isa_compiled"_a = rnncore::compiled_instruction_sets(),
                  "isa_available"_a = rnncore::available_instruction_sets(), "amx"_a = rnncore::has_tiles(),
                  "caches"_a = py::make_tuple(caches.first, caches.second, caches.third),
                  "threads"_a = rnncore::get_num_threads(), "openmp"_a = rnncore::has_threads(),
                  "compiler"_a = RNNCORE_COMPILER, "eigen"_a = RNNCORE_EIGEN_VERSION);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled engine of rnncore.";
  module.attr("__version__") = RNNCORE_VERSION;
  rnncore::instruction_set();  // an RNNCORE_ISA that cannot run fails here, at import
  rnncore::caches();           // and so does an RNNCORE_CACHES that is none
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const rnncore::OutOfMemory& e) {
      PyErr_SetString(PyExc_MemoryError, e.what());
    }
  });
  rnncore::bindings::bind_attention(module);
  rnncore::bindings::bind_cache(module);
  rnncore::bindings::bind_cells(module);
  rnncore::bindings::bind_fleet(module);
  rnncore::bindings::bind_linear(module);
  rnncore::bindings::bind_monitor(module);
  rnncore::bindings::bind_losses(module);
  rnncore::bindings::bind_model(module);
  rnncore::bindings::bind_network(module);
  rnncore::bindings::bind_optim(module);
  rnncore::bindings::bind_pointwise(module);
  rnncore::bindings::bind_stream(module);
  rnncore::bindings::bind_training(module);
  rnncore::bindings::bind_tree(module);
  rnncore::bindings::bind_windows(module);
  module.def("set_num_threads", &rnncore::set_num_threads, py::arg("num_threads"));
  module.def("get_num_threads", &rnncore::get_num_threads);
  module.def("set_piece", &rnncore::set_piece, py::arg("multiply_adds"));
  module.def("config", config);
}
