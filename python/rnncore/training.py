"""Truncated backpropagation through time over long series, with the state carried from block to block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rnncore import arguments
from rnncore.arguments import Array
from rnncore.linear import Linear
from rnncore.losses import Loss, mean_squared_error
from rnncore.optim import Adam, clip_grad_norm
from rnncore.recurrent import RecurrentLayer

AnyLayer: TypeAlias = RecurrentLayer[Array] | RecurrentLayer[tuple[Array, Array]]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where `fit` stands, after each block."""

    epoch: int
    epochs: int
    block: int
    blocks: int
    loss: float
    """Of this block."""
    epoch_loss: float
    """Mean since the epoch began."""


Callback: TypeAlias = Callable[[Progress], object]


class TruncatedBPTT:
    """Train a recurrent layer and a linear head on a long series, block by block (Williams & Peng 1990).

    The state at the end of a block begins the next one: the forward connection is kept, so the layer may remember
    more than a block. Only the backward connection is cut: a gradient reaches back to the beginning of its block.

    Parameters
    ----------
    layer, head
        RNN, LSTM or GRU in one direction, and a Linear with in_features = hidden_size (or proj_size), of one dtype.
    block_length
        Steps to a block; one update of the parameters follows each.
    loss
        `mean_squared_error`, or what is called alike: loss(prediction, target, mask=mask) -> (mean, gradient).
    optimizer
        Over [layer.parameters, head.parameters]; by default Adam with the learning rate lr.
    lr, max_norm
        Learning rate of the default optimizer, and the norm to which each block's gradient is clipped.
    num_threads
        As of the layer's calls.

    Raises ValueError if layer and head do not fit together or the layer is bidirectional.

    Examples
    --------
    Predict the next value of a wave:

    >>> import numpy as np, rnncore
    >>> from rnncore.training import TruncatedBPTT
    >>> wave = np.sin(np.arange(401) / 5)[:, None]
    >>> layer, head = rnncore.LSTM(1, 8, seed=0), rnncore.Linear(8, 1, seed=0)
    >>> trainer = TruncatedBPTT(layer, head, block_length=50, lr=0.02)
    >>> losses = trainer.fit(wave[:-1], wave[1:], epochs=10)
    >>> losses[-1] < 0.2 * losses[0]
    True
    >>> prediction, hx = trainer.predict(wave[:-1])
    >>> prediction.shape
    (400, 1)
    """

    def __init__(
        self,
        layer: AnyLayer,
        head: Linear,
        *,
        block_length: int = 64,
        loss: Loss = mean_squared_error,
        optimizer: Adam | None = None,
        lr: float = 1e-3,
        max_norm: float = 1.0,
        num_threads: int | None = None,
    ) -> None:
        if layer.bidirectional:
            raise ValueError("layer must not be bidirectional: its state carries over in one direction only")
        if head.in_features != layer._width:
            raise ValueError(f"head has {head.in_features} features, the layer gives {layer._width}")
        if head.dtype != layer.dtype:
            raise ValueError(f"head is {head.dtype}, the layer {layer.dtype}")
        self.layer, self.head, self.loss = layer, head, loss
        self.block_length = arguments.check_size("block_length", block_length, 1)
        self.optimizer = Adam([layer.parameters, head.parameters], lr=lr) if optimizer is None else optimizer
        self.max_norm, self.num_threads = max_norm, num_threads
        self._gradients = [np.zeros_like(layer.parameters), np.zeros_like(head.parameters)]

    def fit(
        self,
        x: ArrayLike,
        target: ArrayLike,
        epochs: int = 1,
        *,
        hx: Any = None,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        callback: Callback | None = None,
    ) -> list[float]:
        """Train for some epochs, each from the initial state; return the mean loss of each.

        Parameters
        ----------
        x, target
            Series (T, I) and (T, O), or batches of them as the layer takes: (T, N, I), or (N, T, I) if batch_first.
        hx, lengths, resets
            As of the layer's calls; steps past a row's length count for nothing.
        mask
            Bools in the shape of the target or of its leading axes; false where there is nothing to learn.
        callback
            Called with a `Progress` after each block; training ends if it returns True.

        An interrupt leaves parameters and optimizer as after the last finished block. Raises FloatingPointError, before
        the update, if the loss or a gradient is infinite or NaN, and ValueError for shapes that do not fit.
        """
        series = _Series(self.layer, self.head, x, target, lengths, resets, mask)
        blocks = math.ceil(series.steps / self.block_length)
        losses: list[float] = []
        for epoch in range(epochs):
            mean, state = _Mean(), hx
            for k, block in enumerate(series.blocks(self.block_length)):
                value, state = self._step(block, state)
                mean.add(value, block.weight)
                if callback and callback(Progress(epoch, epochs, k, blocks, value, mean.value)) is True:
                    return [*losses, mean.value]
            losses.append(mean.value)
        return losses

    def evaluate(
        self,
        x: ArrayLike,
        target: ArrayLike,
        *,
        hx: Any = None,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> float:
        """Return the mean loss without training; arguments as of `fit`."""
        mean, state = _Mean(), hx
        for block in _Series(self.layer, self.head, x, target, lengths, resets, mask).blocks(self.block_length):
            y, state = self.layer(
                block.x, state, lengths=block.lengths, resets=block.resets, num_threads=self.num_threads
            )
            mean.add(self.loss(self.head(y), block.target, mask=block.mask)[0], block.weight)
        return mean.value

    def predict(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
    ) -> tuple[Array, Any]:
        """Return the head's output for every step, and the final state, from which a later call may go on."""
        y, state = self.layer(x, hx, lengths=lengths, resets=resets, num_threads=self.num_threads)
        return self.head(y), state

    def _step(self, block: _Block, hx: Any) -> tuple[float, Any]:
        """One update: forward from the carried state, the loss, backward to the block's beginning, Adam."""
        rows: dict[str, Any] = {"lengths": block.lengths, "resets": block.resets, "num_threads": self.num_threads}
        if not block.weight:  # nothing to learn; an update would still move by its momentum
            return 0.0, self.layer(block.x, hx, **rows)[1]
        y, state, cache = self.layer.forward(block.x, hx, **rows)
        prediction, head_cache = self.head.forward(y)
        loss, d_prediction = self.loss(prediction, block.target, mask=block.mask)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss}")
        for gradient in self._gradients:
            gradient.fill(0)
        d_layer, d_head = self._gradients
        dy = self.head.backward(head_cache, d_prediction, add_to=d_head).x
        self.layer.backward(cache, dy, input_gradient=False, add_to=d_layer, num_threads=self.num_threads)
        clip_grad_norm(self._gradients, self.max_norm, error_if_nonfinite=True)
        self.optimizer.step(self._gradients)
        return loss, state


