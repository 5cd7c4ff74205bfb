"""torch.nn.RNN, LSTM, GRU, on packed sequences where rows differ in length; cells for steps; under inference_mode."""

import warnings
from collections.abc import Callable

import torch
from cases import CLIP, RATE, UPDATES, Case
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from engines import Prepared


def model_of(case: Case) -> torch.nn.ModuleList:
    """A recurrent layer and one linear output."""
    data, lessons, dtype = case.draw(), case.lessons(), getattr(torch, case.dtype)
    layer, head = (
        getattr(torch.nn, case.cell.upper())(case.I, case.H, dtype=dtype),
        torch.nn.Linear(case.H, 1, dtype=dtype),
    )
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    layer.load_state_dict({f"{name}_l0": torch.from_numpy(data[name]) for name in names})
    head.load_state_dict({name: torch.from_numpy(lessons[name]) for name in ("weight", "bias")})
    return torch.nn.ModuleList([layer, head])


def prepare_fleet(case: Case) -> Prepared:
    """A loop over modules, each with an optimiser of its own."""
    lessons = {name: torch.from_numpy(array) for name, array in case.lessons().items() if name in ("x", "target")}
    scales = torch.linspace(0.9, 1.1, case.models, dtype=getattr(torch, case.dtype))

    def trainers() -> list[tuple[torch.nn.ModuleList, torch.optim.Optimizer]]:
        made = []
        for scale in scales:
            model = model_of(case)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter *= scale
            made.append((model, torch.optim.Adam(model.parameters(), lr=RATE)))
        return made

    def epoch(all_trainers: list[tuple[torch.nn.ModuleList, torch.optim.Optimizer]]) -> None:
        for (model, optimizer), x, target in zip(all_trainers, lessons["x"], lessons["target"], strict=True):
            optimizer.zero_grad(set_to_none=True)
            layer, head = model
            torch.nn.functional.mse_loss(head(layer(x)[0]), target).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()

    trained = trainers()

    def run(calls: int) -> None:
        for _ in range(UPDATES * calls):
            epoch(trained)

    def output() -> torch.Tensor:
        others = trainers()
        epoch(others)
        rows = [torch.cat([parameter.detach().ravel() for parameter in model.parameters()]) for model, _ in others]
        return torch.stack(rows).numpy()

    return Prepared(run, output)


def prepare_fit(case: Case) -> Prepared:
    """A plain loop: forward, mean squared error, backward, clipping, Adam."""
    lessons = {name: torch.from_numpy(array) for name, array in case.lessons().items()}
    batches = [[case.lesson(lessons[name], k).contiguous() for name in ("x", "target")] for k in range(UPDATES)]

    def trainer() -> tuple[torch.nn.ModuleList, torch.optim.Optimizer]:
        model = model_of(case)
        return model, torch.optim.Adam(model.parameters(), lr=RATE)

    def epoch(model: torch.nn.ModuleList, optimizer: torch.optim.Optimizer) -> None:
        layer, head = model
        hx = None
        for x, target in batches:
            optimizer.zero_grad(set_to_none=True)
            y, state = layer(x, hx)
            torch.nn.functional.mse_loss(head(y), target).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            if case.N == 1:
                hx = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()

    trained = trainer()

    def run(calls: int) -> None:
        for _ in range(calls):
            epoch(*trained)

    def output() -> torch.Tensor:
        model, optimizer = trainer()
        epoch(model, optimizer)
        return torch.cat([parameter.detach().ravel() for parameter in model.parameters()]).numpy()

    return Prepared(run, output)


def quantised(module: torch.nn.Module) -> torch.nn.Module:
    """Weights in int8, and x and h too, at scales of the moment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        holder = torch.ao.quantization.quantize_dynamic(torch.nn.ModuleList([module]), {type(module)}, torch.qint8)
    return holder[0]


def prepare(case: Case, threads: int, change: Callable[[torch.nn.Module], torch.nn.Module] | None = None) -> Prepared:
    torch.set_num_threads(threads)
    if case.mode == "fit":
        return prepare_fit(case)
    if case.mode == "fleet":
        return prepare_fleet(case)
    data = {name: torch.from_numpy(array) for name, array in case.draw().items()}
    x, dy = data.pop("x"), data.pop("dy")
    dtype = getattr(torch, case.dtype)
    step = case.mode == "step"
    module = getattr(torch.nn, case.cell.upper() + ("Cell" if step else ""))(case.I, case.H, dtype=dtype)
    module.load_state_dict({name + ("" if step else "_l0"): tensor for name, tensor in data.items()})
    module = change(module) if change else module
    if case.weights:
        module = quantised(module)
    lengths = torch.from_numpy(case.lengths()) if case.ragged else None

    def forward(x: torch.Tensor) -> torch.Tensor:
        if case.precision == "bf16":
            with torch.autocast("cpu", torch.bfloat16):
                return module(x)[0].float()
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
