"""SegRNN (Lin et al. 2023) in rnncore's layers, on ETTh1: python bench/forecasting/segrnn.py [HORIZON ...].

A GRU reads the last 96 values less the last of them, a day at a time; one linear layer gives all horizons. The epoch is
chosen on the validation part, the test part is looked at once. RNNCORE_DATA names the folder with ett/ETTh1.csv.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterator

import numpy as np
from sets import DATA

import rnncore

TRAIN, VALID, TEST = 8640, 2880, 2880  # rows of the usual split
LENGTH, SEGMENT, HIDDEN, EPOCHS, BATCH = 96, 24, 128, 8, 256


class Part:
    """The windows of all columns whose targets lie between two rows."""

    def __init__(self, values: np.ndarray, begin: int, end: int, horizon: int) -> None:
        windows, ahead = (np.lib.stride_tricks.sliding_window_view(values, k, axis=1) for k in (LENGTH, horizon))
        origins = np.arange(begin, end - horizon + 1)
        self.windows, self.ahead = windows, ahead
        self.series, self.origins = np.repeat(np.arange(len(values)), len(origins)), np.tile(origins, len(values))

    def at(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Segments (4, K, 24) and targets (K, H), both less the last value (K, 1)."""
        x = self.windows[self.series[chosen], self.origins[chosen] - LENGTH]
        last = x[:, -1:]
        segments = np.ascontiguousarray((x - last).reshape(len(x), -1, SEGMENT).transpose(1, 0, 2))
        return segments, self.ahead[self.series[chosen], self.origins[chosen]] - last, last

    def errors(self, model: rnncore.Sequential) -> tuple[float, float]:
        """MSE and MAE."""
        square = size = count = 0.0
        for block in np.array_split(np.arange(len(self.series)), 1 + len(self.series) // 4096):
            x, target, _ = self.at(block)
            off = model(x)[0] - target
            square, size, count = square + float((off**2).sum()), size + float(np.abs(off).sum()), count + off.size
        return square / count, size / count


def run(horizon: int) -> tuple[int, float, float]:
    """The epoch that was chosen, and MSE and MAE of the test part."""
    with (DATA / "ett" / "ETTh1.csv").open() as file:
        values = np.array([[float(v) for v in row[1:]] for row in list(csv.reader(file))[1:]])
    values = (values - values[:TRAIN].mean(axis=0)) / values[:TRAIN].std(axis=0)
    values = values.T.astype(np.float32)
    train, valid, test = (
        Part(values, begin, end, horizon)
        for begin, end in ((LENGTH, TRAIN), (TRAIN, TRAIN + VALID), (TRAIN + VALID, TRAIN + VALID + TEST))
    )
    model = rnncore.Sequential(
        rnncore.Linear(SEGMENT, HIDDEN, activation="relu", seed=0), rnncore.GRU(HIDDEN, HIDDEN, seed=1),
        rnncore.LastStep(), rnncore.Dropout(0.5, seed=2), rnncore.Linear(HIDDEN, horizon, seed=3),
    )  # fmt: skip
    optimizer, random = rnncore.optim.Adam(model.parameters, lr=1e-3), np.random.default_rng(0)

    def batches() -> Iterator[rnncore.Batch]:
        order = random.permutation(len(train.series))
        for k in range(0, len(order) - BATCH + 1, BATCH):
            x, target, _ = train.at(order[k : k + BATCH])
            yield rnncore.Batch(x, target)

    best = (np.inf, 0, model.parameters.copy())
    for epoch in range(1, EPOCHS + 1):
        optimizer.lr = 1e-3 * 0.85 ** (epoch - 1)
        model.fit(batches, optimizer=optimizer, loss="mae", clip_norm=1.0, progress=False)
        error = valid.errors(model)[0]
        if error < best[0]:
            best = error, epoch, model.parameters.copy()
    model.parameters[...] = best[2]
    return best[1], *test.errors(model)


if __name__ == "__main__":
    for steps in [int(each) for each in sys.argv[1:]] or [96, 192, 336, 720]:
        began = time.process_time()
        chosen, mse, mae = run(steps)
        print(f"{steps} ahead: MSE {mse:.4f}, MAE {mae:.4f}, epoch {chosen}, {time.process_time() - began:.0f} CPU s")
