"""Series and CSV files for the tests of forecasting."""

import json
from pathlib import Path

import numpy as np

from rnncore.cli import main

FAST = ["--epochs", "2", "--members", "1", "--hidden", "4", "--quiet", "--no-plot"]


def days(count, start="2020-01-01", step=1, unit="D"):
    return [str(t) for t in np.datetime64(start) + np.arange(count) * np.timedelta64(step, unit)]


def wave(count, seed=0):
    """A weekly wave and noise."""
    noise = np.random.default_rng(seed).standard_normal(count)
    return np.round(10 + 3 * np.sin(2 * np.pi * np.arange(count) / 7) + noise, 3)


def csv_text(**columns):
    """Columns of text or numbers under their names."""
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"


def folded(count=400, seed=0):
    """y follows the size of yesterday's x, whatever its sign: ridge regression sees nothing in that, a network does."""
    random = np.random.default_rng(seed)
    x = random.standard_normal(count + 1)
    return csv_text(
        date=days(count), y=np.round(np.abs(x[:-1]) + 0.1 * random.standard_normal(count), 3), x=np.round(x[1:], 3)
    )


def two_shops(first=120, second=90, later=40):
    """Two series of different beginning and length, with a numeric and a textual covariate, in one text."""
    rows = ["day,shop,sales,price,promo"]
    for shop, count, shift in (("north", first, 0), ("south", second, later)):
        random = np.random.default_rng(shift)
        for day, value in zip(days(count + shift)[shift:], wave(count, shift), strict=True):
            promo = "yes" if random.random() < 0.3 else "no"
            rows.append(f"{day},{shop},{value},{random.random():.3f},{promo}")
    return "\n".join(rows) + "\n"


def run(tmp_path, text, *options, fast=True):
    """Run the command on a file of this text: exit code, and the JSON it wrote if it did."""
    path = Path(tmp_path) / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    out = Path(tmp_path) / "out.json"
    code = main(["forecast", str(path), "--json", str(out), *(FAST if fast else []), *options])
    return code, json.loads(out.read_text()) if out.exists() and out.stat().st_size else None
