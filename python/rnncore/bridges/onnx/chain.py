"""The layers that a graph turns out to be, one behind the other, while its nodes are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.bridges.onnx.recurrent import Recurrent, Weights
from rnncore.bridges.onnx.states import check_given, initial
from rnncore.bridges.onnx.values import PARTS, Atom, Axis, Tensor, Value, without_units
from rnncore.files import FormatError
from rnncore.layers import KINDS
from rnncore.sequential import Sequential

__all__ = ["Chain", "Spec"]


@dataclass
class Spec:
    """A layer to be: its kind, options and parameters; of a recurrent one where its states come from too."""

    kind: str
    options: dict[str, Any]
    parameters: dict[str, Array] = field(default_factory=dict)
    states: list[tuple[Any, ...]] = field(default_factory=list)  # of each node; see `initial`

    @property
    def directions(self) -> int:
        """D."""
        return 2 if self.options.get("bidirectional") else 1


class Chain:
    """A line of layers. Every layer makes a new version of the sequence, and reads the newest only: no branches."""

    def __init__(self) -> None:
        self.specs: list[Spec] = []
        self.version = 0
        self.features: Atom | None = None  # of the newest version
        self.dtype: np.dtype[Any] | None = None
        self.inputs: dict[str, tuple[Axis, ...]] = {}  # the axes of all inputs
        self.source: str | None = None  # the input x
        self.form: tuple[Axis, ...] = ()  # its axes, features apart
        self.time: Axis | None = None
        self.rows: Axis | None = None
        self.lengths: str | None = None  # the input of the rows' lengths
        self.nodes = 0  # recurrent ones
        self.behind = 0  # the version that the last recurrent node made
        self.one_per_sequence = False
        self.labels = 0  # rows of the largest table in the file
        self.made = 0.0  # bytes of the constants that nodes have made

    # ---- reading the newest version

    def read(self, tensor: Value | None, *, labels: bool = False) -> tuple[Axis, ...]:
        """Return the axes in front of the features of the newest version.

        Raises ValueError, with the reason alone, for a tensor that is something else.
        """
        if not isinstance(tensor, Tensor):
            raise ValueError("it does not read what the layer before it gives")
        if tensor.parts[0][0] == "final":
            tensor = self._last_step(tensor)
        if tensor.parts[0][0] == "input":
            self._begin(tensor, labels)
        elif tensor.parts != self._newest(len(tensor.parts)):
            raise ValueError("it reads something other than what the layer before it gives: layers stand in a line")
        if labels:
            return tensor.axes
        if not tensor.axes:
            raise ValueError("it reads a number, a layer reads features")
        last, parts = without_units(tensor.axes[-1]), len(tensor.parts)
        side_by_side = (Atom(PARTS, parts),) if parts > 1 else ()
        expected = side_by_side if self.features is None else (*side_by_side, self.features)
        if last != without_units(expected):
            raise ValueError("the features do not lie along the last axis alone")
        return tensor.axes[:-1]

    def _begin(self, tensor: Tensor, labels: bool) -> None:
        name = tensor.parts[0][1]
        if self.version or (self.source not in (None, name)):
            raise ValueError(f"it reads the input {name!r}, the first layer reads another: layers stand in a line")
        self.source = name
        if not labels and tensor.axes:
            self.features = tensor.axes[-1][-1] if tensor.axes[-1] else None
        whole = self.inputs[name]  # as the graph has it, before anything moved its axes
        self.form = whole if labels else whole[:-1]

    def _newest(self, count: int) -> tuple[tuple[Any, ...], ...]:
        if count == 1 and (self.behind != self.version or not self.nodes):
            return (("now", self.version),)
        return tuple(("y", self.version, d) for d in range(self.specs[-1].directions)) if self.specs else ()

    def _last_step(self, tensor: Tensor) -> Tensor:
        """Put a LastStep behind the recurrent layer whose final state is read as if it were its output."""
        if self.behind != self.version or self.one_per_sequence:
            raise ValueError("it reads a final state, which is not that of the layer before it")
        directions = self.specs[-1].directions
        if tensor.parts != tuple(("final", self.nodes, 0, d) for d in range(directions)):
            raise ValueError("it reads a final state other than h of the last layer, of all its directions in order")
        features = self.features
        assert features is not None
        atoms = (Atom(PARTS, directions), features) if directions > 1 else (features,)
        sizes = [[atom.size for atom in without_units(axis)] for axis in (tensor.axes[-1], atoms)]
        if len(tensor.axes) != 2 or sizes[0] != sizes[1]:
            raise ValueError("it reads a final state in another form than (rows, features)")
        self.specs.append(Spec("LastStep", {}))
        self.one_per_sequence = True
        return self._made((tensor.axes[0],), Atom(f"f{self.version + 1}", directions * _known(features)))

    def pick_last(self, tensor: Tensor, axis: int) -> Tensor:
        """Put a LastStep behind the last recurrent layer: what follows it works on each step by itself."""
        front = self.read(tensor)
        place = max((k for k, spec in enumerate(self.specs) if spec.states), default=None)
        if place is None or self.one_per_sequence or self.lengths is not None or self.specs[place].directions > 1:
            raise ValueError("one step is the last of each sequence only in one direction and without lengths")
        self.specs.insert(place + 1, Spec("LastStep", {}))
        self.one_per_sequence = True
        assert self.features is not None
        return self._made(
            tuple(() if k == axis else each for k, each in enumerate(front)),
            Atom(f"f{self.version + 1}", self.features.size),
        )

    def _made(self, front: tuple[Axis, ...], features: Atom) -> Tensor:
        self.version += 1
        self.features = features
        return Tensor((*front, (features,)), (("now", self.version),))

    def changed(self, tensor: Tensor) -> Tensor:
        """Return the newest version again, after its last layer was given a bias or an activation."""
        front = self.read(tensor)
        assert self.features is not None
        return self._made(front, Atom(f"f{self.version + 1}", self.features.size))

    # ---- adding layers

    def add(self, tensor: Value | None, spec: Spec, takes: int, gives: int, *, labels: bool = False) -> Tensor:
        """Add a layer over the features of each step."""
        front = self.read(tensor, labels=labels)
        if not labels:
            self.check_features(takes)
        for array in spec.parameters.values():
            self.check_dtype(array)
        self.specs.append(spec)
        return self._made(front, Atom(f"f{self.version + 1}", gives))

    def check_features(self, takes: int) -> None:
        """Raise ValueError unless the newest version has so many features, or an open number."""
        directions = self.specs[-1].directions if self.specs and self.behind == self.version and self.nodes else 1
        size = None if self.features is None else self.features.size
        given = size * directions if isinstance(size, int) else size
        if given is None or (isinstance(given, int) and given != takes):
            raise ValueError(f"its weights take {takes} features, the layer before it gives {given}")

    def check_dtype(self, array: Array) -> None:
        """Raise ValueError for parameters that are neither all float32 nor all float64."""
        if array.dtype not in (np.float32, np.float64) or self.dtype not in (None, array.dtype):
            expected = "float32 or float64" if self.dtype is None else self.dtype
            raise ValueError(f"its parameters are {array.dtype}, expected {expected}")
        self.dtype = array.dtype

    def recur(self, recurrent: Recurrent, weights: Weights, values: dict[str, Any]) -> tuple[Tensor, ...]:
        """Add a recurrent node: a layer, or one more in the stack of the layer before it. Returns Y, Y_h, Y_c."""
        cell = recurrent.cell(weights.P is not None)
        if cell is None or recurrent.direction == "reverse":
            raise ValueError(f"no layer computes {_reason(recurrent)}; rnncore.onnx.backend runs the node")
        before = self.version
        newest_is_recurrent = self.nodes > 0 and self.behind == before
        front = self.read(values["X"])
        if self.one_per_sequence or len(front) != 2:
            raise ValueError("it does not read a sequence, but one vector for each")
        self.check_features(weights.input_size)
        self.check_dtype(weights.W)
        self._settle_axes(front[::-1] if recurrent.batch_first else front, values.get("sequence_lens"))
        options = {
            "hidden_size": recurrent.hidden_size,
            "bias": weights.B is not None,
            **recurrent.layer_options(cell),
        }
        states = initial(recurrent, values)
        last = self.specs[-1] if newest_is_recurrent else None
        if last is not None and _continues(last, recurrent.op_type, options, states):
            last.parameters.update(recurrent.parameters(weights, last.options["num_layers"]))
            last.options["num_layers"] += 1
            last.states.append(states)
            return self._outputs(recurrent)
        spec = Spec(recurrent.op_type, {"input_size": weights.input_size, "num_layers": 1, **options})
        spec.parameters = recurrent.parameters(weights)
        spec.states.append(states)
        if states[0] == "learned":
            spec.options["learned_state"] = True
            for name, array in zip("hc", states[1], strict=False):
                for d, reverse in enumerate(("", "_reverse")[: recurrent.directions]):
                    spec.parameters[f"{name}0_l0{reverse}"] = array[d]
        self.specs.append(spec)
        return self._outputs(recurrent)

    def _settle_axes(self, front: tuple[Axis, ...], lengths: Any) -> None:
        """Find out, from the first recurrent node, which axis is time, and hold the others to it."""
        time, rows = map(without_units, front)
        if self.time is None:
            self.time, self.rows = time, rows
        if len(time) > 1 or len(rows) > 1 or (self.time, self.rows) != (time, rows):
            raise ValueError("its steps and rows are not those of the graph's input")
        name = None
        if lengths is not None:
            if not isinstance(lengths, Tensor) or lengths.parts[0][0] != "input" or len(lengths.axes) != 1:
                raise ValueError("its sequence_lens are no input of the graph")
            name = lengths.parts[0][1]
        if self.nodes and name != self.lengths:
            raise ValueError("its sequence_lens are others than those of the node before it")
        self.lengths = name

    def _outputs(self, recurrent: Recurrent) -> tuple[Tensor, ...]:
        assert self.time is not None
        assert self.rows is not None
        self.version += 1
        self.nodes += 1
        self.behind = self.version
        D, H = recurrent.directions, recurrent.hidden_size
        self.features = Atom(f"f{self.version}", H)
        parts: Axis = (Atom(PARTS, D),)
        features: Axis = (self.features,)
        y: tuple[Axis, ...]
        state: tuple[Axis, ...]
        if recurrent.batch_first:
            y, state = (self.rows, self.time, parts, features), (self.rows, parts, features)
        else:
            y, state = (self.time, parts, self.rows, features), (parts, self.rows, features)
        finals = [tuple(("final", self.nodes, s, d) for d in range(D)) for s in range(recurrent.state_count)]
        return Tensor(y, tuple(("y", self.version, d) for d in range(D))), *(Tensor(state, each) for each in finals)

    # ---- the end

    def build(self) -> Sequential:
        """Make the model. Raises FormatError where layers do not fit together."""
        if not self.specs:
            raise FormatError("the graph has no layer between its input and its output")
        if len(self.form) != 2 and self.nodes:
            raise FormatError("the graph's input should have steps, rows and features")
        layers = []
        for spec in self.specs:
            options = dict(spec.options)
            if spec.states:
                options["batch_first"] = self.batch_first
                check_given(spec.states)
            layer = KINDS[spec.kind](**options, dtype=self.dtype or np.float32)
            if spec.parameters:
                layer.load_state_dict(spec.parameters)
            layers.append(layer)
        return Sequential(*layers).eval()

    @property
    def batch_first(self) -> bool:
        """Whether the axis that the recurrent nodes take as time stands second in the graph's input."""
        if self.time is None or len(self.form) != 2:
            return False
        first, second = map(without_units, self.form)
        return bool(second == self.time if self.time else first == self.rows != ())

    def expected_axes(self) -> tuple[Axis, ...]:
        """Return the axes of the output of a model that has the layers so far."""
        if self.one_per_sequence:
            return self.form[:1] if self.batch_first else self.form[1:]
        return self.form


def _known(atom: Atom) -> int:
    assert isinstance(atom.size, int)
    return atom.size


def _continues(last: Spec, kind: str, options: dict[str, Any], states: tuple[Any, ...]) -> bool:
    """Whether a node is one more level of the recurrent layer that it stands upon."""
    if last.kind != kind or any(last.options[name] != value for name, value in options.items()):
        return False
    before = last.states[-1]
    same_input = states[0] == "given" == before[0] and states[1] == before[1]
    return bool(same_input or states[0] == before[0] == "zero")


def _reason(recurrent: Recurrent) -> str:
    """Say what of a node the layers do not have."""
    if recurrent.clip is not None:
        return "clip"
    if recurrent.input_forget:
        return "input_forget=1"
    if recurrent.direction == "reverse":
        return "direction=reverse alone"
    if recurrent.op_type == "GRU" and not recurrent.linear_before_reset:
        return "a GRU that resets before the product (linear_before_reset=0)"
    return "these activations"
