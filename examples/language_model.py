"""A character language model: one LSTM layer of 256 on Shakespeare, by truncated backpropagation through time.

    RNNCORE_DATA=folder python examples/language_model.py                   # train, evaluate, generate, draw
    RNNCORE_DATA=folder python examples/language_model.py --compare torch   # time an epoch's part in both, in turns

The folder holds tinyshakespeare.txt: its first 90 % are trained on, the rest validates.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import turns  # beside this file

import rnncore
from rnncore.text import LanguageModel
from rnncore.text.language import side_by_side

ROWS, WINDOW, EMBEDDING, HIDDEN, DROPOUT, LR, DECAY, CLIP = 32, 64, 128, 256, 0.3, 4e-3, 0.03, 1.0


def read(folder: Path) -> str:
    """Return the text."""
    return (folder / "tinyshakespeare.txt").read_text()


def build(seed: int) -> LanguageModel:
    """Make the model, not trained."""
    return LanguageModel(hidden_size=HIDDEN, embedding_size=EMBEDDING, dropout=DROPOUT, seed=seed)


def train(arguments: argparse.Namespace) -> None:
    """Train, and tell what came of it."""
    language = build(arguments.seed)
    history = language.fit(
        read(arguments.data),
        epochs=arguments.epochs,
        rows=ROWS,
        k1=WINDOW,
        lr=LR,
        weight_decay=DECAY,
        clip_norm=CLIP,
        checkpoint=arguments.checkpoint,
        resume=arguments.checkpoint is not None,
        num_threads=arguments.threads,
    )
    print(f"validation: {min(history['val_loss']):.4f} nats a character (a 5-gram model: 1.669)")
    print(f"median epoch: {np.median(history['seconds']):.1f} s, of all {sum(history['seconds']):.0f} s")
    print(language.sample(400, prompt="ROMEO:\n", temperature=0.7, seed=arguments.seed)[0])
    if arguments.save:
        language.save(arguments.save)
    if arguments.figure:
        history.plot(arguments.figure)


def compare(arguments: argparse.Namespace) -> None:
    """Take the same updates in rnncore and torch, in turns."""
    import torch

    text, language = read(arguments.data), build(0)
    language.fit("".join(sorted(set(text))) * ROWS, epochs=1, rows=ROWS, k1=WINDOW, progress=False)  # makes the model
    x, target = (array[: WINDOW * arguments.windows] for array in side_by_side(language.encode(text), ROWS))
    torch.set_num_threads(arguments.threads)
    model, letters = language.model, len(language.tokens)

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(letters, EMBEDDING)
            self.lstm = torch.nn.LSTM(EMBEDDING, HIDDEN)
            self.dropout = torch.nn.Dropout(DROPOUT)
            self.head = torch.nn.Linear(HIDDEN, letters)

        def forward(self, x: Any, hx: Any) -> Any:
            y, hx = self.lstm(self.embedding(x), hx)
            return self.head(self.dropout(y)), hx

    twin = Twin()
    theirs = torch.optim.AdamW(twin.parameters(), lr=LR, weight_decay=DECAY)
    tensors = torch.from_numpy(x), torch.from_numpy(target)

    def with_torch() -> None:
        hx = None
        for start in range(0, len(x), WINDOW):
            part, wanted = (tensor[start : start + WINDOW] for tensor in tensors)
            y, hx = twin(part, hx)
            hx = tuple(state.detach() for state in hx)
            loss = torch.nn.functional.cross_entropy(y.flatten(0, 1), wanted.flatten())
            theirs.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(twin.parameters(), CLIP)
            theirs.step()

    ours = rnncore.optim.AdamW(model.parameters, lr=LR, weight_decay=DECAY)

    def with_rnncore() -> None:
        model.fit(
            (x, target),
            loss="cross_entropy",
            k1=WINDOW,
            optimizer=ours,
            clip_norm=CLIP,
            progress=False,
            num_threads=arguments.threads,
        )

    turns.report({"rnncore": with_rnncore, "torch": with_torch}, f"{arguments.windows} updates", arguments.rounds)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("RNNCORE_DATA"))
    parser.add_argument("--compare", choices=["torch"])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--windows", type=int, default=40, help="updates in each turn of a comparison")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checkpoint", type=Path, help="file to go on from, if it is there")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("where is tinyshakespeare.txt? Set RNNCORE_DATA or give --data")
    arguments.data = Path(arguments.data)
    (compare if arguments.compare else train)(arguments)


if __name__ == "__main__":
    main()
