"""examples/sentiment.py in small: every model learns sentences whose sentiment is that of one word."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the bag of words")
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def sentiment(tmp_path, monkeypatch):
    """The example, with small networks, on two kinds of sentences."""
    random = np.random.default_rng(0)

    def tree():
        good = random.random() < 0.5
        label, word = (4, "good") if good else (0, "bad")
        name = random.choice(["film", "plot", "end"])
        return f"({label} (2 (2 the) (2 {name})) ({label} (2 is) ({label} {word})))\n"

    (tmp_path / "sst").mkdir()
    for part, count in {"train": 120, "dev": 30, "test": 30}.items():
        (tmp_path / "sst" / f"{part}.txt").write_text("".join(tree() for _ in range(count)), encoding="utf-8")
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("RNNCORE_DATA", str(tmp_path))
    module = importlib.import_module("sentiment")
    for name, value in {"WORDS": 8, "HIDDEN": 8, "DROPOUT": 0.0, "LR": 0.02}.items():
        monkeypatch.setattr(module, name, value)
    return module


@pytest.mark.parametrize("task", ["five", "binary"])
@pytest.mark.parametrize("model", ["tree_lstm", "rnn", "lstm", "bag"])
def test_the_one_word_is_found(sentiment, monkeypatch, capsys, model, task):
    monkeypatch.setattr(sys, "argv", ["s.py", "--model", model, "--task", task, "--seeds", "1", "--epochs", "6"])
    sentiment.main()
    assert float(capsys.readouterr().out.split()[-1]) > 0.95
