"""Translation: gradients, teacher forcing against single steps, decoding, training, files, the command's errors."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from rnncore import cli
from rnncore.text import Subwords, Translator, Vocabulary, decoding, examples, fitting
from rnncore.text.network import Network, log_softmax
from rnncore.text.vocabulary import BEGIN, END, UNKNOWN, join_words, split_words


def network(cell: str = "lstm", dropout: float = 0.0, layers: int = 2) -> Network:
    return Network(
        9, 8, cell=cell, hidden_size=6, embedding_size=5, layers=layers, dropout=dropout, score="general", seed=3
    )  # type: ignore[arg-type]


def batch() -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(0)
    source, target = generator.integers(4, 9, (5, 3)), generator.integers(4, 8, (4, 3))
    return source, np.array([5, 2, 4]), target, np.array([3, 4, 1])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gradients_equal_differences(cell: str) -> None:
    model, data = network(cell), batch()
    _, gradients = model.loss_and_gradients(*data)
    generator = np.random.default_rng(1)
    assert len(gradients) == len(model.vectors)
    for vector, gradient in zip(model.vectors, gradients, strict=True):
        direction = generator.standard_normal(vector.size).astype(np.float32)
        direction /= np.linalg.norm(direction)
        step, kept = np.float32(1e-2), vector.copy()
        vector[...] = kept + step * direction
        above, _ = model.loss_and_gradients(*data)
        vector[...] = kept - step * direction
        below, _ = model.loss_and_gradients(*data)
        vector[...] = kept
        assert abs((above - below) / (2 * step) - gradient @ direction) < 2e-3 * max(1e-1, np.linalg.norm(gradient))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_teacher_forcing_gives_what_single_steps_give(cell: str) -> None:
    model = network(cell)
    source, lengths, target, target_lengths = batch()
    loss, _ = model.loss_and_gradients(source, lengths, target, target_lengths)
    encoded, words, total = model.encode(source, lengths), np.full(3, BEGIN), 0.0
    for t in range(len(target)):
        scores, encoded.state, attention = model.step(words, encoded)
        scores, words = log_softmax(scores), target[t]
        total -= sum(scores[n, words[n]] for n in range(3) if t < target_lengths[n])
        np.testing.assert_allclose(attention.sum(axis=1), 1, rtol=1e-5)
        assert not attention[1, 2:].any()  # past the source's length
    assert abs(total / target_lengths.sum() - loss) < 1e-5


def test_padding_and_the_rows_beside_it_do_not_change_a_translation() -> None:
    model = network()
    source, lengths, *_ = batch()
    together = decoding.greedy(model, source, lengths, 6)
    together_beam = decoding.beam_search(model, source, lengths, 6, 3, 1.0)
    for n in range(3):
        alone = source[: lengths[n], n : n + 1], lengths[n : n + 1]
        assert decoding.greedy(model, *alone, 6) == together[n : n + 1]
        assert decoding.beam_search(model, *alone, 6, 3, 1.0) == together_beam[n : n + 1]


def log_probability(model: Network, source: np.ndarray, lengths: np.ndarray, words: list[int]) -> float:
    encoded, last, total = model.encode(source, lengths), np.array([BEGIN]), 0.0
    for word in [*words, END]:
        scores, encoded.state, _ = model.step(last, encoded)
        total, last = total + float(log_softmax(scores)[0, word]), np.array([word])
    return total


def test_a_wide_beam_finds_the_best_of_all_translations() -> None:
    model = network(layers=1)
    for vector in model.vectors:
        vector *= 6  # so that choices differ
    source, lengths = np.array([[4], [6], [5]]), np.array([3])
    every: list[list[int]] = [[]]
    for length in (1, 2):
        every += [[*words, word] for words in every if len(words) == length - 1 for word in range(3, 8)]
    best = max(every, key=lambda words: log_probability(model, source, lengths, words))
    ((found, _),) = decoding.beam_search(model, source, lengths, 3, 40, 0.0)
    assert log_probability(model, source, lengths, found) >= log_probability(model, source, lengths, best) - 1e-5


def reversals(count: int, seed: int) -> list[tuple[str, str]]:
    generator = np.random.default_rng(seed)
    words = [[str(word) for word in generator.integers(0, 10, generator.integers(2, 7))] for _ in range(count)]
    return [(" ".join(each), " ".join(reversed(each))) for each in words]


@pytest.fixture(scope="module")
def reverser() -> Translator:
    translator = Translator(hidden_size=48, embedding_size=12, dropout=0.0, seed=1)
    translator.fit(reversals(1500, 0), reversals(100, 1), epochs=12, batch_size=20, lr=1e-2, progress=False)
    return translator


def test_reversal_is_learned_to_99_percent(reverser: Translator) -> None:
    pairs = reversals(300, 2)
    for beam in (1, 3):
        found = reverser.translate([source for source, _ in pairs], beam=beam)
        assert np.mean([one == target for one, (_, target) in zip(found, pairs, strict=True)]) >= 0.99


def test_a_file_keeps_the_translator(reverser: Translator, tmp_path: Path) -> None:
    reverser.save(tmp_path / "reverse.safetensors")
    loaded = Translator.load(tmp_path / "reverse.safetensors")
    sources = [source for source, _ in reversals(20, 3)]
    assert loaded.translate(sources) == reverser.translate(sources)
    (tmp_path / "other").write_bytes(b"no translator")
    with pytest.raises(ValueError, match="other"):
        Translator.load(tmp_path / "other")


def test_an_unknown_word_is_left_out_or_copied(reverser: Translator) -> None:
    words, places = [UNKNOWN, reverser.target.encode(["3"])[0]], [1, 0]
    assert reverser._words(words, places, ["3", "zebra"], copy_unknown=False) == ["3"]
    assert reverser._words(words, places, ["3", "zebra"], copy_unknown=True) == ["zebra", "3"]
    assert reverser.translate(["", "zebra 3"], copy_unknown=True)[0] == ""


def test_ctrl_c_leaves_the_best_weights_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator(hidden_size=8, embedding_size=4, seed=0)
    pairs = reversals(200, 0)
    reached = []

    class Stop:
        """A set of pairs that interrupts the second epoch."""

        def __call__(self, *arguments: object) -> object:
            reached.append(1)
            if len(reached) == 2:
                raise KeyboardInterrupt
            return inner(*arguments)

    inner = fitting.Course.validation_loss
    monkeypatch.setattr(fitting.Course, "validation_loss", lambda course: Stop()(course))
    history = translator.fit(pairs, pairs[:20], epochs=9, progress=False)
    assert history.stopped == "interrupt"
    assert history.best_epoch == 0
    assert len(translator.translate(["1 2 3"])) == 1


def test_words_are_split_and_joined() -> None:
    assert split_words("Go. Where's Tom?") == ["go", ".", "where'", "s", "tom", "?"]
    assert split_words("l’eau qu'il boit") == ["l'", "eau", "qu'", "il", "boit"]
    assert join_words(split_words("J'ai vu l'eau, hier.")) == "j'ai vu l'eau, hier."
    vocabulary = Vocabulary([["b", "a", "a"], ["c"]], most=2)
    assert vocabulary.words[4:] == ["a", "b"]
    assert vocabulary.decode(vocabulary.encode(["b", "c", "a"])) == ["b", "<unk>", "a"]


def test_subwords_join_to_the_text_and_are_kept_in_the_file(tmp_path: Path) -> None:
    texts = ["Le chat n'est pas là.", "Est-ce que tu dors ?", "l’eau est-elle froide\u202f?"] * 3
    subwords = Subwords.train(texts, 60)
    for text in texts:
        assert subwords.join(subwords.split(text)) == text.lower().replace("\u202f", " ")
    assert Subwords.of_json(subwords.to_json()).split(texts[0]) == subwords.split(texts[0])
    assert len(subwords.split("chat")) < 4
    with pytest.raises(ValueError, match="no subwords"):
        Subwords.of_json("{}")
    pairs = [(text, text[::-1]) for text in texts]
    translator = Translator(hidden_size=8, embedding_size=4, subwords=40, seed=0)
    translator.fit(pairs, pairs[:2], epochs=1, progress=False)
    translator.save(tmp_path / "model.safetensors")
    loaded = Translator.load(tmp_path / "model.safetensors")
    assert loaded.translate(texts) == translator.translate(texts)
    assert loaded.subwords == 40


def test_a_training_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    pairs, path = reversals(90, 0), tmp_path / "checkpoint"
    options = {"epochs": 3, "batch_size": 30, "progress": False}

    def made() -> Translator:
        return Translator(hidden_size=8, embedding_size=4, layers=2, dropout=0.2, seed=0)

    whole, parts = made(), made()
    expected = whole.fit(pairs, pairs[:9], **options)
    course = parts.course(pairs, pairs[:9], checkpoint=path, **options)
    course._over = lambda: len(course.history) == 1  # type: ignore[method-assign]
    course.run()
    history = parts.fit(pairs, pairs[:9], checkpoint=path, **options)
    assert history.val_loss == expected.val_loss
    for one, other in zip(parts._fitted().vectors, whole._fitted().vectors, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="batch_size was 30, expected the same as now: 10"):
        parts.fit(pairs, pairs[:9], checkpoint=path, **(options | {"batch_size": 10}))


def test_numbers_and_dates_are_right() -> None:
    pairs = examples.numbers_and_dates(300, seed=0)
    assert pairs == examples.numbers_and_dates(300, seed=0)
    assert examples.in_words(90_117) == "ninety thousand one hundred seventeen"
    assert any("-" in target for _, target in pairs)


# ---- the command


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(["translate", *arguments])
    return code, *capsys.readouterr()


def files(tmp_path: Path, source: bytes, target: bytes) -> list[str]:
    (tmp_path / "source.txt").write_bytes(source)
    (tmp_path / "target.txt").write_bytes(target)
    return [str(tmp_path / "source.txt"), str(tmp_path / "target.txt")]


def test_two_files_are_learned_and_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = reversals(400, 0)
    paths = files(tmp_path, *("\n".join(side).encode() for side in zip(*pairs, strict=True)))
    model = str(tmp_path / "model.safetensors")
    small = ["--hidden", "16", "--embedding", "8", "--epochs", "2", "--save", model]
    code, out, err = run([*paths, *small], capsys)
    assert code == 0
    assert "held out: 40 pairs" in out
    assert "BLEU" in out
    assert "epoch 2" in err
    monkeypatch.setattr(sys, "stdin", io.StringIO("1 2 3\n\n4 5\n"))
    code, out, _ = run(["--load", model], capsys)
    assert code == 0
    assert len(out.split("\n")) == 4


def test_standard_input_is_refused_by_line(
    reverser: Translator, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model.safetensors"
    reverser.save(model)
    for second, message in (
        (b"\xff", "standard input, line 2: expected UTF-8"),
        (b"w " * 1_000_000, "standard input, line 2 has 1000000 words: expected at most 1000"),
    ):
        for errors in ("surrogateescape", "strict"):
            text = io.TextIOWrapper(io.BytesIO(b"1 2\n" + second), encoding="utf-8", errors=errors)
            monkeypatch.setattr(sys, "stdin", text)
            code, _, err = run(["--load", str(model)], capsys)
            assert (code, err.count("\n")) == (cli.USAGE, 1)
            assert message in err or "standard input, after line 0: expected UTF-8" in err


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (b"a\nb\n", b"c\n", "has 2 lines and .*target.txt 1: expected as many"),
        (b"", b"c\n", "source.txt is empty: expected text"),
        (b"a\n\xff\xfe\n", b"a\nb\n", "source.txt, line 2: expected UTF-8, got the byte 0xff"),
        (b"a\n" + b"w " * 1_000_000, b"a\nb\n", "source.txt, line 2 has 1000000 words: expected at most 1000"),
        (b"a\n", b"b\n", "expected more lines than the 1 that are held out, got 1"),
    ],
)
def test_bad_files_are_refused_in_one_line(
    source: bytes, target: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(files(tmp_path, source, target), capsys)
    assert code == cli.USAGE
    assert err.count("\n") == 1
    assert re.search(message, err)


def test_options_that_contradict_each_other_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = files(tmp_path, b"".join(b"%d\n" % k for k in range(30)), b"b\n" * 30)
    for arguments, message in (
        ([paths[0]], "expected two files"),
        ([*paths, "--load", paths[0]], "expected neither files nor --save"),
        ([*paths, "--save", paths[1]], "would overwrite an input"),
        ([*paths, "--save", str(tmp_path / "none" / "model")], "there is no folder"),
        ([*paths, "--hidden", "7"], "hidden_size must be even"),
        (["--load", str(tmp_path / "absent")], "absent: No such file or directory"),
        (["--load", str(tmp_path)], "Is a directory"),
        ([*paths, "--save", str(tmp_path)], "is a folder: expected a file"),
        ([*paths, "--minutes", "-1"], "--minutes must be finite and greater than 0"),
        ([*paths, "--beam", "0"], "--beam must be at least 1, got 0"),
        ([*paths, "--held-out", "0"], "--held-out must be at least 1, got 0"),
        (["--load", paths[0]], "source.txt"),
    ):
        code, _, err = run(arguments, capsys)
        assert (code, err.count("\n")) == (cli.USAGE, 1), err
        assert message in err
    assert Path(paths[1]).read_bytes() == b"b\n" * 30
