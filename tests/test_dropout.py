"""Dropout of the layers: when it applies, which mask it draws, how keys follow each other."""

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, make_case, reference

every_cell = pytest.mark.parametrize("cell", LAYERS)


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_dropout_equals_the_reference_under_its_key(cell, bidirectional, monkeypatch):
    case = make_case(cell, L=3, dropout=0.4, bidirectional=bidirectional)
    monkeypatch.setattr(case.layer._keys, "next", lambda: 12345)
    lengths = [7, 2, 0, 5]
    case.train(lengths=lengths).assert_close(reference(case, lengths, dropout=0.4, key=12345), 1e-12)


@every_cell
def test_dropout_is_for_training_only(cell):
    case = make_case(cell, L=2, dropout=0.5)
    plain = make_case(cell, L=2)
    plain.layer.load_state_dict(case.layer.state_dict())
    case.infer().assert_identical(plain.but(x=case.x, hx=case.hx).infer())
    trained = case.layer.forward(case.x, case.hx)[0]
    assert not np.array_equal(trained, case.infer()["y"])
    assert case.layer.eval() is case.layer
    assert not case.layer.training
    np.testing.assert_array_equal(case.layer.forward(case.x, case.hx)[0], case.infer()["y"])
    case.layer.train()
    assert not np.array_equal(case.layer.forward(case.x, case.hx)[0], case.infer()["y"])


def test_dropout_differs_from_call_to_call_and_repeats_with_the_seed():
    def outputs(seed):
        layer = rnncore.GRU(3, 5, 2, dropout=0.5, seed=seed)
        return [layer.forward(np.ones((4, 2, 3)))[0] for _ in range(3)]

    one, two = outputs(7), outputs(7)
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one[1], one[2])


def test_a_refused_call_uses_no_dropout_key():
    one, two = (rnncore.GRU(3, 5, 2, dropout=0.5, seed=7) for _ in range(2))
    with pytest.raises(ValueError, match="features"):
        one.forward(np.ones((4, 2, 2)))
    with pytest.raises(ValueError, match="lengths"):
        one.forward(np.ones((4, 2, 3)), lengths=[9, 9])
    np.testing.assert_array_equal(one.forward(np.ones((4, 2, 3)))[0], two.forward(np.ones((4, 2, 3)))[0])


def test_dropout_keys_are_spread():
    layer = rnncore.GRU(3, 5, seed=7)
    keys = [layer._keys.next() for _ in range(1000)]
    assert len(set(keys)) == 1000
    assert all(0 <= key < 1 << 64 for key in keys)
    bits = np.array([[key >> bit & 1 for bit in range(64)] for key in keys])
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.1  # 6 standard deviations


@every_cell
def test_a_forward_call_that_memory_does_not_suffice_for_draws_no_mask(cell):
    layer, twin = (LAYERS[cell](0, 5, 2, dropout=0.5, seed=0) for _ in range(2))
    with pytest.raises(MemoryError):
        layer.forward(np.empty((2**30, 2**30, 0), np.float32))
    x = np.empty((4, 2, 0), np.float32)
    np.testing.assert_array_equal(layer.forward(x)[0], twin.forward(x)[0])
