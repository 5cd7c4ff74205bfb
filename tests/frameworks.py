"""The frameworks that bridges and their pages of docs need: what needs one that is not installed is skipped."""

import os
import warnings

import pytest

# name of a module (short, or in bridges/) or of a page -> its framework
FRAMEWORKS = {
    **dict.fromkeys(("from_keras", "keras", "keras_masks", "to_keras"), "keras"),
    **dict.fromkeys(("pytorch", "torch"), "torch"),
}


def require(name: str) -> None:
    """Skip the test if what stands under this name needs a framework that is not installed."""
    framework = FRAMEWORKS.get(name)
    if framework == "keras":
        os.environ.setdefault("KERAS_BACKEND", "torch")
        # Keras turns its tensors into arrays in a way that NumPy deprecates.
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
    if framework:
        pytest.importorskip(framework)
