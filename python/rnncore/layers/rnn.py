"""The vanilla recurrent layer."""

from __future__ import annotations

from typing import ClassVar, Literal

from numpy.typing import DTypeLike

from rnncore.arguments import Array, Precision, Seed
from rnncore.layers.recurrent import RecurrentLayer

__all__ = ["RNN"]


class RNN(RecurrentLayer[Array]):
    r"""A vanilla recurrent network (Elman 1990), of one or more layers, in one or both directions.

    At step t, with the layer's input x and its state h::

        h' = act(W_ih x + b_ih + W_hh h + b_hh)

    act is tanh or relu. The layer's output is h'. A layer above the first has the outputs of the one below as its
    input; of both directions, side by side, if bidirectional.

    Parameters
    ----------
    input_size, hidden_size
        I, the features of x, may be 0; H, the hidden units, at least 1.
    num_layers
        L, at least 1.
    nonlinearity
        "tanh" or "relu".
    bias
        False leaves out b_ih and b_hh.
    batch_first
        x and y are (N, T, ...) instead of (T, N, ...); states are (L*D, N, H) all the same.
    dropout
        Probability with which training zeroes an output of any layer but the last (the others grow by 1 / (1 - p)).
    bidirectional
        D = 2: a second network reads each sequence from its end.
    dtype
        "float32" or "float64", of parameters and results.
    learned_state
        The state at the start, where none is given, and after resets is a parameter instead of zero. It begins as zero
        and has gradients like the others.
    precision
        "bf16" rounds both operands of every product to bf16, in training too: processors with AMX multiply several
        times as fast. Parameters, sums, states and results stay float32, the dtype that it needs. Processors without
        AMX give the same sums at the speed of float32 or less. See docs/precision.md.
    seed
        For `numpy.random.default_rng`: the parameters, uniform in +-1/sqrt(H) as PyTorch's, and dropout depend on it.

    Attributes
    ----------
    weight_ih_l[k], weight_hh_l[k], bias_ih_l[k], bias_hh_l[k]
        (H, I) or (H, D*H) above the first layer; (H, H); (H,); (H,): views on `parameters`. With suffix _reverse for
        the second direction.
    h0_l[k]
        (H,) each, with a learned state only, after all others; c0_l[k] with it for the LSTM.

    Raises TypeError or ValueError for a size, flag, dropout, dtype, precision or nonlinearity out of range.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> rnn = rnncore.RNN(8, 16, nonlinearity="relu", seed=0)
    >>> y, h = rnn(np.ones((5, 3, 8)))
    >>> y.shape, h.shape, bool((y[-1] == h[0]).all())
    ((5, 3, 16), (1, 3, 16), True)
    """

    nonlinearity: Literal["tanh", "relu"]

    variants: ClassVar = {"rnn_tanh": {}, "rnn_relu": {"nonlinearity": "relu"}}

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
        dtype: DTypeLike = "float32",
        learned_state: bool = False,
        precision: Precision = "float32",
        seed: Seed = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self._set(nonlinearity=nonlinearity)
        super().__init__(
            "rnn_tanh" if nonlinearity == "tanh" else "rnn_relu",
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, learned_state, seed,
            precision,
        )  # fmt: skip
