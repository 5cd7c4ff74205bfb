"""What the engine does not take is PyTorch's own, and counted."""

import pickle
import warnings

import pytest

from torch_case import H, I, N, T, draw, pair, torch

import rnncore  # isort: skip

nn = torch.nn
OURS = rnncore.torch


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


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
