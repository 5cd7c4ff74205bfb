"""Recursive beside recurrent: sentiment from the trees of sentences, from words in order, and from a bag of words.

    RNNCORE_DATA=folder python examples/sentiment.py                   # TreeLSTM, five classes at the root, three seeds
    RNNCORE_DATA=folder python examples/sentiment.py --task binary
    RNNCORE_DATA=folder python examples/sentiment.py --model bag       # or lstm, rnn (the plain recursive network)
    RNNCORE_DATA=folder python examples/sentiment.py --compare torch   # an epoch of both, in turns

The folder holds sst/train.txt, dev.txt and test.txt (Stanford Sentiment Treebank, Socher et al. 2013): a tree a line,
a label of 0 to 4 at every node. Word vectors begin at random. The epoch is chosen on dev; test is looked at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import turns  # beside this file

import rnncore
from rnncore import losses, optim
from rnncore.trees import Tree, draw, join, read_trees

WORDS, HIDDEN, BATCH, LR, WEIGHT_DECAY, DROPOUT, CLIP = 128, 128, 25, 1e-3, 1e-4, 0.5, 5.0
UNKNOWN = 0


@dataclass
class Batch:
    """Trees side by side, the number of every leaf's word, and the class of every node, -1 where it does not count."""

    tree: Tree
    leaves: np.ndarray
    words: np.ndarray
    classes: np.ndarray


class Vocabulary:
    """Words of the training part that come twice or more; all others are one unknown word."""

    def __init__(self, trees: list[Tree]) -> None:
        count = Counter(word for tree in trees for word in tree.words if word is not None)
        kept = [word for word, times in count.items() if times > 1]
        self.numbers = {word: number for number, word in enumerate(sorted(kept), UNKNOWN + 1)}

    def __len__(self) -> int:
        return len(self.numbers) + 1

    def batch(self, trees: list[Tree], binary: bool) -> Batch:
        """Join trees; binary sentiment leaves nodes of label 2 out, and takes 0, 1 against 3, 4."""
        tree = join(trees)
        leaves = np.array([k for k, word in enumerate(tree.words) if word is not None])
        words = np.array([self.numbers.get(tree.words[k], UNKNOWN) for k in leaves])
        classes = tree.labels
        if binary:
            classes = np.where(classes == 2, -1, classes > 2)
        return Batch(tree, leaves, words, classes)


class Recursive:
    """Word vectors, a recursive layer, and a class for every node."""

    def __init__(self, words: int, classes: int, kind: str, seed: int) -> None:
        layer = rnncore.TreeRNN if kind == "rnn" else rnncore.TreeLSTM
        self.embedding = rnncore.Embedding(words, WORDS, seed=seed)
        self.embedding.parameters *= 0.1
        self.tree = layer(WORDS, HIDDEN, "binary", seed=seed + 1)
        self.head = rnncore.Linear(HIDDEN, classes, seed=seed + 2)
        self.before, self.behind = (rnncore.Dropout(DROPOUT, seed=seed + k) for k in (3, 4))
        self.layers = (self.embedding, self.tree, self.head)
        self.optimizer = optim.AdamW([layer.parameters for layer in self.layers], lr=LR, weight_decay=WEIGHT_DECAY)

    def h(self, result: object) -> np.ndarray:
        """Return h of a result h, or (h, c)."""
        return result[0] if isinstance(result, tuple) else result

    def predict(self, batch: Batch) -> np.ndarray:
        """Return the scores of the classes at every node."""
        x = np.zeros((len(batch.tree), WORDS), np.float32)
        x[batch.leaves] = self.embedding(batch.words)
        return self.head(self.h(self.tree(x, batch.tree)))

    def update(self, batch: Batch) -> None:
        """Take one step along the gradient of the cross entropy of all nodes that have a class."""
        x = np.zeros((len(batch.tree), WORDS), np.float32)
        vectors, of_words = self.embedding.forward(batch.words)
        x[batch.leaves], of_before = self.before.forward(vectors)
        result, of_tree = self.tree.forward(x, batch.tree)
        h, of_behind = self.behind.forward(self.h(result))
        scores, of_head = self.head.forward(h)
        counted = batch.classes >= 0
        _, gradient = losses.cross_entropy(scores, np.maximum(batch.classes, 0), mask=counted)
        into_head = self.head.backward(of_head, gradient)
        into_tree = self.tree.backward(of_tree, self.behind.backward(of_behind, into_head.x).x)
        into_words = self.embedding.backward(of_words, self.before.backward(of_before, into_tree.x[batch.leaves]).x)
        gradients = [into_words.parameters, into_tree.parameters, into_head.parameters]
        optim.clip_grad_norm(gradients, CLIP)
        self.optimizer.step(gradients)

    def accuracy(self, batches: list[Batch]) -> float:
        """Return the share of roots with the right class."""
        right = total = 0
        for batch in batches:
            roots = batch.tree.roots[batch.classes[batch.tree.roots] >= 0]
            right += int((self.predict(batch)[roots].argmax(axis=1) == batch.classes[roots]).sum())
            total += len(roots)
        return right / total


