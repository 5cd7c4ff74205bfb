"""Wrote the files beside it, with rnncore 0.1.0 before its first release. They are kept: later versions read them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

import rnncore
from rnncore import GRU, LSTM, RNN, Dropout, Embedding, LastStep, LayerNorm, Linear, Sequential, Stream

HERE = Path(__file__).parent


def models(dtype):
    """One model or more for every kind of layer and each of its options."""

    def new(kind, *sizes, **options):
        seeded = {} if kind in (LayerNorm, LastStep) else {"seed": 3}
        return kind(*sizes, dtype=dtype, **seeded, **options)

    return {
        "rnn_tanh": Sequential(new(RNN, 2, 3), new(Linear, 3, 2)),
        "rnn_relu": Sequential(new(RNN, 2, 3, nonlinearity="relu", bias=False), new(Linear, 3, 2, bias=False)),
        "lstm": Sequential({"memory": new(LSTM, 2, 4, num_layers=2, dropout=0.25), "head": new(Linear, 4, 1)}),
        "gru": Sequential(new(GRU, 2, 3, batch_first=True, learned_state=True), new(Linear, 3, 2)),
        "lstm_learned_state": Sequential(new(LSTM, 2, 3, learned_state=True)),
        "classifier": Sequential(new(GRU, 2, 3, bidirectional=True), new(LastStep), new(Linear, 6, 4)),
        "speller": Sequential(new(Embedding, 5, 3), new(LSTM, 3, 4), new(Dropout, 0.5), new(Linear, 4, 5)),
        "norms": Sequential(
            new(LayerNorm, 2, eps=1e-3, elementwise_affine=False),
            new(GRU, 2, 4),
            new(LayerNorm, 4),
            new(LSTM, 4, 3),
            new(LayerNorm, 3, bias=False),
            new(Linear, 3, 1),
        ),
    }


def networks(dtype):
    return {
        "rnn_tanh": RNN(2, 3, num_layers=2, dtype=dtype, seed=3),
        "rnn_relu": RNN(2, 3, nonlinearity="relu", dtype=dtype, seed=3),
        "gru": GRU(2, 3, dtype=dtype, seed=3),
        "lstm": LSTM(2, 3, dtype=dtype, seed=3),
        "lstm_projected": LSTM(2, 4, proj_size=2, dtype=dtype, seed=3),
    }


def flat(state):
    if state is None:
        return []
    return [array for part in state for array in flat(part)] if isinstance(state, tuple) else [state]


def main():
    random = np.random.default_rng(1)
    for dtype in ("float32", "float64"):
        arrays = {}
        for name, model in models(dtype).items():
            model.parameters[...] = random.normal(scale=0.5, size=model.parameters.size)
            model.save(HERE / f"model_{name}_{dtype}.safetensors")
            shape = (3, 6) if model.batch_first else (6, 3)
            x = random.integers(0, 5, shape) if model.takes_labels else random.normal(size=(*shape, 2))
            resets = np.zeros(shape, bool)
            resets[(slice(None), 3) if model.batch_first else 3] = True
            y, hx = model(x, lengths=[6, 2, 0], resets=resets)
            arrays |= {f"{name}.x": x, f"{name}.y": y}
            arrays |= {f"{name}.state.{k}": array for k, array in enumerate(flat(hx))}
        np.savez_compressed(HERE / f"models_{dtype}.npz", **arrays)

        arrays = {}
        for name, network in networks(dtype).items():
            stream = Stream(network, batch_size=2)
            stream.run(random.normal(size=(4, 2, 2)))
            stream.state.save(HERE / f"state_{name}_{dtype}.safetensors")
            arrays |= {f"{name}.{key}": array for key, array in stream.state.arrays.items()}
            x = random.normal(size=(3, 2, 2))
            arrays |= {f"{name}.x": x, f"{name}.y": stream.run(x), f"{name}.parameters": network.parameters}
        np.savez_compressed(HERE / f"states_{dtype}.npz", **arrays)
    undigested()
    checkpoints(random)


def undigested():
    """A state of an older version yet, which wrote no digest."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = HERE / "state_gru_float32.safetensors"
    with safe_open(path, framework="numpy") as file:
        told = file.metadata()
    del told["digest"]
    save_file(load_file(path), HERE / "state_gru_float32_undigested.safetensors", told)


def checkpoints(random):
    """Each run stopped after its second epoch, and the parameters that its fourth led to."""
    arrays = {"x": random.normal(size=(20, 3, 2)), "y": random.normal(size=(20, 3, 1))}
    arrays["labels"] = random.integers(0, 5, (20, 3))
    for name in RUNS:
        model, fit = start(name, arrays)
        fit(epochs=2, checkpoint=HERE / f"checkpoint_{name}.safetensors")
        model, fit = start(name, arrays)
        fit(epochs=4)
        arrays[f"{name}.parameters"] = model.parameters
    np.savez_compressed(HERE / "checkpoints.npz", **arrays)


RUNS = {
    "adam": {"k1": 5, "clip_norm": 1.0, "optimizer": "adam"},
    "rmsprop": {"batch_size": 2, "early_stopping": 3, "optimizer": "rmsprop"},
    "labels": {"k1": 5, "loss": "cross_entropy", "optimizer": "adamw", "schedule": rnncore.schedules.Cosine(8)},
}


def start(name, arrays):
    """Return a new model, and its `fit` but for epochs and checkpoint."""
    options = dict(RUNS[name])
    x, y = arrays["x"], arrays["y"]
    if name == "labels":
        model = Sequential(Embedding(5, 3, seed=3), LSTM(3, 4, seed=3), Dropout(0.25, seed=3), Linear(4, 5, seed=3))
        x, y = arrays["labels"][:-1], arrays["labels"][1:]
    else:
        model = Sequential(GRU(2, 3, seed=3), Linear(3, 1, seed=3))
    if name == "rmsprop":
        options["validation"] = (x[:, :1], y[:, :1])
    return model, partial(model.fit, (x, y), seed=0, progress=False, **options)


if __name__ == "__main__":
    main()
