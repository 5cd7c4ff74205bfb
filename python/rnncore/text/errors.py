"""The error of input that a user has to mend: one line, exit code 2."""

from rnncore.tables.errors import InputError

__all__ = ["InputError"]
