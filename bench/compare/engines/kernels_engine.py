"""The calls into the engine by themselves, with arrays made before: what fit, fleet or a bridge adds is beside them."""

from typing import Any

import numpy as np
from cases import CLIP, RATE, UPDATES, Case

import rnncore
from engines import Prepared
from engines.rnncore_engine import fleet_of, layer_of, model_of


def prepare(case: Case, threads: int) -> Prepared | None:
    rnncore.set_num_threads(threads)
    if case.mode == "fleet":
        return prepare_fleet(case)
    if case.mode in ("infer", "train"):
        return prepare_call(case)
    if case.mode != "fit":
        return None
    model, lessons = model_of(case), case.lessons()
    layer = model[0]
    xs = [np.ascontiguousarray(case.lesson(lessons["x"], k)) for k in range(UPDATES)]
    network, (y, dy, final, start) = layer._network, buffers(case, layer)
    gradient = np.zeros(layer.parameter_count, case.dtype)

    def run(calls: int) -> None:
        for x in xs * calls:
            cache = network.forward(layer.parameters, x, None, y, final, keep=True)
            network.backward(cache, layer.parameters, dy, None, None, start, gradient)

    def output() -> np.ndarray:
        """The epoch of fit by its parts."""
        other, hx = model_of(case), None
        optimizer = rnncore.optim.Adam(other.parameters, lr=RATE)
        for k in range(UPDATES):
            x, target = (case.lesson(lessons[name], k) for name in ("x", "target"))
            state = learn(other, optimizer, x, target, hx)
            hx = state if case.N == 1 else None
        return other.parameters

    return Prepared(run, output)


def prepare_call(case: Case) -> Prepared:
    """Forward alone, or forward and backward to the gradients of x and of the parameters."""
    layer, data = layer_of(case), case.draw()
    network, (y, _, final, start) = layer._network, buffers(case, layer)
    x, dy, lengths = data["x"], data["dy"], case.lengths() if case.ragged else None
    dx, gradient = np.empty_like(x), np.zeros(layer.parameter_count, case.dtype)

    def infer(calls: int) -> None:
        for _ in range(calls):
            network.forward(layer.parameters, x, None, y, final, lengths)

    def train(calls: int) -> None:
        for _ in range(calls):
            cache = network.forward(layer.parameters, x, None, y, final, lengths, keep=True)
            network.backward(cache, layer.parameters, dy, None, dx, start, gradient)

    def output() -> np.ndarray:
        train(1)
        return dx if case.mode == "train" else y

    return Prepared(train if case.mode == "train" else infer, output)


def buffers(case: Case, layer: Any) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """y and its gradient, all ones; the final state, and the gradient of the initial one."""
    y, dy = np.empty((case.T, case.N, case.H), case.dtype), np.ones((case.T, case.N, case.H), case.dtype)
    count = layer._network.num_states
    final, start = ([np.empty((1, case.N, case.H), case.dtype) for _ in range(count)] for _ in range(2))
    return y, dy, final, start


def learn(model: rnncore.Sequential, optimizer: rnncore.optim.Adam, x: np.ndarray, target: np.ndarray, hx: Any) -> Any:
    """Take an update by its parts; return the final state."""
    y, state, cache = model.forward(x, hx)
    _, dy = rnncore.losses.mean_squared_error(y, target)
    total = model.backward(cache, dy).parameters
    rnncore.optim.clip_grad_norm(total, CLIP)
    optimizer.step(total)
    return state


def prepare_fleet(case: Case) -> Prepared:
    fleet, lessons = fleet_of(case), case.lessons()
    network, (y, dy, final, start) = fleet[0][0]._network, buffers(case, fleet[0][0])
    parts = [(model[0].parameters, np.zeros(model[0].parameter_count, case.dtype)) for model in fleet]

    def run(calls: int) -> None:
        for _ in range(UPDATES * calls):
            for x, (parameters, gradient) in zip(lessons["x"], parts, strict=True):
                cache = network.forward(parameters, x, None, y, final, keep=True)
                network.backward(cache, parameters, dy, None, None, start, gradient)

    def output() -> np.ndarray:
        """The epoch of each model by its parts."""
        others = fleet_of(case)
        for model, x, target in zip(others, lessons["x"], lessons["target"], strict=True):
            learn(model, rnncore.optim.Adam(model.parameters, lr=RATE), x, target, None)
        return others.parameters

    return Prepared(run, output)
