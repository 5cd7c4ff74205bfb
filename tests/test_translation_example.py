"""examples/translation.py in small: torch takes the same updates, and a killed run goes on."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from rnncore.text import examples

pytest.importorskip("torch", reason="beside torch")
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def translation(tmp_path, monkeypatch):
    """The example, with a small network, on numbers and dates."""
    pairs = [*dict(examples.numbers_and_dates(260, seed=0)).items()]
    parts = ["train"] * (len(pairs) - 40) + ["valid"] * 20 + ["test"] * 20
    rows = [f"{part}\t{source}\t{target}\n" for part, (source, target) in zip(parts, pairs, strict=True)]
    (tmp_path / "fra-eng.txt").write_text("".join(rows), encoding="utf-8")
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("RNNCORE_DATA", str(tmp_path))
    module = importlib.import_module("translation")
    for name, value in {"SUBWORDS": 60, "HIDDEN": 16, "EMBEDDING": 8, "DROPOUT": 0.0, "BATCH": 16}.items():
        monkeypatch.setattr(module, name, value)
    return module


def run(module, monkeypatch, capsys, *options):
    monkeypatch.setattr(sys, "argv", ["translation.py", *options])
    module.main()
    return capsys.readouterr().out


def losses(out):
    line = next(line for line in out.splitlines() if line.startswith("losses"))
    return [float(word) for word in line.replace(",", "").split() if word[0].isdigit()]


def test_the_same_updates_in_torch_give_the_same_losses(translation, monkeypatch, capsys):
    ours = losses(run(translation, monkeypatch, capsys, "--epochs", "3"))
    theirs = losses(run(translation, monkeypatch, capsys, "--epochs", "3", "--engine", "torch"))
    assert len(ours) == 3
    assert ours[-1] < ours[0]
    np.testing.assert_allclose(ours, theirs, atol=5e-3)


def test_a_run_in_torch_goes_on_from_its_checkpoint(translation, monkeypatch, capsys, tmp_path):
    options = ("--engine", "torch", "--epochs", "2", "--checkpoint", str(tmp_path / "run"))
    first = losses(run(translation, monkeypatch, capsys, *options))
    assert losses(run(translation, monkeypatch, capsys, *options)) == first  # nothing left to do
    assert (tmp_path / "run.torch").exists()


def test_both_engines_are_timed_in_turns(translation, monkeypatch, capsys):
    out = run(translation, monkeypatch, capsys, "--compare", "torch", "--turn", "2", "--rounds", "1")
    assert "2 updates of 16 pairs" in out
    assert "torch" in out
