"""The layers that models are made of, one class a file."""

from rnncore.layers.dropout import Dropout
from rnncore.layers.embedding import Embedding
from rnncore.layers.gru import GRU
from rnncore.layers.last_step import LastStep
from rnncore.layers.layer_norm import LayerNorm
from rnncore.layers.linear import Linear
from rnncore.layers.lstm import LSTM
from rnncore.layers.rnn import RNN

__all__ = ["GRU", "LSTM", "RNN", "Dropout", "Embedding", "LastStep", "LayerNorm", "Linear"]
