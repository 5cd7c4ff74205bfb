"""Trees from text and from source: what is read, what is refused, and where."""

import numpy as np
import pytest

import rnncore
from rnncore import trees


def test_the_sentiment_form_is_read_with_labels_at_every_node() -> None:
    tree = rnncore.tree_from_sexpr("(4 (2 It) (3 (2 just) (4 works)))")
    assert tree.words == ("It", "just", "works", None, None)
    assert tree.parent.tolist() == [4, 3, 3, 4, -1]
    assert tree.labels is not None
    assert tree.labels.tolist() == [2, 2, 4, 3, 4]
    assert tree.children.tolist() == [[-1, -1], [-1, -1], [-1, -1], [1, 2], [0, 3]]
    assert tree.root == 4


@pytest.mark.parametrize(
    ("text", "words", "labels"),
    [
        ("(word)", ("word",), [-1]),
        ("(3)", ("3",), [-1]),
        ("(-1 3)", ("3",), [-1]),
        ("( (a) (b) )", ("a", "b", None), [-1, -1, -1]),
        ("(1 -LRB-)", ("-LRB-",), [1]),
        ("(2 8\u00a01/2)", ("8\u00a01/2",), [2]),
        ("(2\n  (0 1)\t(4 2))", ("1", "2", None), [0, 4, 2]),
    ],
)
def test_labels_and_numbers_that_are_words_are_told_apart(text: str, words: tuple[str, ...], labels: list[int]) -> None:
    tree = trees.tree_from_sexpr(text)
    assert tree.words == words
    assert tree.labels is not None
    assert tree.labels.tolist() == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no tree"),
        ("word", r"expected '\(' at character 0, got 'word'"),
        ("(3 (2 a) (4 b)", "node at character 0 does not end"),
        ("(3 (2 a) (4 b", "node at character 9 does not end"),
        ("(3 a) (2 b)", r"a tree ends, and '\(' follows, at character 6"),
        ("(3 a))", r"a tree ends, and '\)' follows, at character 5"),
        ("()", "node at character 0 has neither a word nor children"),
        ("(3 ())", "node at character 3 has neither"),
        ("(3 a b)", "has 'b' beside a word or children"),
        ("(3 (2 a) b)", "node at character 0 has 'b' beside a word or children"),
        ("(3 a (2 b))", "node at character 0 has children beside the word 'a'"),
    ],
)
def test_text_that_does_not_parse_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trees.tree_from_sexpr(text)


def test_a_tree_of_100000_levels_is_read() -> None:
    depth = 100_000
    tree = trees.tree_from_sexpr("(1 " * depth + "a" + ")" * depth)
    assert len(tree) == depth
    assert tree.root == depth - 1


def test_source_becomes_the_tree_of_its_syntax() -> None:
    tree = rnncore.tree_from_ast("def f(x):\n    return x + 1\n")
    assert tree.words[tree.root] == "Module"
    assert {"FunctionDef", "BinOp", "Add", "Return"} <= set(tree.words)
    assert all(above == -1 or above > node for node, above in enumerate(tree.parent))
    h, _ = rnncore.TreeLSTM(2, 3, seed=0)(np.ones((len(tree), 2)), tree)
    assert h.shape == (len(tree), 3)
    with pytest.raises(SyntaxError):
        trees.tree_from_ast("def")


def test_joined_trees_give_what_they_give_alone() -> None:
    alone = [trees.tree_from_sexpr(text) for text in ("(3 (2 a) (4 b))", "(1 c)", "(0 (1 (2 d) (3 e)) (4 f))")]
    joined = trees.join(alone)
    assert joined.roots.tolist() == [2, 3, 8]
    with pytest.raises(ValueError, match="expected a tree of one root, got 3 roots: nodes 2, 3, 8"):
        _ = joined.root
    layer = rnncore.TreeLSTM(2, 3, "binary", seed=0)
    x = np.random.default_rng(0).standard_normal((len(joined), 2)).astype(np.float32)
    h, _ = layer(x, joined)
    np.testing.assert_array_equal(h[4:], layer(x[4:], alone[2])[0])
    assert len(trees.join([])) == 0


def test_more_than_two_children_are_no_binary_tree() -> None:
    with pytest.raises(ValueError, match="node 3 has more than two children"):
        _ = trees.tree_from_sexpr("(1 (1 a) (1 b) (1 c))").children


def test_a_drawing_has_every_word_and_a_line_for_every_child() -> None:
    tree = trees.tree_from_sexpr("(4 (2 It) (3 (2 just) (4 works)))")
    axes = trees.draw(tree)
    assert [text.get_text() for text in axes.texts] == ["It", "just", "works"]
    assert len(axes.lines) == 4
    with pytest.raises(ValueError, match=r"values: expected shape \(5,\), got \(2,\)"):
        trees.draw(tree, [1, 2])
    with pytest.raises(ValueError, match="one root"):
        trees.draw(trees.join([tree, tree]))


def test_a_file_of_trees_is_read_and_errors_name_the_line(tmp_path):
    path = tmp_path / "trees.txt"
    path.write_text("(3 (2 It) (4 works))\n(2 yes)\n", encoding="utf-8")
    assert [tree.words for tree in trees.read_trees(path)] == [("It", "works", None), ("yes",)]
    for content, message in (
        (b"(2 yes)\n(3 (2 It)", "trees.txt, line 2: the node at character 0 does not end"),
        (b"(2 yes)\n\n(2 no)\n", "trees.txt, line 2: the text holds no tree"),
        (b"", "trees.txt, line 1: the text holds no tree"),
        (b"(2 \xff)", "trees.txt, line 1: expected UTF-8, got the byte 0xff"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            trees.read_trees(path)
