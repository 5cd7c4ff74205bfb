"""Models are accelerated and restored in place; what the engine does not take is PyTorch's own, and counted."""

import copy
import pickle
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

from torch_case import CELLS, KINDS, H, I, N, T, draw, pair, torch

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
    model = OURS.accelerate(
        nn.Sequential(
            nn.LSTM(I, H),
        )
    )
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


# ---- layers of rnncore


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


# ---- what is PyTorch's


def counted(reason, call):
    before = OURS.fallbacks().get(reason, 0)
    result = call()
    assert OURS.fallbacks().get(reason, 0) > before, OURS.fallbacks()
    return result


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_dtypes_are_pytorchs(dtype):
    plain, ours = pair("gru", dtype=dtype)
    x = torch.randn(T, N, I, dtype=dtype)
    reason = f"dtype {str(dtype).removeprefix('torch.')}"
    assert torch.equal(counted(reason, lambda: ours(x)[0]), plain(x)[0])


def test_other_devices_are_pytorchs():
    ours = OURS.LSTM(I, H, device="meta")
    y, _ = counted("device meta", lambda: ours(torch.empty(T, N, I, device="meta")))
    assert y.shape == (T, N, H)
    assert y.is_meta


def test_autocast_is_pytorchs():
    plain, ours = pair("gru", dtype=torch.float32)
    x = torch.randn(T, N, I)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = counted("autocast", lambda: ours(x)[0]), plain(x)[0]
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_transforms_are_pytorchs():
    plain, ours = pair("gru")
    x = torch.randn(T, N, I, dtype=torch.float64)
    reason = "a transform of torch.func"

    def loss(module, x):
        return module(x)[0].square().sum()

    for transform in (
        lambda m: torch.func.grad(lambda x: loss(m, x)),
        lambda m: torch.func.jacrev(lambda x: loss(m, x)),
    ):
        torch.testing.assert_close(counted(reason, lambda t=transform: t(ours)(x)), transform(plain)(x))
    expected, found = (torch.func.jvp(lambda x, m=m: m(x)[0], (x,), (x,))[1] for m in (plain, ours))
    torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_forward_mode_is_pytorchs():
    plain, ours = pair("gru")
    x = torch.randn(T, N, I, dtype=torch.float64)
    fw = torch.autograd.forward_ad

    def tangent(module):
        with fw.dual_level():
            return fw.unpack_dual(module(fw.make_dual(x, x))[0]).tangent

    found = counted("forward-mode differentiation", lambda: tangent(ours))
    torch.testing.assert_close(found, tangent(plain))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.torch.jit:DeprecationWarning")
def test_traces_and_scripts_are_pytorchs():
    plain, ours = pair("lstm", dtype=torch.float32)
    x = torch.randn(T, N, I)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = counted("tracing", lambda: torch.jit.trace(ours, x))
        scripted = torch.jit.script(Outputs(ours))  # PyTorch scripts no LSTM by itself
        assert torch.equal(traced(x)[0], plain(x)[0])
        assert torch.equal(scripted(x), plain(x)[0])


class Outputs(nn.Module):
    def __init__(self, lstm):
        super().__init__()
        self.lstm = lstm

    def forward(self, x):
        y, _ = self.lstm(x)
        return y


def test_export_is_pytorchs():
    plain, ours = pair("lstm", dtype=torch.float32)
    x = torch.randn(T, N, I)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(ours.eval(), (x,))
    torch.testing.assert_close(program.module()(x)[0], plain(x)[0])
    assert "rnncore" not in program.graph_module.code


def test_modes_see_pytorchs_operations():
    from torch.utils.flop_counter import FlopCounterMode

    plain, ours = pair("gru", dtype=torch.float32)
    x = torch.randn(T, N, I)
    totals = []
    for module in (plain, ours):
        with FlopCounterMode(display=False) as mode:
            module(x)
        totals.append(mode.get_total_flops())
    assert totals[0] == totals[1] > 0


def test_a_default_device_is_no_obstacle():
    _, ours = pair("gru")
    x = draw("full", False)
    before = OURS.fallbacks()
    with torch.device("meta"):
        y, _ = ours(x)
        y.sum().backward()
    assert y.device.type == "cpu"
    assert OURS.fallbacks() == before


