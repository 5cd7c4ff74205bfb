"""Every example in the installed package's docstrings runs and prints what it says, and every public name has one."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import rnncore

MODULES = ["rnncore"] + [
    module.name
    for module in pkgutil.walk_packages(rnncore.__path__, "rnncore.")
    if module.name.split(".")[-1] not in ("_core", "__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # examples may write files
    module = importlib.import_module(name)
    with np.printoptions(legacy=False):
        results = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_every_public_name_has_an_example() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    without = []
    for name in rnncore.__all__:
        thing = getattr(rnncore, name)
        if not (inspect.isclass(thing) or inspect.isroutine(thing)):
            continue
        if not any(test.examples for test in finder.find(thing, name)):
            without.append(name)
    assert not without
