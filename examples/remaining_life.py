"""Remaining useful life of turbofan engines from their sensors, with a band.

Each training engine runs until it fails; a test engine is cut before, and the cycles it has left are wanted. An LSTM
reads the sensors cycle by cycle and says at every cycle how many are left, at most 125 (Heimes 2008: a healthy engine
does not tell its age). It learns from windows of at most 60 cycles that end anywhere, as test engines do, so that it
cannot count cycles in place of looking at wear; five networks are averaged. Each leaves ten engines out: their errors
make the band, from those at which about the same life was predicted.

    python examples/remaining_life.py --data CMAPSS     # the folder with train_FD001.txt, test_FD001.txt, RUL_FD001.txt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import rnncore
from rnncore.training import Batch, RunningMean

CAP = 125.0
WINDOW, SHORTEST = 60, 30  # cycles
START = 20  # cycles that tell how an engine was when it was new
HELD_OUT = 10  # engines
BAND, ALIKE = 0.9, 15.0  # a band from errors where the prediction was within so many cycles


def read(path: Path) -> list[np.ndarray]:
    """Return the engines, (cycles, 24) each: three settings and 21 sensors."""
    table = np.loadtxt(path)
    return [table[table[:, 0] == unit, 2:] for unit in np.unique(table[:, 0])]


def smooth(z: np.ndarray, share: float) -> np.ndarray:
    """Return running means (T, S) in which a row counts `share`, the first rows alike."""
    found, total, weight = np.empty_like(z), np.zeros(z.shape[1]), 0.0
    for t, row in enumerate(z):
        total, weight = (1 - share) * total + share * row, (1 - share) * weight + share
        found[t] = total / weight
    return found


def features(engines: list[np.ndarray], mean: np.ndarray, spread: np.ndarray) -> list[np.ndarray]:
    """Return what each sensor shows of wear: its level, how far that is from the engine's start, and its course."""
    found = []
    for engine in engines:
        z = (engine - mean) / spread
        level = smooth(z, 0.1)
        start = np.cumsum(z, axis=0) / np.arange(1, len(z) + 1)[:, None]
        start[START:] = start[min(START, len(z)) - 1]
        found.append(np.hstack([level, level - start, level - smooth(z, 0.03)]).astype(np.float32))
    return found


def lives(engines: list[np.ndarray], left: np.ndarray | None = None) -> list[np.ndarray]:
    """Return the cycles left at each cycle, capped, as a share of the cap."""
    ends = np.zeros(len(engines)) if left is None else left
    return [
        (np.minimum(np.arange(len(e))[::-1] + end, CAP) / CAP)[:, None].astype(np.float32)
        for e, end in zip(engines, ends, strict=True)
    ]


def build(width: int, units: int, seed: int) -> rnncore.Sequential:
    """An LSTM layer, dropout, and a linear one that says the life at each cycle."""
    return rnncore.Sequential(
        rnncore.LSTM(width, units, seed=seed),
        rnncore.Dropout(0.3, seed=seed + 1),
        rnncore.Linear(units, 1, seed=seed + 2),
    )


def windows(x: list[np.ndarray], y: list[np.ndarray], rng: np.random.Generator, size: int = 10) -> list[Batch]:
    """Return an epoch's batches: a window of each engine that ends anywhere, every feature a little off in it."""
    order, batches = rng.permutation(len(x)), []
    for begin in range(0, len(order), size):
        chosen = order[begin : begin + size]
        ends = [int(rng.integers(min(SHORTEST, len(x[k])), len(x[k]) + 1)) for k in chosen]
        lengths = np.array([min(end, WINDOW) for end in ends])
        inputs = np.zeros((lengths.max(), len(chosen), x[0].shape[1]), np.float32)
        targets = np.zeros((lengths.max(), len(chosen), 1), np.float32)
        for n, (k, end, length) in enumerate(zip(chosen, ends, lengths, strict=True)):
            inputs[:length, n] = x[k][end - length : end] + 0.1 * rng.standard_normal(x[k].shape[1], np.float32)
            targets[:length, n] = y[k][end - length : end]
        batches.append(Batch(inputs, targets, lengths=lengths))
    return batches


