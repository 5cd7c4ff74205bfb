"""The name under which bridges/sklearn is imported: recurrent networks as scikit-learn's estimators."""

from rnncore.bridges.sklearn import *  # noqa: F403
from rnncore.bridges.sklearn import __all__ as __all__
