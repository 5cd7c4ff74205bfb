"""Models and checkpoints in files: nothing is lost, nothing damaged is taken for whole, no kill leaves a trace."""

import copy
import hashlib
import json
import random
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import rnncore
from model_case import classifier, draw, regressor, speller
from rnncore import files, schedules
from rnncore.files import FormatError
from rnncore.models import file as model_file
from rnncore.training import Batch

ALL = {"regressor": regressor, "classifier": classifier, "speller": speller}


def tiny():
    return rnncore.Sequential(rnncore.GRU(1, 1, seed=0), rnncore.Linear(1, 1, seed=0))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_comes_back_whole(kind, dtype, tmp_path):
    model = ALL[kind](dtype, batch_first=True)
    model.save(tmp_path / "model.safetensors")
    twin = rnncore.load(tmp_path / "model.safetensors")
    assert repr(twin) == repr(model)
    assert twin.batch_first
    np.testing.assert_array_equal(twin.parameters, model.parameters, strict=True)


def test_the_file_holds_pytorchs_names(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    model = speller()
    model.save(tmp_path / "model.safetensors")
    theirs = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.LSTM(4, 6), torch.nn.Linear(6, 7))
    theirs.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), model.named_parameters()[name])


def test_files_of_another_kind_or_a_newer_version_are_named(tmp_path):
    path = tmp_path / "model.safetensors"
    model = tiny()
    told = {"architecture": json.dumps(model_file.architecture(model))}
    files.write_tensors(path, "rnncore.model", 7, model.named_parameters(), told)
    with pytest.raises(FormatError, match="is of version 7, this rnncore reads up to version 1$"):
        rnncore.load(path)
    files.write_tensors(path, "somebody.else", 1, model.named_parameters(), told)
    with pytest.raises(FormatError, match="expected the format rnncore.model, got 'somebody.else'$"):
        rnncore.load(path)
    files.write_tensors(path, "rnncore.model", 1, model.named_parameters(), {"architecture": '{"layers": []}'})
    with pytest.raises(FormatError, match="describes no model of this version"):
        rnncore.load(path)
    with pytest.raises(FileNotFoundError):
        rnncore.load(tmp_path / "none")


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """Here the limit on the size of a file stands for the disk."""
    path = tmp_path / "model.safetensors"
    model = tiny()
    model.save(path)
    before = path.read_bytes()
    code = f"""
import resource, signal, rnncore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
model = rnncore.Sequential(rnncore.LSTM(30, 50))
try:
    model.save({str(path)!r})
except OSError as error:
    print(type(error).__name__)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["OSError"]
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.safetensors"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096


def test_a_folder_that_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    tiny().save(path)
    before = path.read_bytes()

    def refuse(*_, **__):
        raise PermissionError("denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may write anywhere: the permission itself says nothing
    with pytest.raises(PermissionError):
        tiny().save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.safetensors"]


# ---- checkpoints


def wave(model):
    x = np.random.default_rng(0).integers(0, 7, (120, 3)) if model.takes_labels else draw(120, 3, 3)
    return (x[:-1], x[1:]) if model.takes_labels else (x, draw(120, 3, 2, seed=1))


def lists(model):
    random = np.random.default_rng(0)
    return [random.normal(size=(n, 3)) for n in random.integers(1, 9, 23)], random.integers(0, 4, 23)


RUNS = {
    "series": (regressor, wave, {"k1": 10, "epochs": 3, "clip_norm": 1.0, "burn_in": 5}),
    "labels": (speller, wave, {"k1": 10, "epochs": 3, "loss": "cross_entropy", "optimizer": "rmsprop"}),
    "lists": (classifier, lists, {"batch_size": 4, "epochs": 3, "loss": "cross_entropy", "optimizer": "adamw"}),
    "rows": (regressor, wave, {"batch_size": 1, "epochs": 4, "validation": True, "early_stopping": 1, "lr": 0.3}),
    "plateau": (regressor, wave, {
        "batch_size": 2, "epochs": 5, "lr": 0.05,
        "schedule": partial(schedules.ReduceOnPlateau, patience=0, threshold=0.5)}),
}  # fmt: skip


def start(name):
    make, data, options = RUNS[name]
    model = make()
    options = dict(options)
    if "validation" in options:
        options["validation"] = data(model)
    if "schedule" in options:
        options["schedule"] = options["schedule"]()
    return model, partial(model.fit, data(model), progress=False, **options)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_stopped_after_any_update_goes_on_to_the_same_bits(name, tmp_path):
    whole, fit = start(name)
    history = fit()
    updates = []
    _, fit = start(name)
    fit(callbacks=[lambda p: updates.append(p.update) if p.event == "update" else None])
    for stop in range(1, len(updates), max(1, len(updates) // 6)):
        path = tmp_path / f"{stop}.safetensors"
        _, fit = start(name)
        fit(checkpoint=path, checkpoint_every=1, callbacks=[lambda p, stop=stop: p.update == stop])
        model, fit = start(name)
        model.parameters[...] = 0  # all comes from the file
        resumed = fit(checkpoint=path, resume=True)
        np.testing.assert_array_equal(model.parameters, whole.parameters)
        assert {key: resumed.columns[key] for key in resumed if key != "seconds"} == {
            key: history.columns[key] for key in history if key != "seconds"
        }
        assert (resumed.stopped, resumed.best_epoch) == (history.stopped, history.best_epoch)


def test_a_finished_run_is_not_run_again_but_may_be_lengthened(tmp_path):
    path = tmp_path / "run.safetensors"
    whole, fit = start("lists")
    fit(epochs=5)
    model, fit = start("lists")
    fit(checkpoint=path)
    before = model.parameters.copy()
    model, fit = start("lists")
    fit(checkpoint=path, resume=True)
    np.testing.assert_array_equal(model.parameters, before)
    model, fit = start("lists")
    fit(checkpoint=path, resume=True, epochs=5)
    np.testing.assert_array_equal(model.parameters, whole.parameters)


def test_a_checkpoint_loads_as_a_model(tmp_path):
    model, fit = start("series")
    fit(checkpoint=tmp_path / "run.safetensors")
    np.testing.assert_array_equal(rnncore.load(tmp_path / "run.safetensors").parameters, model.parameters)


@pytest.mark.parametrize(("change", "message"), [
    ({"batch_size": 5}, "batch_size was 4, expected the same as now: 5"),
    ({"loss": "mse"}, "loss was 'cross_entropy', expected the same as now: 'mean_squared_error'"),
    ({"seed": 1}, "seed was 0, expected the same as now: 1"),
])  # fmt: skip
def test_a_checkpoint_of_other_settings_is_refused(change, message, tmp_path):
    path = tmp_path / "run.safetensors"
    _, fit = start("lists")
    fit(checkpoint=path)
    model, fit = start("lists")
    before = model.parameters.copy()
    if "loss" in change:
        fit = partial(model.fit, (lists(model)[0], draw(23, 4)), **{**RUNS["lists"][2], "progress": False})
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text follows
        fit(checkpoint=path, resume=True, **change)
    expected = message.replace("'cross_entropy'", "'cross_entropy'")
    assert str(caught.value).endswith(expected)
    np.testing.assert_array_equal(model.parameters, before)


def test_a_place_for_the_checkpoint_is_looked_for_before_training(tmp_path):
    for path, error, message in (
        (tmp_path / "none" / "run.safetensors", FileNotFoundError, "checkpoint: there is no folder .*none"),
        (tmp_path, IsADirectoryError, "checkpoint: expected a file, .* is a folder"),
    ):
        model, fit = start("lists")
        before = model.parameters.copy()
        with pytest.raises(error, match=f"^{message}$"):
            fit(checkpoint=path)
        np.testing.assert_array_equal(model.parameters, before)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    _, fit = start("lists")
    fit(checkpoint=path)
    model = rnncore.Sequential(rnncore.GRU(3, 5, seed=0), rnncore.LastStep(), rnncore.Linear(5, 4, seed=0))
    before = model.parameters.copy()
    with pytest.raises(ValueError, match=r"holds another model: layer 0 is GRU\(3, 6, bidirectional=True\), "
                                         r"expected layer 0: GRU\(3, 5\)$"):  # fmt: skip
        model.fit(lists(model), checkpoint=path, resume=True, progress=False, **RUNS["lists"][2])
    np.testing.assert_array_equal(model.parameters, before)
    model.save(path)
    with pytest.raises(FormatError, match="holds a model, but no checkpoint of fit$"):
        model.fit(lists(model), checkpoint=path, resume=True, progress=False, **RUNS["lists"][2])


RUN = """
import sys
sys.path.insert(0, {tests!r})
from test_models import start
model, fit = start("series")
fit(checkpoint={path!r}, checkpoint_every=1, resume=True, epochs=12)
model.save({done!r})
"""


def test_kill_9_at_fifty_moments_leaves_no_trace(tmp_path):
    whole, fit = start("series")
    fit(epochs=12)
    path, done = tmp_path / "run.safetensors", tmp_path / "done.safetensors"
    code = RUN.format(tests=str(Path(__file__).parent), path=str(path), done=str(done))
    randomness = random.Random(0)
    kills = fresh = 0
    first = time.monotonic()
    while kills < 50:
        if done.exists():  # finished: once more from the beginning
            check(done, whole)
            done.unlink()
            path.unlink()
            fresh += 1
        before = path.stat().st_mtime_ns if path.exists() else 0
        process = subprocess.Popen([sys.executable, "-c", code])
        while process.poll() is None and (not path.exists() or path.stat().st_mtime_ns == before):
            time.sleep(0.002)  # until it is at work
        time.sleep(randomness.uniform(0, 0.03))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    subprocess.run([sys.executable, "-c", code], check=True)
    check(done, whole)
    assert not list(tmp_path.glob(f"{path.name}.*.tmp"))  # save may leave one: others may write to its path just then
    print(f"{kills} kills in {time.monotonic() - first:.0f} s, {fresh} runs finished meanwhile")


def check(done, whole):
    digests = [hashlib.sha256(model.parameters.tobytes()).hexdigest() for model in (rnncore.load(done), whole)]
    assert digests[0] == digests[1]


def test_a_state_file_still_is_replaced_in_one_go(tmp_path):
    files.replace_file(tmp_path / "a", b"old")
    files.replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    (tmp_path / "a.0123456789abcdef.tmp").write_bytes(b"")
    files.remove_leftovers(tmp_path / "a")
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_batches_and_models_do_not_share_what_they_should_not():
    model = tiny()
    twin = copy.deepcopy(model)
    model.fit(Batch(np.ones((5, 2, 1)), np.ones((5, 2, 1))), progress=False)
    assert (twin.parameters != model.parameters).any()
