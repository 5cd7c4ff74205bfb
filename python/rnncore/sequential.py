"""A model: layers one behind the other, over one flat vector of parameters."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rnncore import arguments
from rnncore.arguments import Array
from rnncore.dropout import Dropout
from rnncore.embedding import Embedding
from rnncore.heads import LastStep
from rnncore.linear import Linear
from rnncore.module import Gradients, Layout, Module
from rnncore.normalisation import LayerNorm
from rnncore.recurrent import RecurrentLayer
from rnncore.walk import Call, Walk, widths

__all__ = ["Layer", "ModelCache", "ModelGradients", "Sequential"]

Layer: TypeAlias = "RecurrentLayer[Any] | Linear | Embedding | LayerNorm | Dropout | LastStep"


@dataclass(frozen=True, slots=True, eq=False)
class ModelCache:
    """What `Sequential.forward` keeps for `backward`."""

    _owner: Sequential
    _walk: Walk


@dataclass(frozen=True, slots=True, eq=False)
class ModelGradients(Gradients):
    """The gradients of a model."""

    hx: Any
    """By the initial state, in its form."""


class Sequential(Module):
    r"""Layers one behind the other: Embedding, RNN, LSTM, GRU, Linear, LayerNorm, Dropout, LastStep.

    The parameters of all layers, and their gradients, are one flat vector; those of the layers become views on it. The
    model is called as a recurrent layer is, and keeps its promises: lengths, resets, the carried state, and bits that
    depend neither on the batch nor on the number of threads.

    Parameters
    ----------
    layers
        The layers, or one mapping of names to layers. Names are "0", "1", ... by default, and parameters are called as
        PyTorch's nn.Sequential calls them: "0.weight_ih_l0".

    Attributes
    ----------
    layers
        The layers, a tuple; `model[k]` and `model[name]` give one.
    batch_first, dtype
        Those of the layers.

    The state is that of the recurrent layer; if there are several, a tuple with one state for each.

    Raises ValueError for layers whose sizes, dtypes or batch_first do not fit, which it names, TypeError for what is no
    layer.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.LSTM(3, 16, seed=0), rnncore.Linear(16, 2, seed=0))
    >>> y, (h, c) = model(np.ones((10, 4, 3)), lengths=[10, 3, 0, 7])
    >>> y.shape, h.shape, list(model.named_parameters())[:2]
    ((10, 4, 2), (1, 4, 16), ['0.weight_ih_l0', '0.weight_hh_l0'])
    >>> history = model.fit((np.ones((10, 4, 3)), np.zeros((10, 4, 2))), epochs=3, progress=False)
    >>> len(history.loss)
    3
    """

    layers: tuple[Layer, ...]
    batch_first: bool
    takes_labels: bool
    """Whether x holds integers: the first layer is an Embedding."""
    per_step: bool
    """Whether y has a time axis: there is no LastStep."""
    in_features: int | None
    """The features of x, None if any will do, or if it holds integers."""
    out_features: int | None
    """The features of y, None if there is nothing that fixes them."""

    _fixed = Module._fixed | {"layers", "batch_first", "takes_labels", "per_step", "in_features", "out_features"}
    _names: tuple[str, ...]
    _recurrent: tuple[int, ...]  # places of the recurrent layers

    def __init__(self, *layers: Layer | Mapping[str, Layer]) -> None:
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            named = dict(layers[0])
        else:
            named = {str(k): layer for k, layer in enumerate(layers)}  # type: ignore[misc]
        _check(named)
        first = next(iter(named.values()))
        recurrent = [layer for layer in named.values() if isinstance(layer, RecurrentLayer)]
        takes, gives = widths(list(named.values()))
        self._set(
            layers=tuple(named.values()),
            batch_first=recurrent[0].batch_first if recurrent else False,
            takes_labels=isinstance(first, Embedding),
            per_step=not any(isinstance(layer, LastStep) for layer in named.values()),
            in_features=None if isinstance(first, Embedding) else takes,
            out_features=gives,
            _names=tuple(named),
            _recurrent=tuple(k for k, layer in enumerate(named.values()) if isinstance(layer, RecurrentLayer)),
        )
        layout: Layout = []
        offset = 0
        for name, layer in named.items():
            layout += [(f"{name}.{own}", offset + start, shape) for own, start, shape in layer._layout]
            offset += layer.parameter_count
        self._allocate(layout, first.dtype)
        self._adopt_all()
        self.train()

    def _adopt_all(self) -> None:
        offset = 0
        for layer in self.layers:
            layer._adopt(self._parameters[offset : offset + layer.parameter_count])
            layer._set(_part_of_a_model=True)
            offset += layer.parameter_count

    # ---- calls

    def __call__(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> tuple[Array, Any]:
        """Run the model for inference: no dropout, nothing is kept. Returns y and the final state.

        Arguments are those of a recurrent layer's call; x holds integers (T, N) if the first layer is an Embedding. y
        is (T, N, O), zero past a row's length, or (N, O) behind `LastStep`. Raises as the layers do.
        """
        walk = self._walk(x, hx, lengths, resets, num_threads)
        return walk.infer(self.layers)

    def forward(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        checkpoint: Any = None,
        num_threads: int | None = None,
    ) -> tuple[Array, Any, ModelCache]:
        """Run the model for training; returns y, the final state and a cache. The cache refers to x, hx and y.

        checkpoint is passed on to the recurrent layers.
        """
        arguments.check_checkpoint(checkpoint)
        walk = self._walk(x, hx, lengths, resets, num_threads, checkpoint)
        y, state = walk.forward(self.layers)
        return y, state, ModelCache(self, walk)

    def backward(
        self,
        cache: ModelCache,
        dy: ArrayLike | None = None,
        dhx: Any = None,
        *,
        input_gradient: bool = True,
        add_to: Array | None = None,
        num_threads: int | None = None,
    ) -> ModelGradients:
        """Return the gradients of a loss from those by y and by the final state; arguments as of a recurrent layer's.

        There is no `grads.x` if the first layer is an Embedding. Raises as the layers do.
        """
        arguments.check_owner(cache, self)
        threads = arguments.check_threads(num_threads) or None
        walk = cache._walk
        d_output = None if dy is None else arguments.as_shaped(dy, "dy", self.dtype, walk.output_shape)
        d_states = walk.states_of(dhx, "dhx", len(self._recurrent))
        if add_to is None:
            total = np.zeros(self.parameters.size, self.dtype)
        else:
            total = arguments.as_flat_gradient(add_to, "add_to", self.parameters.size, self.dtype)
        dx, d_initial = walk.backward(self.layers, d_output, d_states, total, input_gradient, threads)
        return ModelGradients(dx, total, self._layout, d_initial)

    def _walk(
        self, x: ArrayLike, hx: Any, lengths: Any, resets: Any, num_threads: int | None, checkpoint: Any = None
    ) -> Walk:
        return Walk(
            Call(self, x, hx, lengths, resets, arguments.check_threads(num_threads) or None, checkpoint),
            len(self._recurrent),
        )

    # ---- modes, parts, copies

    def train(self, mode: bool = True) -> Sequential:
        """Switch training mode of all layers on or off."""
        for layer in self.layers:
            layer.train(mode)
        super().train(mode)
        return self

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, key: int | str) -> Layer:
        return self.layers[self._names.index(key) if isinstance(key, str) else key]

    def named_layers(self) -> dict[str, Layer]:
        """Name -> layer, in their order."""
        return dict(zip(self._names, self.layers, strict=True))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._adopt_all()

    def __repr__(self) -> str:
        lines = [f"  ({name}): {layer!r}" for name, layer in self.named_layers().items()]
        return "\n".join(["Sequential(", *lines, ")"])

    # ---- training, evaluation, files: what the modules above have to say

    def loss_and_grad(self, batch: Any, loss: Any = "mse", *, hx: Any = None, num_threads: int | None = None) -> Any:
        """Return the loss of a batch and its gradients; see `rnncore.training.loss_and_grad`.

        >>> import numpy as np, rnncore
        >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.Linear(8, 1, seed=0))
        >>> loss, grads = model.loss_and_grad((np.ones((5, 4, 3)), np.ones((5, 4, 1))))
        >>> grads.parameters.shape == model.parameters.shape
        True
        """
        from rnncore.training import loss_and_grad

        return loss_and_grad(self, batch, loss, hx=hx, num_threads=num_threads)

    def fit(self, data: Any, **options: Any) -> Any:
        """Train the model on data and return a `rnncore.training.History`.

        Parameters
        ----------
        data
            One of

            - (x, target), or a `Batch`, of arrays: their rows are the sequences, and batches are batch_size of them;
            - the same with lists of sequences (T_n, I), and targets (T_n, ...) or, with a `LastStep`, one for each:
              batches hold sequences of about the same length;
            - with k1, arrays of one long series (T, I), or of N side by side: truncated backpropagation through time,
              the state carried from window to window;
            - an iterable of blocks, each (x, target) or a `Batch`, gone through once an epoch, or a function that
              makes an iterator: a batch each, or with k1 the next piece of one series.
        loss
            "mse" (default), "mae", "huber", "pinball", "gaussian_nll", "cross_entropy", or a function like those in
            `rnncore.losses`, as ``functools.partial(rnncore.losses.huber, delta=2.0)``.
        epochs, batch_size, shuffle, seed
            1, 32, True, 0. The seed and the number of the epoch decide the order of the sequences.
        optimizer, lr
            "adam" (default), "adamw", "sgd", "rmsprop" with the learning rate lr (default: the optimiser's own), an
            optimiser over model.parameters, or a function that makes one of them.
        schedule
            One of `rnncore.schedules`, or a function schedule(epoch, update) -> factor of the learning rate.
        clip_norm, clip_value
            Limits of the gradient's norm, and of each of its elements; the latter comes first.
        k1, k2, burn_in
            As of `rnncore.bptt.truncated`: steps between updates, steps back, steps without a loss at the beginning.
        validation, metrics
            Data in the same form, and names of `rnncore.metrics` or functions to be taken on it after each epoch.
        early_stopping
            A number of epochs without a gain, or an `rnncore.training.EarlyStopping`. The best weights come back.
        callbacks
            Functions that are called with an `rnncore.training.Progress` after each update and each epoch; training
            ends if one returns True.
        on_nonfinite
            "raise" (default): FloatingPointError, which names epoch, batch and layer, before the update; "skip": go on
            without it, with a state of zero.
        progress
            False shows nothing. Otherwise there is a bar for each epoch if tqdm is installed, or a line.
        checkpoint, checkpoint_every, resume
            A file that is replaced after each epoch, and after every so many updates if given. With resume=True
            training goes on where the file says, if there is one, to the same bits as without the interruption. A
            window with k2 > k1 begins in steps before it: checkpoint_every is refused there.
        num_threads
            As of the model's call. The weights do not depend on it.

        Ctrl-C ends training after the last finished update; the history says so. Everything is checked before anything
        changes: ValueError for shapes that do not fit, labels out of range, lengths beyond the array, numbers that are
        not finite, an unknown name, a checkpoint of another model or other settings, which it names.

        Examples
        --------
        >>> import numpy as np, rnncore
        >>> model = rnncore.Sequential(rnncore.LSTM(1, 8, seed=0), rnncore.Linear(8, 1, seed=0))
        >>> wave = np.sin(np.arange(401) / 5)[:, None]
        >>> history = model.fit((wave[:-1], wave[1:]), k1=50, epochs=10, lr=0.02, progress=False)
        >>> history.loss[-1] < 0.2 * history.loss[0]
        True
        """
        from rnncore.training import fit

        return fit(self, data, **options)

    def evaluate(self, data: Any, loss: Any = "mse", **options: Any) -> dict[str, float]:
        """Return the loss of data, and metrics, by name.

        data and loss are those of `fit`; options are metrics, batch_size, num_threads, and stream: a number of steps,
        for long series that are to be gone through in blocks of so many, the state carried.

        >>> import numpy as np, rnncore
        >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.LastStep(), rnncore.Linear(8, 2, seed=0))
        >>> x, labels = np.ones((10, 6, 3)), np.zeros(6, int)
        >>> sorted(model.evaluate((x, labels), "cross_entropy", metrics=["accuracy"]))
        ['accuracy', 'loss']
        """
        from rnncore.training import evaluate

        return evaluate(self, data, loss, **options)

    def find_lr(self, data: Any, loss: Any = "mse", **options: Any) -> Any:
        """Return the losses at growing learning rates, and a suggestion; see `rnncore.training.find_lr`."""
        from rnncore.training import find_lr

        return find_lr(self, data, loss, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one safetensors file, which `rnncore.load` reads.

        Parameters stand in it under PyTorch's names, the architecture and a digest over everything in its metadata. The
        file is replaced in one go: whoever reads it finds the old model or the new one. Needs the package safetensors
        (`pip install rnncore[io]`).
        """
        from rnncore.models import save

        save(self, path)


