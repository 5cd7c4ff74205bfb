"""PyTorch's modules as in torch_engine, run by rnncore.torch."""

from cases import Case

import rnncore
from engines import Prepared, torch_engine


def prepare(case: Case, threads: int) -> Prepared:
    return torch_engine.prepare(case, threads, rnncore.torch.accelerate)
