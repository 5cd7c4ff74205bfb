"""The example of remaining life: it learns from engines that wear out, and its band holds most of them."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def engines(rng, count, cut):
    """Rows as in C-MAPSS: unit, cycle, 24 columns, two of which wear with the life that is left."""
    rows, left = [], []
    for unit in range(1, count + 1):
        life = int(rng.integers(130, 220))
        end = life - int(rng.integers(5, 100)) if cut else life
        cycles = np.arange(1, end + 1)
        wear = np.exp(-(life - cycles) / 40.0)
        columns = rng.normal(scale=0.02, size=(end, 24))
        columns[:, 5] += wear
        columns[:, 9] -= 0.5 * wear
        columns[:, 2] = 100.0
        rows.append(np.column_stack([np.full(end, unit), cycles, columns]))
        left.append(life - end)
    return np.concatenate(rows), left


def test_the_life_that_is_left_is_learnt_from_wear(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    train, _ = engines(rng, 40, cut=False)
    test, left = engines(rng, 20, cut=True)
    np.savetxt(tmp_path / "train_FD001.txt", train)
    np.savetxt(tmp_path / "test_FD001.txt", test)
    np.savetxt(tmp_path / "RUL_FD001.txt", left)
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module("remaining_life")
    sizes = ["--seeds", "1", "--epochs", "25", "--units", "16", "--members", "1"]
    monkeypatch.setattr(sys, "argv", ["remaining_life", "--data", str(tmp_path), *sizes])
    module.main()
    printed = capsys.readouterr().out
    found = re.search(r"RMSE ([\d.]+) cycles.* holds (\d+)%", printed)
    assert found, printed
    actual = np.minimum(left, module.CAP)
    assert float(found[1]) < 0.6 * actual.std()
    assert int(found[2]) >= 60
