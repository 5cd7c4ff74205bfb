"""From a network to a translation: the most probable word each time, or the best of several beginnings."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.text.network import Encoded, Network, log_softmax
from rnncore.text.vocabulary import BEGIN, END, PAD, UNKNOWN

__all__ = ["beam_search", "greedy"]

Decoded = tuple[list[int], list[int]]  # the words of a target, and for each the place in the source attended to most
Finished = tuple[float, list[int], list[int]]  # its worth, and the same


def greedy(network: Network, source: Array, lengths: Array, most: int) -> list[Decoded]:
    """Take the most probable word at every step, up to `most` words."""
    encoded = network.encode(source, lengths)
    rows = source.shape[1]
    words, done = np.full(rows, BEGIN), np.zeros(rows, bool)
    chosen: list[Array] = []
    places: list[Array] = []
    while len(chosen) < most and not done.all():
        scores, encoded.state, attention = network.step(words, encoded)
        scores[:, [PAD, BEGIN]] = -np.inf
        words = np.where(done, END, scores.argmax(axis=1))
        done |= words == END
        chosen.append(words)
        places.append(attention.argmax(axis=1))
    return [_until_end([int(step[n]) for step in chosen], [int(step[n]) for step in places]) for n in range(rows)]


def _until_end(words: list[int], places: list[int]) -> Decoded:
    end = words.index(END) if END in words else len(words)
    return words[:end], places[:end]


def beam_search(
    network: Network, source: Array, lengths: Array, most: int, beam: int, length_penalty: float
) -> list[Decoded]:
    """Keep the `beam` best beginnings of every row, all in one batch.

    A finished translation of m words is worth log p / ((5 + m) / 6) ** length_penalty (Wu et al. 2016). A row ends when
    `beam` translations have ended, or no open beginning can beat the best of them any more.
    """
    rows = source.shape[1]
    encoded = _repeated(network.encode(source, lengths), beam)
    worth = np.full((rows, beam), -np.inf)
    worth[:, 0] = 0  # all beginnings of a row are alike at first
    words = np.full(rows * beam, BEGIN)
    history = np.zeros((rows * beam, 0), np.int64)
    places = np.zeros((rows * beam, 0), np.int64)
    finished: list[list[Finished]] = [[] for _ in range(rows)]
    for step in range(1, most + 1):
        scores, state, attention = network.step(words, encoded)
        scores = log_softmax(scores)
        scores[:, [PAD, BEGIN]] = -np.inf
        size = scores.shape[1]
        total = (worth.reshape(-1, 1) + scores).reshape(rows, beam * size)
        best = np.argpartition(-total, 2 * beam - 1, axis=1)[:, : 2 * beam]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(total, best, 1), axis=1, kind="stable"), 1)
        origin, chosen, worth = _choose(best, total, size, beam, history, places, finished, step, length_penalty)
        words = chosen.ravel()
        places = np.concatenate([places[origin], attention.argmax(axis=1)[origin, None]], axis=1)
        history = np.concatenate([history[origin], words[:, None]], axis=1)
        encoded.state = _picked(state, origin)
        if all(_over(finished[n], worth[n], beam, step, length_penalty) for n in range(rows)):
            break
    results = []
    for n in range(rows):
        first = n * beam
        if not finished[n]:
            finished[n].append((0.0, history[first].tolist(), places[first].tolist()))
        results.append(max(finished[n], key=lambda each: each[0])[1:])
    return results


def _choose(
    best: Array,
    total: Array,
    size: int,
    beam: int,
    history: Array,
    places: Array,
    finished: list[list[Finished]],
    step: int,
    length_penalty: float,
) -> tuple[Array, Array, Array]:
    """Put translations that end aside; return of those that go on where they come from, their words and their worth."""
    rows = len(best)
    origin, chosen = np.zeros((rows, beam), np.int64), np.full((rows, beam), UNKNOWN)
    worth = np.full((rows, beam), -np.inf)
    for n in range(rows):
        kept = 0
        for candidate in best[n]:
            value, from_, word = total[n, candidate], n * beam + candidate // size, candidate % size
            if value == -np.inf:
                continue
            if word == END:
                if len(finished[n]) < beam:
                    ended = _value(value, step, length_penalty)
                    finished[n].append((ended, history[from_].tolist(), places[from_].tolist()))
            elif kept < beam:
                origin[n, kept], chosen[n, kept], worth[n, kept] = from_, word, value
                kept += 1
    return origin.ravel(), chosen, worth


def _value(log_probability: float, words: int, length_penalty: float) -> float:
    return float(log_probability / ((5 + words) / 6) ** length_penalty)


def _over(finished: list[Finished], worth: Array, beam: int, step: int, length_penalty: float) -> bool:
    if not finished:
        return False
    return len(finished) >= beam or max(f[0] for f in finished) >= _value(worth.max(), step + 1, length_penalty)


def _repeated(encoded: Encoded, beam: int) -> Encoded:
    rows = np.repeat(np.arange(len(encoded.lengths)), beam)
    keys = np.ascontiguousarray(encoded.keys[:, rows])
    return Encoded(keys, encoded.lengths[rows], _picked(encoded.state, rows))


def _picked(state: Any, rows: Array) -> Any:
    if isinstance(state, tuple):
        return tuple(_picked(array, rows) for array in state)
    return np.ascontiguousarray(state[:, rows])
