"""An input by number, each of its distinct rows multiplied once: the bits, and the gradients, of the rows looked up."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import rnncore
from layer_case import LAYERS, Case, Result, as_tuple, make_case
from properties import cases
from rnncore import _core
from rnncore.layers.cells import CELLS
from rnncore.reference import Network

TOLERANCE = {"float32": 1e-4, "float64": 1e-12}
each_cell = pytest.mark.parametrize("cell", LAYERS)


def modelled(case: Case, numbers: int, seed=0) -> tuple[rnncore.Sequential, Case]:
    """A model with the case's layer behind an embedding, and the case of the vectors that it looks up for case.x."""
    generator = np.random.default_rng(seed)
    table = rnncore.Embedding(numbers, case.layer.input_size, dtype=case.layer.dtype, seed=generator)
    model = rnncore.Sequential(table, case.layer)
    labels = generator.integers(0, numbers, case.x.shape[:2])
    return model, case.but(x=labels)


def train(model, case: Case, num_threads=None, **keywords) -> Result:
    y, hx, cache = model.forward(case.x, case.hx, num_threads=num_threads, **keywords)
    results = []
    for _ in range(2):
        grads = model.backward(cache, case.dy, case.dhx, num_threads=num_threads)
        arrays = {"y": y, "dparameters": grads.parameters} | {f"h{k}": h for k, h in enumerate(as_tuple(hx))}
        results.append(Result(arrays | {f"dh{k}": h for k, h in enumerate(as_tuple(grads.hx))}))
    results[0].assert_identical(results[1])
    return results[0]


def looked_up(model, case: Case, **keywords) -> Result:
    """The same by the layer alone, on (T, N, E) vectors."""
    result = case.but(x=model[0].weight[case.x]).train(**keywords)
    table = np.zeros_like(model[0].weight)
    np.add.at(table, case.x, result.arrays.pop("dx"))
    result.arrays["dparameters"] = np.concatenate([table.ravel(), result["dparameters"]])
    return result


def is_by_number(model, case: Case, **keywords) -> bool:
    return model.forward(case.x, case.hx, **keywords)[2]._engine.by_number


def repeated(case: Case, keywords: dict, times: int) -> tuple[Case, dict]:
    """The same rows several times over, so that whatever labels they hold occur as often."""

    def over(array, axis):
        return None if array is None else np.concatenate([array] * times, axis)

    def states(hx):
        return tuple(over(h, 1) for h in hx) if isinstance(hx, tuple) else over(hx, 1)

    row = 0 if case.layer.batch_first else 1
    x, dy = over(case.x, row), over(case.dy, row)
    again = {name: over(array, 0 if name == "lengths" else row) for name, array in keywords.items()}
    return case.but(x=x, dy=dy, hx=states(case.hx), dhx=states(case.dhx)), again


@given(cases(min_steps=1), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_a_model_equals_its_layer_on_vectors(drawn, numbers, seed):
    case, keywords = drawn
    assume(case.layer.input_size > 0)
    model, case = modelled(case, numbers, seed)
    case, keywords = repeated(case, keywords, 16)  # from here on the engine takes them by number
    assert is_by_number(model, case, **keywords) == (case.x.size > 0 and keywords.get("lengths", np.ones(1)).any())
    result, expected = train(model, case, **keywords), looked_up(model, case, **keywords)
    result.assert_close(expected, TOLERANCE[case.layer.dtype.name])
    forward = {name: array for name, array in result.arrays.items() if name[0] != "d"}
    Result(forward).assert_identical(Result({name: expected[name] for name in forward}))
    y, hx = model(case.x, case.hx, **keywords)
    Result({"y": y, **{f"h{k}": h for k, h in enumerate(as_tuple(hx))}}).assert_identical(Result(forward))
    train(model, case, num_threads=3, **keywords).assert_identical(result)


@each_cell
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("T", "N", "E", "H", "numbers"),
    [(40, 9, 24, 64, 12), (300, 1, 3, 37, 9), (90, 16, 2, 5, 2000), (3, 450, 6, 20, 30)],
)
def test_threads_change_no_bit(cell, dtype, bidirectional, T, N, E, H, numbers):
    drawn = make_case(cell, T, N, E, H, 1, dtype=dtype, bidirectional=bidirectional)
    model, case = modelled(drawn, numbers)
    lengths = np.random.default_rng(2).integers(T // 2, T + 1, N)
    assert is_by_number(model, case, lengths=lengths) == (numbers < 2000)
    result = train(model, case, lengths=lengths)
    result.assert_close(looked_up(model, case, lengths=lengths), TOLERANCE[dtype])
    for threads in (1, 2, 5):
        train(model, case, lengths=lengths, num_threads=threads).assert_identical(result)


@each_cell
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [1, 2])
def test_checkpoints_change_no_bit(cell, dtype, layers):
    model, case = modelled(make_case(cell, 17, 5, 3, 7, layers, dtype=dtype), 2)
    keywords = {"lengths": [17, 0, 3, 16, 9], "resets": np.random.default_rng(1).random((17, 5)) < 0.15}
    full = train(model, case, **keywords)
    assert is_by_number(model, case, **keywords)
    for checkpoint in (1, 4, 16, 17, 100, "auto"):
        for threads in (1, 2):
            train(model, case, threads, checkpoint=checkpoint, **keywords).assert_identical(full)


