"""NumPy twin of src/rnncore/constraints.hpp: a network runs on mask |W_hh| dale, whatever W_hh an optimiser leaves."""

import numpy as np

from rnncore.reference.activations import Array


def constrain(weight_hh: Array, mask_hh: Array | None = None, dale: Array | None = None) -> Array:
    """Return the W_hh (to, from) that the network runs on.

    >>> import numpy as np
    >>> constrain(np.array([[1.0, 2.0], [-3.0, 4.0]]), np.array([[0, 1], [1, 1]]), np.array([1, -1])).tolist()
    [[0.0, -2.0], [3.0, -4.0]]
    """
    weight = weight_hh if dale is None else np.where(weight_hh.real < 0, -weight_hh, weight_hh) * dale
    return weight if mask_hh is None else weight * mask_hh


def pull_back(gradient: Array, weight_hh: Array, mask_hh: Array | None = None, dale: Array | None = None) -> Array:
    """Return the gradient by W_hh from that by the one the network runs on.

    >>> import numpy as np
    >>> pull_back(np.ones((1, 2)), np.array([[1.0, -2.0]]), dale=np.array([1, 1])).tolist()
    [[1.0, -1.0]]
    """
    slope = gradient if dale is None else gradient * np.where(weight_hh.real < 0, -dale, dale)
    return slope if mask_hh is None else slope * mask_hh
