"""Beginnings other than PyTorch's: what they set, what they leave, and what they refuse."""

import numpy as np
import pytest

import rnncore
from rnncore.initialisation import chrono, forget_bias, orthogonal


def biases(layer):
    """Sum the two biases of a layer: (gates, H)."""
    return (layer.bias_ih_l0 + layer.bias_hh_l0).reshape(-1, layer.hidden_size)


@pytest.mark.parametrize("uniform", [False, True])
def test_chrono_spreads_memories_as_it_says(uniform):
    lstm, gru = rnncore.LSTM(2, 4000, dtype="float64"), rnncore.GRU(2, 4000, dtype="float64")
    for layer in (lstm, gru):
        before = layer.weight_hh_l0.copy()
        chrono(rnncore.Sequential(layer), longest=600, uniform=uniform, seed=0)
        np.testing.assert_array_equal(layer.weight_hh_l0, before)
    steps = 1 + np.exp(biases(lstm)[1])
    assert 2 <= steps.min() < steps.max() <= 600.000001
    middle = 301 if uniform else np.sqrt(2 * 600)
    assert abs((steps < middle).mean() - 0.5) < 0.03
    np.testing.assert_array_equal(biases(lstm)[0], -biases(lstm)[1])
    np.testing.assert_array_equal(biases(gru)[1], biases(lstm)[1])  # one seed, one draw
    assert not biases(lstm)[2:].any()
    assert not biases(gru)[[0, 2]].any()


def test_every_gate_becomes_orthogonal():
    lstm = rnncore.LSTM(2, 8, num_layers=2, bidirectional=True, dtype="float64")
    orthogonal(lstm, gain=2.0, seed=0)
    for weight in (lstm.weight_hh_l0, lstm.weight_hh_l1_reverse):
        for gate in weight.reshape(4, 8, 8):
            np.testing.assert_allclose(gate @ gate.T, 4 * np.eye(8), atol=1e-12)


def test_the_forget_gate_alone_gets_its_bias():
    lstm = rnncore.LSTM(2, 8, seed=0)
    before = biases(lstm)
    forget_bias(lstm, 3.0)
    assert (biases(lstm)[1] == 3).all()
    np.testing.assert_array_equal(biases(lstm)[[0, 2, 3]], before[[0, 2, 3]])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"^expected 1 < shortest <= longest, got shortest 2.0, longest 1.5$"):
        chrono(rnncore.GRU(2, 3), longest=1.5)
    with pytest.raises(
        ValueError,
        match=r"^expected a layer with gates \(.*GRU, .*\) and biases, or a model .*, got RNN\(2, 3\)$",
    ):
        chrono(rnncore.RNN(2, 3), longest=9)
    with pytest.raises(TypeError, match=r"^uniform"):
        chrono(rnncore.GRU(2, 3), longest=9, uniform="yes")
    with pytest.raises(ValueError, match=r"^expected an LSTM with biases, or a model with one, got GRU\(2, 3\)$"):
        forget_bias(rnncore.GRU(2, 3))