@each_cell
def test_padding_and_numbers_that_do_not_occur_do_not_matter(cell):
    case = make_case(cell, 30, 3, 4, 5)
    model, case = modelled(case, 9)
    case.x[...] = case.x % 3 + 2
    lengths = [30, 13, 8]
    assert is_by_number(model, case, lengths=lengths)
    expected = train(model, case, lengths=lengths)
    unused = [0, 1, 5, 6, 7, 8]
    model[0].weight[unused] = np.nan
    case.x[np.arange(30)[:, None] >= lengths] = -7
    result = train(model, case, lengths=lengths)
    result.assert_identical(expected)
    assert not result["dparameters"][: 9 * 4].reshape(9, 4)[unused].any()


@each_cell
def test_few_numbers_go_by_number_many_do_not_and_layers_between_part_them(cell):
    case = make_case(cell, 48, 2, 4, 5)
    model, few = modelled(case, 12)
    few.x[...] = np.arange(96).reshape(48, 2) % 6  # 16 times each
    assert is_by_number(model, few)
    apart = rnncore.Sequential(
        rnncore.Embedding(12, 4, dtype="float64"), rnncore.Dropout(0.5, dtype="float64"), make_case(cell, I=4).layer
    )
    assert not apart.forward(few.x)[2]._engine.by_number
    few.x[0, 0] = 6
    assert not is_by_number(model, few)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_engine_and_twin_agree(cell, bidirectional):
    generator = np.random.default_rng(3)
    labels, table = generator.integers(0, 4, (7, 5)), generator.normal(size=(4, 3))
    lengths = np.array([7, 0, 2, 7, 5])
    results = []
    for kind in (_core.Network, Network):
        network = kind(cell, 3, 9, 2, True, bidirectional, "float64")
        parameters = np.sin(np.arange(network.parameter_count))
        directions = 1 + bidirectional
        y = np.empty((7, 5, 9 * directions))
        hn = tuple(np.empty((2 * directions, 5, 9)) for _ in range(network.num_states))
        own = labels.copy()
        cache = network.forward(parameters, table, None, y, hn, lengths, keep=True, labels=own)
        own[...] = 2**40  # the caller's, from here on
        dx, dparameters = np.full_like(table, np.nan), np.zeros_like(parameters)
        dh = tuple(map(np.empty_like, hn))
        network.backward(cache, parameters, np.cos(y), None, dx, dh, dparameters)
        results.append(Result({"y": y, "dx": dx, "dparameters": dparameters, "h": hn[0], "dh": dh[0]}))
    results[0].assert_close(results[1], 1e-12)


@pytest.mark.parametrize(
    ("labels", "table", "message"),
    [
        ([[0, 4]], (4, 3), "labels must be in 0..3, got 4"),
        ([[-1, 0]], (4, 3), "labels must be in 0..3, got -1"),
        ([0, 1], (4, 3), "labels must be a NumPy array of 2 dimensions"),
        ([[0, 1]], (1, 4, 3), "x must be a NumPy array of 2 dimensions"),
        ([[0, 1]], (4, 2), r"x has shape \(4, 2\), expected \(4, 3\)"),
    ],
)
def test_the_engine_refuses_what_does_not_fit(labels, table, message):
    network = _core.Network("gru", 3, 5, dtype="float64")
    y, hn = np.empty((1, 2, 5)), (np.empty((1, 2, 5)),)
    with pytest.raises(ValueError, match=message):
        network.forward(np.zeros(network.parameter_count), np.zeros(table), None, y, hn, labels=np.array(labels))
