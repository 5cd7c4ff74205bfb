"""The layers' inference and forward/backward calls, and Stream.step."""

from typing import Any

import numpy as np
from cases import Case

import rnncore
from engines import Prepared


def prepare(case: Case, threads: int) -> Prepared:
    rnncore.set_num_threads(threads)
    layer = getattr(rnncore, case.cell.upper())(case.I, case.H, dtype=case.dtype)
    data = case.draw()
    x, dy = data.pop("x"), data.pop("dy")
    layer.load_state_dict({f"{name}_l0": array for name, array in data.items()})
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
