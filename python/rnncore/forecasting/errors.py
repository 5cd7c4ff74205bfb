"""The one error that a wrong file or setting raises."""

from rnncore.tables.errors import InputError

__all__ = ["InputError"]
