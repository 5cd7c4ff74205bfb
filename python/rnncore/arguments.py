"""Reading and checking of arguments. Every error names the argument, what was expected and what was given."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Mapping
from typing import Any, Literal, SupportsIndex, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
DType: TypeAlias = np.dtype[Any]
Seed: TypeAlias = "int | np.random.Generator | np.random.SeedSequence | None"  # text: numpy.random loads late
Precision: TypeAlias = Literal["float32", "bf16"]  # of the operands of products

_DTYPES = {dtype: np.dtype(dtype) for dtype in ("float32", "float64")}
_FLAGS = (bool, np.bool_)
_ndarray, _empty = np.ndarray, np.empty  # of every call: a name looked up in NumPy's module costs as much as the check


# ---- constructors


MOST, MOST_THREADS = (1 << 63) - 1, (1 << 31) - 1  # that the engine can count


def check_size(name: str, value: SupportsIndex, minimum: float, maximum: float = MOST) -> int:
    """Return a size as a Python int, at least `minimum` and at most what the engine can count."""
    try:
        size = operator.index(value)
    except TypeError:
        size = None
    if size is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
    if size < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {size}")
    if size > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {size}")
    return size


def check_flag(name: str, value: object) -> bool:
    """Return a Python or NumPy bool as a bool; numbers are refused."""
    if not isinstance(value, _FLAGS):
        raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
    return bool(value)


def check_positive(name: str, value: object, *, zero: bool = False) -> float:
    """Return a finite number above 0, or at least 0, as a float."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} should be a number, got: {type(value).__name__}")
    number = float(value)
    if not (number >= 0 if zero else number > 0) or number == float("inf"):
        raise ValueError(f"{name} must be finite and {'at least 0' if zero else 'greater than 0'}, got {number}")
    return number


def check_dropout(value: object) -> float:
    """Return the probability that an element is zeroed."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed, "
            f"got {value!r}"
        )
    return float(value)


def check_projection(proj_size: SupportsIndex, hidden_size: int) -> int:
    """Return a size below that of the hidden units, 0 for none; errors in PyTorch's words."""
    size = check_size("proj_size", proj_size, -math.inf)
    if size < 0:
        raise ValueError(f"proj_size should be a positive integer or zero to disable projections, got {size}")
    if size >= hidden_size:
        raise ValueError(f"proj_size has to be smaller than hidden_size, got {size} and {hidden_size}")
    return size


def check_precision(value: str, dtype: DType) -> Precision:
    """Return the precision of a layer's products; bf16 is for float32."""
    if value not in ("float32", "bf16"):
        raise ValueError(f"precision should be 'float32' or 'bf16', got {value!r}")
    if value == "bf16" and dtype != np.float32:
        raise ValueError(f"precision 'bf16' needs dtype float32, got {dtype}")
    return "bf16" if value == "bf16" else "float32"


def check_dtype(value: DTypeLike | None) -> DType:
    """Return NumPy's one object for float32 or float64 in native byte order."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = np.dtype(object)
    if value is None or not dtype.isnative or dtype.name not in _DTYPES:  # NumPy reads None as float64
        raise ValueError(f"dtype should be float32 or float64 in native byte order, got {value!r}")
    return _DTYPES[dtype.name]


def check_threads(value: SupportsIndex | None) -> int:
    """Return the engine's number: 0 stands for the library's setting."""
    return 0 if value is None else check_size("num_threads", value, 1, MOST_THREADS)


def check_checkpoint(value: object) -> int:
    """Return the engine's number: 0 keeps everything, -1 lets the engine choose."""
    if value is None:
        return 0
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(f"checkpoint should be None, 'auto' or a number of steps, got {value!r}")
        return -1
    return check_size("checkpoint", cast(SupportsIndex, value), 1)


def check_owner(cache: object, owner: object) -> None:
    """Refuse what is no cache, and the cache of another layer."""
    if getattr(cache, "_owner", None) is not owner:
        given = "another layer's" if hasattr(cache, "_owner") else type(cache).__name__
        raise ValueError(f"cache should come from the forward call of this layer, got {given}")


# ---- arrays of real numbers


def empty(shape: Shape, dtype: DType) -> Array:
    """Allocate; MemoryError tells the number of bytes, be it beyond memory or beyond any address."""
    try:
        return _empty(shape, dtype)
    except (MemoryError, ValueError):
        nbytes = math.prod(shape) * dtype.itemsize
        raise MemoryError(f"unable to allocate {nbytes} bytes for an array of shape {shape}") from None


