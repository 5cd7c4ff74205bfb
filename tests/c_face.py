"""librnncore.so through ctypes, over NumPy arrays: what the tests of the C face call."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache

import numpy as np

import rnncore

OK, INVALID_ARGUMENT, NO_ACCESS, DAMAGED_FILE, WRONG_FORMAT, CANNOT_STREAM, OUT_OF_MEMORY, FAILED = range(8)
TYPES = {1: np.dtype("float32"), 2: np.dtype("float64"), 3: np.dtype("int64")}

SIGNATURES = {
    "version": (c_char_p, []),
    "last_error": (c_char_p, []),
    "instruction_set": (c_char_p, []),
    "model_load": (c_int, [c_char_p, POINTER(c_void_p)]),
    "model_load_bytes": (c_int, [c_void_p, c_size_t, POINTER(c_void_p)]),
    "model_save": (c_int, [c_void_p, c_char_p]),
    "model_free": (None, [c_void_p]),
    "model_input_type": (c_int, [c_void_p]),
    "model_output_type": (c_int, [c_void_p]),
    "model_input_size": (c_int64, [c_void_p]),
    "model_output_size": (c_int64, [c_void_p]),
    "model_state_size": (c_int64, [c_void_p]),
    "model_label_count": (c_int64, [c_void_p]),
    "model_per_step": (c_int, [c_void_p]),
    "model_looks_ahead": (c_int, [c_void_p]),
    "model_input_bytes": (c_size_t, [c_void_p, c_int64, c_int64]),
    "model_output_bytes": (c_size_t, [c_void_p, c_int64, c_int64]),
    "model_state_bytes": (c_size_t, [c_void_p, c_int64]),
    "model_initial_state": (c_int, [c_void_p, c_int64, c_void_p, c_size_t]),
    "model_forward": (c_int, [
        c_void_p, c_int64, c_int64, c_void_p, c_size_t, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t,
        c_int,
    ]),
    "stream_open": (c_int, [c_void_p, c_int64, POINTER(c_void_p)]),
    "stream_fork": (c_int, [c_void_p, POINTER(c_void_p)]),
    "stream_free": (None, [c_void_p]),
    "stream_rows": (c_int64, [c_void_p]),
    "stream_input_bytes": (c_size_t, [c_void_p, c_int64]),
    "stream_output_bytes": (c_size_t, [c_void_p, c_int64]),
    "stream_state_bytes": (c_size_t, [c_void_p]),
    "stream_step": (c_int, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t]),
    "stream_run": (c_int, [c_void_p, c_int64, c_void_p, c_size_t, c_void_p, c_size_t, c_int]),
    "stream_reset": (c_int, [c_void_p, c_void_p, c_int64]),
    "stream_get_state": (c_int, [c_void_p, c_void_p, c_size_t]),
    "stream_set_state": (c_int, [c_void_p, c_void_p, c_size_t]),
    "kernels": (c_void_p, []),
}  # fmt: skip


class CError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@cache
def library() -> ctypes.CDLL:
    loaded = ctypes.CDLL(rnncore.get_library())
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(loaded, f"rnncore_{name}")
        function.restype, function.argtypes = result, arguments
    return loaded


def call(name: str, *arguments):
    """Call rnncore_<name>, which returns a status."""
    status = getattr(library(), f"rnncore_{name}")(*arguments)
    if status != OK:
        raise CError(status, library().rnncore_last_error().decode())


def ask(name: str, *arguments):
    return getattr(library(), f"rnncore_{name}")(*arguments)


def pointer(array):
    return None if array is None else array.ctypes.data


class CModel:
    def __init__(self, source) -> None:
        self.handle = c_void_p()
        if isinstance(source, (bytes, bytearray)):
            content = bytes(source)
            call("model_load_bytes", content or b"\0", len(content), byref(self.handle))
        else:
            call("model_load", str(source).encode(), byref(self.handle))
        self.input_type = TYPES[ask("model_input_type", self.handle)]
        self.output_type = TYPES[ask("model_output_type", self.handle)]
        self.input_size, self.output_size, self.state_size = (
            ask(f"model_{kind}_size", self.handle) for kind in ("input", "output", "state")
        )
        self.per_step = bool(ask("model_per_step", self.handle))

    def __del__(self) -> None:
        ask("model_free", self.handle)

    def save(self, path) -> None:
        call("model_save", self.handle, str(path).encode())

    def initial_state(self, rows):
        state = np.full(self.state_size * rows, np.nan, self.output_type)
        call("model_initial_state", self.handle, rows, pointer(state), state.nbytes)
        return state

    def forward(self, x, lengths=None, resets=None, state=None, threads=1):
        """x is (T, N, I), or (T, N) labels; the state is written to."""
        x = np.ascontiguousarray(x, self.input_type)
        y = np.full((*x.shape[:2], self.output_size)[not self.per_step :], np.nan, self.output_type)
        lengths = None if lengths is None else np.ascontiguousarray(lengths, "int64")
        resets = None if resets is None else np.ascontiguousarray(resets, "uint8")
        call(
            "model_forward", self.handle, *x.shape[:2], pointer(x), x.nbytes, pointer(lengths), pointer(resets),
            pointer(state), 0 if state is None else state.nbytes, pointer(y), y.nbytes, threads,
        )  # fmt: skip
        return y

    def stream(self, rows=1) -> CStream:
        handle = c_void_p()
        call("stream_open", self.handle, rows, byref(handle))
        return CStream(handle, self)


class CStream:
    def __init__(self, handle, model: CModel) -> None:
        self.handle, self.model, self.rows = handle, model, ask("stream_rows", handle)

    def __del__(self) -> None:
        ask("stream_free", self.handle)

    def step(self, x):
        x = np.ascontiguousarray(x, self.model.input_type)
        y = np.full((self.rows, self.model.output_size), np.nan, self.model.output_type)
        call("stream_step", self.handle, pointer(x), x.nbytes, pointer(y), y.nbytes)
        return y

    def run(self, x, threads=1):
        x = np.ascontiguousarray(x, self.model.input_type)
        y = np.full((len(x), self.rows, self.model.output_size), np.nan, self.model.output_type)
        call("stream_run", self.handle, len(x), pointer(x), x.nbytes, pointer(y), y.nbytes, threads)
        return y

    def reset(self, rows=None) -> None:
        rows = None if rows is None else np.ascontiguousarray(rows, "int64")
        call("stream_reset", self.handle, pointer(rows), 0 if rows is None else len(rows))

    @property
    def state(self):
        state = np.full(self.model.state_size * self.rows, np.nan, self.model.output_type)
        call("stream_get_state", self.handle, pointer(state), state.nbytes)
        return state

    @state.setter
    def state(self, state) -> None:
        call("stream_set_state", self.handle, pointer(state), state.nbytes)

    def fork(self) -> CStream:
        handle = c_void_p()
        call("stream_fork", self.handle, byref(handle))
        return CStream(handle, self.model)
