"""Language models: the next character, or the next word, from all before it."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Literal

import numpy as np

import rnncore
from rnncore.arguments import Array, Seed, check_size
from rnncore.files import FormatError
from rnncore.models import file
from rnncore.text.network import CELLS, Cell
from rnncore.training import History

__all__ = ["LanguageModel"]

Unit = Literal["characters", "words"]

UNKNOWN = "\ufffd"
_WORDS = re.compile(r"\s*\S+|\s+")  # a word with the space before it, so that joining words gives the text back


class LanguageModel:
    r"""An embedding, a recurrent layer and a softmax over the next token, trained by truncated BPTT with carried state.

    Parameters
    ----------
    unit
        "characters" or "words" (a word with the space before it).
    cell
        "lstm" or "gru".
    hidden_size, embedding_size, dropout
        Units of the layer; features of a token; probability that training zeroes an output before the softmax.
    least
        Tokens that come fewer times in training are one unknown token.
    seed
        Initial parameters, dropout and samples depend on it.

    Raises TypeError or ValueError for a size, probability or name out of range.

    Examples
    --------
    >>> from rnncore.text import LanguageModel
    >>> model = LanguageModel(hidden_size=32, embedding_size=8, dropout=0.0, seed=0)
    >>> history = model.fit("abcabcabd" * 400, epochs=12, rows=4, k1=32, progress=False)
    >>> model.nats("abcabcabd" * 20) < 0.3
    True
    >>> len(model.sample(20, prompt="abc", samples=2))
    2
    """

    def __init__(
        self,
        unit: Unit = "characters",
        *,
        cell: Cell = "lstm",
        hidden_size: int = 256,
        embedding_size: int = 128,
        dropout: float = 0.3,
        least: int = 1,
        seed: int = 0,
    ) -> None:
        if unit not in ("characters", "words"):
            raise ValueError(f"unit must be one of characters, words, got {unit!r}")
        if cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}, got {cell!r}")
        self.unit, self.least, self.seed = unit, check_size("least", least, 1), check_size("seed", seed, 0)
        self._sizes = embedding_size, hidden_size
        self._cell, self._dropout = CELLS[cell], dropout
        self._build(1)  # refuses what is out of range at once
        self.model: rnncore.Sequential | None = None
        self._set_tokens([])

    def _build(self, tokens: int) -> rnncore.Sequential:
        embedding_size, hidden_size = self._sizes
        return rnncore.Sequential(
            rnncore.Embedding(tokens, embedding_size, seed=self.seed),
            self._cell(embedding_size, hidden_size, seed=self.seed + 1),
            rnncore.Dropout(self._dropout, seed=self.seed + 2),
            rnncore.Linear(hidden_size, tokens, seed=self.seed + 3),
        )

    # ---- tokens

    def split(self, text: str) -> list[str]:
        """Return the tokens of a text."""
        return list(text) if self.unit == "characters" else _WORDS.findall(text)

    def encode(self, text: str) -> Array:
        """Return the numbers of a text's tokens."""
        return np.array([self._numbers.get(token, 0) for token in self.split(text)], np.int64)

    def _set_tokens(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self._numbers = {token: number for number, token in enumerate(tokens)}

    # ---- training

    def fit(
        self,
        text: str,
        validation: str | None = None,
        *,
        epochs: int = 20,
        rows: int = 32,
        k1: int = 64,
        lr: float = 4e-3,
        weight_decay: float = 0.03,
        clip_norm: float = 1.0,
        **options: Any,
    ) -> History:
        """Train on a text; the weights of the epoch that is best on the validation text stay.

        Parameters
        ----------
        text, validation
            Texts; by default the last tenth of the text validates.
        epochs, rows, k1
            Passes; parts of the text side by side; steps between updates, the state carried over.
        lr, weight_decay, clip_norm
            Of AdamW, whose learning rate rises through 100 updates and then falls along a cosine; the largest norm.
        options
            Others of `rnncore.Sequential.fit`: checkpoint, resume, progress, num_threads ...

        Raises ValueError for a text too short for its rows.
        """
        check_size("epochs", epochs, 1)
        if validation is None:
            cut = len(text) * 9 // 10
            text, validation = text[:cut], text[cut:]
        count: dict[str, int] = {}
        for token in self.split(text):
            count[token] = count.get(token, 0) + 1
        self._set_tokens([UNKNOWN, *sorted(token for token, times in count.items() if times >= self.least)])
        values, held_out = self.encode(text), self.encode(validation)
        for name, own, least in (("text", values, 2 * rows), ("validation", held_out, 2)):
            if len(own) < least:
                raise ValueError(f"{name}: expected at least {least} {self.unit}, got {len(own)}")
        model = self.model = self._build(len(self.tokens))
        rnncore.initialisation.forget_bias(model)
        x, target = side_by_side(values, rows)
        updates = -(-len(x) // k1) * epochs
        return model.fit(
            (x, target),
            loss="cross_entropy",
            k1=k1,
            epochs=epochs,
            optimizer=rnncore.optim.AdamW(model.parameters, lr=lr, weight_decay=weight_decay),
            schedule=rnncore.schedules.Warmup(100, rnncore.schedules.Cosine(max(updates, 101), per="update")),
            clip_norm=clip_norm,
            validation=side_by_side(held_out, 1),
            early_stopping=epochs,
            **options,
        )

    # ---- use

    @property
    def parameters(self) -> Array:
        """The model's parameters, flat. Raises RuntimeError before `fit` or `load`."""
        return self._fitted().parameters

    def _fitted(self) -> rnncore.Sequential:
        if self.model is None:
            raise RuntimeError("the language model is not fitted: call fit, or load one")
        return self.model

    def nats(self, text: str) -> float:
        """Return the mean cross-entropy of each token after the first, in nats. Raises ValueError below two tokens."""
        model, values = self._fitted(), self.encode(text)
        if len(values) < 2:
            raise ValueError(f"text: expected at least 2 {self.unit}, got {len(values)}")
        return float(model.evaluate(side_by_side(values, 1), "cross_entropy", stream=1000)["loss"])

    def sample(
        self, length: int, *, prompt: str = "\n", samples: int = 1, temperature: float = 1.0, seed: Seed = None
    ) -> list[str]:
        """Return texts of `length` tokens behind the prompt, which is read once for all of them.

        A lower temperature takes likelier tokens. The unknown token is never drawn. One seed gives one text. Raises
        ValueError for an empty prompt and for a temperature that is not positive.
        """
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        numbers = self.encode(prompt)
        if not numbers.size:
            raise ValueError(f"prompt: expected at least one of the {self.unit}, got {prompt!r}")
        check_size("length", length, 0)
        generator = np.random.default_rng(self.seed if seed is None else seed)
        with rnncore.Stream(self._fitted()) as stream:
            scores = stream.run(numbers)[-1:]
            stream.keep(np.zeros(check_size("samples", samples, 1), np.int64))  # the state behind the prompt, for all
            scores = np.repeat(scores, samples, axis=0)
            drawn = np.empty((length, samples), np.int64)
            for place in range(length):
                logits = scores.astype(np.float64).reshape(samples, -1) / temperature
                logits[:, 0] = -np.inf
                chances = np.exp(logits - logits.max(axis=1, keepdims=True))
                ends = np.cumsum(chances, axis=1)
                points = generator.random((samples, 1)) * ends[:, -1:]
                drawn[place] = np.minimum((ends <= points).sum(axis=1), len(self.tokens) - 1)
                scores = stream.step(drawn[place] if samples > 1 else int(drawn[place, 0]))
        return [prompt + "".join(self.tokens[number] for number in drawn[:, k]) for k in range(samples)]

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model and its tokens to one safetensors file, which `rnncore.load` reads too, as a model."""
        told = {"unit": self.unit, "tokens": self.tokens, "seed": self.seed}
        file.save(self._fitted(), path, metadata={"language_model": json.dumps(told)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LanguageModel:
        """Read a language model that `save` has written.

        Raises FileNotFoundError, and ValueError for a file that is damaged or holds something else.
        """
        model, _, metadata = file.read_model(path, rnncore.Sequential)
        try:
            told = json.loads(metadata["language_model"])
            made = cls(told["unit"], seed=told["seed"])
            made._set_tokens(told["tokens"])
        except (KeyError, TypeError, ValueError):
            raise FormatError(f"{path} holds a model, but no language model") from None
        made.model = model
        return made


def side_by_side(values: Array, rows: int) -> tuple[Array, Array]:
    """Cut one text into rows: x (T, rows), and the token that follows each."""
    steps = (len(values) - 1) // rows
    x, target = (values[k : k + steps * rows].reshape(rows, steps).T for k in (0, 1))
    return np.ascontiguousarray(x), np.ascontiguousarray(target)
