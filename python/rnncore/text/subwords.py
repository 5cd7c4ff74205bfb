"""Subwords: pieces of words that come often, by the package tokenizers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from rnncore.arguments import check_size

__all__ = ["Subwords"]


class Subwords:
    """Byte-pair encoding (Sennrich, Haddow & Birch 2016): pieces that stand together most often become one.

    Text is put into lower case and into the Unicode form NFKC; a space is part of the piece behind it, so that joining
    pieces gives the text back. Needs the package tokenizers (`pip install rnncore[text]`).

    >>> subwords = Subwords.train(["low lower lowest", "new newer newest"] * 3, 20)
    >>> subwords.split("Lowest")[-1], subwords.join(subwords.split("Newest low"))
    ('west', 'newest low')
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Subwords:
        """Learn about `size` pieces of texts, signs included. Raises ImportError without the package tokenizers."""
        tokenizers = _tokenizers()
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
        normal, before = tokenizers.normalizers, tokenizers.pre_tokenizers
        tokenizer.normalizer = normal.Sequence([normal.NFKC(), normal.Lowercase()])
        tokenizer.pre_tokenizer = before.Sequence([before.Metaspace(), before.Punctuation()])
        tokenizer.decoder = tokenizers.decoders.Metaspace()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=check_size("subwords", size, 2), special_tokens=["<unk>"], show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    def split(self, text: str) -> list[str]:
        """Return the pieces of a text."""
        return list(self._tokenizer.encode(text).tokens)

    def join(self, pieces: Sequence[str]) -> str:
        """Return the text of pieces."""
        return str(self._tokenizer.decoder.decode(list(pieces))).strip()

    def to_json(self) -> str:
        """Return what `of_json` reads."""
        return str(self._tokenizer.to_str())

    @classmethod
    def of_json(cls, text: str) -> Subwords:
        """Return the subwords of a file. Raises ImportError without the package tokenizers, ValueError for bad text."""
        tokenizers = _tokenizers()
        try:
            return cls(tokenizers.Tokenizer.from_str(text))
        except Exception as error:  # the package raises nothing narrower
            raise ValueError(f"no subwords: {error}") from None


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise ImportError("subwords need the package tokenizers: pip install 'rnncore[text]'") from None
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # sentences come one by one
    return tokenizers
