"""The NumPy twin of the C++ engine, file for file: slow and readable on purpose, the judge of the engine in tests."""

from rnncore.reference.all import CELLS
from rnncore.reference.network import Cache, Network

__all__ = ["CELLS", "Cache", "Network"]
