"""RNN, LSTM and GRU: PyTorch's modules with the engine behind them."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch._C._dynamo.eval_frame import get_eval_frame_callback
from torch.nn.utils.rnn import PackedSequence

from rnncore.bridges.torch.fallback import ARGUMENTS, NotOurs, check_mode, check_tensors, record
from rnncore.bridges.torch.function import Call, apply, engine_of

_CELLS = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}


class Accelerated:
    """What accelerated modules share: calls that the engine does not take are made by PyTorch's class."""

    _plain: ClassVar[type[nn.Module]]
    _on_fallback = "torch"
    _packed: Any = None

    def _forward(self, input: Any, hx: Any, resets: Any) -> Any:  # noqa: A002  PyTorch's name
        if torch.compiler.is_exporting() and resets is None:
            return self._plain.forward(self, input, hx)
        # torch.compile asks here, or, where it has given this function up, it looks at each one that is called.
        if torch.compiler.is_compiling() or get_eval_frame_callback() is not None:
            return _outside_of_graphs(self, input, hx, resets)
        return self._call(input, hx, resets)

    def _call(self, input: Any, hx: Any, resets: Any) -> Any:  # noqa: A002
        try:
            check_mode()
            return self._run(input, hx, resets)
        except NotOurs as error:
            reason = str(error)
        except (ValueError, TypeError, IndexError, AttributeError, BufferError) as error:
            if isinstance(error, ResetsError):
                raise
            reason = ARGUMENTS
        record(self, reason, self._on_fallback, resets)
        return self._plain.forward(self, input, hx)

    def _run(self, input: Any, hx: Any, resets: Any) -> Any:  # noqa: A002
        raise NotImplementedError

    def _weights(self) -> list[Any]:
        """Return the parameters in the engine's order, those that are there now."""
        raise NotImplementedError

    def _engine(self, dtype: Any) -> Any:
        """Return the engine's network."""
        raise NotImplementedError

    def __prepare_scriptable__(self) -> Any:
        plain: Any = copy.copy(self)
        plain.__class__ = self._plain
        return plain


@torch._disable_dynamo  # type: ignore[attr-defined]
def _outside_of_graphs(module: Any, input: Any, hx: Any, resets: Any) -> Any:  # noqa: A002
    """Break the graph of torch.compile, which cannot look into the engine."""
    return module._call(input, hx, resets)


class ResetsError(ValueError):
    """Resets that fit no input."""


class Recurrent(Accelerated):
    """The call of a module of layers."""

    def _weights(self: Any) -> list[Any]:
        parameters = self._parameters
        for name, weight in zip(self._flat_weights_names, self._flat_weights, strict=True):
            if parameters.get(name) is not weight:
                self._update_flat_weights()
                break
        weights: list[Any] = self._flat_weights
        return weights

    def _engine(self: Any, dtype: Any) -> Any:
        own = self.__dict__  # a module looks for an attribute in many places
        return engine_of(
            _CELLS[own["mode"]], own["input_size"], own["hidden_size"], own["num_layers"], own["bias"],
            own["bidirectional"], own["proj_size"], dtype,
        )  # fmt: skip

    def _run(self: Any, input: Any, hx: Any, resets: Any) -> Any:  # noqa: A002
        packed = isinstance(input, PackedSequence)
        x = input.data if packed else input
        weights = self._weights()
        lstm = self.mode == "LSTM"
        if hx is None:
            h0: tuple[Any, ...] = ()
        elif lstm:
            if not isinstance(hx, (tuple, list)) or len(hx) != 2:
                raise NotOurs(ARGUMENTS)
            h0 = tuple(hx)
        else:
            h0 = (hx,)
        check_tensors(x, (*h0, *weights))
        if x.numel() == 0:
            raise NotOurs("an input without elements")
        dimensions = x.dim()
        if packed:
            form = "packed"
        elif dimensions == 3:
            form = "batch" if self.batch_first else "time"
        else:
            form = "single"
        if dimensions != (3 if form in ("batch", "time") else 2):
            raise NotOurs(ARGUMENTS)
        dropout = self.dropout if self.training and self.num_layers > 1 else 0.0
        call = Call(self._engine(x.dtype), form, dropout, packed=self._packed)
        if packed:
            call.batch_sizes = input.batch_sizes.numpy()
            if input.sorted_indices is not None:
                h0 = tuple([h.index_select(1, input.sorted_indices) for h in h0])
        if resets is not None:
            call.resets = _as_resets(resets, input, form)
        y, hn = apply(call, x, h0, weights)
        if packed:
            y = PackedSequence(y, input.batch_sizes, input.sorted_indices, input.unsorted_indices)
            if input.unsorted_indices is not None:
                hn = tuple([h.index_select(1, input.unsorted_indices) for h in hn])
        return y, (hn if lstm else hn[0])


