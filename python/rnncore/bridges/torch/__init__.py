"""PyTorch's recurrent modules, run by the engine: one line swaps those of a model, and another one swaps them back.

>>> import torch, rnncore
>>> model = torch.nn.Sequential(torch.nn.LSTM(3, 16, batch_first=True))
>>> rnncore.torch.accelerate(model)
Sequential(
  (0): LSTM(3, 16, batch_first=True)
)
>>> type(model[0]) is rnncore.torch.LSTM, isinstance(model[0], torch.nn.LSTM)
(True, True)
>>> y, (h, c) = model(torch.randn(2, 5, 3))
>>> y.sum().backward()
>>> type(rnncore.torch.restore(model)[0]) is torch.nn.LSTM
True
"""

from rnncore.bridges.torch.cells import GRUCell, LSTMCell, RNNCell
from rnncore.bridges.torch.convert import layer_of, module_of
from rnncore.bridges.torch.fallback import FallbackWarning, fallbacks
from rnncore.bridges.torch.layers import GRU, LSTM, RNN
from rnncore.bridges.torch.swap import accelerate, accelerated, packed, restore

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "FallbackWarning",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "accelerate",
    "accelerated",
    "fallbacks",
    "layer_of",
    "module_of",
    "packed",
    "restore",
]
