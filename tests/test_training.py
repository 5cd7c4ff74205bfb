"""The loop: it learns, is the same for any number of threads, and stops as it should."""

import functools
import inspect
import os
import signal
import threading
import time

import numpy as np
import pytest

import rnncore
from model_case import classifier, draw, regressor, speller
from rnncore import optim, schedules
from rnncore.training import Batch, EarlyStopping, Progress, RunningMean


def sequences(number=30, seed=0):
    """Sequences of different length and a label for each, which the sign of their first feature tells."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, number)
    return [random.normal(size=(random.integers(3, 12), 3)) + np.eye(4, 3)[k] * 2 for k in labels], labels


def wave(steps=401, rows=None):
    series = np.sin(np.arange(steps) / 5)[:, None]
    return (
        (series[:-1], series[1:])
        if rows is None
        else (np.stack([series[:-1]] * rows, 1), np.stack([series[1:]] * rows, 1))
    )


def forecaster(cell=rnncore.LSTM, seed=0, **options):
    return rnncore.Sequential(cell(1, 8, seed=seed, **options), rnncore.Linear(8, 1, seed=seed))


def quiet(model, data, **options):
    return model.fit(data, progress=False, **options)


def test_it_learns_arrays_lists_series_and_blocks():
    x, target = draw(9, 40, 3), draw(9, 40, 3)[..., :2] * 0
    target[1:] = x[:-1, :, :2]
    one = rnncore.Sequential(rnncore.GRU(3, 16, seed=0), rnncore.Linear(16, 2, seed=0))
    history = quiet(one, (x, target), epochs=40, lr=0.02)
    assert history.loss[-1] < 0.2 * history.loss[0]
    history = quiet(classifier(), sequences(), loss="cross_entropy", epochs=20, lr=0.02)
    assert history.loss[-1] < 0.3 * history.loss[0]
    history = quiet(forecaster(), wave(), k1=50, epochs=10, lr=0.02)
    assert history.loss[-1] < 0.2 * history.loss[0]
    x, target = wave()
    blocks = [(x[k : k + 50], target[k : k + 50]) for k in range(0, 400, 50)]
    assert quiet(forecaster(), blocks, k1=50, epochs=10, lr=0.02).loss == history.loss
    assert quiet(forecaster(), lambda: iter(blocks), k1=50, epochs=10, lr=0.02).loss == history.loss


def test_the_state_is_carried_from_window_to_window():
    """What has to be remembered lies in the window before."""
    values = np.random.default_rng(0).choice([-1.0, 1.0], size=(400, 8, 1))
    model = rnncore.Sequential(rnncore.GRU(1, 16, seed=0), rnncore.Linear(16, 1, seed=0))
    history = quiet(model, (values[3:], values[:-3]), k1=4, epochs=12, lr=1e-2)
    assert history.loss[0] > 0.3
    assert history.loss[-1] < 0.1


def test_an_update_is_forward_loss_backward_clip_and_step():
    x, target, mask = draw(9, 4, 3), draw(9, 4, 2), draw(9, 4, seed=3) > 0
    lengths = [9, 2, 5, 7]
    model, twin = regressor(), regressor()
    optimizer = optim.Adam(twin.parameters, lr=0.01)
    quiet(model, Batch(x, target, lengths=lengths, mask=mask), epochs=3, lr=0.01, clip_value=0.05, clip_norm=0.1,
          shuffle=False)  # fmt: skip
    for _ in range(3):
        _, grads = twin.loss_and_grad(Batch(x, target, lengths=lengths, mask=mask))
        optim.clip_grad_value(grads.parameters, 0.05)
        optim.clip_grad_norm(grads.parameters, 0.1)
        optimizer.step(grads.parameters)
    np.testing.assert_array_equal(model.parameters, twin.parameters)


@pytest.mark.parametrize("lengths", [None, [9, 2, 0, 5]])
def test_the_loss_of_a_batch_is_that_of_its_valid_steps(lengths):
    model, x, target = regressor("float64"), draw(9, 4, 3), draw(9, 4, 2)
    model.eval()
    loss, _ = model.loss_and_grad(Batch(x, target, lengths=lengths))
    y, _ = model(x, lengths=lengths)
    errors = [(y - target)[:length, n] ** 2 for n, length in enumerate(lengths or [9] * 4)]
    assert loss == pytest.approx(np.concatenate(errors).mean(), rel=1e-12)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("kind", ["series", "lists"])
def test_weights_are_the_same_for_any_number_of_threads(kind, threads):
    def trained(threads):
        if kind == "series":
            model = rnncore.Sequential(
                rnncore.LSTM(8, 48, seed=0), rnncore.Dropout(0.3, seed=1), rnncore.Linear(48, 70, seed=0)
            )
            quiet(model, (draw(300, 16, 8), draw(300, 16, 70)), k1=100, epochs=2, num_threads=threads)
        else:
            model = rnncore.Sequential(rnncore.GRU(3, 64, seed=0), rnncore.LastStep(), rnncore.Linear(64, 4, seed=0))
            quiet(model, sequences(300), loss="cross_entropy", batch_size=150, epochs=2, num_threads=threads)
        return model.parameters

    np.testing.assert_array_equal(trained(threads), trained(1))


def test_the_seed_decides_the_order():
    def losses(**options):
        return quiet(classifier(), sequences(), loss="cross_entropy", epochs=2, batch_size=4, **options).loss

    assert losses(seed=3) == losses(seed=3)
    assert losses(seed=3) != losses(seed=4)


def test_lists_are_batched_by_length():
    x = [draw(n, 3) for n in np.random.default_rng(0).integers(1, 60, 64)]
    source = rnncore.training.sources.as_source((x, np.zeros(64, int)), classifier(), "cross_entropy", batch_size=8,
                                                shuffle=True)  # fmt: skip
    batches = list(source.batches(0))
    padded, valid = sum(batch.x.shape[0] * batch.x.shape[1] for batch in batches), sum(map(len, x))
    assert len(batches) == 8
    assert sum(int(batch.lengths.sum()) for batch in batches) == valid
    assert padded < 1.2 * valid


# ---- what stands around the steps


def test_schedules_move_the_learning_rate_and_leave_it_as_it_was():
    optimizer = None
    seen = []

    def look(progress):
        nonlocal optimizer
        optimizer = progress.optimizer
        seen.append((progress.event, progress.lr))

    quiet(forecaster(), wave(), k1=200, epochs=3, lr=0.1, schedule=schedules.Step(1, gamma=0.5), callbacks=[look])
    assert [lr for event, lr in seen if event == "update"] == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    assert optimizer.lr == 0.1
    history = quiet(forecaster(), wave(), k1=200, epochs=4, lr=1e-9,
                    schedule=schedules.ReduceOnPlateau(0.5, patience=0, threshold=0.5))  # fmt: skip
    assert history.lr == [1e-9, 1e-9, 0.5e-9, 0.25e-9]


def test_progress_is_told_after_each_update_and_epoch():
    told = []
    quiet(forecaster(), wave(), k1=150, epochs=2, callbacks=[told.append])
    assert all(isinstance(p, Progress) for p in told)
    assert [(p.event, p.epoch, p.batch, p.update) for p in told] == [
        ("update", 0, 0, 1), ("update", 0, 1, 2), ("update", 0, 2, 3), ("epoch", 0, 2, 3),
        ("update", 1, 0, 4), ("update", 1, 1, 5), ("update", 1, 2, 6), ("epoch", 1, 2, 6),
    ]  # fmt: skip
    assert {p.batches for p in told} == {3}


def test_a_callback_may_end_training():
    history = quiet(forecaster(), wave(), k1=50, epochs=9, callbacks=[lambda p: p.update == 11])
    assert history.stopped == "callback"
    assert len(history) == 1


def test_early_stopping_brings_the_best_weights_back():
    model = forecaster()
    kept = []
    history = quiet(
        model, wave(), k1=50, epochs=60, lr=0.5, optimizer="sgd", validation=wave(101), early_stopping=3,
        callbacks=[lambda p: kept.append(model.parameters.copy()) if p.event == "epoch" else None],
        schedule=lambda epoch, update: 1.0 if epoch < 4 else 0.0 if epoch < 5 else 2.5,
    )  # fmt: skip
    assert history.stopped == "early stopping"
    assert history.best_epoch == int(np.argmin(history.val_loss))
    assert len(history) == history.best_epoch + 4
    np.testing.assert_array_equal(model.parameters, kept[history.best_epoch])
    with pytest.raises(ValueError, match=r"^monitor: there is no 'accuracy' among loss, lr, seconds$"):
        quiet(forecaster(), wave(), k1=50, early_stopping=EarlyStopping(monitor="accuracy"))


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


def test_the_running_mean_is_lent_and_taken_back():
    model = forecaster()
    mean = RunningMean(model, updates=4)
    expected = model.parameters.copy()

    def twin(progress):
        nonlocal expected
        if progress.event == "update":
            expected += (model.parameters - expected) * np.float32(0.25)

    quiet(model, wave(), k1=50, epochs=2, callbacks=[mean, twin])
    own = model.parameters.copy()
    with mean.applied():
        np.testing.assert_array_equal(model.parameters, expected)
    np.testing.assert_array_equal(model.parameters, own)


def test_one_course_keeps_what_shorter_ones_would_have_given():
    def course(epochs, keep):
        model = forecaster()
        mean = RunningMean(model, updates=20, share=0.5, keep=keep)
        quiet(model, wave(), k1=50, epochs=epochs, callbacks=[mean])
        return mean

    whole = course(4, [8, 32])
    assert sorted(whole.kept) == [8, 32]
    for epochs in (1, 4):
        done = course(epochs, [])
        np.testing.assert_array_equal(whole.kept[done.done], done.parameters)
    again = RunningMean(forecaster(), updates=20, share=0.5, keep=[8, 32])
    again.load_state_dict(whole.state_dict())
    assert again.done == 32
    np.testing.assert_array_equal(again.kept[8], whole.kept[8])


def test_the_search_for_a_rate_leaves_the_model_alone():
    model = forecaster()
    before = model.parameters.copy()
    rates = model.find_lr(wave(rows=4), k1=50, steps=60, high=10.0)
    np.testing.assert_array_equal(model.parameters, before)
    assert rates.lr == sorted(rates.lr)
    assert 1e-5 < rates.suggestion < 1


def test_the_search_for_a_rate_leaves_dropout_and_the_mode_alone():
    data = draw(9, 4, 3), draw(9, 4, 2)
    model, twin = regressor(), regressor()
    model.eval()
    model.find_lr(data, steps=5)
    assert not model.training
    assert not any(layer.training for layer in model)
    with pytest.raises(TypeError, match="^optimizer should be a name or a function, got Adam"):
        model.find_lr(data, optimizer=optim.Adam(model.parameters))
    quiet(model, data)
    quiet(twin, data)
    np.testing.assert_array_equal(model.parameters, twin.parameters)


# ---- when something is wrong


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


def test_an_update_may_be_skipped():
    calls = []

    def sometimes(prediction, target, *, mask=None, weights=None):
        calls.append(1)
        loss, gradient = rnncore.losses.mean_squared_error(prediction, target, mask=mask, weights=weights)
        return (np.nan, gradient * np.nan) if len(calls) == 3 else (loss, gradient)

    model = forecaster()
    history = quiet(model, wave(), loss=sometimes, k1=50, epochs=2, on_nonfinite="skip")
    assert history.skipped == 1
    assert np.isfinite(model.parameters).all()
    assert len(history) == 2


def test_ctrl_c_ends_training_after_a_whole_update():
    model, twin, data = forecaster(), forecaster(), wave(40_001)
    killer = threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGINT))
    began = time.monotonic()
    updates = []
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        killer.start()
        history = quiet(model, data, k1=50, epochs=1000, callbacks=[lambda p: updates.append(p.update)])
    finally:
        signal.signal(signal.SIGINT, previous)
    assert history.stopped == "interrupt"
    assert time.monotonic() - began < 10
    quiet(twin, data, k1=50, epochs=1000, callbacks=[lambda p: p.update == max(updates)])
    states = [twin.parameters.copy()]
    quiet(twin2 := forecaster(), data, k1=50, epochs=1000, callbacks=[lambda p: p.update == max(updates) + 1])
    states.append(twin2.parameters)
    assert any((model.parameters == state).all() for state in states)


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


def test_options_are_in_the_signature():
    model = forecaster()
    for method in (model.fit, model.evaluate, model.find_lr, model.loss_and_grad):
        assert not any(each.kind is each.VAR_KEYWORD for each in inspect.signature(method).parameters.values())
        assert method.__doc__.count(">>>") > 1
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        model.fit(wave(), epoch=3)


def test_masked_numbers_may_be_missing():
    x, target = draw(9, 4, 3), draw(9, 4, 2)
    mask = draw(9, 4, seed=5) > 0
    target[~mask] = np.nan
    model = regressor()
    quiet(model, Batch(x, target, mask=mask), epochs=2)
    assert np.isfinite(model.parameters).all()


@pytest.mark.parametrize("name", ["x", "target", "mask", "weights", "resets"])
def test_arrays_whose_masks_would_be_dropped_are_refused(name):
    given = {"x": draw(9, 4, 3), "target": draw(9, 4, 2), "mask": np.ones((9, 4), bool)}
    given |= {"weights": np.ones((9, 4)), "resets": np.zeros((9, 4), bool)}
    given[name] = np.ma.masked_array(given[name], mask=np.ones(given[name].shape, bool))
    for options in ({}, {"k1": 3}):
        with pytest.raises(TypeError, match=f"^{name} must hold plain numbers, got a masked array: fill it first$"):
            quiet(regressor(), Batch(**given), **options)


def test_a_loss_may_come_with_arguments():
    loss = functools.partial(rnncore.losses.pinball, quantiles=[0.1, 0.9])
    model = rnncore.Sequential(rnncore.GRU(1, 8, seed=0), rnncore.Linear(8, 2, seed=0))
    history = quiet(model, wave(), loss=loss, k1=50, epochs=5, lr=0.02)
    assert history.loss[-1] < history.loss[0]


def test_a_line_an_epoch_and_a_figure(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    history = forecaster().fit(wave(), k1=50, epochs=2, validation=wave(101))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    history.plot(tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 1000