def _check(named: dict[str, Any]) -> None:
    """Refuse layers that do not fit, before any of them is touched."""
    if not named:
        raise ValueError("a model needs at least one layer, got none")
    for name, layer in named.items():
        if not isinstance(layer, (RecurrentLayer, Linear, Embedding, LayerNorm, Dropout, LastStep)):
            raise TypeError(f"layer {name} should be a layer of rnncore, got {type(layer).__name__}")
        if "." in name or not name:
            raise ValueError(f"the name of a layer must hold no dot and not be empty, got {name!r}")
        if layer.__dict__.get("_part_of_a_model"):
            raise ValueError(f"layer {name} ({_kind(layer)}) is part of a model already: copy.deepcopy it")
    if len({id(layer) for layer in named.values()}) != len(named):
        raise ValueError("a layer stands in the model twice: copy.deepcopy it")
    if sum(isinstance(layer, LastStep) for layer in named.values()) > 1:
        raise ValueError("a model has at most one LastStep")
    names, layers = list(named), list(named.values())
    given: tuple[str, int] | None = None  # who gives how many features
    for k, (name, layer) in enumerate(named.items()):
        here = f"layer {name} ({_kind(layer)})"
        if layer.dtype != layers[0].dtype:
            raise ValueError(f"{here} is {layer.dtype}, layer {names[0]} ({_kind(layers[0])}) {layers[0].dtype}")
        if isinstance(layer, Embedding) and k:
            raise ValueError(f"{here} takes integers: it must be the first layer")
        if isinstance(layer, LastStep) and (not k or not isinstance(layers[k - 1], RecurrentLayer)):
            raise ValueError(f"{here} must follow a recurrent layer")
        if isinstance(layer, RecurrentLayer) and any(isinstance(before, LastStep) for before in layers[:k]):
            raise ValueError(f"{here} needs all steps, and stands behind a LastStep")
        takes, gives = widths([layer])
        if takes is not None and given is not None and takes != given[1]:
            raise ValueError(f"{here} expects {takes} features, {given[0]} gives {given[1]}")
        given = (here, gives) if gives is not None else given
    recurrent = [(name, layer) for name, layer in named.items() if isinstance(layer, RecurrentLayer)]
    for name, layer in recurrent:
        if layer.batch_first != recurrent[0][1].batch_first:
            raise ValueError(f"layers {recurrent[0][0]} and {name} differ in batch_first")


def _kind(layer: Any) -> str:
    return type(layer).__name__
