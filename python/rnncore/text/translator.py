"""A translator: vocabularies and a network, trained on pairs of sentences."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from rnncore.arguments import check_dropout, check_size
from rnncore.files import FormatError, read_tensors, write_tensors
from rnncore.text import decoding
from rnncore.text.fitting import Course, Numbers, padded
from rnncore.text.network import CELLS, Cell, Network
from rnncore.text.subwords import Subwords
from rnncore.text.vocabulary import UNKNOWN, Vocabulary, Words
from rnncore.training import History

__all__ = ["Translator"]

FORMAT, VERSION = "rnncore.translator", 1

Pairs = Sequence[tuple[str, str]]


class Translator:
    r"""An encoder-decoder with attention (Sutskever et al. 2014; Luong et al. 2015) for pairs of sentences.

    Sentences are split into words and signs, or into subwords, in lower case. A bidirectional encoder reads the source,
    a decoder writes the target word by word and looks at the encoder's outputs by `rnncore.Attention`. Training is
    teacher forcing: the decoder is given the right words before each one, so that whole sequences run through the fused
    loops.

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
    subwords
        Split sentences into so many kinds of pieces of words, learned of each side (`Subwords`), instead of words.
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
        subwords: int | None = None,
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
        self.subwords = None if subwords is None else check_size("subwords", subwords, 2)
        self._units: tuple[Words | Subwords, Words | Subwords] = (Words(), Words())
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
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> History:
        """Train on pairs (source, target); the weights of the epoch with the lowest validation loss stay.

        Parameters
        ----------
        pairs, validation
            Pairs to train on, and to hold out.
        epochs, batch_size, lr, clip_norm
            Passes; pairs between updates, of like lengths; of Adam, whose learning rate rises through 100 updates and
            then falls along a cosine; the largest norm of a gradient.
        patience, seconds
            Training stops after so many epochs without a lower validation loss, and after so many seconds.
        progress
            Show it.
        checkpoint
            A file that is written after every epoch, and gone on from where it is there.

        Ctrl-C stops it too, and leaves the best weights so far. Raises ValueError for no pairs, and for a checkpoint of
        another training.
        """
        return self.course(
            pairs,
            validation,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            clip_norm=clip_norm,
            patience=patience,
            seconds=seconds,
            progress=progress,
            checkpoint=checkpoint,
        ).run()

    def course(self, pairs: Pairs, validation: Pairs, **options: Any) -> Course:
        """Return the training that `fit` with these arguments runs, before its first update."""
        if not pairs or not validation:
            raise ValueError(f"expected pairs to train on and to hold out, got {len(pairs)} and {len(validation)}")
        if self.subwords is not None:
            of_source, of_target = (Subwords.train((pair[side] for pair in pairs), self.subwords) for side in (0, 1))
            self._units = (of_source, of_target)
        split = self._split(pairs)
        self.source = Vocabulary((source for source, _ in split), least=self.least, most=self.most)
        self.target = Vocabulary((target for _, target in split), least=self.least, most=self.most)
        self._network = Network(len(self.source), len(self.target), **self.settings)
        training, held_out = self._numbers(split), self._numbers(self._split(validation))
        return Course(self._network, training, held_out, seed=self.settings["seed"], **options)

    def _split(self, pairs: Pairs) -> list[tuple[list[str], list[str]]]:
        of_source, of_target = self._units
        return [(of_source.split(source), of_target.split(target)) for source, target in pairs]

    def _numbers(self, split: Sequence[tuple[list[str], list[str]]]) -> Numbers:
        return [(self.source.encode(source), self.target.encode(target)) for source, target in split]

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
        of_source, of_target = self._units
        split = [of_source.split(sentence) for sentence in sentences]
        order = [k for k in np.argsort([len(words) for words in split], kind="stable") if split[k]]
        results = [""] * len(split)
        for start in range(0, len(order), check_size("batch_size", batch_size, 1)):
            chosen = order[start : start + batch_size]
            source, lengths = padded([self.source.encode(split[k]) for k in chosen])
            most = 2 * int(lengths.max()) + 10
            if beam == 1:
                decoded = decoding.greedy(network, source, lengths, most)
            else:
                decoded = decoding.beam_search(network, source, lengths, most, beam, length_penalty)
            for k, (words, places) in zip(chosen, decoded, strict=True):
                results[k] = of_target.join(self._words(words, places, split[k], copy_unknown))
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
        told: dict[str, Any] = {"settings": self.settings}
        told |= {"source": self.source.words[4:], "target": self.target.words[4:]}
        told["vocabulary"] = {"least": self.least, "most": self.most, "subwords": self.subwords}
        told["pieces"] = [units.to_json() for units in self._units if isinstance(units, Subwords)]
        write_tensors(path, FORMAT, VERSION, arrays, {"translator": json.dumps(told)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Translator:
        """Read a translator that `save` has written.

        Raises FileNotFoundError, and ValueError for a file that is damaged or holds something else.
        """
        arrays, metadata = read_tensors(path, FORMAT, VERSION)
        try:
            told = json.loads(metadata["translator"])
            made = cls(**told["settings"], **told.get("vocabulary", {}))
            made.source, made.target = (Vocabulary.of_words(told[name]) for name in ("source", "target"))
            if made.subwords is not None:
                of_source, of_target = (Subwords.of_json(text) for text in told["pieces"])
                made._units = (of_source, of_target)
            network = made._network = Network(len(made.source), len(made.target), **made.settings)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{path} holds no translator of this version: {error}") from None
        for name, layer in network.layers.items():
            start = f"{name}."
            layer.load_state_dict({key[len(start) :]: array for key, array in arrays.items() if key.startswith(start)})
        return made
