"""What a model learns from: a batch, read and checked against the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from rnncore import arguments
from rnncore.arguments import Array
from rnncore.losses import cross_entropy
from rnncore.masked_means import as_weights


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Sequences side by side, and their targets.

    Parameters
    ----------
    x
        As the model takes it: (T, N, I), or (N, T, I) if batch_first; integers (T, N) for an Embedding; one sequence
        may come without a batch axis.
    target
        (T, N, ...) in the same order, or (N, ...) for a model with a `LastStep`.
    lengths, resets
        As in the model's call. Steps past the length of a row are left out of the loss.
    mask, weights
        As in the losses: of the shape of the target, or of its leading axes, at least those of time and rows.
    static
        (N, E), inputs of whole sequences, for a `Conditioned` model.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> batch = rnncore.Batch(np.ones((5, 4, 3)), np.ones((5, 4, 1)), lengths=[5, 2, 3, 1])
    >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.Linear(8, 1, seed=0))
    >>> loss, grads = model.loss_and_grad(batch)
    """

    x: Any
    target: Any
    lengths: Any = None
    resets: Any = None
    mask: Any = None
    weights: Any = None
    static: Any = None


def as_batch(data: Any, name: str = "data") -> Batch:
    """Read a Batch, a pair (x, target), or a mapping with the names of a Batch. Raises TypeError for anything else."""
    if isinstance(data, Batch):
        return data
    if isinstance(data, Mapping):
        known = {field.name for field in fields(Batch)}
        if not {"x", "target"} <= data.keys() <= known:
            raise TypeError(
                f"{name}: expected x, target and any of {sorted(known - {'x', 'target'})}, got {sorted(data)}"
            )
        return Batch(**data)
    if isinstance(data, tuple) and len(data) == 2:
        return Batch(*data)
    given = f"a tuple of {len(data)}" if isinstance(data, tuple) else type(data).__name__
    raise TypeError(f"{name}: expected a Batch, a pair (x, target) or a mapping, got {given}")


def prepared(batch: Batch, model: Any, loss: Any) -> Batch:
    """Turn a batch into arrays with a batch axis, and check them against the model and against each other.

    Raises ValueError for shapes that do not fit, lengths beyond the end of the array, numbers that are not finite and
    labels out of range; the message says where they are.
    """
    given = {name: getattr(batch, name) for name in ("target", "resets", "mask", "weights")}
    batch = replace(batch, **{k: None if v is None else arguments.as_array(v, k) for k, v in given.items()})
    axes = 2 if model.takes_labels else 3
    x = arguments.as_integers(batch.x, "x") if model.takes_labels else arguments.as_real(batch.x, "x", model.dtype)
    if x.ndim not in (axes - 1, axes):
        raise ValueError(f"x: expected {axes - 1} or {axes} dimensions, got shape {x.shape}")
    if not model.takes_labels and model.in_features not in (None, x.shape[-1]):
        raise ValueError(f"x has {x.shape[-1]} features, the model expects {model.in_features}")
    batched = x.ndim == axes
    time = 1 if model.batch_first else 0

    def widen(array: Any) -> Any:
        return array if batched or array is None else np.expand_dims(array, 1 - time)

    x = widen(x)
    leading = x.shape[:2]
    steps, rows = leading[time], leading[1 - time]
    lengths = None if batch.lengths is None else arguments.as_lengths(batch.lengths, steps, rows, batched)
    valid = None if lengths is None or (lengths == steps).all() else np.arange(steps)[:, None] < lengths
    if valid is not None and time:
        valid = valid.T
    if model.takes_labels:
        x = arguments.as_labels(x, "x", model.layers[0].num_embeddings, x.shape, valid)
    else:
        _check_finite(x, "x", valid)
    own = leading if model.per_step else (rows,)

    def own_axes(array: Any) -> Any:
        if model.per_step:
            return widen(array)
        return array if batched or array is None else array[None]

    target = own_axes(batch.target)
    if target.shape[: len(own)] != own:
        raise ValueError(f"target: expected shape {_shape(own)} to begin with, got {target.shape}")
    shapes = [target.shape[:axes] for axes in range(len(own), target.ndim + 1)]
    mask, weights = own_axes(batch.mask), own_axes(batch.weights)
    if mask is not None:
        mask = arguments.as_mask(mask, "mask", *shapes)
    if weights is not None:
        weights = as_weights(weights, model.dtype, *shapes)
    if valid is not None and model.per_step:
        mask = valid if mask is None else mask & valid.reshape(valid.shape + (1,) * (mask.ndim - 2))
    if _function(loss) is cross_entropy:
        target = arguments.as_labels(target, "target", model.out_features, own, mask)
    else:
        target = arguments.as_real(target, "target", model.dtype)
        _check_finite(target, "target", mask)
    if batch.resets is not None:
        shape = leading if batched else (steps,)
        resets = widen(arguments.as_mask(batch.resets, "resets", shape))
    else:
        resets = None
    return Batch(x, target, lengths, resets, mask, weights, _static(batch.static, model, rows, batched))


