"""What `fit` refuses, in words that name it, and before anything changes."""

import numpy as np
import pytest

import rnncore
from model_case import classifier, draw, forecaster, quiet, regressor, speller, wave
from rnncore import optim
from rnncore.training import Batch


def test_what_is_not_finite_is_named_before_the_update():
    model = regressor()
    model["3"].weight_hh_l0[2, 1] = np.inf
    before = model.parameters.copy()
    with pytest.raises(FloatingPointError, match=r"^epoch 1, batch 1: the loss is nan: 3.weight_hh_l0 is not finite$"):
        quiet(model, (draw(9, 4, 3), draw(9, 4, 2)))
    np.testing.assert_array_equal(model.parameters, before)
    model = rnncore.Sequential(rnncore.Linear(1, 1, seed=0), rnncore.RNN(1, 1, nonlinearity="relu", seed=0))
    model.parameters[...] = 1e15
    with pytest.raises(FloatingPointError, match=r"^epoch 1, batch 1: .* the output of layer 1 \(RNN\) is not finite$"):
        quiet(model, (np.full((9, 4, 1), 1e20), np.ones((9, 4, 1))))


def test_data_that_does_not_fit_is_refused_before_anything_changes():
    x, target = draw(9, 4, 3), draw(9, 4, 2)
    holed = x.copy()
    holed[2, 1, 0] = np.nan
    for model, data, options, message in (
        (regressor(), (x[..., :2], target), {}, "x has 2 features, the model expects 3"),
        (regressor(), (holed, target), {}, "x[2, 1, 0] is nan, expected finite numbers: mask it"),
        (regressor(), (x, target[:5]), {}, "target: expected shape (9, 4, ...) to begin with, got (5, 4, 2)"),
        (regressor(), (x, draw(9, 4, 5)), {}, "target: expected shape (9, 4, 2), got (9, 4, 5)"),
        (regressor(), Batch(x, target, lengths=[1, 2, 3, 10]), {},
         "lengths[3] is 10, expected 0 to 9, the steps of x"),
        (classifier(), (x, np.array([0, 1, 4, 2])), {"loss": "cross_entropy"}, "target[2] is 4, expected 0 to 3"),
        (classifier(), ([x[:, 0], x[:4, 1]], [0, 9]), {"loss": "cross_entropy"},
         "sequence 1: target[0] is 9, expected 0 to 3"),
        (speller(), (np.full((9, 4), 7), np.zeros((9, 4), int)), {"loss": "cross_entropy"},
         "x[0, 0] is 7, expected 0 to 6"),
        (regressor(), (x, target), {"loss": "msee"},
         "unknown loss 'msee': expected one of mse, mae, huber, pinball, gaussian_nll, cross_entropy, or a function"),
        (regressor(), (x, target), {"optimizer": "adem"},
         "unknown optimizer 'adem': expected one of sgd, adam, adamw, rmsprop, or an Optimizer"),
        (regressor(), (x, target), {"optimizer": optim.Adam(np.zeros(3))},
         "optimizer: expected one over model.parameters, got one over other vectors"),
        (regressor(), (x, target), {"k1": 4, "k2": 3}, "k2 must be at least k1 = 4, got 3"),
        (classifier(), (x, np.zeros(4, int)), {"k1": 4},
         "k1: expected None for a model with a LastStep: windows need an output at every step"),
        (regressor(), (x, target), {"resume": True}, "resume needs a checkpoint, got None"),
        (regressor(), (x[:, :0], target[:, :0]), {}, "x holds nothing to learn from: its shape is (9, 0, 3)"),
        (regressor(), (x, target), {"metrics": ["rmse"]}, "metrics are taken on validation data, got none"),
        (regressor(), Batch(x, target, weights=np.ones((4, 9))), {},
         "weights: expected shape (9, 4) or (9, 4, 2), got (4, 9)"),
        (regressor(), Batch(x, target, weights=np.ones(4)), {},
         "weights: expected shape (9, 4) or (9, 4, 2), got (4,)"),
        (regressor(), Batch(x, target, weights=-np.ones((9, 4))), {}, "weights must not be negative or NaN"),
        (regressor(), [], {},
         "data: no batch in epoch 1; what can be gone through only once has to come as a function that makes it anew"),
    ):  # fmt: skip
        before = model.parameters.copy()
        with pytest.raises(ValueError) as caught:  # noqa: PT011  the text follows
            quiet(model, data, **options)
        assert str(caught.value) == message
        np.testing.assert_array_equal(model.parameters, before)


@pytest.mark.parametrize(("options", "message"), [
    ({"schedule": "cosine"}, "schedule should be one of rnncore.schedules or a function, got str"),
    ({"callbacks": print}, "callbacks should be a list, got builtin_function_or_method"),
    ({"callbacks": [print, 3]}, r"callbacks\[1\] should be a function, got int"),
    ({"metrics": "rmse"}, "metrics should be a list, got str"),
    ({"early_stopping": True}, "early_stopping should be a number of epochs or an EarlyStopping, got bool"),
    ({"early_stopping": "yes"}, "early_stopping should be a number of epochs or an EarlyStopping, got str"),
    ({"loss": 3}, "loss should be a name or a function, got int"),
    ({"optimizer": 3}, "optimizer should be a name or an Optimizer, got int"),
    ({"data": (1, 2, 3)}, r"data: expected a Batch, a pair \(x, target\) or a mapping, got a tuple of 3"),
    ({"data": list(wave())}, r"data\[0\]: expected a Batch, a pair \(x, target\) or a mapping, got ndarray"),
])  # fmt: skip
def test_options_of_a_wrong_type_are_refused_before_anything_changes(options, message):
    model = forecaster()
    before = model.parameters.copy()
    with pytest.raises(TypeError, match=f"^{message}$"):
        quiet(model, **{"data": wave(), **options})
    np.testing.assert_array_equal(model.parameters, before)


def test_an_iterator_serves_one_epoch():
    x, target = wave()
    with pytest.raises(ValueError, match="^data: no batch in epoch 2; what can be gone through only once"):
        quiet(forecaster(), iter([(x, target)]), epochs=2)
    assert len(quiet(forecaster(), iter([(x, target)]))) == 1


@pytest.mark.parametrize("name", ["x", "target", "mask", "weights", "resets"])
def test_arrays_whose_masks_would_be_dropped_are_refused(name):
    given = {"x": draw(9, 4, 3), "target": draw(9, 4, 2), "mask": np.ones((9, 4), bool)}
    given |= {"weights": np.ones((9, 4)), "resets": np.zeros((9, 4), bool)}
    given[name] = np.ma.masked_array(given[name], mask=np.ones(given[name].shape, bool))
    for options in ({}, {"k1": 3}):
        with pytest.raises(TypeError, match=f"^{name} must hold plain numbers, got a masked array: fill it first$"):
            quiet(regressor(), Batch(**given), **options)
