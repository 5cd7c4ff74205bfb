"""Quantiles that cannot cross: outputs of a model read as a middle one and the widths on either side of it.

Of the Q outputs r of a feature the middle one, m = Q // 2, is a quantile as it is; from there on each adds a width::

    q_m = r_m        q_j = q_(j-1) + log(1 + exp(r_j)) for j > m        q_j = q_(j+1) - log(1 + exp(r_j)) for j < m

so that q_1 < ... < q_Q whatever the model gives (as Gasthaus et al. 2019 have it for splines). `pinball` trains such
outputs, `ordered` reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rnncore import losses
from rnncore.arguments import Array, check_size

__all__ = ["ordered", "pinball"]


def ordered(outputs: ArrayLike, count: int) -> Array:
    """Return the quantiles (..., F * Q) of a model's outputs, Q = `count` side by side for each feature, ascending.

    Raises ValueError unless the last axis is a multiple of the count, which is at least 1.

    >>> ordered([[0.0, 5.0, -1e9]], 3).round(4).tolist()
    [[4.3069, 5.0, 5.0]]
    """
    raw = _split(outputs, check_size("count", count, 1))
    middle = count // 2
    widths = np.logaddexp(raw, raw.dtype.type(0))
    found = np.empty_like(raw)
    found[..., middle] = raw[..., middle]
    found[..., middle + 1 :] = np.cumsum(widths[..., middle + 1 :], axis=-1) + raw[..., middle, None]
    below = np.cumsum(widths[..., :middle][..., ::-1], axis=-1)[..., ::-1]
    found[..., :middle] = raw[..., middle, None] - below
    return found.reshape(np.shape(outputs))


def pinball(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Return the mean pinball loss of the ordered quantiles, and its gradient by a model's outputs.

    Arguments and errors as of `rnncore.losses.pinball`, but the quantiles stand in ascending order (else ValueError),
    and the prediction holds outputs that `ordered` makes quantiles of. A loss for `fit`::

        loss = functools.partial(rnncore.quantiles.pinball, quantiles=(0.1, 0.5, 0.9))

    >>> loss, gradient = pinball([[0.0, 2.0, 0.0]], [[2.5]])
    >>> round(loss, 4), gradient.round(4).tolist()
    (0.1295, [[0.0167, -0.1667, 0.0167]])
    """
    count, middle = len(quantiles), len(quantiles) // 2
    if not count or list(quantiles) != sorted(set(quantiles)):
        raise ValueError(f"quantiles: expected ascending numbers, got {quantiles!r}")
    value, gradient = losses.pinball(
        ordered(prediction, count), target, quantiles=quantiles, mask=mask, weights=weights
    )
    raw, slopes = _split(prediction, count), gradient.reshape(*gradient.shape[:-1], -1, count)
    out = np.empty_like(slopes)
    out[..., middle] = slopes.sum(axis=-1)
    slope = 1 / (1 + np.exp(-raw.clip(-80, 80)))
    above = np.cumsum(slopes[..., :middle:-1], axis=-1)[..., ::-1]
    out[..., middle + 1 :] = above * slope[..., middle + 1 :]
    out[..., :middle] = -np.cumsum(slopes[..., :middle], axis=-1) * slope[..., :middle]
    return value, out.reshape(gradient.shape)


def _split(outputs: ArrayLike, count: int) -> Array:
    raw = losses.as_outputs(outputs, "outputs", count)
    return raw.reshape(*raw.shape[:-1], -1, count)
