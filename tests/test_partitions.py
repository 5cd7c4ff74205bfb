"""Many series: partitions, the same bits on every engine, lost workers, flat memory."""

import functools
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import rnncore
from mpi_case import HERE, run
from partition_case import killed_once, long_frame, next_value, no_frame, refusing, resident, threads
from rnncore.cli import main
from rnncore.detection import Detector
from rnncore.distributed import detect_partition, fit_partition, map_partitions, predict_partition
from rnncore.files import read_tensors
from rnncore.forecasting import Forecaster
from rnncore.forecasting.store import FORMAT, VERSION
from rnncore.tables import InputError

pytestmark = pytest.mark.filterwarnings("default:::(distributed|dask|tornado|fugue|triad|joblib)")


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "waves.forecaster"
    Forecaster(3, networks=0, level=(80,)).fit(long_frame(40, 60)).save(path)
    return path


FRAME = long_frame(30)


@pytest.fixture(scope="module")
def local(kept):
    """What this process makes of three partitions."""
    parts = [FRAME[:200], FRAME[200:400], FRAME[400:]]
    return pd.concat([predict_partition(part, kept) for part in parts], ignore_index=True)


@pytest.mark.parametrize(
    ("engine", "cluster"), [("joblib", None), ("dask", "client"), ("fugue", None), ("fugue", "client")]
)
def test_engines_give_the_bits_of_this_process(engine, cluster, kept, local, request, tmp_path):
    cluster = cluster and request.getfixturevalue(cluster)
    predict = functools.partial(predict_partition, model=kept)
    options = {"workers": 2, "series": 10, "cluster": cluster}
    mixed = FRAME.sample(frac=1, random_state=0).sort_values("ds", kind="stable")
    first = mixed["unique_id"].drop_duplicates().tolist()
    found = map_partitions(FRAME, predict, engine, **options)
    pd.testing.assert_frame_equal(found, local, check_exact=True)
    files = map_partitions(FRAME, predict, engine, output=tmp_path / "out", **options)
    assert [Path(path).name for path in files] == [f"part-0000{k}.parquet" for k in range(3)]
    written = pd.concat(map(pd.read_parquet, files), ignore_index=True)
    pd.testing.assert_frame_equal(written, local, check_exact=True)
    assert sorted(map(str, (tmp_path / "out").iterdir())) == files, "nothing is left behind"
    if engine == "joblib":  # rows of a series need not stand together
        again = map_partitions(mixed, predict, engine, **options)
        assert again["unique_id"].drop_duplicates().tolist() == first
        assert len(again) == len(local)


def test_a_killed_worker_costs_nothing_but_time(client, tmp_path):
    work = functools.partial(killed_once, marker=tmp_path / "killed")
    found = map_partitions(FRAME, work, "dask", cluster=client, series=3)
    assert (tmp_path / "killed").exists()
    pd.testing.assert_frame_equal(found, FRAME, check_exact=True)


