"""NumPy twin of src/rnncore/model: layers one behind the other over one flat vector, float64 alone, time first."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnncore.reference import layer_norm, linear
from rnncore.reference.activations import Array, activate, activation_slope
from rnncore.reference.dropout import dropout
from rnncore.reference.network import Network

Layers = list[tuple[str, str, dict[str, Any]]]
"""Name, kind and options of each layer; the kind of a recurrent one is the name of its cell."""

_NETWORK = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "bidirectional",
    "learned_state",
    "proj_size",
    "mask_hh",
    "dale",
)


@dataclass
class Cache:
    """What backward needs of one forward call."""

    valid: Array  # (T, N)
    kept: list[Any] = field(default_factory=list)  # of each layer


class Model:
    """The calls of ``rnncore._core.Model``, in readable NumPy.

    >>> model = Model([("0", "Linear", {"in_features": 2, "out_features": 1, "bias": False, "activation": "relu"})])
    >>> y, final, cache = model.forward(np.array([1.0, 1.0]), np.ones((3, 4, 2)))
    >>> y.shape, float(y[0, 0, 0]), model.backward(cache, np.array([1.0, 1.0]), np.ones((3, 4, 1)))[2].tolist()
    ((3, 4, 1), 2.0, [12.0, 12.0])
    """

    def __init__(self, layers: Layers) -> None:
        self.layers = [(kind, options, _network(kind, options)) for _, kind, options in layers]
        self.sizes = [_count(kind, options, network) for kind, options, network in self.layers]

    def forward(
        self,
        parameters: Array,
        x: Array,
        initial: list[Any] | None = None,
        lengths: Array | None = None,
        resets: Array | None = None,
        keys: Array | None = None,
    ) -> tuple[Array, list[tuple[Array, ...]], Cache]:
        """Return y (T, N, O), or (N, O) behind a LastStep, the final state of each recurrent layer, and a cache.

        Layers that do not look along time see the valid steps alone, (V, F), one behind the other.
        """
        T, N = x.shape[:2]
        lengths = np.full(N, T, np.int64) if lengths is None else lengths
        cache = Cache(np.arange(T)[:, None] < lengths)
        values, form, final = x, "whole", list[tuple[Array, ...]]()
        for k, ((kind, options, network), own) in enumerate(zip(self.layers, self._split(parameters), strict=True)):
            key = 0 if keys is None else int(keys[k])
            if network is not None:
                values = _put_back(cache.valid, values) if form == "valid" else values
                given = None if initial is None else initial[len(final)]
                p = options.get("dropout", 0.0) if key and network.num_layers > 1 else 0.0
                y, states = np.empty((T, N, network.num_directions * network.state_sizes[0])), _states(network, N)
                kept = network.forward(own, values, given, y, states, lengths, resets, p, key, keep=True)
                final.append(states)
                values, form = y, "whole"
            elif kind == "LastStep":
                below = self.layers[k - 1][2]
                assert below is not None
                top = final[-1][0][-below.num_directions :]
                values, form, kept = np.concatenate(list(top), axis=1), "rows", None
            else:
                if form == "whole":
                    values, form = values[cache.valid], "valid"
                values, kept = _forward(kind, options, own, values, key)
            cache.kept.append(kept)
        return (_put_back(cache.valid, values) if form == "valid" else values), final, cache

    def backward(
        self, cache: Cache, parameters: Array, dy: Array | None, d_final: list[Any] | None = None
    ) -> tuple[Array | None, list[tuple[Array, ...]], Array]:
        """Return the gradients by x (None by labels), by the initial states and by the parameters."""
        T, N = cache.valid.shape
        total = np.zeros_like(parameters)
        values, form = dy, "rows" if any(kind == "LastStep" for kind, _, _ in self.layers) else "whole"
        d_initial: list[tuple[Array, ...]] = []
        d_top: Array | None = None
        place = sum(network is not None for _, _, network in self.layers)
        parts = list(zip(self.layers, cache.kept, self._split(parameters), self._split(total), strict=True))
        for (kind, options, network), kept, own, d_own in reversed(parts):
            if network is not None:
                place -= 1
                values = _put_back(cache.valid, values) if form == "valid" and values is not None else values
                d_states = _states(network, N)
                for s, state in enumerate(d_states):
                    given = None if d_final is None or d_final[place] is None else d_final[place][s]
                    state[...] = 0 if given is None else given
                if d_top is not None:
                    P = network.state_sizes[0]
                    for d in range(network.num_directions):
                        d_states[0][d - network.num_directions] += d_top[:, d * P : (d + 1) * P]
                dx, start = np.empty((T, N, network.input_size)), _states(network, N)
                network.backward(kept, own, values, d_states, dx, start, d_own)
                d_initial.insert(0, start)
                values, form, d_top = dx, "whole", None
            elif kind == "LastStep":
                d_top, values, form = values, None, "whole"
            elif values is not None:
                if form == "whole":
                    values, form = values[cache.valid], "valid"
                values = _backward(kind, options, own, kept, values, d_own)
        if values is not None and form == "valid":
            values = _put_back(cache.valid, values)
        return values, d_initial, total

    def _split(self, vector: Array) -> list[Array]:
        return np.split(vector, np.cumsum(self.sizes)[:-1])


def _network(kind: str, options: dict[str, Any]) -> Network | None:
    if "hidden_size" not in options:
        return None
    given = {name: options[name] for name in _NETWORK if name in options}
    return Network(kind, dtype="float64", options=options.get("cell_options", {}), **given)


def _count(kind: str, options: dict[str, Any], network: Network | None) -> int:
    if network is not None:
        return network.parameter_count
    if kind == "Embedding":
        return int(options["num_embeddings"] * options["embedding_dim"])
    if kind == "Linear":
        return int(options["out_features"] * (options["in_features"] + options["bias"]))
    if kind == "LayerNorm" and options["elementwise_affine"]:
        return int(options["normalized_shape"] * (1 + options["bias"]))
    return 0


def _states(network: Network, rows: int) -> tuple[Array, ...]:
    return tuple(np.empty((network.num_layers * network.num_directions, rows, size)) for size in network.state_sizes)


def _put_back(valid: Array, values: Array) -> Array:
    """(V, F) -> (T, N, F), zeros past the rows' lengths."""
    whole = np.zeros((*valid.shape, *values.shape[1:]), values.dtype)
    whole[valid] = values
    return whole


