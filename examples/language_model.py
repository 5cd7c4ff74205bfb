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

ROWS, WINDOW, EMBEDDING, HIDDEN, DROPOUT, LR, DECAY, CLIP = 32, 64, 128, 256, 0.3, 4e-3, 0.03, 1.0


def read(folder: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the training and the validation text as numbers, and the alphabet."""
    text = (folder / "tinyshakespeare.txt").read_text()
    alphabet = sorted(set(text))
    number = {letter: k for k, letter in enumerate(alphabet)}
    values = np.array([number[letter] for letter in text])
    cut = len(values) * 9 // 10
    return values[:cut], values[cut:], alphabet


def side_by_side(values: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut one text into rows: x (T, rows), and the letter that follows each."""
    steps = (len(values) - 1) // rows
    x, target = (values[k : k + steps * rows].reshape(rows, steps).T for k in (0, 1))
    return np.ascontiguousarray(x), np.ascontiguousarray(target)


def build(letters: int, seed: int) -> rnncore.Sequential:
    """Make the model."""
    model = rnncore.Sequential(
        rnncore.Embedding(letters, EMBEDDING, seed=seed),
        rnncore.LSTM(EMBEDDING, HIDDEN, seed=seed + 1),
        rnncore.Dropout(DROPOUT, seed=seed + 2),
        rnncore.Linear(HIDDEN, letters, seed=seed + 3),
    )
    rnncore.initialisation.forget_bias(model)
    return model


def generate(
    model: rnncore.Sequential, alphabet: list[str], prompt: str, length: int, temperature: float = 1.0, seed: int = 0
) -> str:
    """Go on from a prompt, letter by letter; one seed gives one text."""
    random = np.random.default_rng(seed)
    stream = rnncore.Stream(model)
    logits = stream.run([alphabet.index(letter) for letter in prompt])[-1]
    letters = []
    for _ in range(length):
        scores = logits.astype(np.float64) / temperature
        letters.append(int(random.choice(len(alphabet), p=np.exp(scores - np.logaddexp.reduce(scores)))))
        logits = stream.step(letters[-1])
    return prompt + "".join(alphabet[k] for k in letters)


def train(arguments: argparse.Namespace) -> None:
    """Train, and tell what came of it."""
    training, held_out, alphabet = read(arguments.data)
    model = build(len(alphabet), arguments.seed)
    x, target = side_by_side(training, ROWS)
    updates = -(-len(x) // WINDOW) * arguments.epochs
    history = model.fit(
        (x, target),
        loss="cross_entropy",
        k1=WINDOW,
        epochs=arguments.epochs,
        optimizer=rnncore.optim.AdamW(model.parameters, lr=LR, weight_decay=DECAY),
        schedule=rnncore.schedules.Warmup(100, rnncore.schedules.Cosine(updates, per="update")),
        clip_norm=CLIP,
        validation=side_by_side(held_out, 1),
        early_stopping=arguments.epochs,
        checkpoint=arguments.checkpoint,
        resume=arguments.checkpoint is not None,
        num_threads=arguments.threads,
    )
    print(f"validation: {min(history['val_loss']):.4f} nats a character (a 5-gram model: 1.669)")
    print(f"median epoch: {np.median(history['seconds']):.1f} s, of all {sum(history['seconds']):.0f} s")
    print(generate(model, alphabet, "ROMEO:\n", 400, temperature=0.7, seed=arguments.seed))
    if arguments.save:
        model.save(arguments.save)
    if arguments.figure:
        history.plot(arguments.figure)


def compare(arguments: argparse.Namespace) -> None:
    """Take the same updates in rnncore and torch, in turns."""
    import torch

    training, _, alphabet = read(arguments.data)
    x, target = (array[: WINDOW * arguments.windows] for array in side_by_side(training, ROWS))
    torch.set_num_threads(arguments.threads)
    model = build(len(alphabet), 0)

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(len(alphabet), EMBEDDING)
            self.lstm = torch.nn.LSTM(EMBEDDING, HIDDEN)
            self.dropout = torch.nn.Dropout(DROPOUT)
            self.head = torch.nn.Linear(HIDDEN, len(alphabet))

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
