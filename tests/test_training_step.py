"""A step of training that is one call into the engine has the bits of its parts called one by one."""

import numpy as np
import pytest

import rnncore
from rnncore.training import step
from rnncore.training.engine import EngineStep

T, N = 23, 5


def model_of(kind, outputs, dtype):
    head = rnncore.Linear(6, outputs, activation="tanh" if kind == "tanh" else None, seed=2, dtype=dtype)
    drop = rnncore.Dropout(0.3, seed=4, dtype=dtype)
    if kind == "labels":
        return rnncore.Sequential(
            rnncore.Embedding(9, 4, seed=0, dtype=dtype), rnncore.GRU(4, 6, seed=1, dtype=dtype), drop, head
        )
    if kind == "signed":
        signs, mask = [1, 1, 1, 1, -1, -1], 1 - np.eye(6)
        leaky = rnncore.LeakyRNN(3, 6, dale=signs, mask_hh=mask, learned_alpha=True, seed=1, dtype=dtype)
        return rnncore.Sequential(leaky, drop, head)
    batch_first = kind == "batch first"
    lstm = rnncore.LSTM(3, 6, num_layers=2, dropout=0.2, batch_first=batch_first, seed=1, dtype=dtype)
    middle = rnncore.LastStep(dtype=dtype) if kind == "last step" else rnncore.LayerNorm(6, dtype=dtype)
    return rnncore.Sequential(lstm, middle, drop, head)


def batch_of(kind, loss, outputs, form):
    random = np.random.default_rng(0)
    x = random.integers(0, 9, (T, N)) if kind == "labels" else random.normal(size=(T, N, 3))
    leading = (N,) if kind == "last step" else (T, N)
    features = {"pinball": outputs // 3, "gaussian_nll": outputs // 2}.get(loss, outputs)
    if loss == "cross_entropy":
        target = random.integers(0, outputs, leading)
    else:
        target = random.normal(size=leading if features == 1 else (*leading, features))
    given = {"x": x, "target": target}
    if form != "plain":
        given["mask"] = random.random(leading) < 0.8
        given["weights"] = random.random(target.shape)
        given["resets"] = random.random((T, N)) < 0.1
    if form == "ragged":
        given["lengths"] = np.array([23, 4, 0, 17, 9])
    if kind == "batch first":
        given = {name: array if array.ndim == 1 else array.swapaxes(0, 1) for name, array in given.items()}
    return given


@pytest.fixture
def by_parts(monkeypatch):
    """Return what trains a model like `trained`, but by calls of forward, loss, backward, clipping and update."""

    def train(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(EngineStep, "of", lambda *_: None)
            patch.setattr(step, "engine_loss", lambda *_: None)
            return trained(*args, **options)

    return train


def trained(loss, kind, form, outputs, dtype="float32", **options):
    model = model_of(kind, outputs, dtype)
    history = model.fit(batch_of(kind, loss, outputs, form), loss=loss, progress=False, **options)
    return model.parameters.copy(), history.loss


@pytest.mark.parametrize("form", ["plain", "masked", "ragged"])
@pytest.mark.parametrize("kind", ["steps", "batch first", "labels", "last step", "tanh", "signed"])
@pytest.mark.parametrize(
    ("loss", "outputs"), [("mse", 1), ("mse", 4), ("pinball", 6), ("gaussian_nll", 4), ("cross_entropy", 5)]
)
def test_rows(loss, outputs, kind, form, by_parts):
    options = {"epochs": 2, "batch_size": 3, "clip_norm": 0.5, "clip_value": 0.1}
    one, parts = (train(loss, kind, form, outputs, **options) for train in (trained, by_parts))
    assert np.array_equal(one[0], parts[0])
    assert one[1] == pytest.approx(parts[1], rel=1e-14)  # their sums are the same, that of the weights is NumPy's


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_windows(optimizer, dtype, by_parts):
    options = {"epochs": 3, "k1": 4, "optimizer": optimizer, "lr": 0.01, "clip_norm": 0.5, "burn_in": 2}
    one, parts = (train("huber", "steps", "masked", 2, dtype, **options) for train in (trained, by_parts))
    assert np.array_equal(one[0], parts[0])
    assert one[1] == pytest.approx(parts[1], rel=1e-14)


@pytest.mark.parametrize("form", ["plain", "masked", "ragged"])
@pytest.mark.parametrize("kind", ["steps", "batch first", "labels", "last step", "signed"])
@pytest.mark.parametrize("loss", ["mse", "pinball", "gaussian_nll", "cross_entropy"])
def test_loss_and_grad_has_the_bits_of_forward_loss_and_backward(loss, kind, form):
    model, batch = model_of(kind, 6, "float32"), batch_of(kind, loss, 6, form)
    model.eval()
    hx = model.forward(batch["x"][:, :1] if kind == "batch first" else batch["x"][:1])[1]
    value, grads = model.loss_and_grad(batch, loss, hx=hx, input_gradient=True)
    y, _, cache = model.forward(batch["x"], hx, lengths=batch.get("lengths"), resets=batch.get("resets"))
    mask = batch.get("mask")
    if form == "ragged" and kind != "last step":
        valid = np.arange(T)[:, None] < batch["lengths"]
        mask = mask & (valid.T if kind == "batch first" else valid)
    expected, dy = getattr(rnncore.losses, step.as_loss(loss).__name__)(
        y, batch["target"].astype("float32") if loss != "cross_entropy" else batch["target"],
        mask=mask, weights=batch.get("weights"),
    )  # fmt: skip
    own = model.backward(cache, dy)
    assert value == pytest.approx(expected, rel=1e-12)
    assert np.array_equal(grads.parameters, own.parameters)
    assert kind == "labels" or np.array_equal(grads.x, own.x)
    for a, b in zip(np.atleast_1d(grads.hx), np.atleast_1d(own.hx), strict=True):
        assert np.array_equal(a, b)


def test_the_weights_do_not_depend_on_threads():
    one, two = (
        trained("cross_entropy", "labels", "ragged", 5, epochs=1, batch_size=5, num_threads=threads)[0]
        for threads in (1, 2)
    )
    assert np.array_equal(one, two)


@pytest.mark.parametrize("fused", [True, False])
def test_what_is_not_finite_changes_nothing_and_is_skipped(fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(EngineStep, "of", lambda *_: None)
    model = model_of("steps", 2, "float32")
    model[-1].weight[...] = 1e30
    before = model.parameters.copy()
    history = model.fit(batch_of("steps", "mse", 2, "plain"), k1=4, on_nonfinite="skip", progress=False)
    assert history.skipped == 6
    assert np.array_equal(model.parameters, before)
    with pytest.raises(FloatingPointError, match="epoch 1, batch 1: the gradient of"):
        model.fit(batch_of("steps", "mse", 2, "plain"), k1=4, progress=False)