def test_compiled_models_break_the_graph_around_it():
    plain, ours = pair("lstm", dtype=torch.float32)
    head = nn.Linear(H, 2)
    models = [lambda x, m=m: head(m(torch.tanh(x))[0]).sum() for m in (plain, ours)]
    x = torch.randn(T, N, I, requires_grad=True)
    before = OURS.fallbacks()
    found = torch.compile(models[1], backend="eager")(x)
    (gradient,) = torch.autograd.grad(found, x)
    assert OURS.fallbacks() == before
    expected = models[0](x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, x)[0], atol=1e-5, rtol=1e-4)


def test_subclasses_of_tensors_are_pytorchs():
    class Tagged(torch.Tensor):
        pass

    _, ours = pair("gru")
    x = torch.randn(T, N, I, dtype=torch.float64).as_subclass(Tagged)
    y, _ = counted("a Tagged", lambda: ours(x))
    assert type(y) is Tagged


def test_a_negated_view_is_pytorchs():
    plain, ours = pair("gru")
    x = torch.randn(T, N, I, dtype=torch.complex128).conj().imag
    assert x.is_neg()
    torch.testing.assert_close(counted("a negated view", lambda: ours(x)[0]), plain(x)[0])


def test_the_caller_hears_of_it_who_asked_to():
    x = torch.zeros(T, N, I, dtype=torch.bfloat16)
    loud = OURS.accelerate(nn.GRU(I, H, dtype=torch.bfloat16), on_fallback="warn")
    with pytest.warns(OURS.FallbackWarning, match="GRU ran in PyTorch itself: dtype bfloat16"):
        loud(x)
    strict = OURS.accelerate(loud, on_fallback="raise")
    with pytest.raises(RuntimeError, match="GRU: this call cannot run in the engine: dtype bfloat16"):
        strict(x)
    assert type(pickle.loads(pickle.dumps(strict))) is OURS.GRU
    OURS.accelerate(strict)(x)


# ---- threads


def numbers_printed_by(code, environment):
    options = {"check": True, "capture_output": True, "text": True, "timeout": 120}
    return list(map(int, subprocess.run([sys.executable, "-c", code], env=environment, **options).stdout.split()))


def test_pytorchs_number_of_threads_holds():
    code = """
import os, torch, rnncore
before = len(os.listdir("/proc/self/task"))
torch.set_num_threads(1)
lstm = rnncore.torch.LSTM(128, 256)
lstm(torch.zeros(50, 32, 128))
print(len(os.listdir("/proc/self/task")) - before)
"""
    environment = {"RNNCORE_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "PATH": ""}
    shown = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, timeout=120
    )
    assert shown.stdout.strip() == "0"


@pytest.mark.parametrize("first", ["torch", "rnncore"])
def test_two_runtimes_of_openmp_are_two_threads_each_at_most_and_survive_a_fork(first):
    second = {"torch": "rnncore", "rnncore": "torch"}[first]
    code = f"""
import os, {first}, {second}
import torch, rnncore
torch.set_num_threads(2)
lstm = rnncore.torch.LSTM(128, 256)
x = torch.ones(50, 32, 128)
y = lstm(x)[0].detach()
torch.mm(torch.ones(512, 512), torch.ones(512, 512))
print(len(os.listdir("/proc/self/task")))
child = os.fork()
if child == 0:
    same = bool((lstm(x)[0].detach().numpy() == y.numpy()).all())  # PyTorch's own threads are gone
    os._exit(0 if same else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {"OMP_NUM_THREADS": "2", "PATH": ""}
    bare = "import os, torch; torch.set_num_threads(2); torch.mm(torch.ones(512, 512), torch.ones(512, 512)); "
    bare += "print(len(os.listdir('/proc/self/task')))"

    tasks, status = numbers_printed_by(code, environment)
    assert status == 0
    assert tasks <= numbers_printed_by(bare, environment)[0] + 2  # the engine's worker, and that of PyTorch's backward


def test_threads_may_share_a_module():
    _, ours = pair("lstm")
    x = draw("full", False)
    expected = ours(x)[0]
    wrong = []

    def work():
        for _ in range(20):
            y, _ = ours(x)
            y.sum().backward(inputs=[x])
            if not torch.equal(y, expected):
                wrong.append(y)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
