"""The C++ reader of files against Python's: what one reads the other reads, and nothing damaged is taken for whole."""

import json
from pathlib import Path

import numpy as np
import pytest

import rnncore
from c_face import DAMAGED_FILE, WRONG_FORMAT, CError, CModel
from rnncore.files import DamagedFileError, FormatError, write_tensors
from rnncore.models import file as model_file
from variants import LAYERS

GOLDEN = sorted((Path(__file__).parent / "data" / "golden_0_1").glob("[mc]*_*.safetensors"))


def every_kind(dtype="float32"):
    """A model for each variant of a recurrent layer, and of those with options of their own."""
    options = {"learned_state": True, "dropout": 0.25, "num_layers": 2, "seed": 0, "dtype": dtype}
    made = {name: layer(3, 4, **options) for name, layer in LAYERS.items()}
    made["projected"] = rnncore.LSTM(3, 4, proj_size=2, peepholes=True, **options)
    made["signed"] = rnncore.LeakyRNN(3, 4, dale=[1, 1, -1, -1], mask_hh=np.tri(4), learned_alpha=True, **options)
    made["both_ways"] = rnncore.LeakyRNN(3, 4, bidirectional=True, alpha=0.123456789012345, bias=False, **options)
    return {name: rnncore.Sequential(layer) for name, layer in made.items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(every_kind()))
def test_every_layer_and_option_comes_back_from_c(name, dtype, tmp_path):
    """What training has left in the parameters, too: a sign that the layer does not run on, for one."""
    model = every_kind(dtype)[name]
    model.parameters[...] = np.random.default_rng(1).normal(size=model.parameter_count)
    model.save(tmp_path / "model.safetensors")
    CModel(tmp_path / "model.safetensors").save(tmp_path / "again.safetensors")
    twin = rnncore.load(tmp_path / "again.safetensors")
    assert model_file.architecture(twin) == model_file.architecture(model)
    np.testing.assert_array_equal(twin.parameters, model.parameters, strict=True)


def signed():
    return rnncore.Sequential(rnncore.LeakyRNN(1, 2, dale=[1, -1], mask_hh=[[0, 1], [1, 0]], seed=0))


@pytest.mark.parametrize(("options", "text"), [
    ({"dale": [1, 0]}, "dale should hold -1 and 1 only, got 0"),
    ({"dale": [1, 7]}, "layer 0: dale should be of whole numbers from -1 to 1, got 7"),
    ({"dale": [1.0, 1]}, "layer 0: dale should be of whole numbers from -1 to 1, got 1.0"),
    ({"dale": [1]}, "dale must have 2 elements, got 1"),
    ({"dale": []}, "layer 0: dale should be a list that holds something, or null, got []"),
    ({"dale": "all"}, 'layer 0: dale should be a list or null, got "all"'),
    ({"mask_hh": [[0, 1]]}, "mask_hh must have 4 elements, got 2"),
    ({"mask_hh": [[0, -1], [0, 1]]}, "mask_hh should hold 0 and 1 only, got -1"),
    ({"mask_hh": [0, 1]}, "layer 0: mask_hh should be of rows with 2 numbers, got 0"),
    ({"mask_hh": [[0], [1]]}, "layer 0: mask_hh should be of rows with 2 numbers, got [0]"),
    ({"alpha": 2}, "alpha must be in 0..1, got 2"),
    ({"alpha": None}, "layer 0: alpha should be a number, got null"),
    ({"learned_alpha": 1}, "layer 0: learned_alpha should be true or false, got 1"),
    ({"nonlinearity": "sin"}, "layer 0: nonlinearity should be tanh or relu, got sin"),
    ({"peepholes": True}, "layer 0 has the option peepholes, which is unknown"),
])  # fmt: skip
def test_an_option_that_cannot_be_is_named_and_python_refuses_it_too(options, text, tmp_path):
    path, model = tmp_path / "model.safetensors", signed()
    told = model_file.architecture(model)
    told["layers"][0]["options"] |= options
    write_tensors(path, "rnncore.model", 1, model.named_parameters(), {"architecture": json.dumps(told)})
    with pytest.raises(CError) as caught:
        CModel(path)
    assert caught.value.status == WRONG_FORMAT
    assert text in str(caught.value)
    if options.get("dale") != [1.0, 1]:  # to Python they are the same numbers
        with pytest.raises(FormatError):
            rnncore.load(path)