def read(data: Path, part: str) -> list[Tree]:
    """Read the trees of a part."""
    try:
        return read_trees(data / "sst" / f"{part}.txt")
    except (OSError, ValueError) as error:
        print(f"sentiment.py: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def batches_of(vocabulary: Vocabulary, trees: list[Tree], binary: bool, size: int = BATCH) -> list[Batch]:
    """Cut trees into batches, in their order."""
    return [vocabulary.batch(trees[k : k + size], binary) for k in range(0, len(trees), size)]


def train(arguments: argparse.Namespace) -> None:
    """Train a model for each seed, choose its epoch on dev, and tell its accuracy on test."""
    binary = arguments.task == "binary"
    training, dev, test = (read(arguments.data, part) for part in ("train", "dev", "test"))
    vocabulary = Vocabulary(training)
    held_out, final = batches_of(vocabulary, dev, binary), batches_of(vocabulary, test, binary)
    accuracies = []
    for seed in range(arguments.seeds):
        model = Recursive(len(vocabulary), 2 if binary else 5, arguments.model, 10 * seed)
        generator = np.random.default_rng(seed)
        best = (0.0, 0, [])
        for epoch in range(1, arguments.epochs + 1):
            for chosen in np.array_split(generator.permutation(len(training)), len(training) // BATCH):
                model.update(vocabulary.batch([training[k] for k in chosen], binary))
            on_dev = model.accuracy(held_out)
            if on_dev > best[0]:
                best = (on_dev, epoch, [layer.parameters.copy() for layer in model.layers])
        for layer, parameters in zip(model.layers, best[2], strict=True):
            layer.parameters[...] = parameters
        accuracies.append(model.accuracy(final))
        print(f"seed {seed}: epoch {best[1]}, dev {best[0]:.4f}, test {accuracies[-1]:.4f}", flush=True)
    print(f"median of test: {np.median(accuracies):.4f}")
    if arguments.figure:
        figure(model, vocabulary, dev, arguments.figure)


def figure(model: Recursive, vocabulary: Vocabulary, trees: list[Tree], path: Path) -> None:
    """Draw a sentence of dev with praise and blame, each node coloured by the mean of its predicted classes."""
    mixed = (tree for tree in trees if tree.labels.min() <= 1 and tree.labels.max() >= 3)
    tree = next(tree for tree in mixed if 7 <= sum(word is not None for word in tree.words) <= 10)
    scores = model.predict(vocabulary.batch([tree], False))
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    mean = (chances / chances.sum(axis=1, keepdims=True)) @ np.arange(scores.shape[1])
    axes = draw(tree, mean, limits=(0, scores.shape[1] - 1))
    axes.figure.savefig(path, dpi=120, bbox_inches="tight")


def compare(arguments: argparse.Namespace) -> None:
    """Take the same updates in rnncore and in a torch module that recurses over the same trees, in turns."""
    import torch

    training = read(arguments.data, "train")
    vocabulary = Vocabulary(training)
    model = Recursive(len(vocabulary), 5, "lstm", 0)
    batches = batches_of(vocabulary, training[: arguments.turn], False)
    torch.set_num_threads(1)
    rnncore.set_num_threads(1)

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(len(vocabulary), WORDS)
            self.x, self.h = torch.nn.Linear(WORDS, 4 * HIDDEN), torch.nn.Linear(2 * HIDDEN, 5 * HIDDEN, bias=False)
            self.head, self.drop = torch.nn.Linear(HIDDEN, 5), torch.nn.Dropout(DROPOUT)
            self.none = torch.zeros(HIDDEN)

        def node(self, tree, children, numbers, k, found):
            left, right = children[k]
            states = [self.node(tree, children, numbers, kid, found) for kid in (left, right) if kid >= 0]
            if not states:
                i, _, g, o = self.x(self.drop(self.words(numbers[k]))).chunk(4)
                c = torch.sigmoid(i) * torch.tanh(g)
            else:
                hs = [h for h, _ in states] + [self.none] * (2 - len(states))
                i, fl, fr, g, o = self.h(torch.cat(hs)).chunk(5)
                x_i, x_f, x_g, x_o = self.x.bias.chunk(4)
                c = torch.sigmoid(i + x_i) * torch.tanh(g + x_g)
                for f, (_, c_kid) in zip((fl, fr), states, strict=False):
                    c = c + torch.sigmoid(f + x_f) * c_kid
                o = o + x_o
            h = torch.sigmoid(o) * torch.tanh(c)
            found[k] = h
            return h, c

    twin = Twin()
    theirs = torch.optim.AdamW(twin.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)

    def with_torch() -> None:
        for batch in batches:
            children = batch.tree.children.tolist()
            numbers = dict(zip(batch.leaves.tolist(), torch.from_numpy(batch.words), strict=True))
            found: dict[int, torch.Tensor] = {}
            for root in batch.tree.roots.tolist():
                twin.node(batch.tree, children, numbers, root, found)
            scores = twin.head(twin.drop(torch.stack([found[k] for k in range(len(batch.tree))])))
            loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(batch.classes))
            theirs.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(twin.parameters(), CLIP)
            theirs.step()

    def with_rnncore() -> None:
        for batch in batches:
            model.update(batch)

    what = f"{len(batches)} updates of {BATCH} trees"
    turns.report({"rnncore": with_rnncore, "torch": with_torch}, what, arguments.rounds)


def in_order(arguments: argparse.Namespace) -> None:
    """Take the same sentences as words in order (an LSTM), or in none (logistic regression on a bag of words)."""
    binary = arguments.task == "binary"
    parts = [read(arguments.data, part) for part in ("train", "dev", "test")]
    vocabulary = Vocabulary(parts[0])
    data = []
    for trees in parts:
        kept = [tree for tree in trees if not (binary and tree.labels[tree.root] == 2)]
        labels = np.array([tree.labels[tree.root] for tree in kept])
        numbers = [[vocabulary.numbers.get(word, UNKNOWN) for word in tree.words if word is not None] for tree in kept]
        data.append(([np.array(each) for each in numbers], labels > 2 if binary else labels))
    if arguments.model == "bag":
        bag_of_words(data, len(vocabulary))
        return
    accuracies = []
    for seed in range(arguments.seeds):
        model = rnncore.Sequential(
            rnncore.Embedding(len(vocabulary), WORDS, seed=seed),
            rnncore.Dropout(DROPOUT, seed=seed),
            rnncore.LSTM(WORDS, HIDDEN, bidirectional=True, seed=seed),
            rnncore.LastStep(),
            rnncore.Dropout(DROPOUT, seed=seed + 1),
            rnncore.Linear(2 * HIDDEN, 2 if binary else 5, seed=seed),
        )
        stopping = rnncore.training.EarlyStopping(4, monitor="accuracy", mode="max", restore_best=True)
        model.fit(
            (data[0][0], data[0][1].astype(np.int64)),
            validation=(data[1][0], data[1][1].astype(np.int64)),
            loss="cross_entropy", metrics=["accuracy"], epochs=arguments.epochs, batch_size=BATCH, lr=LR,
            clip_norm=CLIP, seed=seed, progress=False, early_stopping=stopping,
        )  # fmt: skip
        test = (data[2][0], data[2][1].astype(np.int64))
        accuracies.append(model.evaluate(test, "cross_entropy", metrics=["accuracy"])["accuracy"])
        print(f"seed {seed}: test {accuracies[-1]:.4f}", flush=True)
    print(f"median of test: {np.median(accuracies):.4f}")


def bag_of_words(data: list[tuple[list[np.ndarray], np.ndarray]], size: int) -> None:
    """Logistic regression on which words a sentence has; its penalty is chosen on dev."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    bags = []
    for sentences, _ in data:
        kinds = [np.unique(words) for words in sentences]
        starts = np.cumsum([0, *map(len, kinds)])
        bags.append(csr_matrix((np.ones(starts[-1]), np.concatenate(kinds), starts), (len(sentences), size)))
    inverses = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    models = [LogisticRegression(C=c, max_iter=500).fit(bags[0], data[0][1]) for c in inverses]
    best = max(models, key=lambda model: model.score(bags[1], data[1][1]))
    print(f"C {best.C}: dev {best.score(bags[1], data[1][1]):.4f}, test {best.score(bags[2], data[2][1]):.4f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("RNNCORE_DATA"))
    parser.add_argument("--task", choices=["five", "binary"], default="five")
    parser.add_argument("--model", choices=["tree_lstm", "rnn", "lstm", "bag"], default="tree_lstm")
    parser.add_argument("--compare", choices=["torch"])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--turn", type=int, default=250, help="trees in each turn of a comparison")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("where is sst/train.txt? Set RNNCORE_DATA or give --data")
    arguments.data = Path(arguments.data)
    (compare if arguments.compare else in_order if arguments.model in ("lstm", "bag") else train)(arguments)


if __name__ == "__main__":
    main()
