"""The loss and metrics of a model, without training it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from rnncore.losses import Loss, weight_of
from rnncore.metrics import Metric, as_metric
from rnncore.training.batches import Batch, cut, options_of
from rnncore.training.ranks import Ranks
from rnncore.training.shared import SharedSight
from rnncore.training.sources import Source, as_source
from rnncore.training.step import as_loss, fit_target


def evaluate(
    model: Any,
    data: Any,
    loss: Any = "mse",
    *,
    metrics: Iterable[Any] = (),
    batch_size: int = 32,
    stream: int | None = None,
    num_threads: int | None = None,
) -> dict[str, float]:
    """Return the loss of data, and metrics, by name.

    data and loss are those of `fit`; options are metrics, batch_size, num_threads and stream. With stream, a number of
    steps, long series are gone through in blocks of that many steps, and the state is carried from block to block. Each
    sequence of a list begins from its own start.

    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.LastStep(), rnncore.Linear(8, 2, seed=0))
    >>> x, labels = np.ones((10, 6, 3)), np.zeros(6, int)
    >>> sorted(model.evaluate((x, labels), "cross_entropy", metrics=["accuracy"]))
    ['accuracy', 'loss']
    """
    function = as_loss(loss)
    source = as_source(data, model, function, batch_size=batch_size, whole=stream is not None)
    return measure(model, source, function, [as_metric(metric) for metric in metrics], stream, num_threads)


def measure(
    model: Any,
    source: Source,
    loss: Loss,
    metrics: list[Metric],
    stream: int | None,
    num_threads: int | None,
    ranks: Ranks | None = None,
) -> dict[str, float]:
    """Average over batches by their weights; with stream, carry the state from block to block.

    Several ranks take their shares of the rows, or each all of them if the sums are not to depend on how many they are.
    """
    shared = None if ranks is None or ranks.deterministic else ranks
    totals, weight, state = np.zeros(1 + len(metrics)), 0.0, None
    carried = stream is not None
    for whole in source.batches(0):
        batch = whole if shared is None else SharedSight(model, shared.share, whole).batch
        if shared is not None and 0 in batch.x.shape[:2]:
            continue
        state = state if source.one_series else None
        for block in blocks_of(batch, stream if model.per_step else None, 1 if model.batch_first else 0):
            y, after = model(block.x, state, **options_of(block, num_threads))
            state = after if carried else None
            target = fit_target(block.target, y)
            options = {"mask": block.mask, "weights": block.weights}
            values = [loss(y, target, **options)[0], *(metric.mean(y, target, **options) for metric in metrics)]
            own = weight_of(np.shape(block.target), block.mask, block.weights)
            totals += own * np.array(values)
            weight += own
    if shared is not None:
        sums = shared.totals(np.append(totals, weight))
        totals, weight = sums[:-1], float(sums[-1])
    means = totals / weight if weight else totals
    return {"loss": float(means[0])} | {
        metric.name: metric.finish(float(mean)) for metric, mean in zip(metrics, means[1:], strict=True)
    }


def blocks_of(batch: Batch, steps: int | None, axis: int) -> Iterator[Batch]:
    """Cut a batch along time into blocks of `steps` steps; None leaves it whole."""
    length = batch.x.shape[axis]
    if steps is None or length <= steps:
        yield batch
        return
    for start in range(0, length, steps):
        yield cut(batch, axis, slice(start, start + steps))
