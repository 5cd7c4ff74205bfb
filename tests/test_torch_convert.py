"""Layers of rnncore and modules of PyTorch turn into each other, with their weights."""

import numpy as np
import pytest

from torch_case import CELLS, KINDS, I, N, T, pair, torch

import rnncore  # isort: skip

nn = torch.nn
OURS = rnncore.torch


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", KINDS)
def test_layers_and_modules_turn_into_each_other(name):
    plain, ours = pair(name, bidirectional=True, batch_first=True)
    x = torch.randn(N, T, I, dtype=torch.float64)
    layer = OURS.layer_of(plain)
    y = layer(x.numpy())[0]
    np.testing.assert_array_equal(y, ours(x)[0].detach().numpy())
    back = OURS.module_of(layer)
    assert repr(back) == repr(plain)
    assert torch.equal(back(x)[0], ours(x)[0])
    layer.parameters[...] = 0
    assert torch.equal(back(x)[0], ours(x)[0])  # weights are copied


@pytest.mark.parametrize("name", CELLS)
def test_cells_become_layers_that_stream(name):
    _, ours = pair(name, cells=True)
    stream = rnncore.Stream(OURS.layer_of(ours))
    x, hx = torch.randn(T, 1, I, dtype=torch.float64), None
    with torch.no_grad():
        for step in x:
            hx = ours(step, hx)
            h = hx[0] if name == "lstm" else hx
            np.testing.assert_array_equal(stream.step(step.numpy()), h.numpy())


def test_what_the_other_side_has_not_is_refused():
    with pytest.raises(TypeError, match="module should be an RNN, LSTM or GRU of PyTorch, or a cell, got Linear"):
        OURS.layer_of(nn.Linear(1, 1))
    with pytest.raises(TypeError, match="layer should be an RNN, LSTM or GRU of rnncore, got MGU"):
        OURS.module_of(rnncore.MGU(1, 1))
    with pytest.raises(ValueError, match="PyTorch has no peepholes"):
        OURS.module_of(rnncore.LSTM(1, 1, peepholes=True))
