"""ONNX: models written to files that other runtimes run, read from files that others write, and recurrent nodes run.

Imported as `rnncore.onnx`; needs the package onnx (`pip install rnncore[onnx]`). docs/onnx.md tells what is supported.
"""

try:
    import onnx  # noqa: F401
except ImportError:
    raise ImportError("rnncore.onnx needs the package onnx: pip install 'rnncore[onnx]'") from None

from rnncore.bridges.onnx import backend
from rnncore.bridges.onnx.export import export
from rnncore.bridges.onnx.load import load

__all__ = ["backend", "export", "load"]
