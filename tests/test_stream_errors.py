"""What a stream and a state refuse: the error names it, and nothing has changed."""

import copy
import pickle

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import rnncore
from rnncore import State, Stream
from stream_case import moved

OUT = np.zeros((3, 5), "float32")
X = np.zeros((3, 4), "float32")
SHARED = np.zeros((3, 9), "float32")
READ_ONLY = OUT.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "x has 5 features, the layer expects 4", lambda s: s.step(np.zeros((3, 5), "float32"))),
        (ValueError, r"x: expected shape \(3, 4\), got \(2, 4\)", lambda s: s.step(X[:2])),
        (ValueError, r"x: expected shape \(3, 4\), got \(4,\)", lambda s: s.step(X[0])),
        (ValueError, r"x: expected shape \(3, 4\), got \(1, 3, 4\)", lambda s: s.step(X[None])),
        (TypeError, "x must hold real numbers, got dtype complex64", lambda s: s.step(X.astype("complex64"))),
        (TypeError, "x must hold plain numbers, got a masked array", lambda s: s.step(np.ma.masked_array(X))),
        (TypeError, "x must hold real numbers, got NoneType", lambda s: s.step(None)),
        (TypeError, "out should be a NumPy array, got list", lambda s: s.step(X, out=OUT.tolist())),
        (ValueError, r"out: expected shape \(3, 5\), got \(3, 4\)", lambda s: s.step(X, out=X.copy())),
        (ValueError, "out has dtype float64, expected float32", lambda s: s.step(X, out=OUT.astype("float64"))),
        (ValueError, "out is read-only", lambda s: s.step(X, out=READ_ONLY)),
        (ValueError, "out has rows that are not contiguous", lambda s: s.step(X, out=np.asfortranarray(OUT))),
        (ValueError, "out has rows that overlap", lambda s: s.step(X, out=as_strided(OUT.copy(), (3, 5), (0, 4)))),
        (ValueError, "out overlaps x", lambda s: s.step(SHARED[:, :4], out=SHARED[:, 3:8])),
        (ValueError, "x has 5 features, the layer expects 4", lambda s: s.run(np.zeros((2, 3, 5)))),
        (ValueError, "x has 2 rows, the stream 3", lambda s: s.run(np.zeros((7, 2, 4)))),
        (ValueError, "x has 1 rows, the stream 3", lambda s: s.run(np.zeros((7, 4)))),
        (ValueError, "x: expected input to be 2D or 3D, got 1D", lambda s: s.run(np.zeros(4))),
        (IndexError, "rows: there is no row 3 among 3", lambda s: s.reset([0, 3])),
        (IndexError, "rows: there is no row -4 among 3", lambda s: s.keep(-4)),
        (IndexError, "rows: there is no row 3 among 3", lambda s: s.state.rows(3)),
        (ValueError, r"rows: expected a mask of shape \(3,\), got \(2,\)", lambda s: s.reset([True, False])),
        (TypeError, "rows should be a number, a slice, a list", lambda s: s.reset(1.0)),
        (TypeError, "rows should be a number, a slice, a list", lambda s: s.keep([[0]])),
        (ValueError, "rows should name at least one row to keep", lambda s: s.keep([])),
        (ValueError, "batch_size must be at least 1, got 0", lambda s: s.resize(0)),
        (TypeError, "batch_size should be of type int, got: float", lambda s: s.resize(2.0)),
        (TypeError, "a Stream is neither pickled nor copied", pickle.dumps),
        (TypeError, "a Stream is neither pickled nor copied", copy.copy),
        (TypeError, "a Stream is neither pickled nor copied", copy.deepcopy),
    ],
)
def test_a_refused_call_names_the_problem_and_changes_nothing(error, message: str, call) -> None:
    stream, x = moved()
    state = stream.state
    with pytest.raises(error, match=message):
        call(stream)
    assert stream.state == state
    stream.step(x[0])


