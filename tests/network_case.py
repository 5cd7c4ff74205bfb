"""Networks that own no parameters, over a layer's case, and packed batches of it."""

import numpy as np

import rnncore
from layer_case import as_tuple, make_case
from variants import engine_arguments

LENGTHS = np.array([7, 7, 5, 2])
SIZES = np.array([4, 4, 3, 3, 3, 2, 2])  # of rows of these lengths


def of(case, variant):
    layer, engine = case.layer, engine_arguments(variant)
    names = ("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size")
    options = {name: getattr(layer, name) for name in names}
    return rnncore.Network(engine["cell"], **options, dtype=layer.dtype, cell_options=engine["options"])


def arrays(layer):
    return [array.copy() for array in layer.named_parameters().values()]


def packed_case(variant, lengths, sizes, dtype="float64", **options):
    """A case, its network and parameters, where a row has a step, resets, and the form in which calls are compared."""
    case = make_case(variant, T=len(sizes), N=len(lengths), dtype=dtype, **options)
    valid = np.arange(len(lengths)) < sizes[:, None]
    assert np.count_nonzero(valid, axis=0).tolist() == lengths.tolist()
    resets = np.random.default_rng(1).random(valid.shape) < 0.3
    return case, of(case, variant), arrays(case.layer), valid, resets


def assert_same(one, other):
    for a, b in zip(as_tuple(one), as_tuple(other), strict=True):
        np.testing.assert_array_equal(a, b)
