"""The name under which bridges/onnx is imported: models as ONNX graphs, and back."""

from rnncore.bridges.onnx import *  # noqa: F403
from rnncore.bridges.onnx import __all__ as __all__