def _static(given: Any, model: Any, rows: int, batched: bool) -> Array | None:
    """Read the inputs of whole sequences (N, E), or (E,) of one without a batch axis."""
    size = getattr(model, "static_size", None)
    if (given is None) != (size is None):
        expected = "None, the model takes no inputs of whole sequences" if size is None else f"shape ({rows}, {size})"
        raise ValueError(f"static: expected {expected}, got {'None' if given is None else np.shape(given)}")
    if given is None:
        return None
    static = arguments.as_real(given, "static", model.dtype)
    static = static if batched or static.ndim != 1 else static[None]
    if static.shape != (rows, size):
        raise ValueError(f"static: expected shape ({rows}, {size}), got {static.shape}")
    _check_finite(static, "static", None)
    return static


def options_of(batch: Batch, num_threads: int | None) -> dict[str, Any]:
    """Return what a model's call takes of a batch beside x and the state."""
    options = {"lengths": batch.lengths, "resets": batch.resets, "num_threads": num_threads}
    return options if batch.static is None else options | {"static": batch.static}


def _function(loss: Any) -> Any:
    """Return the function behind a partial."""
    return getattr(loss, "func", loss)


def _check_finite(array: Array, name: str, chosen: Array | None) -> None:
    finite = np.isfinite(array)
    if finite.all():
        return
    if chosen is not None:
        finite |= ~chosen.reshape(chosen.shape + (1,) * (array.ndim - chosen.ndim))
    if not finite.all():
        place = tuple(int(k[0]) for k in np.nonzero(~finite))
        raise ValueError(f"{name}[{', '.join(map(str, place))}] is {array[place]}, expected finite numbers: mask it")


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}, ...)"


def cut(batch: Batch, axis: int, steps: slice) -> Batch:
    """Return some steps of a batch, whose time axis is `axis`; lengths count from the first of these steps."""
    if steps == slice(0, None):
        return batch
    x = batch.x[(slice(None),) * axis + (steps,)]
    lengths = None if batch.lengths is None else np.clip(batch.lengths - steps.start, 0, x.shape[axis])

    def take(array: Any) -> Any:
        return None if array is None else np.asarray(array)[(slice(None),) * axis + (steps,)]

    return Batch(
        x, take(batch.target), lengths, take(batch.resets), take(batch.mask), take(batch.weights), batch.static
    )


def rows_of(batch: Batch, chosen: Any, axis: int, per_step: bool) -> Batch:
    """Return some rows of a batch, a slice or numbers; `axis` is that of the rows in x."""
    own = axis if per_step else 0

    def take(array: Any, axis: int) -> Any:
        return None if array is None else array[(slice(None),) * axis + (chosen,)]

    return Batch(
        take(batch.x, axis),
        take(batch.target, own),
        take(batch.lengths, 0),
        take(batch.resets, axis),
        take(batch.mask, own),
        take(batch.weights, own),
        take(batch.static, 0),
    )
