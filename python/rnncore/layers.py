"""The recurrent layers RNN, LSTM and GRU, with PyTorch's names, shapes, defaults and weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from numpy.typing import DTypeLike

from rnncore.arguments import Array, Seed
from rnncore.recurrent import RecurrentLayer

__all__ = ["GRU", "LSTM", "RNN"]


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
    seed
        For `numpy.random.default_rng`: the parameters, uniform in +-1/sqrt(H) as PyTorch's, and dropout depend on it.

    Attributes
    ----------
    weight_ih_l[k], weight_hh_l[k], bias_ih_l[k], bias_hh_l[k]
        (H, I) or (H, D*H) above the first layer; (H, H); (H,); (H,): views on `parameters`. With suffix _reverse for
        the second direction.
    h0_l[k]
        (H,) each, with a learned state only, after all others; c0_l[k] with it for the LSTM.

    Raises TypeError or ValueError for a size, flag, dropout, dtype or nonlinearity out of range.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> rnn = rnncore.RNN(8, 16, nonlinearity="relu", seed=0)
    >>> y, h = rnn(np.ones((5, 3, 8)))
    >>> y.shape, h.shape, bool((y[-1] == h[0]).all())
    ((5, 3, 16), (1, 3, 16), True)
    """

    nonlinearity: Literal["tanh", "relu"]

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
        seed: Seed = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self._set(nonlinearity=nonlinearity)
        super().__init__(
            "rnn_tanh" if nonlinearity == "tanh" else "rnn_relu",
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, learned_state, seed,
        )  # fmt: skip

    def _join(self, states: tuple[Array, ...]) -> Array:
        return states[0]

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "nonlinearity": self.nonlinearity}

    def _extra_repr(self) -> Iterable[str]:
        yield from [] if self.nonlinearity == "tanh" else [f"nonlinearity={self.nonlinearity}"]
        yield from super()._extra_repr()


class LSTM(RecurrentLayer[tuple[Array, Array]]):
    r"""A long short-term memory network (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    At step t, with the layer's input x and its state h, c::

        i = sigmoid(W_ii x + b_ii + W_hi h + b_hi)      input gate
        f = sigmoid(W_if x + b_if + W_hf h + b_hf)      forget gate
        g =    tanh(W_ig x + b_ig + W_hg h + b_hg)      candidate
        o = sigmoid(W_io x + b_io + W_ho h + b_ho)      output gate
        c' = f * c + i * g
        h' = o * tanh(c')

    The layer's output is h'; its state is a tuple (h, c). Parameters, layers and errors are those of `RNN`, less
    nonlinearity. With a projection (Sak, Senior & Beaufays 2014) the last line is::

        h' = W_hr (o * tanh(c'))

    and h has P = proj_size elements, c has H: y is (T, N, D*P), the state (L*D, N, P) and (L*D, N, H).

    Parameters
    ----------
    proj_size
        P, smaller than hidden_size: fewer weights for as many cells. 0 projects nothing, P below stands for H.

    Attributes
    ----------
    weight_ih_l[k], weight_hh_l[k], bias_ih_l[k], bias_hh_l[k]
        (4H, I) or (4H, D*P) above the first layer; (4H, P); (4H,); (4H,), the rows of the gates in the order i f g o:
        views on `parameters`. With suffix _reverse for the second direction.
    weight_hr_l[k]
        (P, H), after the biases, with proj_size only.

    Raises ValueError for a proj_size that is negative or not smaller than hidden_size, too.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> lstm = rnncore.LSTM(8, 16, num_layers=2, seed=0)
    >>> lstm
    LSTM(8, 16, num_layers=2)
    >>> x = np.random.default_rng(0).normal(size=(5, 3, 8))
    >>> y, (h, c) = lstm(x)
    >>> y.shape, h.shape, c.shape
    ((5, 3, 16), (2, 3, 16), (2, 3, 16))

    Training: forward keeps what backward needs in an object that the caller holds.

    >>> y, hx, cache = lstm.forward(x, lengths=[5, 2, 0])
    >>> grads = lstm.backward(cache, dy=np.ones_like(y))
    >>> grads.x.shape, grads.hx[0].shape, grads.named["weight_ih_l0"].shape
    ((5, 3, 8), (2, 3, 16), (64, 8))
    >>> lstm.parameters -= 0.01 * grads.parameters

    Outputs of 4 elements from 16 cells:

    >>> y, (h, c) = rnncore.LSTM(8, 16, proj_size=4, seed=0)(x)
    >>> y.shape, h.shape, c.shape
    ((5, 3, 4), (1, 3, 4), (1, 3, 16))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: DTypeLike = "float32",
        learned_state: bool = False,
        seed: Seed = None,
    ) -> None:
        super().__init__(
            "lstm",
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, learned_state, seed,
            proj_size,
        )  # fmt: skip

    def _split(self, hx: Any, name: str) -> tuple[tuple[str, Any], ...]:
        if not isinstance(hx, (tuple, list)):
            raise TypeError(f"{name} should be a tuple of two arrays, h and c, got {type(hx).__name__}")
        if len(hx) != 2:
            raise ValueError(f"{name} should be a tuple of two arrays, h and c, got {len(hx)}")
        return ((f"{name}[0]", hx[0]), (f"{name}[1]", hx[1]))

    def _join(self, states: tuple[Array, ...]) -> tuple[Array, Array]:
        return states[0], states[1]


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
        seed: Seed = None,
    ) -> None:
        super().__init__(
            "gru",
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, learned_state, seed,
        )  # fmt: skip

    def _join(self, states: tuple[Array, ...]) -> Array:
        return states[0]
