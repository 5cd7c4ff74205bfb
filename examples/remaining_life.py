"""Remaining useful life of turbofan engines from their sensors, with a band.

Each training engine runs until it fails; a test engine is cut before, and the cycles it has left are wanted. An LSTM
reads the sensors cycle by cycle and says at every cycle how many are left, at most 125 (Heimes 2008: a healthy engine
does not tell its age). Engines have different lengths; one pass scores every cycle of all of them. Ten engines held out
from training say how long to train, and how wide the band has to be.

    python examples/remaining_life.py --data CMAPSS     # the folder with train_FD001.txt, test_FD001.txt, RUL_FD001.txt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import rnncore
from rnncore.training import Batch, RunningMean

CAP = 125.0
HELD_OUT = 10  # engines
BAND = 0.9


def read(path: Path) -> list[np.ndarray]:
    """Return the engines, (cycles, 24) each: three settings and 21 sensors."""
    table = np.loadtxt(path)
    return [table[table[:, 0] == unit, 2:] for unit in np.unique(table[:, 0])]


def features(engines: list[np.ndarray], mean: np.ndarray, spread: np.ndarray) -> list[np.ndarray]:
    """Return standardised sensors, and their running means, which are less noisy."""
    found = []
    for engine in engines:
        z = (engine - mean) / spread
        smooth = np.empty_like(z)
        smooth[0] = z[0]
        for t in range(1, len(z)):
            smooth[t] = 0.9 * smooth[t - 1] + 0.1 * z[t]
        found.append(np.hstack([z, smooth]).astype(np.float32))
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
        rnncore.Dropout(0.2, seed=seed + 1),
        rnncore.Linear(units, 1, seed=seed + 2),
    )


def noisy(x: list[np.ndarray], y: list[np.ndarray], rng: np.random.Generator, size: int = 10) -> list[Batch]:
    """Return an epoch's batches: engines in a new order, each from a random cycle on, with noise on the sensors."""
    order, batches = rng.permutation(len(x)), []
    for begin in range(0, len(order), size):
        chosen = order[begin : begin + size]
        parts = []
        for k in chosen:
            start = int(rng.integers(0, max(1, len(x[k]) // 2)))
            parts.append((x[k][start:], y[k][start:]))
        steps = max(len(part) for part, _ in parts)
        inputs = np.zeros((steps, len(parts), x[0].shape[1]), np.float32)
        targets = np.zeros((steps, len(parts), 1), np.float32)
        for n, (part, life) in enumerate(parts):
            inputs[: len(part), n] = part + 0.1 * rng.standard_normal(part.shape, np.float32)
            targets[: len(part), n] = life
        batches.append(Batch(inputs, targets, lengths=np.array([len(part) for part, _ in parts])))
    return batches


def predict(model: rnncore.Sequential, x: list[np.ndarray]) -> list[np.ndarray]:
    """Return the life at every cycle of each engine, in cycles."""
    model.train(False)
    found = [np.clip(model(engine)[0][:, 0] * CAP, 0, CAP) for engine in x]
    model.train(True)
    return found


def train(
    x: list[np.ndarray],
    y: list[np.ndarray],
    held: tuple[list[np.ndarray], list[np.ndarray]],
    options: argparse.Namespace,
    seed: int,
) -> tuple[rnncore.Sequential, float]:
    """Train, keep the running mean of the weights with the least error on the engines held out; return that error."""
    rng = np.random.default_rng(seed)
    model = build(x[0].shape[1], options.units, seed)
    mean = RunningMean(model, 50)
    optimizer = rnncore.optim.Adam(model.parameters, lr=options.lr, weight_decay=1e-5)
    best, kept, waited = np.inf, model.parameters.copy(), 0
    for _ in range(options.epochs):
        model.fit(
            noisy(x, y, rng), loss="mse", epochs=1, optimizer=optimizer, clip_norm=1.0, callbacks=[mean], progress=False
        )
        with mean.applied():
            error = rmse(predict(model, held[0]), [life[:, 0] * CAP for life in held[1]])
            if error < best:
                best, kept, waited = error, model.parameters.copy(), 0
        waited += 1
        if waited > options.patience:
            break
    model.parameters[...] = kept
    return model, float(best)


def rmse(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """Return the root mean square error over all cycles."""
    return float(np.sqrt(np.mean((np.concatenate(found) - np.concatenate(wanted)) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--members", type=int, default=3, help="networks of a seed whose predictions are averaged")
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--patience", type=int, default=30)
    parser.add_argument("--lr", type=float, default=2e-3)
    options = parser.parse_args()
    engines, tests = read(options.data / "train_FD001.txt"), read(options.data / "test_FD001.txt")
    left = np.loadtxt(options.data / "RUL_FD001.txt")
    rows = np.concatenate(engines)
    moving = rows.std(axis=0) > 1e-4 * np.maximum(np.abs(rows.mean(axis=0)), 1)
    mean, spread = rows[:, moving].mean(axis=0), rows[:, moving].std(axis=0)
    x = features([engine[:, moving] for engine in engines], mean, spread)
    x_test = features([engine[:, moving] for engine in tests], mean, spread)
    y, actual = lives(engines), np.minimum(left, CAP)
    errors = []
    for seed in range(options.seeds):
        lasts, residuals, checks = [], [], []
        for member in range(options.members):
            order = np.random.default_rng([seed, member]).permutation(len(x))
            held, used = order[:HELD_OUT], order[HELD_OUT:]
            held_out = [x[k] for k in held], [y[k] for k in held]
            model, check = train([x[k] for k in used], [y[k] for k in used], held_out, options, 100 * seed + member)
            found = predict(model, held_out[0])
            residuals += [life[:, 0] * CAP - f for f, life in zip(found, held_out[1], strict=True)]
            lasts.append(np.array([f[-1] for f in predict(model, x_test)]))
            checks.append(check)
        last = np.mean(lasts, axis=0)
        low, high = np.quantile(np.concatenate(residuals), [(1 - BAND) / 2, (1 + BAND) / 2])
        error = float(np.sqrt(np.mean((last - actual) ** 2)))
        inside = float(np.mean((actual >= last + low) & (actual <= last + high)))
        errors.append(error)
        print(
            f"seed {seed}: RMSE {error:.2f} cycles (held out, all cycles: {np.mean(checks):.2f}), "
            f"{BAND:.0%} band {low:+.1f} to {high:+.1f}, holds {inside:.0%}",
            flush=True,
        )
    print(f"median of {len(errors)} seeds: RMSE {np.median(errors):.2f}")


if __name__ == "__main__":
    main()
