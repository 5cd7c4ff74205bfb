"""What holds for layers of any size, with any lengths and resets, however a call is cut and arrays lie in memory."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from layer_case import Result, as_tuple, reference
from properties import cases, twins
from rnncore.layers import RECURRENT


def without_parameters(result: Result) -> Result:
    return Result({name: array for name, array in result.arrays.items() if name != "dparameters"})


@settings(max_examples=150)
@given(cases(dtypes=["float64"], batch_first=False))
def test_any_call_equals_the_reference(drawn):
    case, keywords = drawn
    reference(case, **keywords).assert_close(case.train(**keywords), 1e-12)


@settings(max_examples=100)
@given(cases(dtypes=["float32"], batch_first=False))
def test_single_precision_stays_near_the_reference(drawn):
    case, keywords = drawn
    T, N, H = case.x.shape[0], case.x.shape[1], case.layer.hidden_size
    eps = float(np.finfo(np.float32).eps)
    reference(case, **keywords).assert_close(case.train(**keywords), 50 * eps * (max(T * N, 1) * H) ** 0.5)


@settings(max_examples=100)
@given(cases(), st.data())
def test_where_arrays_lie_in_memory_does_not_matter(drawn, data):
    case, keywords = drawn
    plain = case.train(**keywords)

    def elsewhere(state):
        arrays = tuple(data.draw(twins(array)) for array in as_tuple(state))
        return arrays if isinstance(state, tuple) else arrays[0]

    moved = case.but(
        x=data.draw(twins(case.x)), dy=data.draw(twins(case.dy)), hx=elsewhere(case.hx), dhx=elsewhere(case.dhx)
    )
    resets = {"resets": data.draw(twins(keywords["resets"]))} if "resets" in keywords else {}
    plain.assert_identical(moved.train(**{**keywords, **resets}))


@settings(max_examples=100)
@given(cases(), st.data())
def test_any_choice_of_rows_gives_their_bits(drawn, data):
    case, keywords = drawn
    time_major = not case.layer.batch_first
    N = case.x.shape[1 if time_major else 0]
    rows = data.draw(st.lists(st.integers(0, N - 1), max_size=2 * N)) if N else []
    whole = case.train(**keywords)
    if "lengths" in keywords:
        keywords["lengths"] = keywords["lengths"][rows]
    if "resets" in keywords:
        keywords["resets"] = keywords["resets"][:, rows] if time_major else keywords["resets"][rows]
    some = case.rows(rows).train(**keywords)
    batch_axis = {name: 1 if time_major or name[0] in "h" or name[:2] == "dh" else 0 for name in whole.arrays}
    chosen = {name: np.take(a, rows, batch_axis[name]) for name, a in without_parameters(whole).arrays.items()}
    Result(chosen).assert_identical(without_parameters(some))


@settings(max_examples=100)
@given(cases(batch_first=False, bidirectional=False), st.data())
def test_any_blocks_joined_by_their_states_give_the_bits_of_the_whole(drawn, data):
    case, keywords = drawn
    T, N = case.x.shape[:2]
    lengths = keywords.get("lengths", np.full(N, T))
    whole = case.infer(**keywords)
    cuts = sorted(data.draw(st.lists(st.integers(0, T), max_size=4)))
    outputs, hx = [], case.hx
    for begin, end in zip([0, *cuts], [*cuts, T], strict=True):
        inside = {"lengths": np.clip(lengths - begin, 0, end - begin)}
        if "resets" in keywords:
            inside["resets"] = keywords["resets"][begin:end]
        y, hx = case.layer(case.x[begin:end], hx, **inside)
        outputs.append(y)
    states = {f"h{k}": h for k, h in enumerate(as_tuple(hx))}
    whole.assert_identical(Result({"y": np.concatenate(outputs), **states}))


@settings(max_examples=60)
@given(cases(min_steps=1), st.integers(2, 5), st.data())
def test_any_number_of_threads_gives_the_same_bits(drawn, threads, data):
    case, keywords = drawn
    assume(case.x.size)
    case.train(num_threads=1, **keywords).assert_identical(case.train(num_threads=threads, **keywords))


@settings(max_examples=60)
@given(cases(), st.data())
def test_what_padding_holds_never_matters(drawn, data):
    case, keywords = drawn
    assume("lengths" in keywords)
    clean = case.train(**keywords)
    steps = np.arange(case.x.shape[1 if case.layer.batch_first else 0])
    padding = steps[:, None] >= keywords["lengths"]
    padding = padding.T if case.layer.batch_first else padding
    x, dy = case.x.copy(), case.dy.copy()
    x[padding] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e30]))
    dy[padding] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e30]))
    clean.assert_identical(case.but(x=x, dy=dy).train(**keywords))


shapes = st.lists(st.integers(0, 8), max_size=4).map(tuple)


@settings(max_examples=200)
@given(cases(dtypes=["float32"]), st.sampled_from(["x", "hx", "dy", "dhx", "lengths", "resets"]), shapes)
def test_an_array_of_any_shape_gives_a_result_or_a_value_error_that_names_it(drawn, name, shape):
    case, keywords = drawn
    before = case.train(**keywords)
    array = np.ones(shape, {"lengths": np.int64, "resets": bool}.get(name, np.float32))
    wrong, given_keywords = case, dict(keywords)
    if name in ("lengths", "resets"):
        given_keywords[name] = array
    else:
        state = (array,) * len(as_tuple(case.hx))
        wrong = case.but(**{name: array if name in ("x", "dy") else state if len(state) > 1 else array})
    try:
        wrong.train(**given_keywords)
    except ValueError as error:
        # A wrong x makes the arrays that belong to it wrong too.
        names = ("x", "hx", "lengths", "resets", "dy") if name == "x" else (name,)
        message = str(error)
        assert message.startswith(tuple(names)) or (name == "hx" and "state" in message), message
    before.assert_identical(case.train(**keywords))


@settings(max_examples=50)
@given(st.lists(st.integers(-3, 4), min_size=3, max_size=3), st.sampled_from(sorted(RECURRENT)))
def test_any_sizes_give_a_layer_or_a_value_error(sizes, kind):
    import rnncore

    ok = sizes[0] >= 0 and sizes[1] > 0 and sizes[2] > 0
    if ok:
        layer = getattr(rnncore, kind)(*sizes, seed=0)
        assert layer(np.zeros((2, 1, sizes[0])))[0].shape == (2, 1, sizes[1])
    else:
        with pytest.raises(ValueError, match=r"(input_size|hidden_size|num_layers) must be"):
            getattr(rnncore, kind)(*sizes)
