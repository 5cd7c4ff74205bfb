"""Copies, files, kills and resumes in any order: the run that nothing happened to is the judge, bit for bit."""

import contextlib
import copy
import functools
import json
import pickle
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from safetensors import safe_open

import rnncore
from model_case import draw
from rnncore import losses, schedules
from rnncore.training import RunningMean
from rnncore.training.sources import as_source

LENGTHS = [5, 9, 2, 9, 4, 7, 1]
LR = 0.4
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # hundreds of checkpoints, and each is synced
CLONES = {"deepcopy": copy.deepcopy, "pickle": lambda parts: pickle.loads(pickle.dumps(parts))}


def listed(seed):
    x = [draw(length, 2, seed=seed + k, dtype="float32") for k, length in enumerate(LENGTHS)]
    return x, [draw(length, 1, seed=seed + 20 + k, dtype="float32") for k, length in enumerate(LENGTHS)]


DATA, HELD_OUT = listed(0), listed(40)


def new_model(seed=0):
    return rnncore.Sequential(
        rnncore.LSTM(2, 5, 2, dropout=0.25, proj_size=3, learned_state=True, seed=seed),
        rnncore.Dropout(0.125, seed=seed + 1),
        rnncore.Linear(3, 1, seed=seed + 2),
    )


# "by hand" also takes steps without fit; "windows" has all that has a state in a run
KINDS = {
    "by hand": {"batch_size": 2, "epochs": 4},
    "windows": {"batch_size": 3, "epochs": 8, "k1": 4, "clip_norm": 1.0},
}


@dataclass
class Parts:
    """What a caller holds, and may copy as a whole."""

    model: rnncore.Sequential
    optimizer: rnncore.optim.Adam
    mean: RunningMean


def new_parts(seed=0):
    model = new_model(seed)
    return Parts(model, rnncore.optim.Adam(model.parameters, lr=LR), RunningMean(model, updates=5))


def fit(kind, parts, *, loss="mse", patience=100, callbacks=(), **options):
    if kind == "windows":
        options["early_stopping"] = patience
        options["schedule"] = schedules.Warmup(3, schedules.ReduceOnPlateau(0.5, patience=0))
    options = {**KINDS[kind], **options}
    return parts.model.fit(
        DATA, loss=loss, optimizer=parts.optimizer, callbacks=[parts.mean, *callbacks], validation=HELD_OUT,
        progress=False, **options,
    )  # fmt: skip


@dataclass
class Course:
    """What was so after each update, 0 among them, and after each epoch."""

    parameters: list[np.ndarray] = field(default_factory=list)
    means: list[np.ndarray] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    history: dict = field(default_factory=dict)
    kept: np.ndarray | None = None

    def best(self, closed):
        """The epoch with the least validation loss of the first `closed`."""
        return int(np.argmin(self.history["val_loss"][:closed]))

    def bad(self, closed):
        return closed - 1 - self.best(closed)


@functools.cache
def judge(kind):
    course, parts = Course(), new_parts()

    def look(progress):
        if progress.event == "epoch":
            course.ends.append(progress.update)
        else:
            course.parameters.append(parts.model.parameters.copy())
            course.means.append(parts.mean.parameters.copy())

    course.parameters.append(parts.model.parameters.copy())
    course.means.append(parts.mean.parameters.copy())
    history = fit(kind, parts, callbacks=[look])
    course.history = {name: history[name] for name in history if name != "seconds"}
    course.kept = parts.model.parameters.copy()
    return course


class Killed(BaseException):
    """Nothing of the process is left but its files."""


def killer(place, number):
    """A loss and a callback of which one ends the process at its call of this number."""
    calls = {"loss": 0, "callback": 0}

    def count(where):
        calls[where] += 1
        if where == place and calls[where] == number:
            raise Killed

    def loss(*arguments, **options):
        count("loss")
        return losses.mean_squared_error(*arguments, **options)

    loss.__name__ = "mean_squared_error"  # a checkpoint keeps the name of its loss
    return loss, lambda progress: count("callback")


