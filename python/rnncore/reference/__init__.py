"""The NumPy twin of the C++ engine, file for file: slow and readable on purpose, the judge of the engine in tests."""

from rnncore.reference.cells import CELLS
from rnncore.reference.gradcheck import (
    central_differences,
    complex_step,
    gradcheck,
    gradcheck_network,
    relative_error,
)
from rnncore.reference.network import Cache, Network

__all__ = [
    "CELLS",
    "Cache",
    "Network",
    "central_differences",
    "complex_step",
    "gradcheck",
    "gradcheck_network",
    "relative_error",
]
