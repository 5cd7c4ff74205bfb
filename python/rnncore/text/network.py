"""The encoder-decoder: embeddings, two recurrent layers, attention behind the decoder, a softmax over words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import rnncore
from rnncore import losses
from rnncore.arguments import Array
from rnncore.text.vocabulary import BEGIN

Cell = Literal["lstm", "gru"]

CELLS: dict[str, Any] = {"lstm": rnncore.LSTM, "gru": rnncore.GRU}


@dataclass
class Encoded:
    """What the decoder reads of a batch of sources: outputs (S, N, H), lengths (N,), the state it begins from."""

    keys: Array
    lengths: Array
    state: Any


class Network:
    """Maps sources to the scores of the next word of targets (Sutskever et al. 2014; Luong et al. 2015).

    The encoder reads the source in both directions, with H/2 units each; its final states, both directions side by
    side, are the decoder's initial state. Behind the decoder, y its output and the context that of `Attention`::

        h = tanh(W [context, y] + b)        scores = V h + d
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        *,
        cell: Cell = "lstm",
        hidden_size: int,
        embedding_size: int,
        layers: int,
        dropout: float,
        score: Literal["dot", "general"],
        seed: int,
    ) -> None:
        recurrent = CELLS[cell]
        between = dropout if layers > 1 else 0.0
        self.source = rnncore.Embedding(source_size, embedding_size, seed=seed)
        self.target = rnncore.Embedding(target_size, embedding_size, seed=seed + 1)
        self.encoder = recurrent(
            embedding_size, hidden_size // 2, layers, dropout=between, bidirectional=True, seed=seed + 2
        )
        self.decoder = recurrent(embedding_size, hidden_size, layers, dropout=between, seed=seed + 3)
        self.attention = rnncore.Attention(hidden_size, score=score, seed=seed + 4)
        self.mix = rnncore.Linear(2 * hidden_size, hidden_size, activation="tanh", seed=seed + 5)
        self.output = rnncore.Linear(hidden_size, target_size, seed=seed + 6)
        for table in (self.source, self.target):
            table.parameters *= 0.1
        self.drops = [rnncore.Dropout(dropout, seed=seed + 7 + k) for k in range(3)]

    @property
    def layers(self) -> dict[str, Any]:
        """Name -> layer with parameters, in the order of the files."""
        names = ("source", "target", "encoder", "decoder", "attention", "mix", "output")
        return {name: getattr(self, name) for name in names}

    @property
    def vectors(self) -> list[Array]:
        """The flat vectors of parameters, one for each layer that has any."""
        return [layer.parameters for layer in self.layers.values() if layer.parameter_count]

    def _initial(self, state: Any) -> Any:
        """(L*2, N, H/2) of both directions -> (L, N, H); of the LSTM both arrays."""
        if isinstance(state, tuple):
            return tuple(self._initial(array) for array in state)
        pairs, rows, half = state.shape
        return np.ascontiguousarray(
            state.reshape(pairs // 2, 2, rows, half).transpose(0, 2, 1, 3).reshape(pairs // 2, rows, 2 * half)
        )

    def _apart(self, state: Any) -> Any:
        """Undo `_initial`, for gradients."""
        if isinstance(state, tuple):
            return tuple(self._apart(array) for array in state)
        layers, rows, size = state.shape
        return np.ascontiguousarray(
            state.reshape(layers, rows, 2, size // 2).transpose(0, 2, 1, 3).reshape(2 * layers, rows, size // 2)
        )

    # ---- training

    @property
    def drawing(self) -> list[Any]:
        """The layers that drop out in training."""
        return [*self.drops, self.encoder, self.decoder]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Leave dropout out."""
        for layer in self.drawing:
            layer.eval()
        try:
            yield
        finally:
            for layer in self.drawing:
                layer.train()

    def loss(self, source: Array, lengths: Array, target: Array, target_lengths: Array) -> float:
        """Return the mean cross-entropy of the target's words (T, N) by teacher forcing."""
        return self._forward(source, lengths, target, target_lengths)[0]

    def _forward(self, source: Array, lengths: Array, target: Array, target_lengths: Array) -> tuple[float, Array, Any]:
        """Return the loss, its gradient by the scores, and what backward needs."""
        shifted = np.concatenate([np.full((1, target.shape[1]), BEGIN), target[:-1]])
        valid = np.arange(len(target))[:, None] < target_lengths
        into_encoder, of_source = self.source.forward(source)
        into_encoder, of_drop0 = self.drops[0].forward(into_encoder)
        keys, final, of_encoder = self.encoder.forward(into_encoder, lengths=lengths)
        into_decoder, of_target = self.target.forward(shifted)
        into_decoder, of_drop1 = self.drops[1].forward(into_decoder)
        y, _, of_decoder = self.decoder.forward(into_decoder, self._initial(final), lengths=target_lengths)
        context, of_attention = self.attention.forward(y, keys, lengths=lengths)
        both = np.concatenate([context[valid], y[valid]], axis=1)  # of the words that count
        mixed, of_mix = self.mix.forward(both)
        dropped, of_drop2 = self.drops[2].forward(mixed)
        scores, of_output = self.output.forward(dropped)
        loss, gradient = losses.cross_entropy(scores, target[valid])
        caches = (of_source, of_target, of_encoder, of_decoder, of_attention, of_mix, of_output)
        return loss, gradient, (*caches, (of_drop0, of_drop1, of_drop2), valid)

    def loss_and_gradients(
        self, source: Array, lengths: Array, target: Array, target_lengths: Array
    ) -> tuple[float, list[Array]]:
        """Return the loss, and its gradients in the order of `vectors`."""
        loss, gradient, caches = self._forward(source, lengths, target, target_lengths)
        of_source, of_target, of_encoder, of_decoder, of_attention, of_mix, of_output, of_drops, valid = caches
        to_output = self.output.backward(of_output, gradient)
        to_mix = self.mix.backward(of_mix, self.drops[2].backward(of_drops[2], to_output.x).x)
        d_context = np.zeros((*valid.shape, self.mix.out_features), np.float32)
        dy = np.zeros_like(d_context)
        d_context[valid], dy[valid] = np.split(to_mix.x, 2, axis=1)
        to_attention = self.attention.backward(of_attention, d_context)
        to_decoder = self.decoder.backward(of_decoder, dy + to_attention.x)
        to_encoder = self.encoder.backward(of_encoder, to_attention.keys, self._apart(to_decoder.hx))
        to_target = self.target.backward(of_target, self.drops[1].backward(of_drops[1], to_decoder.x).x)
        to_source = self.source.backward(of_source, self.drops[0].backward(of_drops[0], to_encoder.x).x)
        parts = (to_source, to_target, to_encoder, to_decoder, to_attention, to_mix, to_output)
        return loss, [part.parameters for part in parts if part.parameters.size]

    # ---- one step after the other

    def encode(self, source: Array, lengths: Array) -> Encoded:
        """Read a batch of sources (S, N)."""
        keys, final = self.encoder(self.source(source), lengths=lengths)
        return Encoded(keys, lengths, self._initial(final))

    def step(self, words: Array, encoded: Encoded) -> tuple[Array, Any, Array]:
        """Return the scores of the next words (N, V), the new state, and the attention (N, S)."""
        y, state = self.decoder(self.target(words[None]), encoded.state)
        context, cache = self.attention.forward(y, encoded.keys, lengths=encoded.lengths)
        scores = self.output(self.mix(np.concatenate([context[0], y[0]], axis=1)))
        return scores, state, cache.weights[:, 0]


def log_softmax(scores: Array) -> Array:
    """Return the log-probabilities of scores (N, V)."""
    scores = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))
