"""Every example runs: those of the installed package's docstrings, one for each public name, and the README's."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import rnncore
from frameworks import require

MODULES = ["rnncore"] + [
    module.name
    for module in pkgutil.walk_packages(rnncore.__path__, "rnncore.")
    if module.name.split(".")[-1] not in ("_core", "__main__")
]


def imported(name: str) -> types.ModuleType:
    """Import a module; a bridge only where its framework is installed."""
    require(name.removeprefix("rnncore.").removeprefix("bridges.").split(".")[0])
    return importlib.import_module(name)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # examples may write files
    module = imported(name)
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


def readme_examples() -> list[str]:
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


PAGES = sorted(
    path for path in (Path(__file__).resolve().parents[1] / "docs").glob("*.md") if ">>>" in path.read_text()
)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_examples_of_a_page(page: Path, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    require(page.stem)
    results = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS, encoding="utf-8")
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("code", readme_examples(), ids=lambda code: code.split("\n", 1)[0])
def test_a_readme_example_runs_by_itself(code: str, tmp_path) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_the_readme_examples_run(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    checked = 0
    for code in readme_examples():
        for statement in ast.parse(code).body:
            exec(compile(ast.Module([statement], []), "README.md", "exec"), names)
            comment = code.splitlines()[statement.end_lineno - 1].partition("#")[2]
            if shape := re.search(r"(?:^ |y is )\(([\d, ]+)\)", comment):  # of y, as the comment has it
                assert np.shape(names["y"]) == tuple(int(size) for size in shape[1].split(",") if size.strip()), comment
                checked += 1
    assert checked >= 3


@pytest.mark.parametrize("page", ["embedding.md", "format.md"])
def test_the_examples_of_a_page_run(page: str, tmp_path) -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / page).read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert code
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
