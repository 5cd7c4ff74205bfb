"""States by themselves: equality, copies, files."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from rnncore import State
from stream_case import CELLS, identical, moved


def test_states_are_equal_by_network_and_bits() -> None:
    h = np.array([[[0.0, np.nan]]])
    state = State("gru", 3, h)
    assert state == State("gru", 3, h.copy())
    for other in (
        State("gru", 3, -h),
        State("gru", 4, h),
        State("rnn_tanh", 3, h),
        State("gru", 3, h.astype("float32")),
        State("gru", 3, np.concatenate([h, h], 1)),
    ):
        assert state != other
    assert state != "state"
    h[...] = 1
    assert np.isnan(state.h[0, 0, 1])
    with pytest.raises(TypeError, match="unhashable"):
        hash(state)


@pytest.mark.parametrize("copied", [lambda s: pickle.loads(pickle.dumps(s)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("cell", CELLS)
def test_states_pickle_and_copy(cell: str, copied) -> None:
    stream, _ = moved(cell)
    other = copied(stream.state)
    assert other == stream.state
    assert not other.h.flags.writeable


# ---- files


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_state_goes_to_a_file_and_back(cell: str, dtype: str, tmp_path: Path) -> None:
    stream, _ = moved(cell, dtype=dtype)
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"old")
    stream.state.save(path)
    assert State.load(str(path)) == stream.state
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_another_process_goes_on_from_the_file_bit_for_bit(tmp_path: Path) -> None:
    stream, x = moved()
    stream.state.save(tmp_path / "state.safetensors")
    (tmp_path / "layer.pickle").write_bytes(pickle.dumps(stream.layer))
    np.save(tmp_path / "x.npy", x)
    code = """
        import pickle, numpy, rnncore
        stream = rnncore.Stream(pickle.load(open("layer.pickle", "rb")), 3)
        stream.state = rnncore.State.load("state.safetensors")
        numpy.save("y.npy", numpy.stack([stream.step(frame) for frame in numpy.load("x.npy")]))
    """
    subprocess.run([sys.executable, "-c", dedent(code)], check=True, cwd=tmp_path)
    identical(np.load(tmp_path / "y.npy"), stream.run(x))


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        State.load(path)
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(ValueError, match="is no safetensors file, or damaged"):
        State.load(path)
    moved()[0].state.save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is no safetensors file, or damaged"):
        State.load(path)

    h = np.zeros((1, 2, 3), "float32")
    good = {
        "format": "rnncore.State", "version": "1", "cell": "gru",
        "input_size": "4", "hidden_size": "3", "num_layers": "1", "dtype": "float32",
    }  # fmt: skip
    save_file({"h": h}, path, good)
    assert State.load(path) == State("gru", 4, h)
    for change, arrays, message in [
        ({"format": "pt"}, {"h": h}, "expected the format rnncore.State, got 'pt'"),
        ({"version": "2"}, {"h": h}, "is of version 2, this rnncore reads up to version 1"),
        ({"cell": "lstm"}, {"h": h}, "the cell is 'lstm', the arrays are h"),
        ({"cell": "tree"}, {"h": h}, "the cell is 'tree'"),
        ({"hidden_size": "4"}, {"h": h}, "hidden_size is 4, the arrays have 3"),
        ({"input_size": "-1"}, {"h": h}, "input_size must be at least 0, got -1"),
        ({"input_size": "x"}, {"h": h}, "invalid literal"),
        ({}, {"h": h[0]}, r"h: expected shape \(num_layers, rows, hidden_size\), got \(2, 3\)"),
        ({}, {"h": h.astype("int32")}, "dtype should be float32 or float64 in native byte order"),
    ]:
        save_file(arrays, path, {**good, **change})
        with pytest.raises(ValueError, match=message):
            State.load(path)


def test_without_safetensors_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda: State.load(tmp_path / "file"), lambda: moved()[0].state.save(tmp_path / "file")):
        with pytest.raises(ImportError, match=r"pip install 'rnncore\[io\]'"):
            call()
