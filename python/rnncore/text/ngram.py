"""N-gram models with Witten-Bell smoothing: what a language model is measured beside."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from rnncore.arguments import check_size

__all__ = ["WittenBell"]


class WittenBell:
    """The n-gram model with interpolated Witten-Bell smoothing (Witten & Bell 1991; Chen & Goodman 1998).

    With c(h w) the times that w followed the history h, T(h) the different tokens that did, and h' the history without
    its first token::

        P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h))

    down to the empty history, below which all `vocabulary` tokens are alike. Raises ValueError for sizes out of range.

    >>> model = WittenBell([0, 1, 0, 1, 0, 1], order=2, vocabulary=3)
    >>> round(model.nats([0, 1, 0, 1]), 3)
    0.163
    """

    def __init__(self, tokens: Sequence[int], *, order: int = 5, vocabulary: int) -> None:
        self.order = check_size("order", order, 1)
        self.vocabulary = check_size("vocabulary", vocabulary, 1)
        self._follow: list[dict[tuple[int, ...], dict[int, int]]] = []
        for length in range(self.order):
            follow: dict[tuple[int, ...], dict[int, int]] = defaultdict(lambda: defaultdict(int))
            for place in range(length, len(tokens)):
                follow[tuple(tokens[place - length : place])][tokens[place]] += 1
            self._follow.append({history: dict(counts) for history, counts in follow.items()})
        self._totals = [{history: sum(c.values()) for history, c in follow.items()} for follow in self._follow]

    def probability(self, history: Sequence[int], token: int) -> float:
        """Return P(token | the last tokens of the history)."""
        probability = 1 / self.vocabulary
        for length in range(min(self.order - 1, len(history)) + 1):
            context = tuple(history[len(history) - length :])
            counts = self._follow[length].get(context)
            if counts is None:
                break
            kinds, total = len(counts), self._totals[length][context]
            probability = (counts.get(token, 0) + kinds * probability) / (total + kinds)
        return probability

    def nats(self, tokens: Sequence[int]) -> float:
        """Return the mean of -log P of each token after the first, given those before it."""
        own = list(tokens)
        total = 0.0
        for place in range(1, len(own)):
            total += math.log(self.probability(own[max(0, place - self.order + 1) : place], own[place]))
        return -total / (len(own) - 1)
