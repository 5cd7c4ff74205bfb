"""Words and their numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from rnncore.arguments import Array, check_size

__all__ = ["BEGIN", "END", "PAD", "UNKNOWN", "Vocabulary", "Words", "join_words", "split_words"]

PAD, BEGIN, END, UNKNOWN = range(4)
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")

# A word with the apostrophe that ends it ("l'", "j'"), a number, or any other sign by itself.
_WORD = re.compile(r"\w+(?:['’](?=\w))?|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Split a sentence into words and signs, in lower case; an apostrophe stays with the word before it.

    >>> split_words("J'ai 23 ans, merci !")
    ["j'", 'ai', '23', 'ans', ',', 'merci', '!']
    """
    return _WORD.findall(text.lower().replace("’", "'"))


def join_words(words: Sequence[str]) -> str:
    """Write words as a sentence: no space before a sign that ends something, nor behind an apostrophe.

    >>> join_words(["j'", "ai", "23", "ans", ".", "merci", "!"])
    "j'ai 23 ans. merci !"
    """
    text = ""
    for word in words:
        glued = not text or text.endswith(("'", "-", "(")) or word in (".", ",", ")", "-", "'")
        text += word if glued else f" {word}"
    return text


class Words:
    """Sentences as words and signs."""

    split = staticmethod(split_words)
    join = staticmethod(join_words)


class Vocabulary:
    """The words that come at least `least` times, at most `most` of them; all others are one unknown word.

    >>> vocabulary = Vocabulary([["a", "b"], ["a"]], least=2)
    >>> len(vocabulary), vocabulary.encode(["a", "b"]).tolist(), vocabulary.decode([4, 2, 4])
    (5, [4, 3, 2], ['a'])
    """

    def __init__(self, sentences: Iterable[Sequence[str]], *, least: int = 1, most: int | None = None) -> None:
        check_size("least", least, 1)
        count = Counter(word for sentence in sentences for word in sentence)
        kept = sorted((word for word, times in count.items() if times >= least), key=lambda word: (-count[word], word))
        self._set(kept[: most and check_size("most", most, 1)])

    @classmethod
    def of_words(cls, words: Iterable[str]) -> Vocabulary:
        """Return the vocabulary of these words, in this order."""
        made = cls([])
        made._set(list(words))
        return made

    def _set(self, words: list[str]) -> None:
        self.words = [*_SPECIAL, *words]
        self._numbers = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, words: Sequence[str]) -> Array:
        """Return the numbers of words, and of the end behind them."""
        return np.array([*(self._numbers.get(word, UNKNOWN) for word in words), END], np.int64)

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Return the words of numbers, up to the end."""
        words = []
        for number in numbers:
            if number == END:
                break
            if number not in (PAD, BEGIN):
                words.append(self.words[number])
        return words