def _weights(kind: str, options: dict[str, Any], own: Array) -> tuple[Array | None, Array | None]:
    """View weight and bias; None where there is none."""
    if kind == "Linear":
        count = options["out_features"] * options["in_features"]
        weight = own[:count].reshape(options["out_features"], -1)
        return weight, own[count:] if options["bias"] else None
    size = options["normalized_shape"]
    return (own[:size], own[size:] if options["bias"] else None) if own.size else (None, None)


def _forward(kind: str, options: dict[str, Any], own: Array, x: Array, key: int) -> tuple[Array, Any]:
    if kind == "Embedding":
        return own.reshape(-1, options["embedding_dim"])[x], x
    if kind == "Dropout":
        p = options["p"] if key else 0.0
        return dropout(x, p, key, 0), (p, key)
    weight, bias = _weights(kind, options, own)
    if kind == "Linear":
        assert weight is not None
        sums = linear.forward(x, weight, bias)
        return activate(options.get("activation"), sums), (x, sums)
    return layer_norm.forward(x, weight, bias, options["eps"])


def _backward(kind: str, options: dict[str, Any], own: Array, kept: Any, dy: Array, d_own: Array) -> Array | None:
    """Add to the gradient by the layer's parameters; return the one by its input, None by labels."""
    if kind == "Embedding":
        np.add.at(d_own.reshape(-1, options["embedding_dim"]), kept, dy)
        return None
    if kind == "Dropout":
        p, key = kept
        return dropout(dy, p, key, 0)
    weight, bias = _weights(kind, options, own)
    if kind == "Linear":
        assert weight is not None
        x, sums = kept
        dx, d_weight, d_bias = linear.backward(x, weight, dy * activation_slope(options.get("activation"), sums))
        d_own += np.concatenate([d_weight.ravel(), d_bias] if bias is not None else [d_weight.ravel()])
    else:
        dx, d_weight, d_bias = layer_norm.backward(kept, weight, dy)
        d_own += np.concatenate([d_weight, d_bias])[: own.size]
    return dx
