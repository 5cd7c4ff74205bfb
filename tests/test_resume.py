"""What is stateful in a run survives `resume`: callbacks, schedules, early stopping. The file's model is the best."""

import functools

import numpy as np
import pytest
from safetensors import safe_open

import rnncore
from model_case import draw, regressor
from rnncore import schedules
from rnncore.training import EarlyStopping, RunningMean

X, TARGET = draw(6, 8, 3), draw(6, 8, 2)
HELD_OUT = draw(6, 5, 3, seed=1), draw(6, 5, 2, seed=1)


def run(model, path=None, **options):
    defaults = {"epochs": 4, "batch_size": 3, "lr": 0.05, "validation": HELD_OUT, "progress": False}
    checkpoint = {} if path is None else {"checkpoint": path, "checkpoint_every": 1, "resume": True}
    return model.fit((X, TARGET), **{**defaults, **checkpoint, **options})


def stop_after(update):
    return lambda progress: progress.update == update


class Recorder:
    """A state of every kind: numbers, arrays, text; changed after updates and after epochs."""

    def __init__(self):
        self.updates, self.losses, self.words = 0, np.zeros(0), ["none"]

    def __call__(self, progress):
        if progress.event == "update":
            self.updates += 1
            self.losses = np.append(self.losses, progress.loss)
        else:
            self.words.append(f"epoch {progress.epoch}")

    def state_dict(self):
        return dict(vars(self))

    def load_state_dict(self, state):
        vars(self).update(state)


@pytest.mark.parametrize("stop", range(1, 13))
def test_callbacks_go_on_where_they_were(stop, tmp_path):
    whole, expected = regressor(), Recorder()
    mean = RunningMean(whole, updates=3)
    run(whole, callbacks=[mean, expected])
    first = regressor()
    run(first, tmp_path / "run", callbacks=[RunningMean(first, updates=3), Recorder(), stop_after(stop)])
    second, recorder = regressor(seed=9), Recorder()
    its = RunningMean(second, updates=3)
    run(second, tmp_path / "run", callbacks=[its, recorder.__call__])
    np.testing.assert_array_equal(second.parameters, whole.parameters)
    np.testing.assert_array_equal(its.parameters, mean.parameters)
    assert (recorder.updates, recorder.words) == (expected.updates, expected.words)
    np.testing.assert_array_equal(recorder.losses, expected.losses)


class Counter:
    """It has a state, and no way to save it."""

    def __init__(self):
        self.count = 0

    def __call__(self, progress):
        self.count += 1

    def observe(self, loss):
        self.count += 1


class Slotted:
    __slots__ = ("count",)

    def __init__(self):
        self.count = 0

    def told(self, progress):
        self.count += 1


class Plain:
    def __call__(self, progress):
        """It keeps nothing."""


@pytest.mark.parametrize(("callback", "kind"), [
    (Counter(), "Counter"), (Counter().__call__, "Counter"), (functools.partial(Counter()), "Counter"),
    (Slotted().told, "Slotted"),
])  # fmt: skip
def test_a_callback_whose_state_would_be_lost_is_refused_where_resume_is_asked_for(callback, kind, tmp_path):
    model = regressor()
    before = model.parameters.copy()
    message = rf"^callbacks\[1\]: to resume, a {kind} with attributes needs state_dict and load_state_dict$"
    for path in (tmp_path / "none yet", tmp_path / "run"):
        with pytest.raises(TypeError, match=message):
            run(model, path, callbacks=[print, callback])
        np.testing.assert_array_equal(model.parameters, before)
    run(regressor(), tmp_path / "run", callbacks=[callback], resume=False, epochs=1)


def test_what_needs_no_state_is_welcome(tmp_path):
    told = []
    run(regressor(), tmp_path / "run", callbacks=[Plain(), Plain().__call__, told.append, lambda p: None], epochs=1)
    assert len(told) == 4


def test_a_schedule_whose_state_would_be_lost_is_refused(tmp_path):
    class Own(Counter):
        def __call__(self, epoch, update):
            return 1.0

    for schedule in (Own(), schedules.Warmup(3, Own())):
        with pytest.raises(
            TypeError, match="^schedule: to resume, a Own with attributes needs state_dict and load_state"
        ):
            run(regressor(), tmp_path / "run", schedule=schedule)


def test_other_callbacks_than_before_are_refused(tmp_path):
    run(regressor(), tmp_path / "run", callbacks=[Recorder()], epochs=1)
    model = regressor()
    before = model.parameters.copy()
    for callbacks, names in (([], r"\[\]"), ([RunningMean(model), Recorder()], r"\['RunningMean', 'Recorder'\]")):
        with pytest.raises(
            ValueError, match=rf"callbacks with a state were \['Recorder'\], expected the same as now: {names}$"
        ):
            run(model, tmp_path / "run", callbacks=callbacks)
        np.testing.assert_array_equal(model.parameters, before)


def test_a_state_that_no_file_can_hold_is_named_before_training(tmp_path):
    class Odd(Recorder):
        def state_dict(self):
            return {"words": {1, 2}}

    model = regressor()
    before = model.parameters.copy()
    with pytest.raises(TypeError, match=r"^Odd.state_dict\(\)\['words'\] should be an array or plain values, got set$"):
        run(model, tmp_path / "run", callbacks=[Odd()])
    np.testing.assert_array_equal(model.parameters, before)
    assert not (tmp_path / "run").exists()


