#pragma once

#include <pybind11/pybind11.h>

namespace rnncore::bindings {

void bind_attention(pybind11::module_& module);
void bind_cache(pybind11::module_& module);
void bind_cells(pybind11::module_& module);
void bind_fleet(pybind11::module_& module);
void bind_linear(pybind11::module_& module);
void bind_monitor(pybind11::module_& module);
void bind_losses(pybind11::module_& module);
void bind_model(pybind11::module_& module);
void bind_network(pybind11::module_& module);
void bind_optim(pybind11::module_& module);
void bind_pointwise(pybind11::module_& module);
void bind_stream(pybind11::module_& module);
void bind_training(pybind11::module_& module);
void bind_tree(pybind11::module_& module);
void bind_windows(pybind11::module_& module);

}  // namespace rnncore::bindings
