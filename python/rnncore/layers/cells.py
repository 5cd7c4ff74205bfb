"""The cells that a recurrent layer may have."""

from typing import Literal, TypeAlias

Cell: TypeAlias = Literal["rnn_tanh", "rnn_relu", "lstm", "gru"]