def test_a_stream_of_100_000_short_series_takes_flat_memory(client, tmp_path):
    rnncore.Sequential(
        rnncore.GRU(1, 8, batch_first=True, seed=0), rnncore.LastStep(), rnncore.Linear(8, 1, seed=0)
    ).save(tmp_path / "model")
    memory, count = {}, 100

    def stream():
        part = long_frame(1000, 8)
        for k in range(count):
            if k in (count // 4, count - 1):
                memory[k] = [resident(), *client.run(resident).values()]
            yield part.assign(unique_id=part["unique_id"] + f" of {k}")

    client.wait_for_workers(2)  # one may have been killed by another test
    work = functools.partial(next_value, model=tmp_path / "model")
    files = map_partitions(stream(), work, "dask", cluster=client, output=tmp_path / "out")
    assert len(files) == count
    first, last = (pd.read_parquet(files[k]) for k in (0, -1))
    assert len(last) == 1000
    assert last["unique_id"].iloc[-1] == "series 999 of 99"
    np.testing.assert_array_equal(first["next"], last["next"])
    before, after = memory.values()
    assert len(before) == 3
    assert max(np.subtract(after, before)) < 50, (before, after)


def test_files_are_fitted_and_forecast(tmp_path):
    for k in range(3):
        long_frame(4, 40, 10 * k).to_parquet(tmp_path / f"shops-{k}.parquet")
    (tmp_path / "models").mkdir()
    fit = functools.partial(fit_partition, folder=tmp_path / "models", h=3, networks=0)
    data = sorted(map(str, tmp_path.glob("*.parquet")))
    fitted = map_partitions(data, fit, workers=2)
    assert len(fitted) == 12
    assert sorted(fitted["model"].unique()) == sorted(path.name for path in (tmp_path / "models").iterdir())
    before = {name: _content(tmp_path / "models" / name) for name in fitted["model"]}
    pd.testing.assert_frame_equal(map_partitions(data, fit, workers=1), fitted)
    assert before == {name: _content(tmp_path / "models" / name) for name in before}, "the same files again"
    predict = functools.partial(predict_partition, model=tmp_path / "models", h=2)
    found = map_partitions(data, predict, workers=2)
    alone = Forecaster(3, networks=0).fit(long_frame(4, 40, 20)).predict(h=2)
    pd.testing.assert_frame_equal(found[16:].reset_index(drop=True), alone, check_exact=True)
    with pytest.raises(InputError, match="has no forecaster of the 2 series of the partition"):
        predict_partition(long_frame(2, 40), tmp_path / "models")


def _content(path):
    """The arrays and metadata of a model, in bytes."""
    arrays, metadata = read_tensors(path, FORMAT, VERSION)
    return {name: array.tobytes() for name, array in arrays.items()} | metadata


def test_sensors_are_judged_each_by_itself(tmp_path):
    random = np.random.default_rng(0)

    def signal(steps):
        return np.sin(np.arange(steps) / 8) + random.normal(0, 0.1, steps)

    Detector(members=1, horizons=(12,)).fit(signal(1200)[:, None]).save(tmp_path / "pump.det")
    broken = signal(200)
    broken[150:] += 4
    sensors = {"sound": signal(200), "broken": broken}
    frame = pd.concat([pd.DataFrame({"unique_id": name, "y": y}) for name, y in sensors.items()])
    found = detect_partition(frame, tmp_path / "pump.det")
    assert found["unique_id"].value_counts().to_dict() == {"sound": 200, "broken": 200}
    for name, y in sensors.items():
        scores = Detector.load(tmp_path / "pump.det").score(y[:, None])
        np.testing.assert_array_equal(found.loc[found["unique_id"] == name, "score"], scores.score)
    alarms = detect_partition(frame, tmp_path / "pump.det", alarms=True)
    assert 150 in alarms.loc[alarms["unique_id"] == "broken", "time"].astype(int).tolist()
    with pytest.raises(InputError, match="id_col: there is no column 'sensor' among unique_id, y"):
        detect_partition(frame, tmp_path / "pump.det", id_col="sensor")


def test_a_model_is_read_once_in_a_process_and_again_when_it_changes(kept, tmp_path, monkeypatch):
    path, reads = tmp_path / "model", []
    path.write_bytes(kept.read_bytes())
    load = Forecaster.load.__func__
    monkeypatch.setattr(Forecaster, "load", classmethod(lambda cls, path: reads.append(path) or load(cls, path)))
    for _ in range(3):
        predict_partition(FRAME, path)
    assert len(reads) == 1
    Forecaster(2, networks=0).fit(long_frame(4, 60)).save(path)
    assert len(predict_partition(FRAME, path)) == 60
    assert len(reads) == 2


def test_workers_take_one_thread_and_leave_the_number_as_it_was():
    before = rnncore.get_num_threads()
    rnncore.set_num_threads(2)
    try:
        found = map_partitions(FRAME, threads, workers=1, series=15)
        assert rnncore.get_num_threads() == 2
    finally:
        rnncore.set_num_threads(before)
    assert found["threads"].tolist() == [1, 1]


def test_polars_goes_in_and_comes_out(kept):
    found = map_partitions(pl.from_pandas(FRAME), functools.partial(predict_partition, model=kept), workers=1, series=9)
    assert isinstance(found, pl.DataFrame)
    assert found.height == 90


@pytest.mark.parametrize("engine", ["joblib", "dask", "fugue"])
def test_an_exception_of_the_function_comes_as_it_is(engine, request):
    cluster = request.getfixturevalue("client") if engine == "dask" else None
    with pytest.raises(ValueError, match="series 0 is not welcome"):
        map_partitions(FRAME, refusing, engine, workers=1, cluster=cluster, retries=0)


def test_parts_of_an_earlier_call_with_more_of_them_go(tmp_path):
    (tmp_path / "part-of-mine.parquet").touch()
    assert len(map_partitions(FRAME, pd.DataFrame.head, workers=1, series=1, output=tmp_path)) > 1
    (path,) = map_partitions(FRAME, pd.DataFrame.head, workers=1, output=tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["part-00000.parquet", "part-of-mine.parquet"]
    assert Path(path).name == "part-00000.parquet"


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="engine must be one of 'joblib', 'dask', 'fugue', got 'ray'"):
        map_partitions(FRAME, refusing, "ray")
    with pytest.raises(TypeError, match="function should be a function of a partition, got str"):
        map_partitions(FRAME, "predict")
    with pytest.raises(ValueError, match="workers must be"):
        map_partitions(FRAME, refusing, workers=0)
    with pytest.raises(InputError, match="id_col: there is no column 'shop' among unique_id, ds, y"):
        map_partitions(FRAME, refusing, id_col="shop")
    with pytest.raises(InputError, match="holds no CSV or Parquet file"):
        map_partitions(tmp_path, refusing)
    with pytest.raises(InputError, match="there is no such file"):
        map_partitions([tmp_path / "lost.csv"], refusing)
    with pytest.raises(InputError, match="there is no partition"):
        map_partitions([], refusing)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="output: .* is a file, expected a folder"):
        map_partitions(FRAME, refusing, output=tmp_path / "file")
    with pytest.raises(ValueError, match="cluster should be None with engine='joblib', got 'dask'"):
        map_partitions(FRAME, refusing, cluster="dask")
    with pytest.raises(InputError, match="model: there is no file"):
        predict_partition(FRAME, tmp_path / "lost.safetensors")
    with pytest.raises(TypeError, match=r"data\[0\] should be a frame or a path, got int"):
        map_partitions([3], refusing, workers=1)
    with pytest.raises(TypeError, match="function should return a data frame, got int"):
        map_partitions(FRAME, no_frame, workers=1)


