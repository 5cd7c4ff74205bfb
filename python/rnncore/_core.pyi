"""Types of the compiled engine (src/bindings). Its NumPy twin is rnncore.reference.network."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

from numpy.typing import NDArray

_Array = NDArray[Any]
_States = tuple[_Array, ...]
_Layers = Sequence[tuple[str, str, dict[str, Any]]]  # name, kind, options

evidence_names: tuple[str, ...]
kind_names: tuple[str, ...]

def kind_of(tally: list[float], suddenness: float) -> str: ...

@final
class Cache:
    """What one forward call keeps for backward; only `forward` makes one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def nbytes(self) -> int: ...
    def release(self) -> None: ...
    def detach(self) -> _Array: ...

@final
class Packed:
    """Weights in the order of the kernels; only `Network.pack` makes them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def weights(self) -> str: ...

@final
class Monitor:
    """Evidence of faults and alarms, a row at a time."""

    def __init__(
        self,
        channels: int,
        lags: Sequence[int],
        history: int = 5000,
        warm: int = 100,
        calm: int = 12,
        quiet: int = 100,
        delay: int = 0,
        patience: int = 1000,
        sensors: int = 1,
    ) -> None: ...
    threshold: float
    learns: bool
    @property
    def shape(self) -> tuple[int, int, int, int, int, int]: ...
    @property
    def rows(self) -> int: ...
    @property
    def sensors(self) -> int: ...
    def with_sensors(self, sensors: int) -> Monitor: ...
    def fork(self) -> Monitor: ...
    def inputs(self, y: _Array, seconds: float, x: _Array) -> None: ...
    def judge(self, forecast: _Array) -> bool: ...
    def verdict(self, sensor: int = 0) -> tuple[float, int, int, int]: ...
    def inputs_of(self, y: _Array, seconds: _Array) -> _Array: ...
    def run(self, y: _Array, seconds: _Array, forecasts: _Array) -> dict[str, _Array]: ...
    def errors(self, sensor: int = 0) -> list[float]: ...
    def out_of_range(self, sensor: int = 0) -> list[float]: ...
    def expected(self, sensor: int = 0) -> list[float]: ...
    def tally(self, sensor: int = 0) -> list[float]: ...
    def suddenness(self, sensor: int, channel: int) -> float: ...
    def began(self, sensor: int = 0) -> int: ...
    def alarmed(self, sensor: int = 0) -> bool: ...
    def end_alarms(self) -> None: ...
    def forget_errors(self) -> None: ...
    def normal(self, sensor: int = 0) -> dict[str, list[float]]: ...
    def set_normal(self, sensor: int, named: dict[str, list[float]]) -> None: ...
    def state(self, sensor: int = 0) -> dict[str, list[float]]: ...
    def set_state(self, sensor: int, named: dict[str, list[float]]) -> None: ...

@final
class CellOption:
    """A number that a cell takes; a flag is 0 or 1."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def default(self) -> float: ...
    @property
    def least(self) -> float: ...
    @property
    def most(self) -> float: ...
    @property
    def flag(self) -> bool: ...

