"""The name under which bridges/nam is imported: models of amplifiers as files of Neural Amp Modeler and RTNeural."""

from rnncore.bridges.nam import *  # noqa: F403
from rnncore.bridges.nam import __all__ as __all__
