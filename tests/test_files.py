"""What models and states have in common as files: nothing damaged is taken for whole."""

import json
import stat
import tracemalloc

import numpy as np
import pytest

import rnncore
from rnncore import State
from rnncore.files import DamagedFileError, FormatError, remove_leftovers, replace_file, write_tensors

H = np.arange(1, 4, dtype="float32").reshape(1, 1, 3)
SAVED = {
    "model": (rnncore.Sequential(rnncore.GRU(1, 1, seed=0), rnncore.Linear(1, 1, seed=0)), rnncore.load),
    "state": (State("lstm", 2, H, -H), State.load),
}


def same(one, other) -> bool:
    if isinstance(one, State):
        return one == other
    return repr(one) == repr(other) and one.parameters.tobytes() == other.parameters.tobytes()


@pytest.mark.parametrize("kind", SAVED)
def test_every_flipped_bit_and_every_truncation_is_refused(kind, tmp_path):
    """Or loads the same values: what padding of the header holds, for one."""
    saved, load = SAVED[kind]
    path = tmp_path / "file.safetensors"
    saved.save(path)
    whole = path.read_bytes()
    refused = 0
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert same(load(path), saved), bit
        except (DamagedFileError, FormatError):
            refused += 1
    assert refused > 7.5 * len(whole)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedFileError, match="is no safetensors file, or damaged"):
            load(path)
    path.write_bytes(whole)
    assert same(load(path), saved)


@pytest.mark.parametrize("kind", SAVED)
def test_a_changed_number_and_a_newer_version_are_named(kind, tmp_path):
    saved, load = SAVED[kind]
    path = tmp_path / "file.safetensors"
    saved.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DamagedFileError, match="its content does not match its digest$"):
        load(path)
    path.write_bytes(whole.replace(b'"version":"1"', b'"version":"2"'))
    with pytest.raises(FormatError, match="is of version 2, this rnncore reads up to version 1$"):
        load(path)


def test_an_older_file_without_a_digest_is_a_state_but_no_model(tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "file.safetensors"
    for kind, (saved, load) in SAVED.items():
        saved.save(path)
        with safe_open(path, framework="numpy") as file:
            told = file.metadata()
        del told["digest"]
        save_file(load_file(path), path, told)
        if kind == "state":
            assert load(path) == saved
        else:
            with pytest.raises(DamagedFileError, match="its content does not match its digest$"):
                load(path)


def test_a_link_stays_a_link_and_the_mode_is_kept(tmp_path):
    real, link = tmp_path / "real" / "model.safetensors", tmp_path / "link.safetensors"
    real.parent.mkdir()
    link.symlink_to(real)
    replace_file(link, b"first")  # the link was there before its file
    assert link.is_symlink()
    assert real.read_bytes() == b"first"
    for mode in (0o600, 0o640, 0o444):
        real.chmod(mode)
        replace_file(link, b"%o" % mode)
        assert link.is_symlink()
        assert (real.read_bytes(), stat.S_IMODE(real.stat().st_mode)) == (b"%o" % mode, mode)
    assert [each.name for each in (*tmp_path.iterdir(), *real.parent.iterdir())].count(real.name) == 1
    (real.parent / f"{real.name}.0123456789abcdef.tmp").write_bytes(b"")
    remove_leftovers(link)  # they lie beside the file itself
    assert [each.name for each in real.parent.iterdir()] == [real.name]


@pytest.mark.parametrize("name", ["lr[123]", "lr?", "a*", "run.1", "[!a]", "("])
def test_leftovers_are_those_of_the_very_name(name, tmp_path):
    own = [f"{name}.{'0123456789abcdef'}.tmp", f"{name}.{'f' * 16}.tmp"]
    others = ["lr1", "lr2", "lrx", "abc", "runx1", "b", "(("]
    others = [f"{other}.{'0' * 16}.tmp" for other in others]
    others += [name, f"{name}.tmp", f"{name}.{'0' * 15}.tmp", f"{name}.{'g' * 16}.tmp", f"x{own[0]}", f"{own[0]}.tmp"]
    for each in own + others:
        (tmp_path / each).write_bytes(b"")
    remove_leftovers(tmp_path / name)
    assert {each.name for each in tmp_path.iterdir()} == set(others)


TOLD = {"input_size": 2, "hidden_size": 3}


@pytest.mark.parametrize(("kind", "options", "text"), [
    ("GRU", {**TOLD, "hidden_size": 40_000}, "parameter 0.weight_ih_l0 has shape (9, 2), expected (120000, 2)"),
    ("GRU", {**TOLD, "hidden_size": 10**15}, "describes no model of this version: could not allocate more than 2^63 "),
    ("GRU", {**TOLD, "num_layers": 10**9}, "layer 0 has num_layers 1000000000, the file holds 4 at most"),
    ("GRU", {**TOLD, "num_layers": 2}, "lacks the parameter 0.weight_ih_l1"),
    ("GRU", {**TOLD, "bias": False}, 'Unexpected key(s) in state_dict: "0.bias_'),
    ("GRU", {"input_size": 2}, "missing 1 required positional argument: 'hidden_size'"),
    ("Embedding", {"num_embeddings": 10**11, "embedding_dim": 9}, "lacks the parameter 0.weight"),
    ("Mamba", TOLD, "describes no model of this version: there is no layer of the kind Mamba"),
    (["GRU"], TOLD, "describes no model of this version: unhashable type: 'list'"),
    ("GRU", "large", "describes no model of this version: 'str' object has no attribute 'get'"),
])  # fmt: skip
def test_what_a_file_says_of_its_sizes_is_held_against_it_before_anything_is_allocated(kind, options, text, tmp_path):
    path = tmp_path / "model.safetensors"
    held = rnncore.GRU(**TOLD, seed=0).named_parameters()
    told = {"dtype": "float32", "layers": [{"name": "0", "kind": kind, "options": options}]}
    named = {f"0.{name}": array for name, array in held.items()}
    write_tensors(path, "rnncore.model", 1, named, {"architecture": json.dumps(told)})
    tracemalloc.start()
    with pytest.raises(FormatError) as caught:
        rnncore.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert text in str(caught.value)
    assert peak < 1 << 20


def test_the_error_of_a_place_that_cannot_be_written_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '[^']*/none/model.safetensors'$"):
        rnncore.Sequential(rnncore.GRU(1, 1)).save(tmp_path / "none" / "model.safetensors")
