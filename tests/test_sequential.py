"""Models: gradients, lengths, states, bits, names, and layers that do not fit."""

import copy
import pickle

import numpy as np
import pytest

import rnncore
from model_case import classifier, draw, regressor, speller

LENGTHS = [7, 3, 0, 5]


def case(kind, batch_first=False):
    """A model in float64 without dropout, x, and a gradient by y."""
    model = {"regressor": regressor, "classifier": classifier, "speller": speller}[kind](
        "float64", batch_first=batch_first
    )
    model.eval()
    x = np.random.default_rng(0).integers(0, 7, (7, 4)) if kind == "speller" else draw(7, 4, 3)
    y, _ = model(x.swapaxes(0, 1) if batch_first else x)
    return model, np.ascontiguousarray(x.swapaxes(0, 1)) if batch_first else x, draw(*y.shape, seed=1)


def states(model, rows, seed=2):
    """A state with all its arrays drawn."""
    _, hx = model(np.zeros((1, rows), int) if model.takes_labels else np.zeros((1, rows, 3)))

    def like(part, k=[seed]):  # noqa: B006
        k[0] += 1
        return tuple(map(like, part)) if isinstance(part, tuple) else draw(*part.shape, seed=k[0])

    return like(hx)


def flat(hx):
    return [array for part in hx for array in flat(part)] if isinstance(hx, tuple) else [hx]


@pytest.mark.parametrize("kind", ["regressor", "classifier", "speller"])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_gradients_equal_differences(kind, lengths):
    model, x, dy = case(kind)
    hx = states(model, 4)
    _, _, cache = model.forward(x, hx, lengths=lengths)
    dhx = states(model, 4, seed=40)
    grads = model.backward(cache, dy, dhx)

    def value():
        y, hn = model(x, hx, lengths=lengths)
        return float((y * dy).sum()) + sum(float((a * b).sum()) for a, b in zip(flat(hn), flat(dhx), strict=True))

    arrays = [(model.parameters, grads.parameters), *zip(flat(hx), flat(grads.hx), strict=True)]
    if not model.takes_labels:
        arrays.append((x, grads.x))
    step = 1e-5
    for array, gradient in arrays:
        assert gradient.shape == array.shape
        chosen = np.random.default_rng(0).permutation(array.size)[:40]
        for k in chosen:
            before = array.flat[k]
            array.flat[k] = before + step
            up = value()
            array.flat[k] = before - step
            down = value()
            array.flat[k] = before
            assert gradient.flat[k] == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("kind", ["regressor", "classifier", "speller"])
def test_a_sequence_in_a_batch_gives_what_it_gives_alone(kind):
    model, x, dy = case(kind)
    y, _, cache = model.forward(x, lengths=LENGTHS)
    total = np.zeros_like(model.parameters)
    for n, length in enumerate(LENGTHS):
        alone, _, own = model.forward(x[:length, n : n + 1])
        d = dy[:length, n : n + 1] if model.per_step else dy[n : n + 1]
        model.backward(own, d, add_to=total)
        got = y[:length, n : n + 1] if model.per_step else y[n : n + 1]
        np.testing.assert_array_equal(alone, got, strict=True)
        if model.per_step:
            assert not y[length:, n].any()
    np.testing.assert_allclose(model.backward(cache, dy).parameters, total, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", ["regressor", "classifier", "speller"])
def test_what_padding_holds_does_not_matter(kind):
    model, x, dy = case(kind)
    results = []
    for filling in (0, 99):
        x, dy = x.copy(), dy.copy()
        for n, length in enumerate(LENGTHS):
            x[length:, n] = filling if model.takes_labels or not filling else np.nan
            if model.per_step:
                dy[length:, n] = 0 if not filling else np.nan
        y, _, cache = model.forward(x, lengths=LENGTHS)
        grads = model.backward(cache, dy)
        results.append([y, grads.parameters] + ([] if model.takes_labels else [grads.x]))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["regressor", "classifier", "speller"])