def as_real(value: ArrayLike, name: str, dtype: DType) -> Array:
    """Return `value` as an array of `dtype` whose last axis is contiguous; itself wherever it is one already.

    Integers and floats of another precision or byte order are cast, misaligned arrays and those with a strided last
    axis are copied, once. Anything else (bool, complex, str, object, masked) raises TypeError.
    """
    if type(value) is _ndarray and value.dtype is dtype:
        flags = value.flags
        if flags.carray or (flags.c_contiguous and flags.aligned):  # carray asks for all, and that it is writable
            return value
    array = as_array(value, name)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got {_kind(value, array)}")
    if array.dtype != dtype or not _has_rows(array):
        array = np.array(array, dtype=dtype, order="C")
    return array


def as_array(value: ArrayLike, name: str) -> Array:
    """Return `value` as an array; TypeError for what NumPy would read as an object, and for masks it would drop."""
    if type(value) is _ndarray:
        return value
    parts = value if isinstance(value, (list, tuple)) else (value,)
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise TypeError(f"{name} must hold plain numbers, got a masked array: fill it first")
    if isinstance(value, Mapping):
        raise TypeError(f"{name} must be an array, got {type(value).__name__}")
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array: {error}") from None


def _kind(value: ArrayLike, array: Array) -> str:
    return f"dtype {array.dtype}" if isinstance(value, np.ndarray) else f"{type(value).__name__} (dtype {array.dtype})"


def _has_rows(array: Array) -> bool:
    """Tell whether the engine can read it: aligned, whole elements apart, the last axis contiguous."""
    if not array.flags.aligned or any(stride % array.itemsize for stride in array.strides):
        return False
    return array.ndim == 0 or array.shape[-1] <= 1 or array.strides[-1] == array.itemsize


def as_input(value: ArrayLike, input_size: int, dtype: DType, batch_first: bool) -> tuple[Array, bool]:
    """View x as (T, N, I), and tell whether it has a batch axis."""
    x = as_real(value, "x", dtype)
    shape = x.shape
    axes = len(shape)
    if axes not in (2, 3):
        raise ValueError(f"x: expected input to be 2D or 3D, got {axes}D instead, shape {shape}")
    if shape[-1] != input_size:
        raise ValueError(f"x has {shape[-1]} features, the layer expects {input_size}")
    if axes == 2:
        return x[:, None], False
    return (x.swapaxes(0, 1) if batch_first else x), True


def as_state(value: ArrayLike, name: str, shape: Shape, batched: bool, dtype: DType) -> Array:
    """View a state or its gradient as C-contiguous (L*D, N, H) = `shape`; without a batch axis it comes as (L*D, H)."""
    if type(value) is _ndarray and value.shape == shape and value.dtype is dtype and batched:
        flags = value.flags
        if flags.c_contiguous and flags.aligned:
            return value
    state = as_real(value, name, dtype)
    expected = shape if batched else (shape[0], shape[2])
    if state.ndim != len(expected):
        kind = "batched 3-D" if batched else "unbatched 2-D"
        raise ValueError(
            f"{name}: for {kind} input the state should also be {len(expected)}-D, "
            f"expected hidden size {expected}, got {state.shape}"
        )
    if state.shape != expected:
        raise ValueError(f"{name}: expected hidden size {expected}, got {state.shape}")
    return np.ascontiguousarray(state if batched else state[:, None])


def as_shaped(value: ArrayLike, name: str, dtype: DType, *shapes: Shape) -> Array:
    """Return `value` as an array of one of the shapes."""
    array = as_real(value, name, dtype)
    if array.shape not in shapes:
        raise ValueError(f"{name}: expected shape {' or '.join(map(str, shapes))}, got {array.shape}")
    return array


