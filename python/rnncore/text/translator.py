"""A translator: vocabularies and a network, trained on pairs of sentences."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from rnncore import optim
from rnncore.arguments import Array, check_dropout, check_positive, check_size
from rnncore.files import FormatError, read_tensors, write_tensors
from rnncore.text import decoding
from rnncore.text.network import CELLS, Cell, Network
from rnncore.text.vocabulary import PAD, UNKNOWN, Vocabulary, join_words, split_words

__all__ = ["History", "Translator"]

FORMAT, VERSION = "rnncore.translator", 1

Pairs = Sequence[tuple[str, str]]
Encoded = list[tuple[Array, Array]]


@dataclass
class History:
    """The course of a training: a number for each epoch."""

    loss: list[float] = field(default_factory=list)
    """The mean cross-entropy of a word, in nats, over the epoch's updates."""
    validation: list[float] = field(default_factory=list)
    """That of the held-out pairs, without dropout."""
    best_epoch: int = 0
    """The epoch whose weights the translator has, counted from 1."""
    stopped: str | None = None
    """None, "early" or "interrupt"."""


class Translator:
    r"""An encoder-decoder with attention (Sutskever et al. 2014; Luong et al. 2015) for pairs of sentences.

    Sentences are split into words and signs, in lower case. A bidirectional encoder reads the source, a decoder writes
    the target word by word and looks at the encoder's outputs by `rnncore.Attention`. Training is teacher forcing: the
    decoder is given the right words before each one, so that whole sequences run through the fused loops.

    Parameters
    ----------
    cell
        "lstm" or "gru".
    hidden_size, embedding_size, layers
        H, even, of the decoder, and of both directions of the encoder together; the features of a word; recurrent
        layers of each of the two.
    score
        How attention compares: "general" or "dot".
    dropout
        Probability that training zeroes a feature of a word, an output between layers, or one before the softmax.
    least, most
        Words that come fewer times in training, or beyond so many of the most frequent, are one unknown word.
    seed
        Initial parameters, dropout and the order of the pairs depend on it.

    Raises TypeError or ValueError for a size, probability or name out of range.

    Examples
    --------
    >>> from rnncore.text import Translator
    >>> pairs = [("one two", "two one"), ("two three", "three two"), ("three one", "one three")] * 20
    >>> translator = Translator(hidden_size=32, embedding_size=16, layers=1, dropout=0.0, seed=0)
    >>> history = translator.fit(pairs, pairs[:3], epochs=30, batch_size=10, lr=0.01, progress=False)
    >>> translator.translate(["two three"])
    ['three two']
    """

    def __init__(
        self,
        *,
        cell: Cell = "lstm",
        hidden_size: int = 256,
        embedding_size: int = 128,
        layers: int = 1,
        score: Literal["dot", "general"] = "general",
        dropout: float = 0.3,
        least: int = 1,
        most: int | None = None,
        seed: int = 0,
    ) -> None:
        if cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}, got {cell!r}")
        if check_size("hidden_size", hidden_size, 2) % 2:
            raise ValueError(f"hidden_size must be even, both directions of the encoder share it, got {hidden_size}")
        self.settings: dict[str, Any] = {
            "cell": cell,
            "hidden_size": int(hidden_size),
            "embedding_size": check_size("embedding_size", embedding_size, 1),
            "layers": check_size("layers", layers, 1),
            "score": score,
            "dropout": check_dropout(dropout),
            "seed": check_size("seed", seed, 0),
        }
        self.least, self.most = least, most
        self._network: Network | None = None

    # ---- training

    def fit(
        self,
        pairs: Pairs,
        validation: Pairs,
        *,
        epochs: int = 20,
        batch_size: int = 64,
        lr: float = 2e-3,
        clip_norm: float = 1.0,
        patience: int = 3,
        seconds: float | None = None,
        progress: bool = True,
    ) -> History:
        """Train on pairs (source, target); the weights of the epoch with the lowest validation loss stay.

        The learning rate is halved whenever an epoch brings no lower validation loss, and training stops after
        `patience` such epochs in a row, after `epochs`, or after so many seconds; Ctrl-C stops it too, and leaves the
        best weights so far. Raises ValueError for no pairs.
        """
        if not pairs or not validation:
            raise ValueError(f"expected pairs to train on and to hold out, got {len(pairs)} and {len(validation)}")
        check_positive("lr", lr)
        split = [(split_words(source), split_words(target)) for source, target in pairs]
        self.source = Vocabulary((source for source, _ in split), least=self.least, most=self.most)
        self.target = Vocabulary((target for _, target in split), least=self.least, most=self.most)
        network = self._network = Network(len(self.source), len(self.target), **self.settings)
        training, held_out = self._encoded(split), self._encoded([_split(pair) for pair in validation])
        optimizer = optim.Adam(network.vectors, lr=lr)
        history, generator = History(), np.random.default_rng(self.settings["seed"])
        best, began, waited = [vector.copy() for vector in network.vectors], time.monotonic(), 0
        try:
            for epoch in range(1, check_size("epochs", epochs, 1) + 1):
                total, words = 0.0, 0
                for batch in _batches(training, batch_size, generator):
                    loss, gradients = network.loss_and_gradients(*batch)
                    optim.clip_grad_norm(gradients, clip_norm, error_if_nonfinite=True)
                    optimizer.step(gradients)
                    count = int(batch[3].sum())
                    total, words = total + loss * count, words + count
                    if seconds is not None and time.monotonic() - began > seconds:
                        break
                history.loss.append(total / words)
                history.validation.append(self._validation_loss(held_out, batch_size))
                better = history.validation[-1] <= min(history.validation)
                if better:
                    best, history.best_epoch = [vector.copy() for vector in network.vectors], epoch
                waited = 0 if better else waited + 1
                if progress:
                    taken = time.monotonic() - began
                    told = f"loss {history.loss[-1]:.3f}, held out {history.validation[-1]:.3f} nats a word"
                    print(f"epoch {epoch}: {told}, {taken:.0f} s", file=sys.stderr, flush=True)
                if waited:
                    optimizer.lr /= 2
                if waited >= patience:
                    history.stopped = "early"
                    break
                if seconds is not None and time.monotonic() - began > seconds:
                    break
        except KeyboardInterrupt:
            history.stopped = "interrupt"
        for vector, kept in zip(network.vectors, best, strict=True):
            vector[...] = kept
        return history

    def _encoded(self, split: Sequence[tuple[list[str], list[str]]]) -> Encoded:
        return [(self.source.encode(source), self.target.encode(target)) for source, target in split]

    def _validation_loss(self, pairs: Encoded, batch_size: int) -> float:
        assert self._network is not None
        total = words = 0.0
        for layer in self._network.drops:
            layer.eval()
        recurrent = (self._network.encoder, self._network.decoder)
        for layer in recurrent:
            layer.eval()
        for source, lengths, target, target_lengths in _batches(pairs, batch_size, None):
            loss, _ = self._network.loss_and_gradients(source, lengths, target, target_lengths)
            total, words = total + loss * float(target_lengths.sum()), words + float(target_lengths.sum())
        for layer in (*self._network.drops, *recurrent):
            layer.train()
        return total / words

    # ---- use

    def translate(
        self,
        sentences: Sequence[str],
        *,
        beam: int = 1,
        length_penalty: float = 1.0,
        copy_unknown: bool = False,
        batch_size: int = 64,
    ) -> list[str]:
        """Translate sentences.

        Parameters
        ----------
        sentences
            Texts; an empty one stays empty.
        beam
            Beginnings that are kept; 1 takes the most probable word each time.
        length_penalty
            The power of a translation's length that its log-probability is divided by.
        copy_unknown
            Write the source word with the largest attention in place of an unknown word, instead of leaving it out.
        batch_size
            Sentences at a time.

        Raises RuntimeError before `fit` or `load`.
        """
        network = self._fitted()
        check_size("beam", beam, 1)
        split = [split_words(sentence) for sentence in sentences]
        order = [k for k in np.argsort([len(words) for words in split], kind="stable") if split[k]]
        results = [""] * len(split)
        for start in range(0, len(order), check_size("batch_size", batch_size, 1)):
            chosen = order[start : start + batch_size]
            source, lengths = _padded([self.source.encode(split[k]) for k in chosen])
            most = 2 * int(lengths.max()) + 10
            if beam == 1:
                decoded = decoding.greedy(network, source, lengths, most)
            else:
                decoded = decoding.beam_search(network, source, lengths, most, beam, length_penalty)
            for k, (words, places) in zip(chosen, decoded, strict=True):
                results[k] = join_words(self._words(words, places, split[k], copy_unknown))
        return results

    def _words(self, numbers: list[int], places: list[int], source: list[str], copy_unknown: bool) -> list[str]:
        words = []
        for number, place in zip(numbers, places, strict=True):
            if number != UNKNOWN:
                words.append(self.target.words[number])
            elif copy_unknown and place < len(source):
                words.append(source[place])
        return words

    @property
    def parameter_count(self) -> int:
        """The number of parameters. Raises RuntimeError before `fit` or `load`."""
        return sum(vector.size for vector in self._fitted().vectors)

    def _fitted(self) -> Network:
        if self._network is None:
            raise RuntimeError("the translator is not fitted: call fit, or load one")
        return self._network

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the translator to one safetensors file. Needs the package safetensors (`pip install rnncore[io]`)."""
        network = self._fitted()
        arrays = {
            f"{name}.{own}": array
            for name, layer in network.layers.items()
            for own, array in layer.named_parameters().items()
        }
        told = {"settings": self.settings, "source": self.source.words[4:], "target": self.target.words[4:]}
        write_tensors(path, FORMAT, VERSION, arrays, {"translator": json.dumps(told)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Translator:
        """Read a translator that `save` has written.

        Raises FileNotFoundError, and ValueError for a file that is damaged or holds something else.
        """
        arrays, metadata = read_tensors(path, FORMAT, VERSION)
        try:
            told = json.loads(metadata["translator"])
            made = cls(**told["settings"])
            made.source, made.target = (Vocabulary.of_words(told[name]) for name in ("source", "target"))
            network = made._network = Network(len(made.source), len(made.target), **made.settings)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{path} holds no translator of this version: {error}") from None
        for name, layer in network.layers.items():
            start = f"{name}."
            layer.load_state_dict({key[len(start) :]: array for key, array in arrays.items() if key.startswith(start)})
        return made


def _split(pair: tuple[str, str]) -> tuple[list[str], list[str]]:
    return split_words(pair[0]), split_words(pair[1])


def _padded(sequences: Sequence[Array]) -> tuple[Array, Array]:
    """Return the numbers (T, N), PAD past each end, and the lengths (N,)."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    numbers = np.full((int(lengths.max()), len(sequences)), PAD)
    for n, sequence in enumerate(sequences):
        numbers[: len(sequence), n] = sequence
    return numbers, lengths


def _batches(
    pairs: Encoded, size: int, generator: np.random.Generator | None
) -> Iterator[tuple[Array, Array, Array, Array]]:
    """Batches of pairs of like length: sorted by length, by chance among those of one, in random order if asked."""
    chance = np.arange(len(pairs)) if generator is None else generator.permutation(len(pairs))
    order = sorted(chance.tolist(), key=lambda k: (len(pairs[k][0]), len(pairs[k][1])))
    starts = np.arange(0, len(order), size)
    for start in starts if generator is None else generator.permutation(starts):
        chosen = [pairs[k] for k in order[start : start + size]]
        yield *_padded([source for source, _ in chosen]), *_padded([target for _, target in chosen])