H3 = np.zeros((2, 3, 5), "float32")


@pytest.mark.parametrize(
    ("error", "message", "value"),
    [
        (
            ValueError,
            "is of gru, input_size 4, .* 2, float32; the stream is of lstm, input_size 4, hidden_size 5, ",
            State("gru", 4, H3),
        ),
        (ValueError, "the state is of lstm, input_size 3,", State("lstm", 3, H3, H3)),
        (ValueError, "hidden_size 5, num_layers 2, float64; ", State("lstm", 4, H3.astype(float), H3.astype(float))),
        (ValueError, "hidden_size 4, num_layers 2, float32; ", State("lstm", 4, H3[:, :, 1:], H3[:, :, 1:])),
        (ValueError, "hidden_size 5, num_layers 1, float32; ", State("lstm", 4, H3[1:], H3[1:])),
        (ValueError, "the state has 2 rows, the stream 3", State("lstm", 4, H3[:, 1:], H3[:, 1:])),
        (TypeError, "state should be a tuple of two arrays, h and c", H3),
        (ValueError, "state should be a tuple of two arrays, h and c", (H3,)),
        (ValueError, r"state\[1\]: expected hidden size \(2, 3, 5\), got \(2, 2, 5\)", (H3, H3[:, 1:])),
        (TypeError, r"state\[1\] must hold real numbers", (H3, None)),
    ],
)
def test_a_state_of_another_network_is_refused(error, message: str, value) -> None:
    stream, _ = moved()
    state = stream.state
    with pytest.raises(error, match=message):
        stream.state = value
    assert stream.state == state


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "cell should be one of rnn_tanh, .*, got 'tree'", lambda: State("tree", 4, H3)),
        (ValueError, "a state of lstm has the arrays h, c", lambda: State("lstm", 4, H3)),
        (ValueError, "a state of gru has the arrays h", lambda: State("gru", 4, H3, H3)),
        (ValueError, r"c: expected \(2, 3, 5\) float32 as of h", lambda: State("lstm", 4, H3, H3[1:])),
        (TypeError, "input_size should be of type int", lambda: State("gru", 4.0, H3)),
        (ValueError, "h: expected shape", lambda: State("gru", 4, H3[0])),
        (ValueError, "dtype should be float32 or float64", lambda: State("gru", 4, H3.astype("float16"))),
        (ValueError, "at least one State, got none", lambda: State.concatenate([])),
        (TypeError, "objects of type State, got ndarray", lambda: State.concatenate([H3])),
        (
            ValueError,
            "states of different networks: gru, input_size 4, .*; and gru, input_size 3, ",
            lambda: State.concatenate([State("gru", 4, H3), State("gru", 3, H3)]),
        ),
        (ValueError, "layer should have bidirectional=False", lambda: Stream(rnncore.GRU(3, 4, bidirectional=True))),
        (
            TypeError,
            "layer should be a recurrent layer, or a model of layers, got Linear",
            lambda: Stream(rnncore.Linear(3, 4)),
        ),
        (ValueError, "batch_size must be at least 1, got 0", lambda: Stream(rnncore.GRU(3, 4), 0)),
    ],
)
def test_constructors_refuse(error, message: str, call) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_closed_stream_refuses_everything() -> None:
    stream, x = moved()
    with stream as same:
        assert same is stream
    stream.close()
    assert repr(stream) == "Stream(LSTM(4, 5, num_layers=2), closed)"
    for call in (
        lambda: stream.step(x[0]),
        lambda: stream.run(x),
        lambda: stream.state,
        lambda: setattr(stream, "state", (H3, H3)),
        lambda: stream.reset(),
        lambda: stream.resize(1),
        lambda: stream.keep(0),
        lambda: stream.fork(),
        lambda: stream.refresh(),
        lambda: stream.batch_size,
        lambda: stream.__enter__(),
    ):
        with pytest.raises(ValueError, match="the stream is closed"):
            call()
