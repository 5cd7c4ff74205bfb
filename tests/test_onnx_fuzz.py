"""Files changed at random are read or refused, and nothing else happens; tests/fuzz/fuzz_onnx.py goes on for longer."""

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx_case import attempt, changed_bytes, changed_graph, corpus, input_of


@pytest.mark.parametrize(("change", "count"), [(changed_bytes, 300), (changed_graph, 300)], ids=["bytes", "graph"])
def test_a_changed_file_is_read_or_refused(tmp_path, change, count):
    rng, contents = np.random.default_rng(0), corpus()
    read = 0
    for k in range(count):
        model = attempt(change(rng, contents[k % len(contents)]), tmp_path / "model.onnx")
        if model is not None:
            read += 1
            model(input_of(model))
    assert 0 < read < count
