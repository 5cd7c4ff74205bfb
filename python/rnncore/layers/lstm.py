"""The long short-term memory layer."""

from __future__ import annotations

from typing import ClassVar

from numpy.typing import DTypeLike

from rnncore import arguments
from rnncore.arguments import Array, Precision, Seed
from rnncore.layers.recurrent import RecurrentLayer

__all__ = ["LSTM"]


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

    and h has P = proj_size elements, c has H: y is (T, N, D*P), the state (L*D, N, P) and (L*D, N, H). With peepholes
    (Gers, Schraudolph & Schmidhuber 2002; as ONNX defines them) the gates see the memory, each unit its own: i and f
    have p_i * c and p_f * c added before the sigmoid, o has p_o * c'.

    Parameters
    ----------
    proj_size
        P, smaller than hidden_size: fewer weights for as many cells. 0 projects nothing, P below stands for H.
    peepholes
        True adds them: three vectors of H parameters for each layer and direction.

    Attributes
    ----------
    weight_ih_l[k], weight_hh_l[k], bias_ih_l[k], bias_hh_l[k]
        (4H, I) or (4H, D*P) above the first layer; (4H, P); (4H,); (4H,), the rows of the gates in the order i f g o:
        views on `parameters`. With suffix _reverse for the second direction.
    weight_hr_l[k]
        (P, H), after the biases, with proj_size only.
    peephole_i_l[k], peephole_o_l[k], peephole_f_l[k]
        (H,) each, after those, with peepholes only: side by side they are ONNX's P.

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

    With peepholes, and outputs of 4 elements from 16 cells:

    >>> list(rnncore.LSTM(8, 16, peepholes=True).named_parameters())[-3:]
    ['peephole_i_l0', 'peephole_o_l0', 'peephole_f_l0']

    >>> y, (h, c) = rnncore.LSTM(8, 16, proj_size=4, seed=0)(x)
    >>> y.shape, h.shape, c.shape
    ((5, 3, 4), (1, 3, 4), (1, 3, 16))
    """

    peepholes: bool

    variants: ClassVar = {"lstm": {}, "lstm_peephole": {"peepholes": True}}
    memory_gates: ClassVar = {"f": 1, "i": -1}
    _fixed = RecurrentLayer._fixed | {"peepholes"}

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
        peepholes: bool = False,
        dtype: DTypeLike = "float32",
        learned_state: bool = False,
        precision: Precision = "float32",
        seed: Seed = None,
    ) -> None:
        self._set(peepholes=arguments.check_flag("peepholes", peepholes))
        super().__init__(
            "lstm_peephole" if peepholes else "lstm",
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, learned_state, seed,
            precision, proj_size,
        )  # fmt: skip
