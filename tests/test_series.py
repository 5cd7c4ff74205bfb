"""Lists of independent series: each begins from its own start, in any order and any company."""

import numpy as np
import pytest

import rnncore
from model_case import classifier, draw
from rnncore import losses

LENGTHS = [23, 7, 23, 1, 40, 12, 31]


def forecaster(batch_first=False, dtype="float32"):
    return rnncore.Sequential(
        rnncore.LSTM(2, 5, seed=0, batch_first=batch_first, dtype=dtype),
        rnncore.GRU(5, 4, seed=1, batch_first=batch_first, dtype=dtype),
        rnncore.Linear(4, 1, seed=2, dtype=dtype),
    )


def some_series():
    """Inputs and targets; the first number of a series names it."""
    x = [draw(length, 2, seed=k, dtype="float32") for k, length in enumerate(LENGTHS)]
    return x, [each.sum(axis=1, keepdims=True) for each in x]


def outputs(model, order, fit):
    """What the model says of each series in one epoch without learning, by its number, put together from windows."""
    x, target = some_series()
    told = [[] for _ in x]
    by_target = {float(value): k for k, each in enumerate(target) for value in each.ravel()}

    def watched(y, wanted, *, mask=None, weights=None):
        rows = 0 if model.batch_first else 1
        for row in range(wanted.shape[rows]):
            series, outputs = wanted.take(row, rows).ravel(), y.take(row, rows).ravel()
            known = [by_target[float(value)] for value in series if float(value) in by_target]
            if known:
                told[known[0]].append(outputs[: len(known)].copy())
        return losses.mean_squared_error(y, wanted, mask=mask, weights=weights)

    loss = fit(([x[k] for k in order], [target[k] for k in order]), watched)
    return [np.concatenate(parts) for parts in told], loss


def without_learning(model, **options):
    def fit(data, loss):
        return model.fit(data, loss=loss, lr=0.0, epochs=1, progress=False, **options).loss[0]

    return fit


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("k1", [None, 1, 5, 100])
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_the_outputs_are_those_of_each_series_alone(batch_size, k1, batch_first):
    model = forecaster(batch_first)
    x, target = some_series()
    whole = [model(each)[0].ravel() for each in x]
    mean = sum(((y - t.ravel()) ** 2).sum(dtype="float64") for y, t in zip(whole, target, strict=True)) / sum(LENGTHS)
    for order in (range(7), range(6, -1, -1), np.random.default_rng(batch_size).permutation(7)):
        for shuffle in (False, True):
            options = {"batch_size": batch_size, "k1": k1, "shuffle": shuffle, "seed": 3}
            told, loss = outputs(model, order, without_learning(model, **options))
            for one, other in zip(told, whole, strict=True):
                np.testing.assert_array_equal(one, other, strict=True)
            assert loss == pytest.approx(mean, rel=1e-6)
        told, loss = outputs(
            model, order, lambda data, loss: model.evaluate(data, loss, batch_size=batch_size, stream=k1)["loss"]
        )
        for one, other in zip(told, whole, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
        assert loss == pytest.approx(mean, rel=1e-6)


def test_the_loss_does_not_depend_on_order_or_batch_size():
    model = forecaster(dtype="float64")
    found = [
        outputs(model, order, without_learning(model, batch_size=size, k1=5, shuffle=False))[1]
        for order in (range(7), [3, 5, 0, 6, 2, 1, 4]) for size in (1, 2, 7)
    ]  # fmt: skip
    np.testing.assert_allclose(found, found[0], rtol=1e-12)


def test_a_smaller_last_batch_trains_and_evaluates():
    model = forecaster()
    x, target = some_series()
    history = model.fit((x, target), k1=5, batch_size=4, epochs=2, validation=(x, target), progress=False)
    assert len(history.val_loss) == 2
    assert np.isfinite(model.evaluate((x, target), batch_size=5, stream=5)["loss"])


def test_one_series_of_a_list_learns_as_it_does_alone():
    x, target = some_series()
    alone, listed = forecaster(), forecaster()
    alone.fit((x[4], target[4]), k1=6, k2=12, burn_in=3, epochs=3, progress=False)
    listed.fit(([x[4]], [target[4]]), k1=6, k2=12, burn_in=3, epochs=3, progress=False)
    np.testing.assert_array_equal(alone.parameters, listed.parameters)


def test_the_burn_in_is_that_of_every_series():
    model = forecaster()
    x, target = some_series()
    long = [k for k, length in enumerate(LENGTHS) if length > 9]
    both = [[each[k] for k in long] for each in (x, target)]
    count = sum(LENGTHS[k] - 9 for k in long)
    total = sum(((model(x[k])[0] - target[k])[9:] ** 2).sum(dtype="float64") for k in long)
    for size in (1, 2, 7):
        history = model.fit(tuple(both), lr=0.0, k1=4, burn_in=9, batch_size=size, progress=False)
        assert history.loss[0] == pytest.approx(total / count, rel=1e-6)
    before = model.parameters.copy()
    with pytest.raises(ValueError, match="^sequence 1 has 7 steps, expected more than the burn_in of 9$"):
        model.fit((x, target), k1=4, burn_in=9, progress=False)
    np.testing.assert_array_equal(model.parameters, before)


def test_a_label_for_each_sequence_is_evaluated_in_one_piece():
    x = [draw(length, 3, seed=k) for k, length in enumerate(LENGTHS)]
    labels = np.arange(7) % 4
    model = classifier()
    whole = model.evaluate((x, labels), "cross_entropy", metrics=["accuracy"])
    for size in (1, 3):
        found = model.evaluate((x, labels), "cross_entropy", metrics=["accuracy"], batch_size=size, stream=5)
        assert found == pytest.approx(whole, rel=1e-6)