class AnyCourse(RuleBasedStateMachine):
    @initialize(kind=st.sampled_from(sorted(KINDS)))
    def begin(self, kind):
        self.folder = Path(tempfile.mkdtemp(dir=IN_MEMORY))
        self.path = self.folder / "lr[12]"
        self.neighbour = self.folder / f"lr1.{'0' * 16}.tmp"  # another run's file, which it is just writing
        self.neighbour.write_bytes(b"")
        self.kind, self.judge, self.parts = kind, judge(kind), new_parts()
        self.at = 0  # updates behind the parts in memory; None if they have nothing to do with the run
        self.exact = True  # whether dropout goes on as well

    # ---- what the file says

    def position(self):
        """Updates and closed epochs of the checkpoint."""
        if not self.path.exists():
            return 0, 0
        with safe_open(self.path, framework="numpy") as file:
            cursor = json.loads(file.metadata()["fit"])["cursor"]
        return cursor["update"], cursor["epoch"]

    def shown(self, updates, closed):
        """The model that a run which stands there gives."""
        if self.kind == "windows" and closed:
            return self.judge.parameters[self.judge.ends[self.judge.best(closed)]]
        return self.judge.parameters[updates]

    def resume(self, **options):
        if not self.path.exists():
            self.parts = new_parts()
        history = fit(self.kind, self.parts, checkpoint=self.path, checkpoint_every=1, resume=True, **options)
        leftovers = [each for each in self.folder.iterdir() if each.suffix == ".tmp"]
        assert leftovers == [self.neighbour]
        return history

    # ---- what may happen

    @rule(more=st.integers(1, 9), patience=st.sampled_from([1, 2, 100]))
    def train(self, more, patience):
        updates, closed = self.position()
        history = self.resume(patience=patience, callbacks=[lambda p: p.update >= updates + more])
        now, epochs = self.position()
        if history.stopped == "early stopping":
            assert self.judge.bad(epochs) >= patience
            assert epochs == closed or all(self.judge.bad(e) < patience for e in range(max(closed, 1), epochs))
        elif history.stopped == "callback":
            assert now == updates + more
        else:
            assert now == self.judge.ends[-1]
        np.testing.assert_array_equal(self.parts.model.parameters, self.shown(now, epochs), strict=True)
        np.testing.assert_array_equal(self.parts.mean.parameters, self.judge.means[now], strict=True)
        assert history.columns.get("loss", []) == self.judge.history["loss"][:epochs]
        self.at, self.exact = (None if self.kind == "windows" and epochs else now), True

    @rule(place=st.sampled_from(["loss", "callback"]), number=st.integers(1, 9), torn=st.booleans())
    def kill(self, place, number, torn):
        loss, callback = killer(place, number)
        with contextlib.suppress(Killed):
            self.resume(loss=loss, callbacks=[callback])
        if torn:  # while it wrote
            (self.folder / f"{self.path.name}.{'a' * 16}.tmp").write_bytes(b"half a file")
        self.parts, self.at, self.exact = new_parts(seed=7), None, False

    @rule(clone=st.sampled_from(sorted(CLONES)), again=st.booleans())
    def copy(self, clone, again):
        for _ in range(1 + again):
            self.parts = CLONES[clone](self.parts)

    @rule()
    def save_and_load(self):
        model = self.parts.model
        model.save(self.folder / "model")
        twin = rnncore.load(self.folder / "model")
        np.testing.assert_array_equal(twin.parameters, model.parameters, strict=True)
        parts = Parts(twin, rnncore.optim.Adam(twin.parameters, lr=LR), RunningMean(twin, updates=5))
        parts.optimizer.load_state_dict(self.parts.optimizer.state_dict())
        parts.mean.load_state_dict(self.parts.mean.state_dict())
        self.parts, self.exact = parts, False  # a model's file says nothing of dropout

    @precondition(lambda self: self.kind == "by hand" and self.at is not None and self.exact)
    @rule(steps=st.integers(1, 4))
    def train_by_hand(self, steps):
        model, (updates, in_epoch) = self.parts.model, (self.at, self.judge.ends[0])
        options = {"batch_size": KINDS["by hand"]["batch_size"], "shuffle": True}
        source = as_source(DATA, model, losses.mean_squared_error, **options)
        model.train()
        for update in range(updates, min(updates + steps, self.judge.ends[-1])):
            batch = next(source.batches(update // in_epoch, update % in_epoch))
            _, grads = model.loss_and_grad(batch)
            self.parts.optimizer.step(grads.parameters)
            mean = self.parts.mean.parameters
            mean += (model.parameters - mean) * np.float32(1 / 5)
            self.at = update + 1

    @precondition(lambda self: self.path.exists())
    @rule(size=st.sampled_from([1, 4, 7]))
    def ask_for_another_batch_size(self, size):
        before, written = self.parts.model.parameters.copy(), self.path.read_bytes()
        with pytest.raises(ValueError, match=f"batch_size was .*, expected the same as now: {size}$"):
            self.resume(batch_size=size)
        np.testing.assert_array_equal(self.parts.model.parameters, before)
        assert self.path.read_bytes() == written

    @rule(size=st.integers(1, 9), stream=st.sampled_from([None, 1, 4]))
    def evaluate_in_other_batches(self, size, stream):
        model = self.parts.model
        whole = model.evaluate(HELD_OUT)["loss"]
        assert model.evaluate(HELD_OUT, batch_size=size, stream=stream)["loss"] == pytest.approx(whole, rel=1e-6)
        x, lengths = rnncore.pad(HELD_OUT[0][:size])
        for row, y in enumerate(rnncore.unpad(model(x, lengths=lengths)[0], lengths)):
            np.testing.assert_array_equal(y, model(HELD_OUT[0][row])[0])

    # ---- what must hold

    @invariant()
    def memory_and_file_are_those_of_the_judge(self):
        if not hasattr(self, "kind"):
            return
        if self.at is not None:
            np.testing.assert_array_equal(self.parts.model.parameters, self.judge.parameters[self.at], strict=True)
            np.testing.assert_array_equal(self.parts.mean.parameters, self.judge.means[self.at], strict=True)
        if self.path.exists():
            np.testing.assert_array_equal(rnncore.load(self.path).parameters, self.shown(*self.position()))

    def teardown(self):
        if not hasattr(self, "kind"):
            return
        history = self.resume()
        assert {name: history[name] for name in history if name != "seconds"} == self.judge.history
        np.testing.assert_array_equal(self.parts.model.parameters, self.judge.kept, strict=True)
        np.testing.assert_array_equal(self.parts.mean.parameters, self.judge.means[-1], strict=True)
        shutil.rmtree(self.folder)


AnyCourse.TestCase.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)
test_whatever_happens_the_run_ends_as_if_nothing_had = AnyCourse.TestCase


def test_the_judge_is_no_straight_road():
    """Runs do stop early in between, and learning rates fall; otherwise the machine would show little."""
    course = judge("windows")
    assert any(course.bad(closed) >= 1 for closed in range(1, len(course.ends)))
    assert course.history["lr"][-1] < max(course.history["lr"])
    assert course.best(len(course.ends)) > 0
