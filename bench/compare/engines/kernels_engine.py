"""What an epoch of fit asks of the kernels: the recurrent layer's forward and backward calls into the engine."""

import numpy as np
from cases import CLIP, RATE, UPDATES, Case

import rnncore
from engines import Prepared
from engines.rnncore_engine import model_of


def prepare(case: Case, threads: int) -> Prepared | None:
    if case.mode != "fit":
        return None
    rnncore.set_num_threads(threads)
    model, lessons = model_of(case), case.lessons()
    layer = model[0]
    xs = [np.ascontiguousarray(case.lesson(lessons["x"], k)) for k in range(UPDATES)]
    network, states = layer._network, layer._network.num_states
    y, dy = np.empty((case.T, case.N, case.H), case.dtype), np.ones((case.T, case.N, case.H), case.dtype)
    final, start = ([np.empty((1, case.N, case.H), case.dtype) for _ in range(states)] for _ in range(2))
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
            y, state, cache = other.forward(case.lesson(lessons["x"], k), hx)
            _, dy = rnncore.losses.mean_squared_error(y, case.lesson(lessons["target"], k))
            total = other.backward(cache, dy).parameters
            rnncore.optim.clip_grad_norm(total, CLIP)
            optimizer.step(total)
            hx = state if case.N == 1 else None
        return other.parameters

    return Prepared(run, output)
