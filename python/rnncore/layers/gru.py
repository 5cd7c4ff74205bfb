"""The layer of gated recurrent units."""

from __future__ import annotations

from typing import ClassVar

from numpy.typing import DTypeLike

from rnncore.arguments import Array, Precision, Seed
from rnncore.layers.recurrent import RecurrentLayer

__all__ = ["GRU"]


class GRU(RecurrentLayer[Array]):
    r"""A network of gated recurrent units (Cho et al. 2014), with the reset gate applied after the product.

    At step t, with the layer's input x and its state h::

        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)           reset gate
        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)           update gate
        n =    tanh(W_in x + b_in + r * (W_hn h + b_hn))     candidate
        h' = (1 - z) * n + z * h

    The layer's output is h'. Parameters, layers and errors are those of `RNN`, less nonlinearity.

    Attributes
    ----------
    weight_ih_l[k], weight_hh_l[k], bias_ih_l[k], bias_hh_l[k]
        (3H, I) or (3H, D*H) above the first layer; (3H, H); (3H,); (3H,), the rows of the gates in the order r z n:
        views on `parameters`. With suffix _reverse for the second direction.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> gru = rnncore.GRU(8, 16, batch_first=True, bidirectional=True, seed=0)
    >>> y, h = gru(np.ones((3, 5, 8)), lengths=[5, 4, 1])
    >>> y.shape, h.shape, float(abs(y[2, 1:]).max())
    ((3, 5, 32), (2, 3, 16), 0.0)

    A long sequence may be run in blocks: the state carries over, exactly.

    >>> gru = rnncore.GRU(8, 16, seed=0)
    >>> x = np.random.default_rng(0).normal(size=(100, 8))
    >>> whole, _ = gru(x)
    >>> first, h = gru(x[:70])
    >>> rest, h = gru(x[70:], h)
    >>> bool((np.concatenate([first, rest]) == whole).all())
    True
    """

    variants: ClassVar = {"gru": {}}
    memory_gates: ClassVar = {"z": 1}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike = "float32",
        learned_state: bool = False,
        precision: Precision = "float32",
        seed: Seed = None,
    ) -> None:
        super().__init__(
            "gru",
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, learned_state, seed,
            precision,
        )  # fmt: skip
