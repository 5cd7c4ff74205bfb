"""Text: an encoder-decoder with attention that translates sequences of words, and what it needs of vocabularies.

>>> from rnncore.text import Translator, examples
>>> pairs = examples.numbers_and_dates(2000, seed=0)
>>> translator = Translator(hidden_size=32, embedding_size=16, layers=1, seed=0)
>>> history = translator.fit(pairs[:1800], pairs[1800:], epochs=1, progress=False)
>>> translations = translator.translate(["ninety two", "march 3 1991"])
>>> len(translations), len(history.loss)
(2, 1)
"""

from rnncore.text.errors import InputError
from rnncore.text.language import LanguageModel
from rnncore.text.subwords import Subwords
from rnncore.text.translator import Translator
from rnncore.text.vocabulary import Vocabulary
from rnncore.training import History

__all__ = ["History", "InputError", "LanguageModel", "Subwords", "Translator", "Vocabulary"]
