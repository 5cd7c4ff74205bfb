"""The loss and the metrics of a model: means over all that counts, however it is cut into batches and blocks."""

import numpy as np
import pytest

import rnncore
from model_case import classifier, draw, forecaster, regressor, sequences, speller, wave
from rnncore.training import Batch


def test_metrics_are_taken_over_all_that_counts():
    x, labels = sequences(31)
    model = classifier()
    results = model.evaluate((x, labels), "cross_entropy", metrics=["accuracy", "perplexity"], batch_size=4)
    logits = np.concatenate([model(each[:, None])[0] for each in x])
    assert results["accuracy"] == pytest.approx((logits.argmax(1) == labels).mean())
    assert results["loss"] == pytest.approx(rnncore.losses.cross_entropy(logits, labels)[0], rel=1e-6)
    assert results["perplexity"] == pytest.approx(np.exp(results["loss"]))


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_metrics_are_means_by_mask_and_weights(batch_size):
    """Over batches of different weight, one of no weight among them; labels that do not count may be anything."""
    random = np.random.default_rng(0)
    mask, weights = random.random((9, 7)) < 0.6, random.random((9, 7))
    mask[:, 4] = False
    w = (weights * mask) / (weights * mask).sum()

    model, x, target = regressor("float64"), draw(9, 7, 3), draw(9, 7, 2)
    given = {"metrics": ["rmse", "mae"], "batch_size": batch_size}
    results = model.evaluate(Batch(x, target, mask=mask, weights=weights), **given)
    errors = model(x)[0] - target
    assert results["rmse"] == pytest.approx(np.sqrt((w[..., None] * errors**2).sum() / 2), rel=1e-12)
    assert results["mae"] == pytest.approx((w[..., None] * abs(errors)).sum() / 2, rel=1e-12)

    model, x, labels = speller("float64"), random.integers(0, 7, (9, 7)), random.integers(0, 7, (9, 7))
    logits = model(x)[0]
    expected = (w * (logits.argmax(-1) == labels)).sum()
    labels[~mask] = 99
    given = {"metrics": ["accuracy"], "batch_size": batch_size}
    results = model.evaluate(Batch(x, labels, mask=mask, weights=weights), "cross_entropy", **given)
    assert results["accuracy"] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="^weights must not be negative or NaN$"):
        rnncore.metrics.accuracy(logits, x, weights=-weights)


def test_a_stream_is_evaluated_in_blocks_to_the_same_number():
    model, data = forecaster(), wave()
    assert model.evaluate(data, stream=37)["loss"] == pytest.approx(model.evaluate(data)["loss"], rel=1e-9)
