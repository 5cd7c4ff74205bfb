"""Layers in precision bf16: what their products are, and that a row's bits do not depend on how it is run.

On a processor with AMX its tiles multiply, elsewhere the instruction set in use: one test compares the two, all others
hold for either.
"""

import os
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest

import rnncore
from layer_case import as_tuple, make_case, reference
from rnncore.reference import precision as twin
from test_short_weights import bits, same
from variants import LAYERS

CELLS = [(name, {}) for name in LAYERS] + [("lstm", {"proj_size": 20}), ("gru", {"bidirectional": True})]
IDS = [name + "".join(f"-{key}" for key in options) for name, options in CELLS]
HALF = 2.0**-8  # what rounding to bf16 may change, relative


def case_of(cell, options, N=21, H=45, **changes):
    """A layer of odd sizes, in bf16, and what a call of it needs."""
    case = make_case(cell, T=7, N=N, I=19, H=H, L=1, dtype="float32", precision="bf16", **changes, **options)
    return in_projected_form(case) if "proj_size" in options else case


def in_projected_form(case):
    P = case.layer.proj_size
    cut = [(h[..., :P], c) for h, c in (case.hx, case.dhx)]
    hx, dhx = (tuple(map(np.ascontiguousarray, state)) for state in cut)
    return case.but(hx=hx, dhx=dhx, dy=np.ascontiguousarray(case.dy[..., :P]))


def in_float32(layer):
    other = type(layer)(**{**layer._options(), "precision": "float32"})
    other.load_state_dict(layer.state_dict())
    return other


@pytest.mark.parametrize(("inputs", "hidden", "rows"), [(5, 33, 1), (70, 64, 16), (96, 97, 40)])
def test_a_sum_has_the_bits_that_the_twin_says(inputs, hidden, rows):
    """A unit of relu passes its sum on, and one product at a time leaves nothing else in it."""
    generator = np.random.default_rng(5)
    layer = rnncore.RNN(inputs, hidden, nonlinearity="relu", bias=False, precision="bf16", seed=4)
    x, h = (generator.normal(size=(rows, n)).astype("float32") for n in (inputs, hidden))
    zero = np.zeros((1, rows, hidden), np.float32)
    y = layer(x[None], zero)[0][0]
    assert same(y, np.maximum(twin.multiply_in_order(x, layer.weight_ih_l0.T), 0))
    y = layer(0 * x[None], h[None])[0][0]
    assert same(y, np.maximum(twin.multiply_in_order(h, layer.weight_hh_l0.T), 0))


def test_rounding_keeps_ties_even_nan_and_infinity():
    values = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, np.inf, -np.inf, np.nan, -0.1], np.float32)
    layer = rnncore.RNN(1, 1, nonlinearity="relu", bias=False, precision="bf16")
    layer.parameters[:] = [1, 0]
    y = layer(values[None, :, None])[0][0, :, 0]
    expected = np.maximum(twin.rounded(values), 0)
    assert np.array_equal(y, expected, equal_nan=True)
    assert expected[3] == np.inf  # beyond the largest number of bf16


@pytest.mark.parametrize(("cell", "options"), CELLS, ids=IDS)
def test_forward_and_backward_are_near_the_twin_of_rounded_operands(cell, options):
    """Where no number falls on the other side of a tie they agree to the rounding of float32 sums.

    A sum of 45 products of numbers to 4 has an error of 1e-6 at most; one number in some thousands lies so near a tie
    that this rounds it the other way, by 2^-8 of itself, which a weight of at most 1/sqrt(H) = 0.15 hands on.
    """
    case = case_of(cell, options)
    engine, expected = case.train(), reference(case)
    plain = case.but(layer=in_float32(case.layer)).train()
    for name, array in engine.arrays.items():
        size = max(1, np.abs(array).max())
        error = np.abs(array - expected[name])
        assert np.median(error) < 2e-6 * size, name
        assert error.max() < 4 * HALF * 0.15 * size, name
        assert np.median(error) < 0.05 * np.mean(np.abs(array - plain[name])), name  # or nothing is rounded


