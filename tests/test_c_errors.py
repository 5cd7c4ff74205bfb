"""What C is given wrong is refused with a status and a text, and nothing changes."""

import ctypes
import json

import numpy as np
import pytest

import rnncore
from c_face import (
    CANNOT_STREAM,
    DAMAGED_FILE,
    INVALID_ARGUMENT,
    NO_ACCESS,
    WRONG_FORMAT,
    CError,
    CModel,
    ask,
    call,
    pointer,
)
from rnncore import files
from rnncore.models import file as model_file

ROWS = 2
HUGE = 2**63 - 1


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    rnncore.Sequential(rnncore.LSTM(3, 4, seed=0), rnncore.Linear(4, 2, seed=0)).save(path)
    return path


@pytest.fixture(scope="module")
def model(path):
    return CModel(path)


@pytest.fixture(scope="module")
def speller(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "speller.safetensors"
    rnncore.Sequential(rnncore.Embedding(5, 3, seed=0), rnncore.GRU(3, 4, seed=0)).save(path)
    return CModel(path)


def refused(status, text, work):
    with pytest.raises(CError) as caught:
        work()
    assert str(caught.value) == text
    assert caught.value.status == status


# ---- models


def test_files_that_are_not_there_or_no_files(tmp_path):
    refused(NO_ACCESS, f"{tmp_path}/none: No such file or directory", lambda: CModel(tmp_path / "none"))
    refused(NO_ACCESS, f"{tmp_path}: Is a directory", lambda: CModel(tmp_path))
    refused(NO_ACCESS, "/dev/zero: Invalid argument", lambda: CModel("/dev/zero"))


def test_files_that_hold_something_else(tmp_path, path):
    head = f"{tmp_path}/file is no safetensors file, or damaged: "
    for content, text in {
        b"": "it has 0 bytes, expected at least 8",
        b"\xff" * 20: f"its header should have {2**64 - 1} bytes, the file has 20 in all",
        b"\x02" + b"\0" * 7 + b"[]": "its header is no object of JSON",
    }.items():
        (tmp_path / "file").write_bytes(content)
        refused(DAMAGED_FILE, head + text, lambda: CModel(tmp_path / "file"))
    whole = path.read_bytes()
    newer = whole.replace(b'"version":"1"', b'"version":"2"')
    assert newer != whole
    refused(WRONG_FORMAT, "the content is of version 2, this rnncore reads up to version 1", lambda: CModel(newer))
    refused(
        DAMAGED_FILE, "the content is damaged: its content does not match its digest",
        lambda: CModel(whole[:-1] + bytes([whole[-1] ^ 1])),
    )  # fmt: skip
    rnncore.State("gru", 2, np.zeros((1, 1, 3))).save(tmp_path / "file")
    refused(
        WRONG_FORMAT, f"{tmp_path}/file: expected the format rnncore.model, got 'rnncore.State'",
        lambda: CModel(tmp_path / "file"),
    )  # fmt: skip


def described(path, change):
    """A file, with a good digest, whose architecture was changed."""
    made = rnncore.Sequential(rnncore.LSTM(3, 4, seed=0), rnncore.Linear(4, 2, seed=0))
    architecture = model_file.architecture(made)
    change(architecture)
    told = {"architecture": json.dumps(architecture)}
    files.write_tensors(path, "rnncore.model", 1, made.named_parameters(), told)
    return path


def options(layer, **values):
    return lambda architecture: architecture["layers"][layer]["options"].update(values)


@pytest.mark.parametrize(("change", "text"), [
    (options(0, hidden_size=2**62), "could not allocate more than 2^63 bytes"),
    (options(0, num_layers=10**12), "layer 0 has num_layers 1000000000000, the file holds 6 tensors"),
    (options(0, hidden_size=-1), "layer 0: hidden_size should be a size, got -1"),
    (options(0, hidden_size="4"), 'layer 0: hidden_size should be a size, got "4"'),
    (options(0, hidden_size=5), "layer 1 (Linear) expects 4 features, layer 0 (lstm) gives 5"),
    (options(0, input_size=2), "parameter 0.weight_ih_l0 is float32 (16, 3), expected float32 (16, 2)"),
    (options(0, bias=1), "layer 0: bias should be true or false, got 1"),
    (options(0, colour=1), "layer 0 has the option colour, which is unknown"),
    (options(1, activation="sine"), 'layer 1: activation should be relu, tanh, sigmoid, gelu or null, got "sine"'),
    (options(1, bias=False), "holds 6 parameters, its model has 5"),
    (lambda a: a["layers"][0].update(kind="Transformer"), "there is no layer of the kind Transformer"),
    (lambda a: a["layers"][0]["options"].pop("input_size"), "layer 0 lacks input_size"),
    (lambda a: a["layers"].clear(), "a model needs at least one layer, got none"),
    (lambda a: a["layers"].extend([a["layers"][1]] * 10_000), "it has 10002 layers, at most 10000 can be"),
    (lambda a: a["layers"].__setitem__(0, 7), "layer number 0 is no object of JSON"),
    (lambda a: a.update(dtype="float16"), "dtype must be float32 or float64, got 'float16'"),
    (lambda a: a.update(dtype="float64"), "parameter 0.weight_ih_l0 is float32 (16, 3), expected float64 (16, 3)"),
    (lambda a: a.pop("layers"), "its architecture should have layers"),
])  # fmt: skip
def test_a_file_that_describes_no_model(change, text, tmp_path):
    with pytest.raises(CError) as caught:
        CModel(described(tmp_path / "model.safetensors", change))
    assert caught.value.status == WRONG_FORMAT
    assert text in str(caught.value)


def test_what_is_no_model_is_refused_in_python_too(tmp_path):
    with pytest.raises(files.FormatError):
        rnncore.load(described(tmp_path / "model.safetensors", options(0, hidden_size=5)))


# ---- calls


def forward(model, steps=3, rows=ROWS, x=0, y=0, state=0, threads=1, lengths=None, resets=None, over=False):
    """A call whose buffers are longer by so many bytes than they should be."""
    a, b, s = np.zeros(512, "u1"), np.full(512, 7, "u1"), np.full(512, 7, "u1")
    before = b.copy()
    sizes = [3 * ROWS * 3 * 4, 3 * ROWS * 2 * 4, ROWS * 8 * 4]
    try:
        call(
            "model_forward", model.handle, steps, rows, pointer(a), sizes[0] + x, pointer(lengths), pointer(resets),
            pointer(s), sizes[2] + state, pointer(a) + 8 if over else pointer(b), sizes[1] + y, threads,
        )  # fmt: skip
    finally:
        assert (b == before).all()
        assert (s == before).all()


@pytest.mark.parametrize(("wrong", "text"), [
    ({"x": 4}, "x has 76 bytes, expected 72"),
    ({"y": -4}, "y has 44 bytes, expected 48"),
    ({"state": 64}, "state has 128 bytes, expected 64"),
    ({"rows": 3}, "x has 72 bytes, expected 108"),
    ({"steps": -1}, "steps is -1, expected 0 or more"),
    ({"steps": HUGE}, "x: so many steps and rows are more than memory can hold"),
    ({"threads": -1}, "num_threads is -1, expected 0 or more"),
    ({"lengths": np.array([3, 4])}, "lengths[1] is 4, expected 0..3"),
    ({"lengths": np.array([-1, 3])}, "lengths[0] is -1, expected 0..3"),
    ({"resets": np.array([0, 1, 0, 2, 0, 0], "u1")}, "resets[3] is 2, expected 0 or 1"),
    ({"over": True}, "y lies over x, expected arrays apart from each other"),
])  # fmt: skip
def test_a_batch_of_another_size(wrong, text, model):
    refused(INVALID_ARGUMENT, text, lambda: forward(model, **wrong))


def test_a_state_of_some_bytes_is_no_null_pointer(model):
    a, b = np.zeros(512, "u1"), np.full(512, 7, "u1")
    arguments = (3, ROWS, pointer(a), 3 * ROWS * 3 * 4, None, None, None, 5, pointer(b), 3 * ROWS * 2 * 4, 1)
    text = "state has 5 bytes, expected 64"
    refused(INVALID_ARGUMENT, text, lambda: call("model_forward", model.handle, *arguments))
    assert (b == 7).all()


def test_labels_out_of_range(speller):
    text = "x has the label 5 at step 1, row 0, expected 0..4"
    x = np.array([[0, 4], [5, 0]])
    refused(INVALID_ARGUMENT, text, lambda: speller.forward(x))
    assert np.isfinite(speller.forward(x, lengths=[1, 2])).all()  # past a row's length nothing is looked at
    stream = speller.stream(2)
    refused(INVALID_ARGUMENT, text, lambda: stream.run(x))
    refused(INVALID_ARGUMENT, "x has the label -1 at step 0, row 1, expected 0..4", lambda: stream.step([0, -1]))
    assert not stream.state.any()


# ---- streams


def test_a_model_that_looks_ahead_does_not_stream(tmp_path):
    rnncore.Sequential(rnncore.GRU(3, 4, bidirectional=True, seed=0)).save(tmp_path / "model")
    text = "the model has a bidirectional layer, which reads the future: expected layers in one direction, or "
    refused(CANNOT_STREAM, text + "rnncore_model_forward", lambda: CModel(tmp_path / "model").stream())


@pytest.mark.parametrize("rows", [0, -1])
def test_a_stream_has_rows(rows, model):
    refused(INVALID_ARGUMENT, f"rows is {rows}, expected at least 1", lambda: model.stream(rows))


def test_more_rows_than_memory(model):
    with pytest.raises(CError, match="could not allocate"):
        model.stream(2**60)


@pytest.fixture
def stream(model):
    stream = model.stream(ROWS)
    stream.run(np.random.default_rng(0).normal(size=(4, ROWS, 3)))
    return stream


@pytest.mark.parametrize(("name", "arguments", "text"), [
    ("stream_step", (20, 16), "x has 20 bytes, expected 24"),
    ("stream_step", (48, 16), "x has 48 bytes, expected 24"),
    ("stream_step", (24, 8), "y has 8 bytes, expected 16"),
    ("stream_get_state", (60,), "state has 60 bytes, expected 64"),
    ("stream_set_state", (128,), "state has 128 bytes, expected 64"),
])  # fmt: skip
def test_buffers_of_the_wrong_length(name, arguments, text, stream):
    before = stream.state
    buffers = [np.full(256, 7, "u1") for _ in arguments]
    given = [value for array, size in zip(buffers, arguments, strict=True) for value in (pointer(array), size)]
    refused(INVALID_ARGUMENT, text, lambda: call(name, stream.handle, *given))
    assert all((array == 7).all() for array in buffers)
    np.testing.assert_array_equal(stream.state, before)


def test_rows_that_are_not_there(stream):
    before = stream.state
    refused(INVALID_ARGUMENT, "rows[1] is 2, expected 0..1", lambda: stream.reset([0, 2]))
    text = "rows is a null pointer, expected 3 numbers; all rows: count 0"
    refused(INVALID_ARGUMENT, text, lambda: call("stream_reset", stream.handle, None, 3))
    refused(INVALID_ARGUMENT, "rows[0] is -1, expected 0..1", lambda: stream.reset([-1]))
    np.testing.assert_array_equal(stream.state, before)


def test_null_pointers_are_refused(model, stream):
    buffer = np.zeros(64, "u1")
    some, out = pointer(buffer), ctypes.byref(ctypes.c_void_p())
    before = stream.state
    for name, arguments, text in [
        ("model_load", (None, out), "path is a null pointer, expected the name of a file"),
        ("model_load", (b"x", None), "model is a null pointer, expected where to put a handle"),
        ("model_load_bytes", (None, 0, out), "content is a null pointer, expected the bytes of a file"),
        ("model_load_bytes", (some, 8, None), "model is a null pointer, expected where to put a handle"),
        ("model_save", (None, b"x"), "model is a null pointer, expected a handle"),
        ("model_save", (model.handle, None), "path is a null pointer, expected the name of a file"),
        ("model_initial_state", (None, 1, some, 32), "model is a null pointer, expected a handle"),
        ("model_initial_state", (model.handle, 1, None, 32), "state is a null pointer, expected 32 bytes"),
        ("model_forward", (None, 1, 1, some, 12, None, None, None, 0, some, 8, 1),
         "model is a null pointer, expected a handle"),
        ("model_forward", (model.handle, 1, 1, None, 12, None, None, None, 0, some, 8, 1),
         "x is a null pointer, expected 12 bytes"),
        ("model_forward", (model.handle, 1, 1, some, 12, None, None, None, 0, None, 8, 1),
         "y is a null pointer, expected 8 bytes"),
        ("stream_open", (None, 1, out), "model is a null pointer, expected a handle"),
        ("stream_open", (model.handle, 1, None), "stream is a null pointer, expected where to put a handle"),
        ("stream_fork", (None, out), "stream is a null pointer, expected a handle"),
        ("stream_fork", (stream.handle, None), "copy is a null pointer, expected where to put a handle"),
        ("stream_step", (None, some, 24, some, 16), "stream is a null pointer, expected a handle"),
        ("stream_step", (stream.handle, None, 24, some, 16), "x is a null pointer, expected 24 bytes"),
        ("stream_step", (stream.handle, some, 24, None, 16), "y is a null pointer, expected 16 bytes"),
        ("stream_run", (None, 1, some, 24, some, 16, 1), "stream is a null pointer, expected a handle"),
        ("stream_reset", (None, None, 0), "stream is a null pointer, expected a handle"),
        ("stream_get_state", (None, some, 64), "stream is a null pointer, expected a handle"),
        ("stream_set_state", (stream.handle, None, 64), "state is a null pointer, expected 64 bytes"),
    ]:  # fmt: skip
        refused(INVALID_ARGUMENT, text, lambda name=name, arguments=arguments: call(name, *arguments))
    np.testing.assert_array_equal(stream.state, before)
    ask("model_free", None)
    ask("stream_free", None)
    assert ask("model_input_size", None) == ask("stream_rows", None) == ask("model_output_type", None) == -1
    assert ask("model_input_bytes", None, 1, 1) == ask("stream_state_bytes", None) == 2**64 - 1


def test_each_thread_has_its_own_last_error(model):
    import threading

    with pytest.raises(CError):
        model.stream(0)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(ask("last_error")))
    thread.start()
    thread.join()
    assert seen == [b""]
    assert ask("last_error") == b"rows is 0, expected at least 1"


@pytest.mark.parametrize("shift", range(2))
def test_a_long_text_ends_with_a_whole_character(shift, tmp_path):
    path = tmp_path.joinpath("x" * shift, *["ö" * 120] * 5)
    with pytest.raises(CError) as caught:
        CModel(path)
    text = str(caught.value)  # which would not decode otherwise
    assert str(path).startswith(text)
    assert len(text.encode()) in (1021, 1022, 1023)
