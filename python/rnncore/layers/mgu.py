"""The layer of minimal gated units."""

from __future__ import annotations

from typing import ClassVar

from numpy.typing import DTypeLike

from rnncore.arguments import Array, Precision, Seed
from rnncore.layers.recurrent import RecurrentLayer

__all__ = ["MGU"]


class MGU(RecurrentLayer[Array]):
    r"""A network of minimal gated units (Zhou, Wu, Zhang & Zhou 2016), with the gate applied after the product.

    At step t, with the layer's input x and its state h::

        f = sigmoid(W_if x + b_if + W_hf h + b_hf)           forget gate
        n =    tanh(W_in x + b_in + f * (W_hn h + b_hn))     candidate
        h' = (1 - f) * h + f * n

    The layer's output is h'. One gate does what the GRU's two do. It is here for speed on small nets: it has two thirds
    of a GRU's weights and half of an LSTM's, and Zhou et al. found it about as accurate as the GRU on four tasks. (In
    the paper f multiplies h before the product; after it, as in `GRU`, one product a step is enough.) The minGRU of
    Feng et al. 2024 is the other candidate: its gate does not see the state, so that a scan takes all steps at once.
    That pays where thousands of lanes run side by side; an engine that walks through time on one core gains little, and
    gives up the memory that the state's own gate makes.

    Parameters, layers and errors are those of `RNN`, less nonlinearity.

    Attributes
    ----------
    weight_ih_l[k], weight_hh_l[k], bias_ih_l[k], bias_hh_l[k]
        (2H, I) or (2H, D*H) above the first layer; (2H, H); (2H,); (2H,), the rows of the gates in the order f n:
        views on `parameters`. With suffix _reverse for the second direction.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> mgu = rnncore.MGU(8, 16, num_layers=2, seed=0)
    >>> y, h = mgu(np.ones((5, 3, 8)))
    >>> y.shape, h.shape, mgu.parameter_count * 3 == rnncore.GRU(8, 16, num_layers=2).parameter_count * 2
    ((5, 3, 16), (2, 3, 16), True)
    """

    variants: ClassVar = {"mgu": {}}
    memory_gates: ClassVar = {"f": -1}

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
            "mgu",
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, learned_state, seed,
            precision,
        )  # fmt: skip