def tiny():
    return rnncore.Sequential(rnncore.GRU(1, 1, seed=0), rnncore.Linear(1, 1, seed=0))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_models_and_checkpoints_are_read_and_written_alike(path, tmp_path):
    theirs = rnncore.load(path)
    CModel(path).save(tmp_path / "again.safetensors")
    twin = rnncore.load(tmp_path / "again.safetensors")
    assert repr(twin) == repr(theirs)
    np.testing.assert_array_equal(twin.parameters, theirs.parameters, strict=True)
    CModel(tmp_path / "again.safetensors").save(tmp_path / "once_more.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "once_more.safetensors").read_bytes()


def test_names_and_texts_of_any_script_keep_their_digest(tmp_path):
    model = rnncore.Sequential({'Gedächtnis "1" \\ \t \x7f 记忆 \U0001f600': rnncore.GRU(1, 2, seed=0)})
    model.save(tmp_path / "model.safetensors")
    CModel(tmp_path / "model.safetensors").save(tmp_path / "twin.safetensors")
    assert list(rnncore.load(tmp_path / "twin.safetensors").named_layers()) == list(model.named_layers())


def outcome(load, content):
    try:
        return load(content)
    except (CError, DamagedFileError, FormatError) as error:
        status = getattr(error, "status", None)
        return status if status is not None else DAMAGED_FILE if isinstance(error, DamagedFileError) else WRONG_FORMAT


@pytest.mark.parametrize("make", [tiny, signed])
def test_every_flipped_bit_and_every_truncation_is_refused_as_in_python(make, tmp_path):
    """Or loads the same values: what padding of the header holds, for one."""
    path = tmp_path / "model.safetensors"
    make().save(path)
    whole = path.read_bytes()
    x = np.ones((3, 1, 1))
    expected = CModel(whole).forward(x)

    def in_python(content):
        path.write_bytes(content)
        return rnncore.load(path)

    refused = 0
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        ours, theirs = outcome(CModel, changed), outcome(in_python, changed)
        assert isinstance(ours, int) == isinstance(theirs, int), bit
        if isinstance(ours, int):
            assert ours == theirs, bit
            refused += 1
        else:
            np.testing.assert_array_equal(ours.forward(x), expected)
    assert refused > 7.5 * len(whole)
    for size in range(len(whole)):
        assert outcome(CModel, whole[:size]) == DAMAGED_FILE


# ---- headers that were made to do harm


def with_header(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(begin, end, shape=None, dtype="F32"):
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(("content", "text"), [
    (with_header({"a": tensor(0, 8), "b": tensor(4, 12)}, b"\0" * 12),
     "tensor b begins at byte 4, over the one before it, which ends at 8"),
    (with_header({"a": tensor(0, 4), "b": tensor(8, 12)}, b"\0" * 12),
     "tensor b begins at byte 8, behind a gap from 4"),
    (with_header({"a": tensor(0, 8)}, b"\0" * 12), "its tensors end at byte 8, its data at 12"),
    (with_header({"a": tensor(0, 2**63)}, b"\0" * 12), f"its tensors end at byte {2**63}, its data at 12"),
    (with_header({"a": tensor(0, 8, [3])}, b"\0" * 8), "tensor a has 8 bytes, its shape expects 12"),
    (with_header({"a": tensor(0, 8, [2**40, 2**40])}, b"\0" * 8), "tensor a: its shape is too large"),
    (with_header({"a": tensor(0, 0, [0, 2**70])}), "tensor a: shape should be a list of counts"),
    (with_header({"a": tensor(0, 8, [-2])}, b"\0" * 8), "tensor a: shape should be a list of counts"),
    (with_header({"a": tensor(0, 8, [2.0])}, b"\0" * 8), "tensor a: shape should be a list of counts"),
    (with_header({"a": tensor(8, 0)}, b"\0" * 8), "tensor a: data_offsets should be a beginning and an end"),
    (with_header({"a": tensor(0, 8, dtype="F16")}, b"\0" * 8),
     "tensor a: dtype is F16, expected F32, F64, I64, U64, BF16, BOOL, U8 or I8"),
    (with_header({"a": {}}), "tensor a: data_offsets should be a list of counts"),
    (with_header({"a": 1}), "tensor a is not described by an object of JSON"),
    (with_header({"__metadata__": {"a": 1}}), 'its metadata hold something other than text under "a"'),
    (with_header({"__metadata__": []}), "its metadata are no object of JSON"),
    (with_header(b'{"a": 1, "a": 1}'), 'its header names "a" twice'),
    (with_header(b'{"\xff": 1}'), "its header is no JSON"),
    (with_header(b'{"a": 9e999}'), "its header holds a number out of range"),
    (with_header(b'{"a": 1}\0 '), "its header is no JSON from byte 9 on"),
    (with_header(b"[" * 100_000), "its header is no JSON"),
    (with_header(b"[" * 50_000 + b"]" * 50_000), "its header is no object of JSON"),
])  # fmt: skip
def test_each_lie_of_a_header_is_named(content, text):
    with pytest.raises(CError) as caught:
        CModel(content)
    assert caught.value.status == DAMAGED_FILE
    assert text in str(caught.value)


def test_a_parameter_that_is_missing_or_too_many_is_named(tmp_path):
    model = tiny()
    told = {"architecture": json.dumps(model_file.architecture(model))}
    named = model.named_parameters()
    path = tmp_path / "model.safetensors"
    write_tensors(path, "rnncore.model", 1, {**named, "2.weight": np.zeros(3, "float32")}, told)
    with pytest.raises(CError, match="holds 7 parameters, its model has 6"):
        CModel(path)
    write_tensors(path, "rnncore.model", 1, {name: array for name, array in named.items() if name != "1.bias"}, told)
    with pytest.raises(CError, match=r"lacks the parameter 1\.bias"):
        CModel(path)


def test_a_file_is_replaced_in_one_go(tmp_path):
    """A link stays a link, the mode stays, and an error leaves the old file and nothing else."""
    target, link = tmp_path / "target.safetensors", tmp_path / "link.safetensors"
    tiny().save(target)
    target.chmod(0o640)
    link.symlink_to(target)
    model = CModel(target)
    model.save(link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    with pytest.raises(CError, match="No such file or directory"):
        model.save(tmp_path / "none" / "model.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CError, match="Is a directory"):
        model.save(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link.safetensors", "target.safetensors"]
    np.testing.assert_array_equal(rnncore.load(target).parameters, tiny().parameters)