@pytest.mark.parametrize(("engine", "module"), [("joblib", "joblib"), ("dask", "distributed"), ("fugue", "fugue")])
def test_an_engine_that_is_not_installed_names_what_to_install(engine, module, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("sys.meta_path", [_Missing(module), *sys.meta_path])
    with pytest.raises(ImportError, match=rf"engine='{engine}' needs {module}.*pip install 'rnncore\[{engine}\]'"):
        map_partitions(FRAME, threads, engine, workers=1)


class _Missing:
    """Finds that a package is not there."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_the_program_and_the_commands_of_the_page_run_as_they_stand(tmp_path):
    page = (HERE.parent / "docs" / "distributed.md").read_text()
    programs = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "forecast_all.py").write_text(programs[1])
    code, out, errors = run([sys.executable, "forecast_all.py"], cwd=tmp_path)
    assert code == 0, errors
    assert out == "4 files, 1400 forecasts\n"
    commands = re.findall(r"^    rnncore (forecast .*)$", page, re.MULTILINE)
    for command, told in zip(commands, ("forecasts: both.csv\n", "forecasts: 4 files in forecasts\n"), strict=True):
        code, out, errors = run([sys.executable, "-m", "rnncore", *command.split()], cwd=tmp_path)
        assert code == 0, errors
        assert out == told
    found = pd.read_csv(tmp_path / "both.csv")
    alone = [
        Forecaster(networks=0).fit(pd.read_parquet(tmp_path / "sales" / name)).predict().assign(file=name)
        for name in ("0.parquet", "1.parquet")
    ]
    pd.testing.assert_frame_equal(found, pd.concat(alone, ignore_index=True)[list(found)], check_dtype=False)


# ---- the command


@pytest.fixture
def shops(tmp_path):
    folder = tmp_path / "shops"
    folder.mkdir()
    for k in range(2):
        long_frame(2, 60, 10 * k).to_csv(folder / f"shop-{k}.csv", index=False)
    return folder


def test_the_command_forecasts_a_folder_with_a_kept_forecaster(shops, kept, client, tmp_path, capsys):
    asked = ["forecast", str(shops), "--load", str(kept), "--workers", "1", "--horizon", "2"]
    there = ["--engine", "dask", "--cluster", client.scheduler.address]
    assert main([*asked, *there, "--output", str(tmp_path / "out")]) == 0
    assert f"forecasts: 2 files in {tmp_path / 'out'}" in capsys.readouterr().out
    assert main([*asked, "--csv", str(tmp_path / "out.csv")]) == 0
    parts = [pd.read_parquet(path) for path in sorted((tmp_path / "out").iterdir())]
    written = pd.read_csv(tmp_path / "out.csv")
    assert len(written) == 8
    pd.testing.assert_frame_equal(written, pd.concat(parts, ignore_index=True), check_dtype=False)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--workers", "2"], "--workers is for many files: say --engine, or several FILEs"),
        (["--engine", "dask"], "--engine needs FILEs, or a folder of them"),
        (["--engine", "joblib", "a.csv", "--plot", "b.png"], "--plot is for one FILE, got 1 and an engine"),
        (["--engine", "joblib", "lost.csv"], "cannot read lost.csv: there is no such file"),
        (["a.csv", "b.csv", "--csv", "c.csv", "--output", "d"], "--csv and --output exclude each other"),
        (["a.csv", "b.csv", "--cluster", "tcp://here:1"], "--cluster is for --engine dask"),
        (["a.csv", "b.csv", "--csv", "a.csv"], "--csv: a.csv is an input, which is never overwritten"),
        (["a.csv", "bad.csv", "--workers", "1"], "bad.csv: "),
        (["--engine", "ray"], "invalid choice: 'ray'"),
        (["a.csv", "bad.csv", "--load", "lost"], "--load: cannot read lost: there is no such file"),
        (["a.csv", "bad.csv", "--output", "a.csv"], "--output: a.csv is an input, which is never overwritten"),
        (["a.csv", "b.csv", "--output", "bad.csv"], "--output: bad.csv is a file, expected a folder"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(asked, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    long_frame(1, 60).to_csv("a.csv", index=False)
    (tmp_path / "bad.csv").write_text("ds,y\n2024-01-01,1\n2024-01-02,2\n")
    code = _main([*asked, "--members", "0"])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert len(lines) == 1
    assert told in lines[0]


def _main(asked):
    try:
        return main(["forecast", *asked])
    except SystemExit as stopped:
        return stopped.code
