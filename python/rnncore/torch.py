"""The name under which bridges/torch is imported: PyTorch's recurrent modules, run by the engine."""

from rnncore.bridges.torch import *  # noqa: F403
from rnncore.bridges.torch import __all__ as __all__
