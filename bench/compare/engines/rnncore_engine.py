"""The layers' inference and forward/backward calls, Stream.step, and fit."""

from typing import Any

import numpy as np
from cases import CLIP, RATE, UPDATES, Case

import rnncore
from engines import Prepared


def model_of(case: Case) -> rnncore.Sequential:
    """A recurrent layer and one linear output."""
    data, lessons = case.draw(), case.lessons()
    model = rnncore.Sequential(
        getattr(rnncore, case.cell.upper())(case.I, case.H, dtype=case.dtype),
        rnncore.Linear(case.H, 1, dtype=case.dtype),
    )
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    model[0].load_state_dict({f"{name}_l0": data[name] for name in names})
    model[1].load_state_dict({name: lessons[name] for name in ("weight", "bias")})
    return model


def layer_of(case: Case) -> Any:
    """A recurrent layer with the parameters that all engines have."""
    layer = getattr(rnncore, case.cell.upper())(case.I, case.H, dtype=case.dtype, precision=case.precision)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    layer.load_state_dict({f"{name}_l0": array for name, array in case.draw().items() if name in names})
    return layer


def prepare_fit(case: Case) -> Prepared:
    lessons = case.lessons()
    options = {"lr": RATE, "clip_norm": CLIP, "shuffle": False, "progress": False}
    options |= {"k1": case.T} if case.N == 1 else {"batch_size": case.N}

    def fit(model: rnncore.Sequential, epochs: int) -> None:
        model.fit((lessons["x"], lessons["target"]), epochs=epochs, **options)

    trained = model_of(case)

    def output() -> np.ndarray:
        model = model_of(case)
        fit(model, 1)
        return model.parameters

    return Prepared(lambda calls: fit(trained, calls), output)


def fleet_of(case: Case) -> rnncore.Fleet:
    """Models that differ a little."""
    fleet = rnncore.Fleet(model_of(case), case.models)
    fleet.parameters *= np.linspace(0.9, 1.1, case.models, dtype=case.dtype)[:, None]
    return fleet


def prepare_fleet(case: Case) -> Prepared:
    lessons = case.lessons()
    data = (lessons["x"], lessons["target"])
    options = {"lr": RATE, "clip_norm": CLIP, "shuffle": False, "batch_size": case.N}
    trained = fleet_of(case)

    def output() -> np.ndarray:
        fleet = fleet_of(case)
        fleet.fit(data, epochs=1, **options)
        return fleet.parameters

    return Prepared(lambda calls: trained.fit(data, epochs=UPDATES * calls, **options), output)


def prepare(case: Case, threads: int) -> Prepared:
    rnncore.set_num_threads(threads)
    if case.mode == "fit":
        return prepare_fit(case)
    if case.mode == "fleet":
        return prepare_fleet(case)
    layer, data = layer_of(case), case.draw()
    x, dy = data["x"], data["dy"]
    layer = rnncore.quantize(layer, case.weights) if case.weights else layer
    lengths = case.lengths() if case.ragged else None

    def train() -> Any:
        _, _, cache = layer.forward(x, lengths=lengths)
        return layer.backward(cache, dy)

    def run_train(calls: int) -> None:
        for _ in range(calls):
            train()

    def run_infer(calls: int) -> None:
        for _ in range(calls):
            layer(x, lengths=lengths)

    stream = rnncore.Stream(layer, batch_size=case.N)
    row = x[0]

    def run_steps(calls: int) -> None:
        for _ in range(calls):
            stream.step(row)

    def output() -> np.ndarray:
        return train().x if case.mode == "train" else layer(x, lengths=lengths)[0]

    return Prepared({"train": run_train, "infer": run_infer, "step": run_steps}[case.mode], output)
