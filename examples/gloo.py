"""Train over torch.distributed instead of MPI: an adapter of its gloo backend, and a run of two processes.

pip install torch && python examples/gloo.py
torchrun --nproc-per-node 2 examples/gloo.py        # the same, started by torchrun
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist

import rnncore


class GlooCollective:
    """A `rnncore.distributed.Collective` over the process group of torch.distributed."""

    def __init__(self) -> None:
        dist.init_process_group("gloo", timeout=timedelta(minutes=10))
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def allreduce_sum(self, array: np.ndarray) -> None:
        """Replace an array by the sum over the ranks."""
        dist.all_reduce(torch.from_numpy(array))  # a view of the array

    def broadcast(self, array: np.ndarray, root: int = 0) -> None:
        """Replace an array by that of the rank `root`."""
        dist.broadcast(torch.from_numpy(array), root)

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        dist.barrier()

    def close(self) -> None:
        """Leave the group."""
        dist.destroy_process_group()


def train() -> None:
    """Train a small LSTM to continue waves, 32 rows a batch, half of them on each rank."""
    collective = GlooCollective()
    random = np.random.default_rng(0)
    waves = np.sin(np.arange(51)[:, None] / random.uniform(2, 9, 256))[..., None]
    model = rnncore.Sequential(rnncore.LSTM(1, 16, seed=0), rnncore.Linear(16, 1, seed=0))
    history = model.fit((waves[:-1], waves[1:]), epochs=3, lr=0.01, collective=collective, progress=False)
    told = f"rank {collective.rank} of {collective.size}: loss {history.loss[0]:.4f} -> {history.loss[-1]:.4f}"
    told += f", sum of the weights {float(model.parameters.sum()):.9f}\n"
    sys.stdout.write(told)  # in one piece, for ranks share it
    collective.close()


def main() -> int:
    """Be a rank if a launcher says so, else start the ranks."""
    if "RANK" in os.environ:
        train()
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    asked = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(asked.ranks)}
    ranks = [
        subprocess.Popen([sys.executable, __file__], env={**os.environ, **place, "RANK": str(rank)})
        for rank in range(asked.ranks)
    ]
    return max(rank.wait() for rank in ranks)


if __name__ == "__main__":
    sys.exit(main())
