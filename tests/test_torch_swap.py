"""Models are accelerated and restored in place, and their weights packed."""

import copy
import pickle
import subprocess
import sys

import pytest

from torch_case import H, I, N, T, pair, torch

import rnncore  # isort: skip

nn = torch.nn
OURS = rnncore.torch


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, I)
        self.lstm = nn.LSTM(I, H, 2, batch_first=True, bidirectional=True)
        self.cells = nn.ModuleList([nn.GRUCell(2 * H, H), nn.LSTMCell(H, H), nn.RNNCell(H, H)])
        self.head = nn.Linear(H, 2)

    def forward(self, x):
        y, _ = self.lstm(self.table(x))
        h = self.cells[0](y[:, -1])
        h, _ = self.cells[1](h)
        return self.head(self.cells[2](h))


class Own(nn.LSTM):
    """A caller's subclass, which may do anything."""


LABELS = torch.arange(12).view(3, 4) % 10


def test_a_model_is_swapped_in_place_and_trains_alike():
    model = Tagger()
    twin = copy.deepcopy(model)
    before = [*model.parameters()], list(model.state_dict()), repr(model)
    assert OURS.accelerate(model) is model
    assert all(one is other for one, other in zip(before[0], model.parameters(), strict=True))
    assert (list(model.state_dict()), repr(model)) == before[1:]
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.01) for m in (model, twin)]
    counted = OURS.fallbacks()
    for _ in range(5):
        for m, optimizer in zip((model, twin), optimizers, strict=True):
            optimizer.zero_grad()
            m(LABELS).square().sum().backward()
            optimizer.step()
    assert OURS.fallbacks() == counted
    torch.testing.assert_close(model(LABELS), twin(LABELS), atol=1e-5, rtol=1e-5)


def test_restore_undoes_it_and_leaves_nothing_behind():
    model = Tagger()
    types = [type(m) for m in model.modules()]
    attributes = [sorted(vars(m)) for m in model.modules()]
    OURS.accelerate(model, on_fallback="raise")
    assert [type(m).__name__ for m in model.modules()] == [kind.__name__ for kind in types]
    assert sum(type(m).__module__.startswith("rnncore") for m in model.modules()) == 4
    OURS.restore(model)
    assert [type(m) for m in model.modules()] == types
    assert [sorted(vars(m)) for m in model.modules()] == attributes


def test_only_named_modules_are_swapped():
    model = OURS.accelerate(Tagger(), only=["cells"])
    assert type(model.lstm) is nn.LSTM
    assert type(model.cells[0]) is OURS.GRUCell
    assert type(OURS.accelerate(nn.LSTM(I, H), only=[""])) is OURS.LSTM  # as named_modules calls the model itself
    with pytest.raises(ValueError, match="only: the model has no module 'body'"):
        OURS.accelerate(model, only=["body"])
    with pytest.raises(ValueError, match="on_fallback should be one of torch, warn, raise, got 'never'"):
        OURS.accelerate(model, on_fallback="never")
    with pytest.raises(TypeError, match=r"model should be a torch.nn.Module, got list"):
        OURS.accelerate([model])


def test_other_classes_stay_as_they_are():
    model = OURS.accelerate(nn.Sequential(Own(I, H), nn.Linear(H, 1)))
    assert type(model[0]) is Own


def test_hooks_stay():
    seen = []
    lstm = nn.LSTM(I, H)
    lstm.register_forward_hook(lambda module, given, output: seen.append(output[0].shape))
    lstm.register_full_backward_hook(lambda module, d_in, d_out: seen.append(d_out[0].shape))
    OURS.accelerate(lstm)
    lstm(torch.zeros(T, N, I, requires_grad=True))[0].sum().backward()
    assert seen == [(T, N, H), (T, N, H)]


def test_files_of_restored_models_need_nothing_of_ours(tmp_path):
    model = OURS.accelerate(nn.Sequential(nn.LSTM(I, H)))
    y = model(torch.ones(T, N, I))[0]
    assert torch.equal(pickle.loads(pickle.dumps(model))(torch.ones(T, N, I))[0], y)
    torch.save(OURS.restore(model), tmp_path / "model.pt")
    code = (
        "import sys; sys.modules['rnncore'] = None; import torch; "
        f"model = torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False); print(type(model[0]).__module__)"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "torch.nn.modules.rnn"


def test_modules_made_in_a_context_are_ours():
    with OURS.accelerated():
        made = Tagger()
        with OURS.accelerated():
            inner = nn.GRU(I, H)
        own = Own(I, H)
    assert type(made.lstm) is OURS.LSTM
    assert [type(cell) for cell in made.cells] == [OURS.GRUCell, OURS.LSTMCell, OURS.RNNCell]
    assert type(inner) is OURS.GRU
    assert type(own) is Own
    assert type(nn.LSTM(I, H)) is nn.LSTM
    assert made(LABELS).shape == (3, 2)


@pytest.mark.parametrize("cells", [False, True])
@pytest.mark.parametrize("name", ["rnn_tanh", "gru", "lstm"])
def test_packed_weights_give_the_same_bits(name, cells):
    _, ours = pair(name, cells=cells)
    x = torch.randn(*((1, I) if cells else (1, 1, I)), dtype=torch.float64)
    with torch.no_grad():
        expected = torch.cat([t.flatten() for t in flat(ours(x))])
        with OURS.packed(ours):
            assert torch.equal(torch.cat([t.flatten() for t in flat(ours(x))]), expected)
            for p in ours.parameters():
                p.mul_(2)
            assert torch.equal(torch.cat([t.flatten() for t in flat(ours(x))]), expected)  # packed before
        assert not torch.equal(torch.cat([t.flatten() for t in flat(ours(x))]), expected)
    with OURS.packed(ours):
        assert flat(ours(x))[0].requires_grad


def flat(outputs):
    return [outputs] if isinstance(outputs, torch.Tensor) else [t for part in outputs for t in flat(part)]