def _as_resets(resets: Any, input: Any, form: str) -> Any:  # noqa: A002
    """Return bools (T, N), or packed as the input is; `resets` has the form of the input less its last axis."""
    if form == "packed":
        sizes = input.batch_sizes.numpy()
        if not isinstance(resets, PackedSequence) or not np.array_equal(resets.batch_sizes.numpy(), sizes):
            raise ResetsError("resets: expected a PackedSequence with the batch_sizes of the input")
        return _bools(resets.data, (len(input.data),))
    flags = _bools(resets, tuple(input.shape[:-1]))
    return np.ascontiguousarray(flags[:, None] if form == "single" else flags.T if form == "batch" else flags)


def _bools(resets: Any, shape: tuple[int, ...]) -> Any:
    flags = torch.as_tensor(resets)
    if tuple(flags.shape) != shape:
        raise ResetsError(f"resets: expected shape {shape}, got {tuple(flags.shape)}")
    array = flags.detach().cpu().numpy()
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise ResetsError("resets: expected bools, or numbers 0 and 1")
    return array.astype(np.bool_)


class RNN(Recurrent, nn.RNN):
    """`torch.nn.RNN`, run by the engine; `forward` takes resets too (see `LSTM`)."""

    _plain = nn.RNN

    def forward(self, input: Any, hx: Tensor | None = None, resets: Any = None) -> Any:  # noqa: A002
        """Return y and h; see `LSTM.forward`."""
        return self._forward(input, hx, resets)


class GRU(Recurrent, nn.GRU):
    """`torch.nn.GRU`, run by the engine; `forward` takes resets too (see `LSTM`)."""

    _plain = nn.GRU

    def forward(self, input: Any, hx: Tensor | None = None, resets: Any = None) -> Any:  # noqa: A002
        """Return y and h; see `LSTM.forward`."""
        return self._forward(input, hx, resets)


class LSTM(Recurrent, nn.LSTM):
    """`torch.nn.LSTM`, run by the engine: same arguments, parameters, state_dict, hooks and errors.

    >>> import torch, rnncore
    >>> lstm = rnncore.torch.LSTM(3, 8, num_layers=2)
    >>> x = torch.randn(5, 2, 3)
    >>> resets = torch.tensor([[0, 0], [0, 1], [0, 0], [0, 0], [0, 0]])
    >>> y, (h, c) = lstm(x, resets=resets)
    >>> bool((y[1:, 1] == lstm(x[1:, 1:])[0][:, 0]).all())
    True
    """

    _plain = nn.LSTM

    def forward(self, input: Any, hx: tuple[Tensor, Tensor] | None = None, resets: Any = None) -> Any:  # noqa: A002
        """Return y and (h, c), as PyTorch does.

        `resets`, bools or zeros and ones in the form of the input less its features (a PackedSequence if that is one),
        begins new sequences inside a row: where true, the state becomes zero before the step, and no gradient crosses.
        Raises RuntimeError where the call cannot run in the engine: PyTorch itself has no resets.
        """
        return self._forward(input, hx, resets)
