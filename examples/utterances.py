"""Classification of sequences of different length: which of nine speakers said two Japanese vowels.

    RNNCORE_DATA=folder python examples/utterances.py                   # train three models, tell their accuracy
    RNNCORE_DATA=folder python examples/utterances.py --compare torch   # time both, in turns

The folder holds JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts (UCI, CC BY 4.0): 270 and 370 utterances of 7 to 29
steps in 12 channels, the official split.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import turns  # beside this file

import rnncore

HIDDEN, CLASSES, BATCH, LR, CLIP = 64, 9, 16, 3e-3, 1.0

Data = tuple[list[np.ndarray], np.ndarray]


def read(path: Path) -> Data:
    """Return the utterances, arrays (T, 12), and their speakers, 0 to 8."""
    sequences, labels = [], []
    for line in path.read_text().splitlines():
        if line and line[0] not in "#@":
            *channels, label = line.split(":")
            sequences.append(np.array([channel.split(",") for channel in channels], np.float32).T)
            labels.append(int(label) - 1)
    return sequences, np.array(labels)


def standardised(training: Data, test: Data) -> tuple[Data, Data]:
    """Bring both to the training part's mean of 0 and spread of 1."""
    steps = np.concatenate(training[0])
    mean, spread = steps.mean(axis=0), steps.std(axis=0)
    first, second = (([(each - mean) / spread for each in data[0]], data[1]) for data in (training, test))
    return first, second


def build(channels: int, seed: int) -> rnncore.Sequential:
    """Make the model."""
    return rnncore.Sequential(
        rnncore.Dropout(0.2, seed=seed),
        rnncore.GRU(channels, HIDDEN, bidirectional=True, seed=seed + 1),
        rnncore.LastStep(),
        rnncore.Dropout(0.5, seed=seed + 2),
        rnncore.Linear(2 * HIDDEN, CLASSES, seed=seed + 3),
    )


def train(arguments: argparse.Namespace) -> None:
    """Train a model for each seed; the test part is looked at once, at the end."""
    training, test = standardised(*(read(arguments.data / f"JapaneseVowels_{part}.ts") for part in ("TRAIN", "TEST")))
    accuracies = []
    for seed in range(arguments.seeds):
        model = build(training[0][0].shape[1], 10 * seed)
        history = model.fit(
            training,
            loss="cross_entropy",
            epochs=arguments.epochs,
            batch_size=BATCH,
            lr=LR,
            schedule=rnncore.schedules.Cosine(arguments.epochs),
            clip_norm=CLIP,
            seed=seed,
            progress=False,
            num_threads=arguments.threads,
        )
        accuracies.append(model.evaluate(test, "cross_entropy", metrics=["accuracy"])["accuracy"])
        print(f"seed {seed}: accuracy {accuracies[-1]:.4f}, {1e3 * np.median(history['seconds']):.1f} ms an epoch")
        if arguments.figure and seed == 0:
            history.plot(arguments.figure)
    print(f"median: {np.median(accuracies):.4f} (ridge regression on simple statistics: 0.978, FCN: 0.993)")


def compare(arguments: argparse.Namespace) -> None:
    """Take the same epochs in rnncore and torch, in turns; torch packs its sequences."""
    import torch
    from torch.nn.utils.rnn import pack_sequence

    training, _ = standardised(*(read(arguments.data / f"JapaneseVowels_{part}.ts") for part in ("TRAIN", "TEST")))
    torch.set_num_threads(arguments.threads)
    model = build(training[0][0].shape[1], 0)

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.behind = torch.nn.Dropout(0.2), torch.nn.Dropout(0.5)
            self.gru = torch.nn.GRU(training[0][0].shape[1], HIDDEN, bidirectional=True)
            self.head = torch.nn.Linear(2 * HIDDEN, CLASSES)

        def forward(self, x):
            _, h = self.gru(x._replace(data=self.before(x.data)))
            return self.head(self.behind(torch.cat([h[0], h[1]], dim=1)))

    twin = Twin()
    theirs = torch.optim.Adam(twin.parameters(), lr=LR)
    tensors, labels = [torch.from_numpy(each) for each in training[0]], torch.from_numpy(training[1])

    def with_torch() -> None:
        for _ in range(arguments.turn):
            order = torch.randperm(len(tensors))
            for start in range(0, len(order), BATCH):
                chosen = order[start : start + BATCH]
                packed = pack_sequence([tensors[k] for k in chosen], enforce_sorted=False)
                loss = torch.nn.functional.cross_entropy(twin(packed), labels[chosen])
                theirs.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(twin.parameters(), CLIP)
                theirs.step()

    def with_rnncore() -> None:
        model.fit(
            training,
            loss="cross_entropy",
            epochs=arguments.turn,
            batch_size=BATCH,
            lr=LR,
            clip_norm=CLIP,
            progress=False,
            num_threads=arguments.threads,
        )

    turns.report({"rnncore": with_rnncore, "torch": with_torch}, f"{arguments.turn} epochs", arguments.rounds)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("RNNCORE_DATA"))
    parser.add_argument("--compare", choices=["torch"])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turn", type=int, default=10, help="epochs in each turn of a comparison")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("where is JapaneseVowels_TRAIN.ts? Set RNNCORE_DATA or give --data")
    arguments.data = Path(arguments.data)
    (compare if arguments.compare else train)(arguments)


if __name__ == "__main__":
    main()
