"""The cells that a recurrent layer may have, as the engine describes them: states, gates, options, vectors."""

from rnncore._core import Cell, cells

__all__ = ["CELLS"]

CELLS: dict[str, Cell] = cells()
