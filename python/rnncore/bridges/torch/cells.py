"""RNNCell, LSTMCell and GRUCell: one step of PyTorch's, run by the engine."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rnncore.bridges.torch.fallback import ARGUMENTS, NotOurs, check_tensors
from rnncore.bridges.torch.function import Call, apply, engine_of
from rnncore.bridges.torch.layers import Accelerated


class Cell(Accelerated):
    """The call of a cell."""

    def _cell(self) -> str:
        raise NotImplementedError

    def _weights(self: Any) -> list[Any]:
        parameters = self._parameters
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if self.bias else ("weight_ih", "weight_hh")
        return [parameters[name] if name in parameters else getattr(self, name) for name in names]

    def _engine(self: Any, dtype: Any) -> Any:
        return engine_of(self._cell(), self.input_size, self.hidden_size, 1, self.bias, False, 0, dtype)

    def _run(self: Any, input: Any, hx: Any, resets: Any) -> Any:  # noqa: A002, ARG002
        weights, lstm = self._weights(), self._plain is nn.LSTMCell
        if hx is not None and lstm and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise NotOurs(ARGUMENTS)
        h0 = () if hx is None else tuple(hx) if lstm else (hx,)
        check_tensors(input, (*h0, *weights))
        dimensions = input.dim()
        if dimensions not in (1, 2) or input.numel() == 0 or any(h.dim() != dimensions for h in h0):
            raise NotOurs(ARGUMENTS)
        form = "cell" if dimensions == 2 else "single cell"
        call = Call(self._engine(input.dtype), form, packed=self._packed)
        _, hn = apply(call, input, h0, weights)
        return hn if lstm else hn[0]


class RNNCell(Cell, nn.RNNCell):
    """`torch.nn.RNNCell`, run by the engine."""

    _plain = nn.RNNCell

    def _cell(self) -> str:
        if self.nonlinearity not in ("tanh", "relu"):
            raise NotOurs(ARGUMENTS)
        return f"rnn_{self.nonlinearity}"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Any:  # noqa: A002
        """Return the next h."""
        return self._forward(input, hx, None)


class GRUCell(Cell, nn.GRUCell):
    """`torch.nn.GRUCell`, run by the engine."""

    _plain = nn.GRUCell

    def _cell(self) -> str:
        return "gru"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Any:  # noqa: A002
        """Return the next h."""
        return self._forward(input, hx, None)


class LSTMCell(Cell, nn.LSTMCell):
    """`torch.nn.LSTMCell`, run by the engine.

    >>> import torch, rnncore
    >>> cell = rnncore.torch.LSTMCell(3, 8)
    >>> h, c = cell(torch.randn(2, 3))
    >>> h, c = cell(torch.randn(2, 3), (h, c))
    >>> h.shape
    torch.Size([2, 8])
    """

    _plain = nn.LSTMCell

    def _cell(self) -> str:
        return "lstm"

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> Any:  # noqa: A002
        """Return the next (h, c)."""
        return self._forward(input, hx, None)
