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
from model_case import classifier, draw, forecaster, quiet, regressor, sequences, wave
from rnncore import optim, schedules
from rnncore.training import Batch, EarlyStopping, Progress, RunningMean


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


# ---- what is left out, and what ends it early


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