def test_batch_first_turns_the_axes(kind):
    model, x, dy = case(kind)
    turned, x_turned, _ = case(kind, batch_first=True)
    y, _, cache = model.forward(x, lengths=LENGTHS)
    y_turned, _, cache_turned = turned.forward(x_turned, lengths=LENGTHS)
    turn = (lambda array: array.swapaxes(0, 1)) if model.per_step else (lambda array: array)
    np.testing.assert_array_equal(turn(y_turned), y)
    one, other = model.backward(cache, dy), turned.backward(cache_turned, np.ascontiguousarray(turn(dy)))
    np.testing.assert_allclose(one.parameters, other.parameters, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["regressor", "speller"])
def test_the_state_carries_over_exactly(kind):
    model, x, _ = case(kind)
    whole, end = model(x)
    first, hx = model(x[:3])
    rest, hx = model(x[3:], hx)
    np.testing.assert_array_equal(np.concatenate([first, rest]), whole)
    for one, other in zip(flat(hx), flat(end), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["regressor", "classifier", "speller"])
def test_one_sequence_needs_no_batch_axis(kind):
    model, x, _ = case(kind)
    y, hx = model(x[:, 1])
    batched, hx_batched = model(x[:, 1:2])
    np.testing.assert_array_equal(y, batched[:, 0] if model.per_step else batched[0])
    for one, other in zip(flat(hx), flat(hx_batched), strict=True):
        np.testing.assert_array_equal(one, other[:, 0])
    again, _ = model(x[:, 1], hx)
    assert again.shape == y.shape


def test_resets_begin_anew():
    model, x, _ = case("regressor")
    resets = np.zeros((7, 4), bool)
    resets[3] = True
    y, _ = model(x, resets=resets)
    np.testing.assert_array_equal(y[3:], model(x[3:])[0])


@pytest.mark.parametrize("kind", ["regressor", "classifier", "speller"])
def test_threads_do_not_change_a_bit(kind):
    model = {"regressor": regressor, "classifier": classifier, "speller": speller}[kind]()
    x = np.random.default_rng(0).integers(0, 7, (200, 64)) if kind == "speller" else draw(200, 64, 3, dtype="float32")
    results = []
    for threads in (1, 2, 3):
        twin = copy.deepcopy(model)
        y, _, cache = twin.forward(x, num_threads=threads)
        results.append([y, twin.backward(cache, y, num_threads=threads).parameters])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_parameters_are_one_vector_with_pytorchs_names():
    torch = pytest.importorskip("torch")
    model = speller()
    theirs = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.LSTM(4, 6), torch.nn.Linear(6, 7))
    assert list(model.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    model.parameters[...] = 0
    assert not any(layer.parameters.any() for layer in model)
    model.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).integers(0, 7, (7, 4))
    y, _ = theirs[1](theirs[0](torch.from_numpy(x)))
    np.testing.assert_allclose(model(x)[0], theirs[2](y).detach().numpy(), rtol=0, atol=1e-5)


KINDS = {"lstm": (rnncore.LSTM, {}), "gru": (rnncore.GRU, {}), "rnn": (rnncore.RNN, {"nonlinearity": "relu"})}