@pytest.mark.parametrize(("cell", "options"), CELLS, ids=IDS)
@pytest.mark.parametrize("hidden", [9, 45, 130])
def test_a_rows_bits_depend_neither_on_its_batch_nor_on_threads(cell, options, hidden):
    if options.get("proj_size", 0) >= hidden:
        options = {"proj_size": 5}
    case = case_of(cell, options, H=hidden)
    whole = case.train()
    of_rows = [name for name in whole.arrays if name != "dparameters"]
    for rows in ([0], [20], [3, 4, 5], list(range(17))):
        part = case.rows(rows).train()
        for name in of_rows:
            assert same(part[name], whole[name][:, rows]), name
    shared = case.train(num_threads=3)
    for name in whole.arrays:
        assert same(shared[name], whole[name]), name
    assert same(case.infer()["y"], whole["y"])
    for rows in ([0], [3, 4]):  # fewer than threads: they share the units
        part = case.rows(rows)
        part.train(num_threads=3).assert_identical(part.train(num_threads=1))


@pytest.mark.parametrize(("cell", "options"), CELLS, ids=IDS)
def test_streams_packed_weights_and_lengths_give_the_same_bits(cell, options):
    case = case_of(cell, options, N=7)
    layer, x = case.layer, case.x
    lengths = [7, 4, 0, 7, 1, 6, 2]
    y = layer(x)[0]
    if not layer.bidirectional:
        ragged = layer(x, lengths=lengths)[0]
        for row, length in enumerate(lengths):
            assert same(ragged[:length, row], y[:length, row])
            assert not ragged[length:, row].any()
        alone, batch = rnncore.Stream(layer), rnncore.Stream(layer, batch_size=7, num_threads=2)
        assert same(np.stack([alone.step(x[t, 0]) for t in range(7)]), y[:, 0])
        assert same(np.concatenate([batch.run(x[:3]), batch.step(x[3])[None], batch.run(x[4:])]), y)
    assert same(layer(x, packed=layer.pack())[0], y)
    resets = np.zeros((7, 7), bool)
    resets[3] = True
    if not layer.bidirectional:
        assert same(layer(x, resets=resets)[0][3:], layer(x[3:])[0])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_many_rows_are_cut_into_slabs_and_groups_of_sums_without_a_change(cell):
    """768 rows of a block are added up at once: the gradients of more are sums of such sums."""
    case = case_of(cell, {}, N=150)
    whole = case.train()
    part = case.rows(list(range(100, 150))).train()
    for name in ("y", "dx"):
        assert same(part[name], whole[name][:, 100:])
    expected = reference(case)["dparameters"]
    assert np.median(np.abs(whole["dparameters"] - expected)) < 2e-6 * np.abs(expected).max()


def test_checkpoints_give_the_same_outputs_and_gradients_to_the_rounding_of_sums():
    case = case_of("lstm", {}, N=3)
    y, _, cache = case.layer.forward(case.x, case.hx, checkpoint=3)
    grads = case.layer.backward(cache, case.dy, case.dhx)
    whole = case.train()
    assert same(y, whole["y"])
    assert same(grads.x, whole["dx"])
    error = np.abs(grads.parameters - whole["dparameters"]).max()
    assert error <= 21 * 2.0**-24 * 8 * np.abs(whole["dparameters"]).max()  # 21 summands in another order


OTHERS = [{"RNNCORE_AMX": "0"}]
OTHERS += [{"RNNCORE_ISA": name} for name in rnncore.show_config(mode="dicts")["isa_available"][1:]]


@pytest.mark.parametrize("environment", OTHERS)
def test_sums_do_not_depend_on_the_processor(environment):
    """With tiles or without. Of relu, since tanh differs from one instruction set to the other by some ulp."""
    program = (
        "import numpy as np, rnncore\n"
        "assert %s or not rnncore.show_config(mode='dicts')['amx']\n"
        "g = np.random.default_rng(0)\n"
        "layer = rnncore.RNN(70, 90, 2, 'relu', precision='bf16', seed=1)\n"
        "x = g.normal(size=(9, 37, 70)).astype('f4')\n"
        "y, h, cache = layer.forward(x)\n"
        "grads = layer.backward(cache, np.ones_like(y))\n"
        "import sys; sys.stdout.write((y.tobytes() + grads.x.tobytes() + grads.parameters.tobytes()).hex())"
    )
    plain = {key: value for key, value in os.environ.items() if not key.startswith("RNNCORE_")}
    results = []
    for variables, tiles in ((plain, True), (plain | environment, False)):
        run = subprocess.run(
            [sys.executable, "-c", program % tiles], env=variables, capture_output=True, text=True, check=True
        )
        results.append(np.frombuffer(bytes.fromhex(run.stdout), np.float32))
    if environment.get("RNNCORE_ISA") == "baseline":  # has no fused multiplication for the factor of a sum
        assert np.median(np.abs(results[0] - results[1])) < 1e-6
    else:
        assert same(*results)