def check_out(out: object, shape: Shape, dtype: DType, x: Array) -> Array:
    """Check an array that the caller wants results in: never a copy, and nothing that is read meanwhile."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out should be a NumPy array, got {type(out).__name__}")
    if out.dtype != dtype:
        raise ValueError(f"out has dtype {out.dtype}, expected {dtype}")
    if out.shape != shape:
        raise ValueError(f"out: expected shape {shape}, got {out.shape}")
    if not out.flags.writeable or not _has_rows(out):
        raise ValueError("out: expected a writable array with contiguous rows")
    if np.may_share_memory(out, x):
        raise ValueError("out overlaps x")
    return out


def as_flat_gradient(value: object, name: str, size: int, dtype: DType) -> Array:
    """Check a flat vector that is to be added to; never a copy, since the caller wants the sum."""
    if not isinstance(value, np.ndarray) or value.dtype != dtype or not value.flags.carray:
        raise TypeError(f"{name} must be a writable contiguous array of {dtype}, got {type(value).__name__}")
    if value.shape != (size,):
        raise ValueError(f"{name}: expected shape {(size,)}, got {value.shape}")
    return value


# ---- labels


def as_integers(value: ArrayLike, name: str) -> Array:
    """Return an array of integers; TypeError for anything else."""
    labels = as_array(value, name)
    if labels.dtype.kind not in "iu" and labels.size:
        raise TypeError(f"{name} must hold integers, got {_kind(value, labels)}")
    return labels


def as_labels(value: ArrayLike, name: str, count: int, shape: Shape, chosen: Array | None = None) -> Array:
    """Return integers of this shape in 0..count-1, as int64; those that are not chosen become 0 whatever they are."""
    labels = as_integers(value, name)
    if labels.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {labels.shape}")
    if chosen is not None:
        labels = np.where(chosen, labels, 0)
    if labels.size and not 0 <= labels.min() <= labels.max() < count:
        place = tuple(int(k[0]) for k in np.nonzero((labels < 0) | (labels >= count)))
        at = f"[{', '.join(map(str, place))}]" if place else ""
        raise ValueError(f"{name}{at} is {labels[place]}, expected 0 to {count - 1}")
    return labels.astype(np.int64, copy=False)


# ---- lengths, resets, masks


def as_mask(value: ArrayLike, name: str, *shapes: Shape) -> Array:
    """Return an array of bools of one of the shapes. Integers will do if they are all 0 or 1."""
    mask = as_array(value, name)
    if mask.shape not in shapes:
        raise ValueError(f"{name}: expected shape {' or '.join(map(str, shapes))}, got {mask.shape}")
    if mask.dtype.kind not in "biu" and mask.size:
        raise TypeError(f"{name} must hold bools, got {_kind(value, mask)}")
    if mask.dtype.kind in "iu" and mask.size and not 0 <= mask.min() <= mask.max() <= 1:
        raise ValueError(f"{name} must hold bools, 0 or 1, got numbers from {mask.min()} to {mask.max()}")
    return mask.astype(np.bool_, copy=False)


def as_lengths(value: ArrayLike, steps: int, rows: int, batched: bool) -> Array:
    """Return the valid steps of each row, int64 (N,), each in 0..T. Without a batch axis a single number will do."""
    lengths = as_array(value, "lengths")
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise TypeError(f"lengths must hold integers, got {_kind(value, lengths)}")
    if lengths.ndim == 0 and not batched:
        lengths = lengths.reshape(1)
    if lengths.shape != (rows,):
        raise ValueError(f"lengths: expected shape {(rows,)}, one per row, got {lengths.shape}")
    wrong = np.flatnonzero((lengths < 0) | (lengths > steps))  # before the cast: uint64 would wrap
    if wrong.size:
        raise ValueError(f"lengths[{wrong[0]}] is {lengths[wrong[0]]}, expected 0 to {steps}, the steps of x")
    return np.ascontiguousarray(lengths, dtype=np.int64)


def as_batch_sizes(value: ArrayLike, data: Array | None = None) -> Array:
    """Return the sizes (T,) of a packed batch, int64: how many rows each step has, none more than the step before.

    They add up to the rows of `data`, if there is any.
    """
    sizes = as_integers(value, "batch_sizes")
    falls = sizes.ndim == 1 and bool((np.diff(sizes.astype(np.int64)) <= 0).all())
    if not falls or not sizes.size or sizes[-1] < 1:
        raise ValueError("batch_sizes: expected positive integers (T,), none greater than the one before")
    if data is not None and int(sizes.sum()) != len(data):
        raise ValueError(f"batch_sizes add up to {int(sizes.sum())}, x has {len(data)} rows")
    return np.ascontiguousarray(sizes, np.int64)


def as_resets(value: ArrayLike, steps: int, rows: int, batched: bool, batch_first: bool) -> Array:
    """Return where segments begin, bool (T, N) C-contiguous."""
    shape = (steps,) if not batched else (rows, steps) if batch_first else (steps, rows)
    resets = as_mask(value, "resets", shape)
    by_time = resets[:, None] if not batched else resets.T if batch_first else resets
    return np.ascontiguousarray(by_time)
