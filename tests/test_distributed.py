"""Several ranks train as one: the same weights, one end for all, and a killed job goes on."""

import re
import shutil
import sys
import time
import warnings

import numpy as np
import pytest

import rnncore
from mpi_case import HERE, MPIEXEC, ranks, run
from rnncore.distributed import MPICollective
from rnncore.training.ranks import Ranks
from rnncore.training.share import Share

EXAMPLES = HERE.parent / "examples"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one rank with the whole batch makes of each course."""
    path = tmp_path_factory.mktemp("alone") / "courses.npz"
    ranks(1, "courses", path)
    return dict(np.load(path))


@pytest.mark.parametrize("count", [2, 3])
def test_ranks_are_one_rank_with_their_batch(alone, count, tmp_path):
    said, _ = ranks(count, "courses", tmp_path / "courses.npz")
    assert said == said[:1] * count, "ranks differ"
    found = np.load(tmp_path / "courses.npz")
    assert set(found) == alone.keys()
    assert len(alone) >= 2 * 7 * 4
    for name, values in alone.items():
        tolerance = 0 if "deterministic" in name else 1e-6
        np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance, err_msg=name)
    for how in ("", "deterministic "):
        assert len(found[f"validated {how}loss"]) < 25, "early stopping had to end it"
        assert found[f"validated {how}lr"][-1] < 0.01, "the schedule had to lower the rate"


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """What three ranks have to say: one that ends, rank 0 and a bystander."""
    return ranks(3, "ends", tmp_path_factory.mktemp("ends"))[0]


def expect(ends, name, own, others, culprit=2):
    for rank, each in enumerate(ends):
        told, seconds = each[name]
        assert re.fullmatch((own if rank == culprit else others).format(culprit), told), f"rank {rank}: {told}"
        assert seconds < 5


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("exception", "OSError: no space left"),
        ("exception in an epoch's end", "OSError: no space left"),
        ("nan", "FloatingPointError: epoch 2, batch 1: the loss is nan: the outputs of all layers are finite"),
        ("target", r"ValueError: target: expected shape \(12, 64, ...\) to begin with, got \(5, 64, 2\)"),
    ],
)
def test_the_error_of_one_rank_ends_all_with_it(ends, name, error):
    expect(ends, name, error, f"RankError: rank {{}}: {error}")


def test_a_checkpoint_that_cannot_be_written_ends_all(ends):
    expect(ends, "checkpoint", "OSError: .*", "RankError: rank {}: OSError: .*", culprit=0)


@pytest.mark.parametrize(
    ("name", "why"), [("ctrl-c", "interrupt"), ("ctrl-c inside", "interrupt"), ("callback", "callback")]
)
def test_who_stops_one_rank_stops_all_after_the_same_update(ends, name, why):
    expect(ends, name, f"stopped by {why}, skipped 0.*", f"stopped by {why}, skipped 0.*")
    assert len({each[name][0] for each in ends}) == 1


def test_numbers_that_are_not_finite_on_one_rank_are_skipped_on_all(ends):
    expect(ends, "nan skipped", "stopped by None, skipped 1.*", "stopped by None, skipped 1.*")
    assert len({each["nan skipped"][0] for each in ends}) == 1


def test_weights_that_differ_are_found_on_all(ends):
    told = "RankError: rank {}: other weights than rank 0 at meeting 100"
    expect(ends, "weights", told, told)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("batch_size", "batch_size: rank {} has 8, rank 0 has 16; expected the same on all"),
        ("data", r"data: rank {} has Rows of shape .*; expected the same on all"),
        ("model", r"model: rank {} has Sequential\(.*LSTM\(3, 17\).*, rank 0 has .*LSTM\(3, 16.*"),
        ("k1", "data: 1 series side by side, expected one for each of . ranks at least"),
        ("k2", "k2: expected None or k1 with a collective or deterministic sums, got 6"),
    ],
)
def test_what_ranks_do_not_have_in_common_is_named(ends, name, error):
    expect(ends, name, f"ValueError: {error}", f"ValueError: {error}")


def test_all_begin_with_the_weights_of_rank_0(ends):
    expect(ends, "seeds", "stopped by None, skipped 0", "stopped by None, skipped 0")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What two ranks make of the runs that nothing ends, and their errors."""
    kinds = ("batches whole progress", "windows whole", "windows deterministic whole")
    said, errors = ranks(2, "resume", tmp_path_factory.mktemp("whole"), *kinds)
    return said, errors


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with the checkpoints of runs that were ended in their second epoch."""
    folder = tmp_path_factory.mktemp("begun")
    for runs in (["batches killed"], ["windows deterministic stopped", "windows killed"]):
        began = time.perf_counter()
        code, _, _ = run([MPIEXEC, "-n", 2, sys.executable, HERE / "ranks_program.py", "resume", folder, *runs])
        assert code != 0
        assert time.perf_counter() - began < 10  # with its start
    assert {path.name for path in folder.iterdir()} == {"batches", "windows", "windows deterministic"}
    return folder


def test_one_rank_shows_progress(whole):
    assert len(re.findall(r"epoch 1/\d:   0%", whole[1])) == 1


def test_a_killed_job_goes_on_bit_for_bit(whole, begun, tmp_path):
    folder = shutil.copytree(begun, tmp_path / "begun")
    for rank, said in enumerate(ranks(2, "resume", folder, "batches", "windows")[0]):
        assert said["batches"] == whole[0][rank]["batches whole progress"]
        assert said["windows"] == whole[0][rank]["windows whole"]


@pytest.fixture(scope="module")
def by_three(begun, tmp_path_factory):
    """What three ranks make of the checkpoints of two."""
    folder = shutil.copytree(begun, tmp_path_factory.mktemp("three") / "begun")
    return ranks(3, "resume", folder, "windows", "windows deterministic")[0]


def test_another_number_of_ranks_goes_on_bit_for_bit_where_sums_are_deterministic(whole, by_three):
    expected = whole[0][0]["windows deterministic whole"]
    assert [said["windows deterministic"] for said in by_three] == [expected] * 3


def test_elsewhere_a_warning_says_that_the_bits_are_others(whole, by_three):
    found, warned = by_three[0]["windows"]
    assert found != whole[0][0]["windows whole"][0]
    assert "was written by a run of 2 ranks, this one has 3: it does not go on bit for bit" in warned[0]


def test_a_process_that_fails_outside_of_fit_ends_all():
    program = "import sys; from rnncore.distributed import MPICollective; c = MPICollective(); "
    program += "c.rank or sys.exit(1 / 0); c.barrier()"
    began = time.perf_counter()
    code, _, errors = run([MPIEXEC, "-n", 2, sys.executable, "-m", "mpi4py", "-c", program], 30)
    assert code != 0
    assert "ZeroDivisionError" in errors
    assert time.perf_counter() - began < 10


def test_gloo_trains_as_mpi_does():
    pytest.importorskip("torch")
    code, out, errors = run([sys.executable, EXAMPLES / "gloo.py"])
    assert code == 0, errors
    lines = sorted(out.splitlines())
    assert len(lines) == 2
    assert lines[0].replace("rank 0", "rank 1", 1) == lines[1]


def test_the_program_of_the_page_runs_as_it_stands(tmp_path):
    page = (HERE.parent / "docs" / "distributed.md").read_text()
    program = tmp_path / "train.py"
    program.write_text(re.search(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1])
    code, out, errors = run([MPIEXEC, "-n", 2, sys.executable, "-m", "mpi4py", program], cwd=tmp_path)
    assert code == 0, errors
    assert re.fullmatch(r"2 ranks: loss 0\.3\d+\n", out)
    assert rnncore.load(tmp_path / "waves.safetensors").parameter_count > 0


# ---- in one process


def test_shares_cover_the_rows_once():
    for total in (0, 1, 2, 7, 16, 61):
        for size in (1, 2, 3, 5):
            for count in (0, 12):
                shares = [Share(rank, size, count) for rank in range(size)]
                assert [row for share in shares for row in range(total)[share.rows(total)]] == list(range(total))
                parts = [part for share in shares for part in share.parts(total)]
                assert [row for _, part in parts for row in range(total)[part]] == list(range(total))
                assert len({number for number, _ in parts}) == len(parts)
                if count:
                    assert parts == list(Share(0, 1, count).parts(total))


def test_threads_are_the_cores_of_the_machine_by_its_ranks(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("rnncore.training.ranks._core.get_num_threads", lambda: 8)

    class Three:
        rank, size = 0, 3

        def allreduce_sum(self, array):
            array[1:] = array[0]

    found = Ranks(Three(), False)
    found.agree({"k1": "None"})
    assert found.num_threads == 2


def test_a_collective_without_its_methods_is_refused():
    model = rnncore.Sequential(rnncore.Linear(1, 1, seed=0))
    data = np.ones((3, 2, 1)), np.ones((3, 2, 1))
    with pytest.raises(TypeError, match="collective should have rank, size.*str has no rank"):
        model.fit(data, collective="mpi", progress=False)


def test_a_checkpoint_of_deterministic_sums_goes_on_with_such(tmp_path):
    data = np.ones((3, 2, 1)), np.ones((3, 2, 1))
    options = {"progress": False, "checkpoint": tmp_path / "run", "epochs": 2}
    rnncore.Sequential(rnncore.Linear(1, 1, seed=0)).fit(data, deterministic=True, **options)
    with pytest.raises(ValueError, match="deterministic was True, expected the same as now: False"):
        rnncore.Sequential(rnncore.Linear(1, 1, seed=0)).fit(data, resume=True, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rnncore.Sequential(rnncore.Linear(1, 1, seed=0)).fit(data, deterministic=True, resume=True, **options)


def test_mpi_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match="pip install mpi4py mpich"):
        MPICollective()
