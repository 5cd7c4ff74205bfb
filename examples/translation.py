"""English to French: a GRU with attention over subwords, and the same network in torch after the same updates.

    RNNCORE_DATA=folder python examples/translation.py                  # train, translate the test part
    RNNCORE_DATA=folder python examples/translation.py --engine torch   # the same updates in torch
    RNNCORE_DATA=folder python examples/translation.py --compare torch  # some updates of both, in turns

The folder holds fra-eng.txt, a line each: part (train, valid or test), English, French. The epoch is chosen on the
valid part; the test part is looked at once. Needs `pip install 'rnncore[text,io]'`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import turns  # beside this file

import rnncore
from rnncore.text import Translator
from rnncore.text.command import bleu
from rnncore.text.fitting import Batch, Course
from rnncore.text.network import Network
from rnncore.text.vocabulary import BEGIN
from rnncore.training.interrupts import Interrupts

SUBWORDS, HIDDEN, EMBEDDING, DROPOUT, BATCH, LR, CLIP = 2000, 256, 128, 0.1, 64, 3e-3, 1.0
BEAM = 4

Pairs = list[tuple[str, str]]


def read(folder: Path) -> dict[str, Pairs]:
    """Return the pairs of each part."""
    parts: dict[str, Pairs] = {"train": [], "valid": [], "test": []}
    with (folder / "fra-eng.txt").open(encoding="utf-8") as file:
        for line in file:
            part, english, french = line.rstrip("\n").split("\t")
            parts[part].append((english, french))
    return parts


def prepare(arguments: argparse.Namespace, parts: dict[str, Pairs]) -> tuple[Translator, Course]:
    """Return the translator, not trained, and the training that both engines follow."""
    translator = Translator(
        cell="gru",
        hidden_size=HIDDEN,
        embedding_size=EMBEDDING,
        dropout=DROPOUT,
        subwords=SUBWORDS,
        seed=arguments.seed,
    )
    course = translator.course(
        parts["train"],
        parts["valid"],
        epochs=arguments.epochs,
        batch_size=BATCH,
        lr=LR,
        clip_norm=CLIP,
        checkpoint=arguments.checkpoint,
    )
    return translator, course


def train(arguments: argparse.Namespace) -> None:
    """Train with either engine, and tell what came of it."""
    rnncore.set_num_threads(arguments.threads)
    parts = read(arguments.data)
    translator, course = prepare(arguments, parts)
    if arguments.engine == "torch":
        in_torch(course, arguments.threads)
    began = time.process_time()
    history = course.run()
    print(f"{arguments.engine}: {translator.parameter_count} parameters, epoch {(history.best_epoch or 0) + 1}")
    print(f"processor time of this run: {time.process_time() - began:.0f} s, all epochs: {sum(history.seconds):.0f} s")
    print(f"losses of valid: {', '.join(f'{loss:.3f}' for loss in history.val_loss)} nats a subword")
    if arguments.save:
        translator.save(arguments.save)
    for part in ("valid", "test"):
        sources, references = (list(side) for side in zip(*parts[part], strict=True))
        began = time.process_time()
        quick = translator.translate(sources)
        taken = time.process_time() - began
        found = translator.translate(sources, beam=BEAM)
        told = f"greedy {bleu()(quick, references):.2f}, beam of {BEAM} {bleu()(found, references):.2f}"
        print(f"BLEU of {part}: {told}; copying the source {bleu()(sources, references):.2f}")
        print(f"greedy: {len(sources) / taken:.0f} sentences in a second of one core", flush=True)
    for source, reference, translation in list(zip(sources, references, found, strict=True))[::350]:
        print(f"  {source} | {reference} | {translation}")


def twin(network: Network, threads: int) -> Any:
    """Return the same network as a torch module, with the same parameters."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.set_num_threads(threads)

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source = torch.nn.Embedding(network.source.num_embeddings, EMBEDDING)
            self.target = torch.nn.Embedding(network.target.num_embeddings, EMBEDDING)
            self.encoder = torch.nn.GRU(EMBEDDING, HIDDEN // 2, bidirectional=True)
            self.decoder = torch.nn.GRU(EMBEDDING, HIDDEN)
            self.attention = torch.nn.Linear(HIDDEN, HIDDEN, bias=False)
            self.mix = torch.nn.Linear(2 * HIDDEN, HIDDEN)
            self.output = torch.nn.Linear(HIDDEN, network.output.out_features)
            self.drop = torch.nn.Dropout(DROPOUT)
            for name, layer in network.layers.items():
                own = {key: torch.from_numpy(array.copy()) for key, array in layer.named_parameters().items()}
                getattr(self, name).load_state_dict(own)

        def forward(self, source: Any, lengths: Any, target: Any, target_lengths: Any) -> Any:
            x = self.drop(self.source(source))
            if int(lengths.min()) == len(source):
                keys, final = self.encoder(x)
            else:
                packed, final = self.encoder(pack_padded_sequence(x, lengths, enforce_sorted=False))
                keys = pad_packed_sequence(packed)[0]
            shifted = torch.cat([torch.full_like(target[:1], BEGIN), target[:-1]])
            y, _ = self.decoder(self.drop(self.target(shifted)), torch.cat([final[0], final[1]], dim=1)[None])
            queries, held = self.attention(y).transpose(0, 1), keys.transpose(0, 1)
            scores = queries @ held.transpose(1, 2)
            past = torch.arange(len(source)) >= lengths[:, None]
            context = (scores.masked_fill(past[:, None], -torch.inf).softmax(dim=2) @ held).transpose(0, 1)
            valid = torch.arange(len(target))[:, None] < target_lengths
            mixed = torch.tanh(self.mix(torch.cat([context[valid], y[valid]], dim=1)))
            return torch.nn.functional.cross_entropy(self.output(self.drop(mixed)), target[valid])

        def copy_back(self) -> None:
            """Write the parameters to those of rnncore's network."""
            for name, layer in network.layers.items():
                layer.load_state_dict({key: p.detach().numpy() for key, p in getattr(self, name).named_parameters()})

    return Twin()


def in_torch(course: Course, threads: int) -> None:
    """Let torch take the updates of a training; its parameters are copied back after every epoch."""
    import torch

    module = twin(course.network, threads)
    optimizer = torch.optim.Adam(module.parameters(), lr=LR)
    validate, resume, save = course.validation_loss, course.resume, course.save

    def update(batch: Batch, lr: float, interrupts: Interrupts) -> float:  # noqa: ARG001
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = module(*map(torch.from_numpy, batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP)
        optimizer.step()
        return float(loss.detach())

    def validation_loss() -> float:
        module.copy_back()
        return validate()

    def beside(path: Path) -> Path:
        return path.with_suffix(".torch")

    def save_both(path: Path) -> None:
        save(path)
        torch.save((module.state_dict(), optimizer.state_dict()), beside(path))

    def resume_both(path: Path) -> None:
        resume(path)
        parameters, state = torch.load(beside(path))
        module.load_state_dict(parameters)
        optimizer.load_state_dict(state)

    course.update, course.validation_loss = update, validation_loss  # type: ignore[method-assign]
    course.save, course.resume = save_both, resume_both  # type: ignore[method-assign]


def compare(arguments: argparse.Namespace) -> None:
    """Take the same updates in rnncore and in torch, in turns."""
    parts = read(arguments.data)
    arguments.checkpoint = None
    _, ours = prepare(arguments, parts)
    _, theirs = prepare(arguments, parts)
    in_torch(theirs, arguments.threads)
    rnncore.set_num_threads(arguments.threads)
    some = list(itertools.islice(ours.batches(0), arguments.turn))
    with ours.network.evaluating():  # no dropout: the losses have to agree
        first = ours.network.loss(*some[0])
    module = twin(ours.network, arguments.threads).eval()
    import torch

    with torch.no_grad():
        other = float(module(*map(torch.from_numpy, some[0])))
    print(f"loss of the first batch: {first:.6f}, torch {other:.6f}")
    if not np.isclose(first, other, rtol=1e-5):
        raise SystemExit("the two networks differ")

    def run(course: Course) -> None:
        for batch in some:
            course.update(batch, LR, Interrupts())

    engines = {"rnncore": lambda: run(ours), "torch": lambda: run(theirs)}
    turns.report(engines, f"{len(some)} updates of {BATCH} pairs", arguments.rounds)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("RNNCORE_DATA"))
    parser.add_argument("--engine", choices=["rnncore", "torch"], default="rnncore")
    parser.add_argument("--compare", choices=["torch"])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turn", type=int, default=30, help="updates in each turn of a comparison")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checkpoint", type=Path, help="file to go on from, if it is there")
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("where is fra-eng.txt? Set RNNCORE_DATA or give --data")
    arguments.data = Path(arguments.data)
    (compare if arguments.compare else train)(arguments)


if __name__ == "__main__":
    main()