@final
class Cell:
    """What a cell says of itself (src/rnncore/cells); the tuples hold names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def gates(self) -> tuple[str, ...]: ...
    @property
    def states(self) -> tuple[str, ...]: ...
    @property
    def kept(self) -> tuple[str, ...]: ...
    @property
    def vectors(self) -> tuple[str, ...]: ...
    @property
    def options(self) -> dict[str, CellOption]: ...
    @property
    def can_project(self) -> bool: ...

def cells() -> dict[str, Cell]: ...

@final
class Network:
    """The engine; its twin is rnncore.reference.network. Any stands for NumPy arrays, or tensors that DLPack shows."""

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        dtype: Literal["float32", "float64"] = "float32",
        learned_state: bool = False,
        proj_size: int = 0,
        options: Mapping[str, float] = ...,
        mask_hh: _Array | None = None,
        dale: _Array | None = None,
        precision: str = "float32",
    ) -> None: ...
    def constrain(self, parameters: _Array) -> None: ...
    @property
    def cell(self) -> str: ...
    @property
    def options(self) -> dict[str, float]: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def bias(self) -> bool: ...
    @property
    def learned_state(self) -> bool: ...
    @property
    def proj_size(self) -> int: ...
    @property
    def precision(self) -> Literal["float32", "bf16"]: ...
    @property
    def bidirectional(self) -> bool: ...
    @property
    def dtype(self) -> str: ...
    @property
    def num_directions(self) -> int: ...
    @property
    def num_states(self) -> int: ...
    @property
    def parameter_count(self) -> int: ...
    @property
    def layout(self) -> list[tuple[str, int, tuple[int, ...]]]: ...
    @property
    def cached_names(self) -> list[str]: ...
    def trace(self, cache: Cache, name: str, to: _Array) -> None: ...
    def forward(
        self,
        parameters: Any,
        x: Any,
        h0: Any,
        y: Any,
        hn: Any,
        lengths: _Array | None = None,
        resets: _Array | None = None,
        dropout: float = 0.0,
        key: int = 0,
        keep: bool = False,
        checkpoint: int = 0,
        num_threads: int = 0,
        labels: _Array | None = None,
        memory: Any = None,
        weights: str | None = None,
        batch_sizes: _Array | None = None,
    ) -> Cache | None: ...
    def call(
        self,
        parameters: Any,
        x: Any,
        h0: Any,
        lengths: _Array | None = None,
        resets: _Array | None = None,
        dropout: float = 0.0,
        key: int = 0,
        keep: bool = False,
        checkpoint: int = 0,
        num_threads: int = 0,
        labels: _Array | None = None,
        weights: str | None = None,
        rows_first: bool = False,
    ) -> tuple[_Array, tuple[_Array, ...], Cache | None]:
        """Forward into new arrays; y is (rows, steps, columns) if rows come first."""
    def pack(self, parameters: Any, weights: str | None = None) -> Packed: ...
    def memory_size(self, steps: int, rows: int, lengths: _Array | None = None, dropout: float = 0.0) -> int: ...
    def backward(
        self,
        cache: Cache,
        parameters: Any,
        dy: Any,
        dhn: Any,
        dx: Any,
        dh0: Any,
        dparameters: Any,
        num_threads: int = 0,
        moved: tuple[Any, Any, Any, Any] | None = None,
    ) -> None: ...
    def gradients(
        self,
        cache: Cache,
        parameters: Any,
        dy: Any,
        dhn: Any,
        dparameters: Any,
        num_threads: int = 0,
        input_gradient: bool = True,
        rows_first: bool = False,
    ) -> tuple[_Array | None, tuple[_Array, ...]]:
        """Backward into new arrays: the gradients by x, in the order of y of `call`, and by the initial state."""

@final
class Linear:
    """A linear map of rows; its twin is rnncore.reference.linear."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: Literal["float32", "float64"] = "float32",
        activation: str | None = None,
    ) -> None: ...
    @property
    def in_features(self) -> int: ...
    @property
    def out_features(self) -> int: ...
    @property
    def bias(self) -> bool: ...
    @property
    def dtype(self) -> str: ...
    @property
    def parameter_count(self) -> int: ...
    @property
    def keeps_sums(self) -> bool: ...
    def forward(
        self, parameters: _Array, x: _Array, y: _Array, sums: _Array | None = None, num_threads: int = 0
    ) -> None: ...
    def backward(
        self,
        parameters: _Array,
        x: _Array,
        kept: _Array | None,
        dy: _Array,
        dx: _Array | None,
        dparameters: _Array,
        num_threads: int = 0,
    ) -> None: ...

@final
class Stream:
    """Packed weights and a state, for steps."""

    def __init__(self, model: Model, parameters: _Array, batch_size: int = 1, weights: str | None = None) -> None: ...
    def step(self, x: _Array, out: _Array | None = None) -> _Array: ...
    def run(self, x: _Array, y: _Array, num_threads: int = 1) -> None: ...
    def states(self) -> _States: ...
    def set_states(self, states: _States) -> None: ...
    def reset(self, rows: Sequence[int]) -> None: ...
    def replace(self, model: Model, parameters: _Array) -> None: ...
    def with_rows(self, batch_size: int) -> Stream: ...
    @property
    def batch_size(self) -> int: ...

@final
class FleetStream:
    """A stream of each of many models."""

    def __init__(self, model: Model, parameters: _Array, models: int, batch_size: int) -> None: ...
    def step(self, x: _Array, y: _Array, num_threads: int = 0) -> None: ...
    def run(self, x: _Array, y: _Array, steps: int, num_threads: int = 0) -> None: ...
    def states(self) -> _States: ...
    def set_states(self, states: _States) -> None: ...
    def reset(self, models: Sequence[int]) -> None: ...
    def replace(self, parameters: _Array) -> None: ...

__version__: str

def activations() -> list[str]: ...
def update(kind: str, arrays: dict[str, list[_Array]], steps: _Array, options: dict[str, Any]) -> None: ...

@final
class ModelCache:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def by_number(self) -> bool: ...

