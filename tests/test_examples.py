"""The four real runs, a small part of each: one number of threads gives the weights of any other, to the bit."""

import importlib
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rnncore import datasets
from rnncore.cli import main
from rnncore.forecasting import Settings, carried, forecast, read_table

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LETTERS, UTTERANCES = 10_000, "JapaneseVowels_{}.ts"


@pytest.fixture
def data(tmp_path):
    """A small part of what the examples read, or random numbers in its form where RNNCORE_DATA is not set."""
    folder, random = os.environ.get("RNNCORE_DATA"), np.random.default_rng(0)
    if folder:
        text = (Path(folder) / "tinyshakespeare.txt").read_text()[:LETTERS]
    else:
        text = "".join(random.choice([*map(chr, range(32, 127)), "\n"], LETTERS))
    (tmp_path / "tinyshakespeare.txt").write_text(text)
    for part in ("TRAIN", "TEST"):
        name = UTTERANCES.format(part)
        if folder:
            lines = (Path(folder) / name).read_text().splitlines()
            lines = [line for line in lines if line and line[0] not in "#@"][::4]
        else:
            lines = [utterance(random, 1 + k % 9) for k in range(68)]
        (tmp_path / name).write_text("\n".join(lines))
    return tmp_path


def utterance(random, label):
    """12 channels of some steps, and who said it."""
    channels = random.normal(size=(12, random.integers(7, 30)))
    return ":".join([*(",".join(f"{value:.6f}" for value in channel) for channel in channels), str(label)])


RUNS = {
    "language_model": ["--epochs", "2"],
    "utterances": ["--epochs", "3", "--seeds", "1"],
    "adding": ["--updates", "2"],
    "forecast": ["--epochs", "2", "--members", "1", "--no-plot", "--quiet"],
}


@pytest.mark.parametrize("name", RUNS)
def test_weights_are_the_same_for_any_number_of_threads(name, data, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("RNNCORE_DATA", str(data))
    module = carried if name == "forecast" else importlib.import_module(name)
    if name == "adding":
        monkeypatch.setattr(module, "EPOCH", 2)
    models, build = [], module.build

    def keep(*arguments):
        models.append(build(*arguments))
        return models[-1]

    monkeypatch.setattr(module, "build", keep)

    def weights(threads):
        models.clear()
        options = [*RUNS[name], "--threads", str(threads)]
        if name == "forecast":
            assert main(["forecast", *options]) == 0
        else:
            monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
            module.main()
        return [model.parameters.copy() for model in models]

    one = weights(1)
    assert one
    for threads in (2, 3):
        for own, other in zip(one, weights(threads), strict=True):
            np.testing.assert_array_equal(own, other)


def test_the_figures_of_gradients_are_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module("gradients")
    monkeypatch.setattr(module, "WINDOWS", [50, 100])
    monkeypatch.setattr(module, "SERIES", module.SERIES[:200])

    def measured(run):  # here, and not in a process of its own
        run(module.lstm(0, module.HIDDEN), module.SERIES)
        return 1.0, 1.0

    monkeypatch.setattr(module, "measured", measured)
    monkeypatch.setattr(sys, "argv", ["gradients.py", str(tmp_path)])
    module.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gradient_flow.png", "truncation.png"]
    printed = capsys.readouterr().out
    assert "last loss" in printed
    assert "forget bias 2, error k2 50: " in printed


def test_what_the_networks_of_a_forecast_learn_of_takes_one_thread(monkeypatch):
    """The number of threads of a matrix product changes its bits: ridge regression would carry it into the weights."""
    limits = []

    @contextmanager
    def threadpool_limits(count, user_api):
        limits.append((count, user_api))
        yield

    monkeypatch.setitem(sys.modules, "threadpoolctl", SimpleNamespace(threadpool_limits=threadpool_limits))
    forecast(read_table(datasets.weather()), Settings(target="temp_max", group="location", only=("New York",),
             members=1, epochs=1, hidden_size=4, num_threads=3))  # fmt: skip
    assert set(limits) == {(1, "blas")}
