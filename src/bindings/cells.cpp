// rnncore._core.cells(): what the cells say of themselves.
#include <pybind11/pybind11.h>

#include "bindings/bindings.hpp"
#include "rnncore/network.hpp"

namespace rnncore::bindings {

namespace py = pybind11;

namespace {

py::tuple names(const char* const* first, int count) {
  py::tuple all(count);
  for (int i = 0; i < count; ++i) all[static_cast<std::size_t>(i)] = first[i];
  return all;
}

// name -> the description of each cell.
py::dict cells_by_name() {
  py::dict all;
  for (const auto& name : cell_names()) all[py::str(name)] = py::cast(cell_description(name));
  return all;
}

}  // namespace

void bind_cells(py::module_& module) {
  using Cell = CellDescription;
  py::class_<CellOption>(module, "CellOption", "A number that a cell takes.", py::is_final())
      .def_readonly("default", &CellOption::value)
      .def_readonly("least", &CellOption::least)
      .def_readonly("most", &CellOption::most)
      .def_readonly("flag", &CellOption::flag);
  py::class_<Cell>(module, "Cell", "What a cell says of itself.", py::is_final())
      .def_readonly("name", &Cell::name)
      .def_readonly("can_project", &Cell::can_project)
      .def_property_readonly("gates", [](const Cell& cell) { return names(cell.gate_names, cell.gates); })
      .def_property_readonly("states", [](const Cell& cell) { return names(cell.state_names, cell.states); })
      .def_property_readonly("kept", [](const Cell& cell) { return names(cell.cached_names, cell.cached); })
      .def_property_readonly("vectors",
                             [](const Cell& cell) {
                               py::tuple all(cell.vectors);
                               for (int v = 0; v < cell.vectors; ++v)
                                 all[static_cast<std::size_t>(v)] = cell.vector[v].name;
                               return all;
                             })
      .def_property_readonly("options", [](const Cell& cell) {
        py::dict all;
        for (int k = 0; k < cell.options; ++k) all[cell.option[k].name] = py::cast(cell.option[k]);
        return all;
      });
  module.def("cells", &cells_by_name, "Name -> Cell, of all cells that a Network can have.");
}

}  // namespace rnncore::bindings
