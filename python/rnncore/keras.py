"""The name under which bridges/keras is imported: Keras's models, and back."""

from rnncore.bridges.keras import *  # noqa: F403
from rnncore.bridges.keras import __all__ as __all__
