"""NumPy twin of src/rnncore/cells/all.hpp: all cells. Each has a file in this folder, which is its registration."""

import importlib
import pkgutil

from rnncore.reference.cells.cell import Cell

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)

CELLS: dict[str, type[Cell]] = {cell.name: cell for cell in Cell.__subclasses__()}
