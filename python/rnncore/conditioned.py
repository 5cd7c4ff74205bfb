"""Sequences with inputs of their own: what holds for a whole sequence gives the state that it begins from."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from rnncore import arguments, training
from rnncore.arguments import Array, Seed
from rnncore.files import FormatError, read_tensors, write_tensors
from rnncore.layers.linear import Linear, LinearCache
from rnncore.layers.module import Gradients, Module
from rnncore.models import file
from rnncore.models.model import ModelCache
from rnncore.sequential import Sequential

__all__ = ["Conditioned"]

_FORMAT, _VERSION = "rnncore.conditioned", 1


@dataclass(frozen=True, slots=True, eq=False)
class ConditionedCache:
    """What `Conditioned.forward` keeps for `backward`."""

    _owner: Conditioned
    _model: ModelCache
    _start: LinearCache


@dataclass(frozen=True, slots=True, eq=False)
class ConditionedGradients(Gradients):
    """The gradients of a conditioned model."""

    static: Array
    """By the inputs of the whole sequences, in their shape."""


class Conditioned(Module):
    r"""A model whose sequences begin from a state that inputs of the whole sequence give.

    Beside x, the inputs of the steps, each sequence has E inputs s that hold for all of it: of a shop, a patient, a
    machine. They are read once, by a linear layer, rather than repeated at every step::

        h_0 = W s + b        (and c_0 likewise, of every recurrent layer)        y = model(x, h_0)

    as in Karpathy and Fei-Fei (2015), where s is an image.

    Parameters
    ----------
    model
        A `Sequential` with a recurrent layer. Its parameters move into the vector of this model.
    static_size
        E, at least 1.
    seed
        Of W, which is uniform in +-1/sqrt(E); b is zero at first.

    Attributes
    ----------
    model, start
        The `Sequential`, and the linear layer.

    `fit`, `evaluate` and `loss_and_grad` are those of `Sequential`: batches bring s as `Batch(x, target, static=s)`, or
    lists of sequences a list with one s for each. Long series with k1, checkpoints and collectives are refused.

    Raises ValueError for a model without a recurrent layer, and by its calls for s of another shape.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> net = rnncore.Sequential(rnncore.GRU(3, 16, seed=0), rnncore.LastStep(), rnncore.Linear(16, 1, seed=0))
    >>> model = rnncore.Conditioned(net, 2, seed=0)
    >>> random = np.random.default_rng(0)
    >>> x, s = random.normal(size=(5, 64, 3)), random.normal(size=(64, 2))
    >>> y, h = model(x, static=s)
    >>> y.shape, h.shape, list(model.named_parameters())[-2:]
    ((64, 1), (1, 64, 16), ['start.weight', 'start.bias'])
    >>> batch = rnncore.Batch(x, s[:, :1] * x[-1, :, :1], static=s)  # without s nobody can tell
    >>> history = model.fit(batch, epochs=60, lr=0.01, progress=False)
    >>> history.loss[-1] < 0.3 * history.loss[0]
    True
    """

    loss_and_grad = training.loss_and_grad
    fit = training.fit
    evaluate = training.evaluate

    model: Sequential
    start: Linear
    static_size: int
    _fixed = Module._fixed | {"model", "start", "static_size"}

    def __init__(self, model: Sequential, static_size: int, *, seed: Seed = None) -> None:
        if not isinstance(model, Sequential):
            raise TypeError(f"model should be a Sequential, got {type(model).__name__}")
        if not model._recurrent:
            raise ValueError("model: expected one with a recurrent layer, whose state the inputs give")
        if model.weights is not None or model.__dict__.get("_part_of_a_model"):
            raise ValueError("model: expected one that can be trained, and is no part of another: copy.deepcopy it")
        inputs, dtype = arguments.check_size("static_size", static_size, 1), model.dtype
        outputs = _state_width(model)
        start = Linear(inputs, outputs, dtype=dtype, seed=seed)
        start.parameters[-outputs:] = 0
        self._set(model=model, start=start, static_size=inputs, per_step=model.per_step)
        self._set(takes_labels=model.takes_labels)
        layout = list(model._layout)
        layout += [(f"start.{name}", model.parameter_count + place, shape) for name, place, shape in start._layout]
        self._allocate(layout, dtype)
        model._adopt(self._parameters[: model.parameter_count])
        model._adopt_all()
        start._adopt(self._parameters[model.parameter_count :])
        for part in (model, start):
            part._set(_part_of_a_model=True)
        self.train()

    # ---- what training asks of a model: the answers of the one inside

    def __getattr__(self, name: str) -> Any:
        if name in ("batch_first", "in_features", "out_features", "layers", "_recurrent", "_first", "named_layers"):
            return getattr(self.__dict__["model"], name)
        raise AttributeError(f"a Conditioned has no {name!r}")

    def train(self, mode: bool = True) -> Self:
        """Switch training mode of all layers on or off."""
        self.model.train(mode)
        return super().train(mode)

    # ---- calls

    def first_state(self, static: ArrayLike) -> Any:
        """Return the state that inputs (N, E), or (E,) of a sequence without a batch axis, give: hx of the model."""
        return self._join(self.start(self._read(static)))

    def __call__(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        static: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> tuple[Array, Any]:
        """Run the model for inference; returns y and the final state, which as hx carries sequences on without s.

        Arguments are those of a `Sequential`'s call, and s (N, E), or (E,) if x has no batch axis. Resets go back to
        the start of the layers themselves. Raises ValueError unless one of hx and static is given.
        """
        if (hx is None) == (static is None):
            raise ValueError("static: expected either the inputs of whole sequences, or hx to carry them on")
        state = hx if static is None else self._join(self.start(self._read(static, x), num_threads=num_threads))
        return self.model(x, state, lengths=lengths, resets=resets, num_threads=num_threads)

    def forward(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        static: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> tuple[Array, Any, ConditionedCache]:
        """Run the model for training; returns y, the final state and a cache."""
        if hx is not None or static is None:
            raise ValueError("static: expected the inputs of whole sequences, and no hx")
        state, start = self.start.forward(self._read(static, x), num_threads=num_threads)
        rows: Any = {"lengths": lengths, "resets": resets, "num_threads": num_threads}
        y, final, cache = self.model.forward(x, self._join(state), **rows)
        return y, final, ConditionedCache(self, cache, start)

    def backward(
        self,
        cache: ConditionedCache,
        dy: ArrayLike | None = None,
        dhx: Any = None,
        *,
        input_gradient: bool = True,
        add_to: Array | None = None,
        num_threads: int | None = None,
    ) -> ConditionedGradients:
        """Return the gradients of a loss from those by y and by the final state; arguments as of `Sequential`."""
        arguments.check_owner(cache, self)
        total = np.zeros(self.parameter_count, self.dtype)
        if add_to is not None:
            total = arguments.as_flat_gradient(add_to, "add_to", self.parameter_count, self.dtype)
        inside = self.model.parameter_count
        options: Any = {"input_gradient": input_gradient, "add_to": total[:inside], "num_threads": num_threads}
        inner = self.model.backward(cache._model, dy, dhx, **options)
        outer = self.start.backward(
            cache._start, self._flat(inner.hx, cache._start._shape), add_to=total[inside:], num_threads=num_threads
        )
        return ConditionedGradients(inner._x, total, self._layout, outer.x)

    def _read(self, static: ArrayLike, x: Any = None) -> Array:
        values = arguments.as_real(static, "static", self.dtype)
        shape: tuple[Any, ...] = values.shape[:1] if values.ndim == 2 else ()
        if x is not None:
            given = np.shape(x)
            batched = len(given) == (2 if self.takes_labels else 3)
            shape = (given[0 if self.batch_first else 1],) if batched else ()
        if values.shape != (*shape, self.static_size):
            raise ValueError(f"static: expected shape {(*shape, self.static_size)}, got {values.shape}")
        return values

    def _join(self, flat: Array) -> Any:
        """(N, S) or (S,) -> the state in the form of the calls."""
        arrays, first = [], 0
        for layer in self.model._recurrent:
            for size in layer._state_sizes:
                own = flat[..., first : first + layer._state_axis * size]
                first += own.shape[-1]
                parts = own.reshape(*flat.shape[:-1], layer._state_axis, size)
                arrays.append(np.ascontiguousarray(np.moveaxis(parts, -2, 0)))
        return self.model._state_of(tuple(arrays))

    def _flat(self, hx: Any, shape: tuple[int, ...]) -> Array:
        """Undo `_join`."""
        states = hx if len(self.model._recurrent) > 1 else (hx,)
        arrays = [each for state in states for each in (state if isinstance(state, tuple) else (state,))]
        return np.concatenate([np.moveaxis(each, 0, -2).reshape(*shape[:-1], -1) for each in arrays], axis=-1)

    # ---- copies, files, text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one safetensors file, which `Conditioned.load` reads."""
        told = {"architecture": json.dumps(file.architecture(self.model)), "static_size": str(self.static_size)}
        write_tensors(path, _FORMAT, _VERSION, self.named_parameters(), told)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Conditioned:
        """Read what `save` has written. Raises as `rnncore.load` does.

        >>> import rnncore
        >>> net = rnncore.Sequential(rnncore.LSTM(3, 8, seed=0), rnncore.Linear(8, 1, seed=0))
        >>> model = rnncore.Conditioned(net, 2, seed=0)
        >>> model.save("conditioned.safetensors")
        >>> bool((rnncore.Conditioned.load("conditioned.safetensors").parameters == model.parameters).all())
        True
        """
        arrays, metadata = read_tensors(path, _FORMAT, _VERSION)
        try:
            described, size = json.loads(metadata["architecture"]), int(metadata["static_size"])
        except (KeyError, ValueError) as error:
            raise FormatError(f"{path} does not say what model it holds: {error}") from None
        holds = partial(file.holds, arrays, path)
        inside = file.build(described, Sequential, path, len(arrays), holds)
        holds("start", [("weight", 0, (_state_width(inside), size))])
        try:
            model = Conditioned(inside, size, seed=0)
            model.load_state_dict(arrays)
        except (TypeError, ValueError) as error:
            raise FormatError(f"{path}: {error}") from None
        return model

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for part in (self.model, self.start):
            part._set(_part_of_a_model=True)

    def __repr__(self) -> str:
        inside = "\n".join(f"  {line}" for line in repr(self.model).splitlines())
        return f"Conditioned(\n{inside}\n  (start): {self.start!r}\n)"


def _state_width(model: Sequential) -> int:
    """Return how many elements one row's state has, of all layers together."""
    return sum(layer._state_axis * size for layer in model._recurrent for size in layer._state_sizes)