def test_training_in_bf16_reaches_the_loss_of_float32():
    """The mean of the last tenth of the losses, of three seeds, within a tenth of float32's."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30, 64, 3)).astype("float32")
    target = np.cumsum(np.tanh(x[..., :1] * x[..., 1:2]), axis=0) / 4

    def losses(precision, seed):
        layers = rnncore.LSTM(3, 32, precision=precision, seed=seed), rnncore.Linear(32, 1, seed=seed)
        model = rnncore.Sequential(*layers)
        history = model.fit((x, target), epochs=60, batch_size=32, lr=1e-2, seed=seed, progress=False)
        return np.array(history.loss)

    reached = {kind: np.mean([losses(kind, seed)[-6:] for seed in range(3)]) for kind in ("float32", "bf16")}
    assert reached["float32"] < 0.3 * losses("float32", 0)[0]  # it has learned
    assert abs(reached["bf16"] / reached["float32"] - 1) < 0.1


def test_a_model_keeps_its_precision_in_copies_and_files(tmp_path):
    def build(precision):
        return rnncore.Sequential(
            rnncore.Embedding(9, 24, seed=0),
            rnncore.LSTM(24, 40, precision=precision, seed=1),
            rnncore.Linear(40, 9, seed=2),
        )

    model, plain = build("bf16"), build("float32")
    labels = np.random.default_rng(0).integers(9, size=(60, 5))  # so often that float32 multiplies each once
    y = model(labels)[0]
    assert not same(y, plain(labels)[0])
    assert same(y, deepcopy(model)(labels)[0])
    assert "precision=bf16" in repr(model)
    model.save(tmp_path / "model")
    loaded = rnncore.load(tmp_path / "model")
    assert loaded[1].precision == "bf16"
    assert same(loaded(labels)[0], y)
    stream = rnncore.Stream(loaded, 5)
    assert same(np.stack([stream.step(labels[t]) for t in range(60)]), y)
    plain.save(tmp_path / "plain")
    assert b"precision" not in (tmp_path / "plain").read_bytes()[:4000]  # versions without it read such a file
    short = rnncore.quantize(model, "bf16")
    short.save(tmp_path / "short")
    assert same(rnncore.load(tmp_path / "short")(labels)[0], short(labels)[0])


def test_what_cannot_be_is_refused_by_name():
    with pytest.raises(ValueError, match="precision should be 'float32' or 'bf16', got 'fp16'"):
        rnncore.LSTM(3, 8, precision="fp16")
    with pytest.raises(ValueError, match="precision 'bf16' needs dtype float32, got float64"):
        rnncore.GRU(3, 8, precision="bf16", dtype="float64")
    with pytest.raises(ValueError, match="weights in int8 need precision 'float32'"):
        rnncore.quantize(rnncore.LSTM(3, 8, precision="bf16"), "int8")
    with pytest.raises(AttributeError, match="precision is fixed"):
        rnncore.LSTM(3, 8).precision = "bf16"


def test_a_stop_is_heeded_between_the_pieces_of_a_product():
    """Pieces change no bit."""
    case = case_of("lstm", {})
    whole = case.train()
    before = rnncore._core.set_piece(10_000)
    try:
        case.train().assert_identical(whole)
    finally:
        rnncore._core.set_piece(before)


def test_nan_stays_in_its_row():
    case = case_of("gru", {})
    clean = case.infer()["y"]
    case.x[2, 5] = np.nan
    y = case.infer()["y"]
    assert np.isnan(y[2:, 5]).all()
    others = np.arange(21) != 5
    assert (bits(y[:, others]) == bits(clean[:, others])).all()
    assert len(as_tuple(case.hx)) == 1