def predict(model: rnncore.Sequential, x: list[np.ndarray]) -> list[np.ndarray]:
    """Return the life at every cycle of each engine, in cycles."""
    model.train(False)
    found = [np.clip(model(engine)[0][:, 0] * CAP, 0, CAP) for engine in x]
    model.train(True)
    return found


def train(x: list[np.ndarray], y: list[np.ndarray], options: argparse.Namespace, seed: int) -> rnncore.Sequential:
    """Train with a rate that falls along a cosine; return the running mean of the weights."""
    rng = np.random.default_rng(seed)
    model = build(x[0].shape[1], options.units, seed)
    mean = RunningMean(model, 100)
    optimizer = rnncore.optim.Adam(model.parameters, weight_decay=1e-4)
    for epoch in range(options.epochs):
        optimizer.lr = options.lr * 0.5 * (1 + np.cos(np.pi * epoch / options.epochs)) + 1e-5
        batches = windows(x, y, rng)
        model.fit(batches, loss="mse", epochs=1, optimizer=optimizer, clip_norm=1.0, callbacks=[mean], progress=False)
    with mean.applied():
        kept = model.parameters.copy()
    model.parameters[...] = kept
    return model


def band(last: np.ndarray, said: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the band of each prediction, by the errors where about as much was said."""
    edges = (1 - BAND) / 2, (1 + BAND) / 2
    ends = [np.quantile(wrong[np.abs(said - p) <= ALIKE], edges) for p in np.clip(last, said.min(), said.max())]
    low, high = np.array(ends).T
    return np.clip(last + low, 0, CAP), np.clip(last + high, 0, CAP)


def rmse(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """Return the root mean square error over all cycles."""
    return float(np.sqrt(np.mean((np.concatenate(found) - np.concatenate(wanted)) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--members", type=int, default=5, help="networks of a seed whose predictions are averaged")
    parser.add_argument("--units", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--lr", type=float, default=3e-3)
    options = parser.parse_args()
    engines, tests = read(options.data / "train_FD001.txt"), read(options.data / "test_FD001.txt")
    left = np.loadtxt(options.data / "RUL_FD001.txt")
    rows = np.concatenate(engines)
    moving = rows.std(axis=0) > 1e-4 * np.maximum(np.abs(rows.mean(axis=0)), 1)
    moving[:3] = False  # the settings
    mean, spread = rows[:, moving].mean(axis=0), rows[:, moving].std(axis=0)
    x = features([engine[:, moving] for engine in engines], mean, spread)
    x_test = features([engine[:, moving] for engine in tests], mean, spread)
    y, actual = lives(engines), np.minimum(left, CAP)
    errors = []
    for seed in range(options.seeds):
        lasts, said, wrong, checks = [], [], [], []
        for member in range(options.members):
            order = np.random.default_rng([seed, member]).permutation(len(x))
            held, used = order[:HELD_OUT], order[HELD_OUT:]
            model = train([x[k] for k in used], [y[k] for k in used], options, 100 * seed + member)
            found = [f[SHORTEST:] for f in predict(model, [x[k] for k in held])]
            wanted = [y[k][SHORTEST:, 0] * CAP for k in held]
            said += found
            wrong += [life - f for f, life in zip(found, wanted, strict=True)]
            checks.append(rmse(found, wanted))
            lasts.append(np.array([f[-1] for f in predict(model, x_test)]))
        last = np.mean(lasts, axis=0)
        low, high = band(last, np.concatenate(said), np.concatenate(wrong))
        error = float(np.sqrt(np.mean((last - actual) ** 2)))
        inside = float(np.mean((actual >= low) & (actual <= high)))
        errors.append(error)
        print(
            f"seed {seed}: RMSE {error:.2f} cycles (each alone, engines held out: {np.mean(checks):.2f}), "
            f"{BAND:.0%} band {np.mean(high - low):.1f} cycles wide, holds {inside:.0%}",
            flush=True,
        )
    print(f"median of {len(errors)} seeds: RMSE {np.median(errors):.2f}")


if __name__ == "__main__":
    main()
