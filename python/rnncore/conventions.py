"""What scikit-learn expects of an estimator, without scikit-learn: parameters by name, and the error before `fit`."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, Self

__all__ = ["Parameters", "not_fitted"]


class Parameters:
    """`get_params`, `set_params` and a repr, from the signature of the constructor."""

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002  scikit-learn's signature
        """Return the parameters by name."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; they count from the next `fit` on. Raises ValueError for an unknown one."""
        names = self._parameter_names()
        for name, value in params.items():
            if name not in names:
                raise ValueError(f"there is no parameter {name!r}, only {', '.join(names)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"


def not_fitted(text: str) -> Exception:
    """Return scikit-learn's NotFittedError where it is installed, else a ValueError."""
    try:
        error: type[Exception] = importlib.import_module("sklearn.exceptions").NotFittedError
    except ImportError:
        error = ValueError
    return error(text)