@pytest.mark.parametrize("cell", KINDS)
def test_weights_go_to_torch_and_back_and_learn_the_same(cell):
    """Embedding, two layers in both directions, LayerNorm and Linear: output, loss and every gradient by name."""
    torch = pytest.importorskip("torch")
    kind, options = KINDS[cell]
    model = rnncore.Sequential(
        rnncore.Embedding(7, 4, dtype="float64", seed=0),
        kind(4, 6, num_layers=2, bidirectional=True, dtype="float64", seed=1, **options),
        rnncore.LayerNorm(12, dtype="float64"),
        rnncore.Linear(12, 5, dtype="float64", seed=2),
    )
    theirs = torch.nn.Sequential(
        torch.nn.Embedding(7, 4),
        getattr(torch.nn, cell.upper())(4, 6, num_layers=2, bidirectional=True, **options),
        torch.nn.LayerNorm(12),
        torch.nn.Linear(12, 5),
    ).double()
    assert list(model.state_dict()) == list(theirs.state_dict())
    model.parameters += draw(model.parameter_count, seed=3) / 10  # gains and biases of LayerNorm too
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    kept = model.parameters.copy()
    model.parameters[...] = 0
    model.load_state_dict(theirs.state_dict())
    np.testing.assert_array_equal(model.parameters, kept)

    random = np.random.default_rng(0)
    x, labels = random.integers(0, 7, (9, 4)), random.integers(0, 5, (9, 4))
    loss, grads = model.loss_and_grad((x, labels), "cross_entropy")
    y, _ = theirs[1](theirs[0](torch.from_numpy(x)))
    logits = theirs[3](theirs[2](y))
    value = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(labels.ravel()))
    value.backward()
    np.testing.assert_allclose(model(x)[0], logits.detach().numpy(), rtol=0, atol=1e-11)
    assert loss == pytest.approx(float(value.detach()), rel=1e-12)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(grads.named[name], parameter.grad.numpy(), rtol=0, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_equal_and_apart(clone):
    model, x, _ = case("regressor")
    twin, y = clone(model), model(x)[0]
    np.testing.assert_array_equal(twin(x)[0], y)
    twin.parameters[...] = 0
    assert not any(layer.parameters.any() for layer in twin)
    np.testing.assert_array_equal(model(x)[0], y)


def test_dropout_is_the_same_for_a_seed_and_none_in_evaluation():
    x = draw(7, 4, 3, dtype="float32")
    one, other, third = regressor(), regressor(), regressor(seed=5)
    np.testing.assert_array_equal(one.forward(x)[0], other.forward(x)[0])
    assert (one.forward(x)[0] != one.forward(x)[0]).any()
    third.load_state_dict(one.state_dict())
    assert (third.forward(x)[0] != other.forward(x)[0]).any()
    np.testing.assert_array_equal(one.eval().forward(x)[0], one(x)[0])


def test_parameters_learn_the_same_without_the_gradient_of_x():
    for first in (rnncore.Dropout(0.3, seed=0), rnncore.Linear(3, 3, seed=0), rnncore.LayerNorm(3)):
        model = rnncore.Sequential(first, rnncore.GRU(3, 4, seed=1), rnncore.Linear(4, 2, seed=2))
        y, _, cache = model.forward(draw(7, 4, 3, dtype="float32"), lengths=LENGTHS)
        whole, part = (model.backward(cache, np.ones_like(y), input_gradient=wanted) for wanted in (True, False))
        np.testing.assert_array_equal(whole.parameters, part.parameters)
        assert whole.x.any()
        with pytest.raises(AttributeError, match="input_gradient=False"):
            part.x  # noqa: B018


def test_a_linear_layer_may_come_first():
    model = rnncore.Sequential(rnncore.Linear(3, 5, seed=0), rnncore.RNN(5, 4, seed=0))
    x = draw(7, 4, 3, dtype="float32")
    x[3:, 1] = np.nan
    y, _, cache = model.forward(x, lengths=LENGTHS)
    grads = model.backward(cache, np.ones_like(y))
    assert np.isfinite(grads.parameters).all()
    assert not grads.x[3:, 1].any()


@pytest.mark.parametrize(("layers", "error", "message"), [
    (lambda: [rnncore.LSTM(3, 6), rnncore.Linear(5, 2)], ValueError,
     "layer 1 (Linear) expects 5 features, layer 0 (LSTM) gives 6"),
    (lambda: [rnncore.LSTM(3, 6, bidirectional=True), rnncore.Dropout(), rnncore.GRU(6, 2)], ValueError,
     "layer 2 (GRU) expects 6 features, layer 0 (LSTM) gives 12"),
    (lambda: [rnncore.LSTM(3, 6), rnncore.Linear(6, 2, dtype="float64")], ValueError,
     "layer 1 (Linear) is float64, layer 0 (LSTM) float32"),
    (lambda: [rnncore.LSTM(3, 6), rnncore.Embedding(6, 2)], ValueError,
     "layer 1 (Embedding) takes integers: it must be the first layer"),
    (lambda: [rnncore.Linear(3, 6), rnncore.LastStep()], ValueError,
     "layer 1 (LastStep) must follow a recurrent layer"),
    (lambda: [rnncore.LSTM(3, 6), rnncore.LayerNorm(6), rnncore.LastStep(), rnncore.Linear(6, 2)], ValueError,
     "layer 2 (LastStep) must follow a recurrent layer: put it right behind layer 0 (LSTM), for the same result"),
    (lambda: [rnncore.GRU(3, 6), rnncore.LastStep(), rnncore.GRU(6, 2)], ValueError,
     "layer 2 (GRU) needs all steps, and stands behind a LastStep"),
    (lambda: [rnncore.GRU(3, 6), rnncore.GRU(6, 2, batch_first=True)], ValueError,
     "layers 0 and 1 differ in batch_first"),
    (lambda: [rnncore.GRU(3, 6), abs], TypeError,
     "layer 1 should be a layer of rnncore, got builtin_function_or_method"),
    (list, ValueError, "a model needs at least one layer, got none"),
    (lambda: [rnncore.Sequential(rnncore.GRU(3, 6))[0]], ValueError,
     "layer 0 (GRU) is part of a model already: copy.deepcopy it"),
    (lambda: [rnncore.quantize(rnncore.GRU(3, 6), "int8")], ValueError,
     "layer 0 (GRU) has weights in int8: quantize the whole model"),
    (lambda: [{"a.b": rnncore.GRU(3, 6)}], ValueError,
     "the name of a layer must hold no dot and not be empty, got 'a.b'"),
])  # fmt: skip
def test_layers_that_do_not_fit(layers, error, message):
    with pytest.raises(error) as caught:
        rnncore.Sequential(*layers())
    assert str(caught.value) == message


def test_calls_that_do_not_fit():
    model = regressor()
    x = draw(7, 4, 3)
    for changed, message in (
        ({"x": draw(7, 4, 2)}, "x has 2 features, the model expects 3"),
        ({"x": draw(7)}, "x: expected 2 or 3 dimensions, got shape (7,)"),
        ({"hx": draw(1, 4, 6)}, "hx: expected a tuple of 2 states, one for each recurrent layer, got ndarray"),
        ({"lengths": [8, 1, 1, 1]}, "lengths[0] is 8, expected 0 to 7, the steps of x"),
        ({"resets": np.zeros((4, 7), bool)}, "resets: expected shape (7, 4), got (4, 7)"),
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011  the text follows
            model(**{"x": x, **changed})
        assert str(caught.value) == message
    with pytest.raises(ValueError, match=r"^x\[1, 0\] is 7, expected 0 to 6$"):
        speller()(np.array([[0], [7]]))
    y, _, cache = model.forward(x)
    with pytest.raises(ValueError, match=r"^dy: expected shape \(7, 4, 2\), got \(7, 4, 3\)$"):
        model.backward(cache, x)
    with pytest.raises(
        ValueError, match=r"^cache should come from the forward call of this layer, got another layer's$"
    ):
        regressor().backward(cache, y)


@pytest.mark.parametrize(
    "layers", [[rnncore.Linear(3, 2)], [rnncore.GRU(3, 2)], [rnncore.Linear(3, 4), rnncore.GRU(4, 2)]]
)
def test_a_wrong_checkpoint_is_refused_whatever_the_layers(layers):
    model = rnncore.Sequential(*copy.deepcopy(layers))
    for value, error in (("junk", ValueError), (0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="^checkpoint "):
            model.forward(np.ones((5, 4, 3)), checkpoint=value)
    assert model.forward(np.ones((5, 4, 3)), checkpoint="auto")[0].shape == (5, 4, 2)
