"""torch.nn.RNN, LSTM, GRU, on packed sequences where rows differ in length; cells for steps; under inference_mode."""

import torch
from cases import Case
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from engines import Prepared


def prepare(case: Case, threads: int) -> Prepared:
    torch.set_num_threads(threads)
    data = {name: torch.from_numpy(array) for name, array in case.draw().items()}
    x, dy = data.pop("x"), data.pop("dy")
    dtype = getattr(torch, case.dtype)
    step = case.mode == "step"
    module = getattr(torch.nn, case.cell.upper() + ("Cell" if step else ""))(case.I, case.H, dtype=dtype)
    module.load_state_dict({name + ("" if step else "_l0"): tensor for name, tensor in data.items()})
    lengths = torch.from_numpy(case.lengths()) if case.ragged else None

    def forward(x: torch.Tensor) -> torch.Tensor:
        if lengths is None:
            return module(x)[0]
        packed, _ = module(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(packed, total_length=case.T)[0]

    def train() -> torch.Tensor:
        module.zero_grad(set_to_none=True)
        leaf = x.detach().requires_grad_()
        forward(leaf).backward(dy)
        return leaf.grad

    def run_train(calls: int) -> None:
        for _ in range(calls):
            train()

    def run_infer(calls: int) -> None:
        with torch.inference_mode():
            for _ in range(calls):
                forward(x)

    def run_steps(calls: int) -> None:
        row, hx = x[0], torch.zeros(case.N, case.H, dtype=dtype)
        hx = (hx, hx) if case.cell == "lstm" else hx
        with torch.inference_mode():
            for _ in range(calls):
                hx = module(row, hx)

    def output() -> torch.Tensor:
        if case.mode == "train":
            return train().numpy()
        with torch.inference_mode():
            if not step:
                return forward(x).numpy()
            h = module(x[0])
            return (h[0] if case.cell == "lstm" else h)[None].numpy()

    return Prepared({"train": run_train, "infer": run_infer, "step": run_steps}[case.mode], output)
