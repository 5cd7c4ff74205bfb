"""What a model's head sees of a sequence: by default every step, with `LastStep` the last one."""

from __future__ import annotations

from numpy.typing import DTypeLike

from rnncore import arguments
from rnncore.layers.module import Module


class LastStep(Module):
    """In a `Sequential`, right behind a recurrent layer: one vector per sequence, its output after the last valid step.

    (T, N, D*H) becomes (N, D*H): the final state h of the top layer, of both directions side by side if bidirectional,
    each after the last step that it takes. For a sequence of length 0 that is the initial state.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.LastStep(), rnncore.Linear(8, 2, seed=0))
    >>> y, hx = model(np.ones((5, 4, 3)), lengths=[5, 1, 3, 2])
    >>> y.shape
    (4, 2)
    """

    per_step = False
    _in_sequence = True

    def __init__(self, *, dtype: DTypeLike = "float32") -> None:
        self._allocate([], arguments.check_dtype(dtype))
        self.train()
