"""A recurrent layer of leaky integrators, with the connectivity that network neuroscience studies."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import arguments
from rnncore.arguments import Array, Precision, Seed
from rnncore.layers.module import named_views
from rnncore.layers.recurrent import RecurrentLayer

__all__ = ["LeakyRNN"]


class LeakyRNN(RecurrentLayer[Array]):
    r"""A network of leaky integrators (Jaeger et al. 2007), as in task-trained models of the brain (Yang & Wang 2020).

    At step t, with the layer's input x and its state h::

        h' = (1 - alpha) h + alpha act(W_ih x + b_ih + W_hh h + b_hh)

    It is Euler's rule for tau dh/dt = -h + act(...), with alpha = dt / tau, the step over the time constant. act is
    tanh or relu. The layer's output is h'. Parameters, layers and errors are those of `RNN`, and:

    Parameters
    ----------
    alpha
        Above 0, at most 1. If it is learned, where all units begin, below 1.
    learned_alpha
        Every unit learns its own alpha = sigmoid(alpha_logit), which stays in (0, 1).
    mask_hh
        (H, H) of 0 and 1: where it is 0, W_hh[to, from] is 0 and stays so in training. Of every layer and direction.
    dale
        (H,) of 1 and -1, or +1 and -1 for excitatory and inhibitory units (Dale's law; Song, Yang & Wang 2016): all
        that unit j sends, the column W_hh[:, j], has the sign dale[j]. The layer runs on dale * |W_hh|, so that the
        sign holds whatever an optimiser does to the parameters; `recurrent_weight` tells what it runs on.

    Attributes
    ----------
    weight_ih_l[k], weight_hh_l[k], bias_ih_l[k], bias_hh_l[k]
        As of `RNN`.
    alpha_logit_l[k]
        (H,), after the biases, with learned_alpha only.

    Raises ValueError for an alpha, mask or sign out of range, too.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> rnn = rnncore.LeakyRNN(8, 16, alpha=0.2, nonlinearity="relu", seed=0)
    >>> y, h = rnn(np.ones((5, 3, 8)))
    >>> y.shape, h.shape
    ((5, 3, 16), (1, 3, 16))

    Four units in five excite the others, one in five inhibits them, and no unit sends to itself:

    >>> signs = np.where(np.arange(10) < 8, 1, -1)
    >>> rnn = rnncore.LeakyRNN(2, 10, dale=signs, mask_hh=1 - np.eye(10), learned_alpha=True, seed=0)
    >>> W = rnn.recurrent_weight()
    >>> bool((W * signs >= 0).all()), float(abs(np.diag(W)).max()), rnn.alpha_logit_l0.shape
    (True, 0.0, (10,))
    """

    nonlinearity: Literal["tanh", "relu"]
    alpha: float
    learned_alpha: bool
    mask_hh: Array | None
    dale: Array | None

    variants: ClassVar = {
        "leaky": {"alpha": 0.3},
        "leaky_learned": {"learned_alpha": True},
        "leaky_relu": {"nonlinearity": "relu", "alpha": 0.6},
    }
    _fixed = RecurrentLayer._fixed | {"alpha", "learned_alpha", "mask_hh", "dale"}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        alpha: float = 0.2,
        learned_alpha: bool = False,
        mask_hh: ArrayLike | None = None,
        dale: ArrayLike | None = None,
        dtype: DTypeLike = "float32",
        learned_state: bool = False,
        precision: Precision = "float32",
        seed: Seed = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        learned = arguments.check_flag("learned_alpha", learned_alpha)
        leak = arguments.check_positive("alpha", alpha)
        if leak > 1 or (learned and leak == 1):
            raise ValueError(f"alpha must be {'below' if learned else 'at most'} 1, got {alpha}")
        size = arguments.check_size("hidden_size", hidden_size, 1)
        self._set(
            nonlinearity=nonlinearity,
            alpha=leak,
            learned_alpha=learned,
            mask_hh=None if mask_hh is None else _of_values(mask_hh, "mask_hh", (size, size), (0, 1)),
            dale=None if dale is None else _of_values(dale, "dale", (size,), (-1, 1)),
        )
        super().__init__(
            "leaky",
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, learned_state, seed,
            precision,
            cell_options={"alpha": leak, "learned_alpha": learned, "relu": nonlinearity == "relu"},
            constraints={"mask_hh": _as_int8(self.mask_hh), "dale": _as_int8(self.dale)},
        )  # fmt: skip
        for name, view in self._views.items():
            if name.startswith("alpha_logit"):
                view[...] = math.log(leak / (1 - leak))
        self._network.constrain(self._parameters)

    def recurrent_weight(self, layer: int = 0, *, reverse: bool = False) -> Array:
        """Return the W_hh (H, H) that a layer runs on: masked and with the signs of `dale`, a copy.

        Raises KeyError for a layer or direction that is not there.
        """
        vector = self._parameters.copy()
        self._network.constrain(vector)
        return named_views(vector, self._layout)[f"weight_hh_l{layer}{'_reverse' if reverse else ''}"].copy()

    def _option(self, name: str) -> Any:
        value = super()._option(name)
        return value.astype(int).tolist() if isinstance(value, np.ndarray) else value


def _as_int8(values: Array | None) -> Array | None:
    return None if values is None else values.astype(np.int8)


def _of_values(given: ArrayLike, name: str, shape: tuple[int, ...], values: tuple[int, int]) -> Array:
    """Copy an array that holds two values only, for good."""
    array = np.array(arguments.as_real(given, name, np.dtype("float32")))
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    if not np.isin(array, values).all():
        wrong = array[~np.isin(array, values)].flat[0]
        raise ValueError(f"{name} should hold {values[0]} and {values[1]} only, got {wrong:g}")
    array.flags.writeable = False
    return array
