"""The contrast: nets of like size on the same tasks, what they can and cannot, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest

from rnncore import cli
from rnncore.contrast import command, measure, tasks
from rnncore.contrast.nets import NETS, PARAMETERS
from rnncore.contrast.tasks import adding, digits, weather

pytest.importorskip("torch", reason="the convolutional net")


@pytest.mark.parametrize("net", NETS)
def test_nets_have_about_the_same_number_of_parameters(net: str) -> None:
    for task in tasks(small=True):
        made = NETS[net](task, 0)
        made.fit(task)
        assert 0.6 * PARAMETERS < made.parameters() <= 1.05 * PARAMETERS, task.name
        found = made.predict(task.test[0])
        assert found.shape == task.test[1].shape
        assert np.isfinite(found).all()


@pytest.mark.parametrize("net", NETS)
def test_digits_are_learned(net: str) -> None:
    result = measure(digits(None, epochs=12, seed=0), net)
    assert result.score > 0.85
    assert result.training_seconds > 0
    assert result.step_microseconds > 0


def test_only_the_window_cannot_take_other_lengths_and_only_the_state_does_not_grow() -> None:
    task = adding(20, 200, (40,), epochs=2, seed=0)
    results = {net: measure(task, net) for net in NETS}
    assert results["feed-forward"].longer == {}
    assert set(results["recurrent"].longer) == set(results["convolutional"].longer) == {40}
    assert len(set(results["recurrent"].memory.values())) == 1
    assert results["convolutional"].memory[10_000] == 100 * results["convolutional"].memory[100]
    assert "cannot" in command.table("adding", "always 1", False, list(results.values()))


def test_the_prediction_of_a_sequence_does_not_depend_on_those_beside_it() -> None:
    generator = np.random.default_rng(0)
    task = weather(60, epochs=1)
    for name in ("recurrent", "convolutional"):
        net = NETS[name](task, 0)
        short = generator.standard_normal((7, task.features)).astype(np.float32)
        long = generator.standard_normal((29, task.features)).astype(np.float32)
        np.testing.assert_allclose(net.predict([short, long])[0], net.predict([short])[0], rtol=1e-5)


def test_the_command_prints_tables_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure, numbers = tmp_path / "contrast.png", tmp_path / "contrast.json"
    assert cli.main(["contrast", "--small", "--plot", str(figure), "--json", str(numbers)]) == 0
    out = capsys.readouterr().out
    assert out.count("| recurrent |") >= 3
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert {each["net"] for each in json.loads(numbers.read_text())} == set(NETS)
    assert cli.main(["contrast", "--small", "--plot", str(tmp_path / "none" / "x.png")]) == cli.USAGE
    assert "there is no folder" in capsys.readouterr().err