@dataclass(frozen=True, slots=True)
class _Block:
    x: Array
    target: Array
    lengths: Array | None
    resets: Array | None
    mask: Array | None
    weight: float  # elements of the target that count


class _Series:
    """The caller's arrays, checked once and cut into blocks of time steps."""

    def __init__(
        self,
        layer: AnyLayer,
        head: Linear,
        x: ArrayLike,
        target: ArrayLike,
        lengths: ArrayLike | None,
        resets: ArrayLike | None,
        mask: ArrayLike | None,
    ) -> None:
        self.x = arguments.as_real(x, "x", layer.dtype)
        by_time, batched = arguments.as_input(self.x, layer.input_size, layer.dtype, layer.batch_first)
        self.steps, rows, _ = by_time.shape
        self.axis = 1 if batched and layer.batch_first else 0  # of time
        leading = self.x.shape[:-1]
        self.target = arguments.as_shaped(target, "target", layer.dtype, (*leading, head.out_features))
        self.lengths = None if lengths is None else arguments.as_lengths(lengths, self.steps, rows, batched)
        self.resets = None if resets is None else arguments.as_mask(resets, "resets", leading)
        self.mask = None if mask is None else arguments.as_mask(mask, "mask", leading, self.target.shape)
        if self.lengths is not None:
            self.mask = self._valid(self.lengths, leading, self.mask)

    def _valid(self, lengths: Array, leading: tuple[int, ...], mask: Array | None) -> Array:
        """Narrow the mask to the steps that a row has."""
        valid = np.arange(self.steps)[:, None] < lengths
        valid = (valid.T if self.axis else valid).reshape(leading)
        if mask is None:
            return valid
        return mask & (valid[..., None] if mask.ndim > valid.ndim else valid)

    def blocks(self, length: int) -> Iterator[_Block]:
        for start in range(0, self.steps, length):
            cut = (slice(None),) * self.axis + (slice(start, start + length),)
            target = self.target[cut]
            mask = None if self.mask is None else self.mask[cut]
            yield _Block(
                self.x[cut],
                target,
                None if self.lengths is None else np.clip(self.lengths - start, 0, target.shape[self.axis]),
                None if self.resets is None else self.resets[cut],
                mask,
                target.size if mask is None else float(mask.sum()) * (target.size / max(mask.size, 1)),
            )


class _Mean:
    """A running weighted mean; 0 before the first value."""

    def __init__(self) -> None:
        self.total = self.weight = 0.0

    def add(self, value: float, weight: float) -> None:
        self.total += value * weight
        self.weight += weight

    @property
    def value(self) -> float:
        return self.total / self.weight if self.weight else 0.0
