"""Run a model of rnncore on lines of numbers with nothing but the standard library and librnncore.so.

python run_steps.py librnncore.so model.safetensors < x.txt > y.txt

Each line is a step, its numbers are the features; each line that comes out is the model's output at that step. Where
rnncore is installed, `rnncore.get_library()` tells where the library is.
"""

import sys
from ctypes import CDLL, POINTER, byref, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p, sizeof

FLOAT32 = 1


def open_library(path: str) -> CDLL:
    """Load the library and say what its functions take and return."""
    library = CDLL(path)
    signatures = {
        "rnncore_last_error": (c_char_p, []),
        "rnncore_model_load": (c_int, [c_char_p, POINTER(c_void_p)]),
        "rnncore_model_free": (None, [c_void_p]),
        "rnncore_model_input_type": (c_int, [c_void_p]),
        "rnncore_model_input_size": (c_int64, [c_void_p]),
        "rnncore_model_output_size": (c_int64, [c_void_p]),
        "rnncore_stream_open": (c_int, [c_void_p, c_int64, POINTER(c_void_p)]),
        "rnncore_stream_free": (None, [c_void_p]),
        "rnncore_stream_step": (c_int, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def main(path: str, model_path: str) -> None:
    """Read steps, write outputs."""
    library = open_library(path)

    def check(status: int) -> None:
        if status:
            raise SystemExit(library.rnncore_last_error().decode())

    model, stream = c_void_p(), c_void_p()
    check(library.rnncore_model_load(model_path.encode(), byref(model)))
    if library.rnncore_model_input_type(model) != FLOAT32:
        raise SystemExit(f"{model_path}: expected a model of float32 that takes no labels")
    check(library.rnncore_stream_open(model, 1, byref(stream)))
    x = (c_float * library.rnncore_model_input_size(model))()
    y = (c_float * library.rnncore_model_output_size(model))()
    for number, line in enumerate(sys.stdin, 1):
        try:
            x[:] = [float(word) for word in line.split()]
        except ValueError:
            raise SystemExit(f"line {number}: expected {len(x)} numbers") from None
        check(library.rnncore_stream_step(stream, x, sizeof(x), y, sizeof(y)))
        print(*(f"{value:.9g}" for value in y))
    library.rnncore_stream_free(stream)
    library.rnncore_model_free(model)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
