"""Language models: what they learn, samples that share a prompt, files, n-grams, the command."""

from pathlib import Path

import numpy as np
import pytest

import rnncore
from rnncore import cli
from rnncore.text import LanguageModel
from rnncore.text.language import side_by_side
from rnncore.text.language_command import python_sources
from rnncore.text.ngram import WittenBell

TEXT = "the cat sat on the mat and the dog sat on the log. " * 60


@pytest.fixture(scope="module", params=["characters", "words"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    made = LanguageModel(request.param, hidden_size=32, embedding_size=8, dropout=0.0, seed=0)
    made.fit(TEXT, epochs=12, rows=4, k1=20, lr=0.02, progress=False)
    return made


def test_a_text_that_repeats_is_learned(model: LanguageModel) -> None:
    assert model.nats(TEXT[:510]) < 0.25
    likely = model.sample(40, prompt="the cat sat on", temperature=0.05, seed=0)[0]
    assert likely.startswith("the cat sat on the ")


def test_nats_are_those_of_single_steps(model: LanguageModel) -> None:
    values = model.encode(TEXT[:120])
    assert model.model is not None
    scores, _ = model.model(values[:-1, None])
    scores = scores[:, 0].astype(np.float64)
    chances = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    assert abs(-chances[np.arange(len(values) - 1), values[1:]].mean() - model.nats(TEXT[:120])) < 1e-5


def test_samples_share_a_prompt_and_one_seed_gives_one_text(model: LanguageModel) -> None:
    texts = model.sample(30, prompt="the ", samples=5, seed=1)
    assert texts == model.sample(30, prompt="the ", samples=5, seed=1)
    assert all(text.startswith("the ") and len(model.split(text)) >= 30 for text in texts)
    assert len(set(model.sample(30, prompt="the ", samples=5, temperature=2.0, seed=1))) > 1
    assert model.sample(0, prompt="the ") == ["the "]


def test_words_give_the_text_back() -> None:
    model = LanguageModel("words")
    text = "  Two words,\n\nand  more \n"
    assert "".join(model.split(text)) == text


def test_a_file_keeps_the_model_and_is_a_model(model: LanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = LanguageModel.load(path)
    assert loaded.nats(TEXT[:200]) == model.nats(TEXT[:200])
    assert loaded.sample(20, prompt="the ", seed=3) == model.sample(20, prompt="the ", seed=3)
    np.testing.assert_array_equal(rnncore.load(path).parameters, model.parameters)
    rnncore.Sequential(rnncore.GRU(2, 3)).save(tmp_path / "other")
    with pytest.raises(ValueError, match="holds a model, but no language model"):
        LanguageModel.load(tmp_path / "other")


def test_bad_arguments_are_refused_by_name(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match="unit must be one of characters, words, got 'bytes'"):
        LanguageModel("bytes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        model.sample(3, temperature=0)
    with pytest.raises(ValueError, match="prompt: expected at least one"):
        model.sample(3, prompt="")
    with pytest.raises(ValueError, match="text: expected at least 64 characters, got 9"):
        LanguageModel().fit("0123456789")
    with pytest.raises(RuntimeError, match="not fitted"):
        LanguageModel().nats("text")


def test_witten_bell_probabilities_sum_to_one() -> None:
    tokens = np.random.default_rng(0).integers(0, 5, 400).tolist()
    model = WittenBell(tokens, order=3, vocabulary=6)
    for history in ([], [1], [2, 3], [5, 5], [0, 1, 2, 3]):
        assert abs(sum(model.probability(history, token) for token in range(6)) - 1) < 1e-12
    by_hand = WittenBell([0, 1, 0, 0], order=1, vocabulary=2)  # c = 3, 1; T = 2
    assert abs(by_hand.probability([], 0) - (3 + 2 / 2) / (4 + 2)) < 1e-12


def test_rows_follow_one_another() -> None:
    x, target = side_by_side(np.arange(11), 2)
    assert x.T.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert target.T.tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]


def test_without_a_file_the_sources_of_python_are_read() -> None:
    assert len(python_sources(5000)) == 5000


# ---- the command


def test_the_command_trains_saves_and_writes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, saved, figure = (str(tmp_path / name) for name in ("text.txt", "model.safetensors", "loss.png"))
    Path(text).write_text(TEXT)
    sizes = ["--hidden", "16", "--embedding", "8", "--epochs", "2", "--sample", "10"]
    options = [*sizes, "--save", saved, "--plot", figure]
    assert cli.main(["language-model", text, *options]) == 0
    out = capsys.readouterr().out
    assert "bits a character" in out
    assert "5-grams, Witten-Bell smoothing" in out
    assert Path(figure).read_bytes().startswith(b"\x89PNG")
    assert cli.main(["language-model", "--load", saved, "--prompt", "the ", "--samples", "3", "--sample", "5"]) == 0
    assert capsys.readouterr().out.count("the ") >= 3


def test_bad_input_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text("short")
    empty = tmp_path / "empty.txt"
    empty.write_bytes(b"")
    for arguments, message in (
        ([str(text)], "text: expected at least 64 characters, got 4"),
        ([str(empty)], "empty.txt is empty"),
        ([str(tmp_path / "absent")], "No such file"),
        ([str(text), "--save", str(text)], "would overwrite an input"),
        ([str(text), "--hidden", "0"], "hidden_size"),
        (["--load", str(text)], "text.txt"),
        ([str(text), "--load", str(text)], "expected neither a file"),
    ):
        assert cli.main(["language-model", *arguments]) == cli.USAGE
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1, err
    assert text.read_text() == "short"
