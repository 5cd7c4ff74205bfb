"""Types of the compiled engine (src/bindings). Its NumPy twin is rnncore.reference.network."""

from typing import Any, Literal, final

from numpy.typing import NDArray

Array = NDArray[Any]
States = tuple[Array, ...]

@final
class Cache:
    """What one forward call keeps for backward."""

@final
class Network:
    def __init__(
        self,
        cell: Literal["rnn_tanh", "rnn_relu", "lstm", "gru"],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None: ...
    @property
    def cell(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def bias(self) -> bool: ...
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
    def forward(
        self,
        parameters: Array,
        x: Array,
        h0: States | None,
        y: Array,
        hn: States,
        lengths: Array | None = None,
        resets: Array | None = None,
        dropout: float = 0.0,
        key: int = 0,
        keep: bool = False,
        num_threads: int = 0,
    ) -> Cache | None: ...
    def backward(
        self,
        cache: Cache,
        parameters: Array,
        dy: Array | None,
        dhn: States | None,
        dx: Array | None,
        dh0: States,
        dparameters: Array,
        num_threads: int = 0,
    ) -> None: ...

@final
class Stream:
    """Packed weights and a state, for steps."""

    def __init__(self, network: Network, parameters: Array, batch_size: int = 1) -> None: ...
    def step(self, x: Array, out: Array | None = None) -> Array: ...
    def run(self, x: Array, y: Array) -> None: ...
    def states(self) -> States: ...
    def set_states(self, states: States) -> None: ...
    def replace(self, network: Network, parameters: Array) -> None: ...
    def with_rows(self, batch_size: int) -> Stream: ...
    @property
    def batch_size(self) -> int: ...

__version__: str

def set_num_threads(num_threads: int) -> None: ...
def get_num_threads() -> int: ...
def config() -> dict[str, Any]: ...
