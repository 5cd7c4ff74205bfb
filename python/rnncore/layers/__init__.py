"""The layers that models are made of, one class a file."""

from typing import Any

from rnncore.layers.dropout import Dropout
from rnncore.layers.embedding import Embedding
from rnncore.layers.gru import GRU
from rnncore.layers.last_step import LastStep
from rnncore.layers.layer_norm import LayerNorm
from rnncore.layers.leaky_rnn import LeakyRNN
from rnncore.layers.linear import Linear
from rnncore.layers.lstm import LSTM
from rnncore.layers.mgu import MGU
from rnncore.layers.recurrent import RecurrentLayer
from rnncore.layers.rnn import RNN

__all__ = ["GRU", "LSTM", "MGU", "RNN", "Dropout", "Embedding", "LastStep", "LayerNorm", "LeakyRNN", "Linear"]

KINDS: dict[str, Any] = {name: globals()[name] for name in __all__}
"""All layers by their names: what a model may be made of."""
RECURRENT = {name: kind for name, kind in KINDS.items() if issubclass(kind, RecurrentLayer)}
"""Those with a state."""
CELL_KINDS = {name.lower(): kind for name, kind in RECURRENT.items()}
"""The same by what a `cell` argument calls them: "lstm"."""