@final
class Model:
    def __init__(self, dtype: str, layers: _Layers, weights: str | None = None) -> None: ...
    def round(self, weights: str, parameters: _Array) -> None: ...
    @property
    def parameter_count(self) -> int: ...
    @property
    def layout(self) -> list[tuple[str, int, tuple[int, ...]]]: ...
    @property
    def states(self) -> list[tuple[str, int, int]]: ...
    def forward(
        self,
        parameters: _Array,
        x: _Array,
        initial: Sequence[_Array | None] | None,
        y: _Array,
        final: Sequence[_Array],
        lengths: _Array | None = None,
        resets: _Array | None = None,
        keys: _Array | None = None,
        keep: bool = False,
        checkpoint: int = 0,
        num_threads: int = 0,
    ) -> ModelCache | None: ...
    def backward(
        self,
        cache: ModelCache,
        parameters: _Array,
        dy: _Array | None,
        d_final: Sequence[_Array | None] | None,
        dx: _Array | None,
        d_initial: Sequence[_Array] | None,
        d_parameters: _Array,
        num_threads: int = 0,
    ) -> None: ...
    def forward_all(
        self, calls: list[tuple[Any, ...]], keep: bool, checkpoint: int, num_threads: int
    ) -> list[ModelCache | None]: ...
    def backward_all(self, calls: list[tuple[Any, ...]], num_threads: int) -> None: ...

@final
class Loss:
    def __init__(self, name: str, option: float = 0.0, quantiles: Sequence[float] = ...) -> None: ...
    @property
    def of_labels(self) -> bool: ...
    @property
    def outputs_per_feature(self) -> int: ...
    def take(
        self,
        prediction: _Array,
        target: _Array,
        weights: _Array | None,
        gradient: _Array,
        num_threads: int = 0,
    ) -> tuple[float, float]: ...

class Training:
    def __init__(
        self,
        model: Model,
        loss: Loss,
        kind: str,
        arrays: dict[str, list[_Array]],
        steps: _Array,
        options: dict[str, Any],
        gradient: _Array,
        clip_value: float | None,
        clip_norm: float | None,
    ) -> None: ...
    def step(
        self,
        lr: float,
        x: _Array,
        initial: Sequence[_Array | None] | None,
        final: Sequence[_Array],
        lengths: _Array | None,
        resets: _Array | None,
        keys: _Array | None,
        target: _Array,
        mask: _Array | None,
        weights: _Array | None,
        num_threads: int = 0,
    ) -> tuple[float, float, bool]: ...

def loss_and_gradients(
    model: Model,
    loss: Loss,
    parameters: _Array,
    x: _Array,
    initial: _States | None,
    final: _States,
    lengths: _Array | None,
    resets: _Array | None,
    keys: _Array | None,
    target: _Array,
    mask: _Array | None,
    weights: _Array | None,
    dx: _Array | None,
    d_initial: _States,
    gradient: _Array,
    num_threads: int = 0,
) -> tuple[float, float]: ...
def step_all(
    trainings: list[Training], calls: list[tuple[Any, ...]], num_threads: int = 0
) -> list[tuple[float, float, bool]]: ...
def squared_norm(values: _Array) -> float: ...
def scale(values: _Array, factor: float) -> None: ...
def clip(values: _Array, limit: float) -> None: ...
def drop(x: _Array, y: _Array, probability: float, key: int) -> None: ...
def add_rows(values: _Array, rows: _Array, table: _Array) -> None: ...
def describe_windows(values: _Array, starts: _Array, length: int, last: int, lag: int, measures: _Array) -> None: ...
def gather_windows(values: _Array, starts: _Array, level: _Array, scale: _Array, limit: float, to: _Array) -> None: ...
def set_num_threads(num_threads: int) -> None: ...
def get_num_threads() -> int: ...
def set_piece(multiply_adds: int) -> int: ...
def config() -> dict[str, Any]: ...

@final
class Forest:
    """The shape of trees, and the order in which their nodes are visited."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @staticmethod
    def from_parents(parent: _Array) -> Forest: ...
    @staticmethod
    def from_children(children: _Array) -> Forest: ...
    @property
    def nodes(self) -> int: ...
    @property
    def levels(self) -> int: ...

@final
class TreeCache:
    """What one forward call of a Tree keeps for backward; only `forward` makes one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

@final
class Tree:
    def __init__(
        self,
        cell: Literal["lstm", "rnn"],
        binary: bool,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None: ...
    @property
    def layout(self) -> list[tuple[str, int, tuple[int, ...]]]: ...
    def forward(
        self,
        parameters: _Array,
        forest: Forest,
        x: _Array,
        h: _Array,
        c: _Array | None,
        keep: bool = False,
        num_threads: int = 0,
    ) -> TreeCache | None: ...
    def backward(
        self,
        cache: TreeCache,
        parameters: _Array,
        dh: _Array | None,
        dc: _Array | None,
        dx: _Array | None,
        d_parameters: _Array,
        num_threads: int = 0,
    ) -> None: ...

def attend(
    query: _Array, keys: _Array, lengths: _Array | None, weights: _Array, context: _Array, num_threads: int = 0
) -> None: ...
def attend_backward(
    query: _Array,
    keys: _Array,
    lengths: _Array | None,
    weights: _Array,
    d_context: _Array,
    d_query: _Array,
    d_keys: _Array,
    num_threads: int = 0,
) -> None: ...