def test_a_mean_of_another_model_is_refused():
    mean = RunningMean(regressor())
    with pytest.raises(ValueError, match="^parameters: expected shape"):
        mean.load_state_dict({"parameters": np.zeros(3, "float32")})


def test_a_warm_up_hands_losses_on_and_resumes(tmp_path):
    def schedule():
        return schedules.Warmup(3, schedules.ReduceOnPlateau(0.5, patience=0, threshold=0.2))

    whole = regressor()
    history = run(whole, schedule=schedule(), epochs=6)
    assert history.lr[-1] < history.lr[1]
    for stop in (5, 9, 14):
        path = tmp_path / f"{stop}"
        run(regressor(), path, schedule=schedule(), epochs=6, callbacks=[stop_after(stop)])
        model = regressor()
        assert run(model, path, schedule=schedule(), epochs=6).lr == history.lr
        np.testing.assert_array_equal(model.parameters, whole.parameters)


# ---- early stopping

LOSSES = [5.0, 4.0, 4.5, 4.6, 3.0, 3.5, 3.6, 3.7, 2.0, 2.5]  # by epoch


def told_losses(monkeypatch):
    """Let validation say what the test wants: the loss of an epoch by the number of updates so far."""
    epochs = iter(())

    def begin(first):
        nonlocal epochs
        epochs = iter(LOSSES[first:])

    monkeypatch.setattr("rnncore.training.trainer.measure", lambda *_: {"loss": next(epochs)})
    return begin


def after_each_epoch(monkeypatch, epochs=10):
    begin, kept, model = told_losses(monkeypatch), [], regressor()
    begin(0)
    run(
        model, epochs=epochs, callbacks=[lambda p: kept.append(model.parameters.copy()) if p.event == "epoch" else None]
    )
    return begin, kept


@pytest.mark.parametrize("more", [3, 5, None])
def test_a_run_that_had_stopped_goes_on_with_more_patience_or_none(more, monkeypatch, tmp_path):
    begin, kept = after_each_epoch(monkeypatch)
    path = tmp_path / "run"
    begin(0)
    model = regressor()
    history = run(model, path, epochs=10, early_stopping=2)
    assert (history.stopped, history.best_epoch, len(history)) == ("early stopping", 1, 4)
    np.testing.assert_array_equal(model.parameters, kept[1])
    model = regressor(seed=5)
    history = run(model, path, epochs=10, early_stopping=2)  # as patient as before: it stays where it is
    assert (history.stopped, history.best_epoch, len(history)) == ("early stopping", 1, 4)
    np.testing.assert_array_equal(model.parameters, kept[1])
    begin(4)
    model = regressor(seed=6)
    history = run(model, path, epochs=10, early_stopping=more)
    assert history.val_loss == LOSSES[: len(history)]
    expected = {3: ("early stopping", 4, 8), 5: (None, 8, 10), None: (None, None, 10)}[more]
    assert (history.stopped, history.best_epoch, len(history)) == expected
    best = {3: 4, 5: 8, None: 9}[more]
    np.testing.assert_array_equal(model.parameters, kept[best])
    np.testing.assert_array_equal(rnncore.load(path).parameters, kept[best])


@pytest.mark.parametrize("restore", [True, False])
def test_the_checkpoint_holds_the_best_model_and_says_its_epoch(restore, monkeypatch, tmp_path):
    begin, kept = after_each_epoch(monkeypatch)
    for epochs in range(1, 11):
        best, path = int(np.argmin(LOSSES[:epochs])), tmp_path / f"{epochs}"
        begin(0)
        model = regressor()
        run(model, path, epochs=epochs, early_stopping=EarlyStopping(9, restore_best=restore))
        shown = kept[best] if restore else kept[epochs - 1]
        np.testing.assert_array_equal(rnncore.load(path).parameters, shown)
        np.testing.assert_array_equal(model.parameters, shown)
        with safe_open(path, framework="numpy") as file:
            assert file.metadata().get("best_epoch") == (str(best) if restore else None)


def test_early_stopping_of_another_kind_is_refused(monkeypatch, tmp_path):
    begin, _ = after_each_epoch(monkeypatch)
    path = tmp_path / "run"
    begin(0)
    run(regressor(), path, epochs=2, early_stopping=EarlyStopping(3, restore_best=False))
    for stopping, message in (
        (
            EarlyStopping(3, monitor="loss", restore_best=False),
            "monitor was 'val_loss', expected the same as now: 'loss'",
        ),
        (EarlyStopping(3, mode="max", restore_best=False), "mode was 'min', expected the same as now: 'max'"),
        (EarlyStopping(3), "expected restore_best=False, the checkpoint has no best weights"),
    ):
        model = regressor()
        before = model.parameters.copy()
        with pytest.raises(ValueError, match=f"^early_stopping: {message}$"):
            run(model, path, epochs=3, early_stopping=stopping)
        np.testing.assert_array_equal(model.parameters, before)
