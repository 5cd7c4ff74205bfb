"""NumPy twin of src/rnncore/cells/all.hpp: the list of cells. A new cell is one file and one entry here."""

from rnncore.reference.cell import Cell
from rnncore.reference.gru import Gru
from rnncore.reference.lstm import Lstm
from rnncore.reference.rnn import RnnRelu, RnnTanh

_all: tuple[Cell, ...] = (RnnTanh(), RnnRelu(), Lstm(), Gru())

CELLS: dict[str, Cell] = {cell.name: cell for cell in _all}
