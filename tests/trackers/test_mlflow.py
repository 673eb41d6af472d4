import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from declarative_ml.core.errors import DmlError
from declarative_ml.trackers import TRACKERS
from declarative_ml.trackers.base import NestedRun, TrackContent
from declarative_ml.trackers.mlflow import MLflowTracker
from declarative_ml.trackers.mlflow_store import connect, create_database, locate

pytest.importorskip("mlflow")

MakeContent = Callable[..., TrackContent]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    connect(locate(path.parent, None))
    return path.read_bytes()


@pytest.fixture
def workspace(tmp_path: Path, empty_database: bytes) -> Iterator[Path]:
    """A workspace whose database is there already, to save the migrations."""
    folder = tmp_path / ".dml"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(empty_database)
    before = sorted(Path.cwd().iterdir())
    yield folder
    assert sorted(Path.cwd().iterdir()) == before, "a stray store appeared in the working folder"


def active_runs(workspace: Path, key: str) -> list[Any]:
    client = connect(locate(workspace, None))
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, f"tags.`dml.key` = '{key}'"))


def test_the_shelf_has_mlflow() -> None:
    assert list(TRACKERS) == ["mlflow"]
    assert isinstance(TRACKERS.parse("mlflow"), MLflowTracker)


def test_a_run_holds_everything(workspace: Path, make_content: MakeContent, onnx_file: Path) -> None:
    run_id = MLflowTracker().log(workspace, make_content())
    client = connect(locate(workspace, None))
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "first"
    assert run.data.params == {"model.type": "lightgbm", "seed": "42"}
    assert run.data.metrics["test.roc_auc"] == 0.93
    assert "test.undefined" not in run.data.metrics
    assert run.data.tags["dml.key"] == "key-1"
    assert run.data.tags["mlflow.note.content"] == "who earns more"
    history = client.get_metric_history(run_id, "train.lightgbm.fold0/train_loss")
    assert [(point.step, point.value) for point in history[:2]] == [(1, 1.0), (2, 0.5)]
    assert len(history) == 1201
    dataset = run.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("adult", "f" * 36)
    assert json.loads(dataset.profile) == {"rows": {"train": 100, "test": 20}}
    assert {item.path for item in client.list_artifacts(run_id)} == {"report.html", "plots", "spec.yaml"}
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert str(model.status) == "READY"
    assert [metric.key for metric in model.metrics] == ["test.roc_auc"]
    stored = Path(model.artifact_location.removeprefix("file://")) / "model.onnx"
    assert stored.read_bytes() == onnx_file.read_bytes()


def test_the_logged_model_predicts(workspace: Path, make_content: MakeContent) -> None:
    import mlflow
    import pandas

    run_id = MLflowTracker().log(workspace, make_content())
    client = connect(locate(workspace, None))
    model_id = client.get_run(run_id).outputs.model_outputs[0].model_id
    model = mlflow.pyfunc.load_model(client.get_logged_model(model_id).artifact_location)
    example = model.input_example
    assert example.to_dict("list") == {"age": [1.0, -2.0], "sex": ["male", "female"]}
    expected = 1 / (1 + np.exp([-2.0, 2.0]))
    for rows in (example, {"age": np.float32([[1], [-2]]), "sex": np.array([["male"], ["female"]])}):
        answer = model.predict(rows)
        np.testing.assert_allclose(answer["probabilities"][:, 1], expected, rtol=1e-6)
        assert [str(label) for label in np.ravel(answer["label"])] == ["male", "female"]
    with pytest.raises(mlflow.MlflowException, match="age"):
        model.predict(pandas.DataFrame({"sex": ["male"]}))


def test_the_same_key_is_one_run(workspace: Path, make_content: MakeContent) -> None:
    tracker = MLflowTracker()
    first = tracker.log(workspace, make_content(model=None))
    assert tracker.log(workspace, make_content(model=None, run_name="second")) == first
    assert tracker.find(workspace, "key-1") == first
    assert tracker.find(workspace, "key-2") is None
    assert len(active_runs(workspace, "key-1")) == 1


@pytest.mark.parametrize("point", [pytest.param("track:metrics", marks=pytest.mark.slow), "track:finish"])
def test_what_a_killed_process_left_is_replaced(
    workspace: Path, make_content: MakeContent, onnx_file: Path, point: str
) -> None:
    script = f"""
        from pathlib import Path
        from declarative_ml.trackers import TRACKERS
        from declarative_ml.trackers.base import TrackContent
        model = Path({str(onnx_file)!r})
        content = TrackContent("key-1", "adult", "first", model=model)
        TRACKERS.parse("mlflow").log(Path({str(workspace)!r}), content)
    """
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env={**os.environ, "DML_FAULT": point}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    tracker = MLflowTracker()
    assert tracker.find(workspace, "key-1") is None
    assert [run.info.status for run in active_runs(workspace, "key-1")] == ["RUNNING"]
    run_id = tracker.log(workspace, make_content())
    assert [(run.info.run_id, run.info.status) for run in active_runs(workspace, "key-1")] == [
        (run_id, "FINISHED")
    ]
    client = connect(locate(workspace, None))
    experiment = client.get_experiment_by_name("adult").experiment_id
    assert [model.source_run_id for model in client.search_logged_models([experiment])] == [run_id]


def nested_runs(workspace: Path) -> list[Any]:
    client = connect(locate(workspace, None))
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run for run in client.search_runs(experiments) if "mlflow.parentRunId" in run.data.tags]


def test_nested_runs_lie_below_their_run(workspace: Path, make_content: MakeContent) -> None:
    nested = [
        NestedRun("trial0", {"rate": 0.1, "layers": [4, 4]}, {"held_out.rmse": 2.5}, {"dml.trial": "0"}),
        NestedRun("trial1", {"rate": None}, {"held_out.rmse": float("nan")}),
    ]
    tracker = MLflowTracker()
    run_id = tracker.log(workspace, make_content(model=None, nested=nested))
    assert tracker.log(workspace, make_content(model=None, nested=nested)) == run_id
    found = {run.info.run_name: run for run in nested_runs(workspace)}
    assert set(found) == {"trial0", "trial1"}
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {run_id}
    assert found["trial0"].data.params == {"rate": "0.1", "layers": "[4, 4]"}
    assert found["trial0"].data.metrics == {"held_out.rmse": 2.5}
    assert found["trial1"].data.params == found["trial1"].data.metrics == {}


@pytest.mark.slow
def test_nested_runs_go_with_the_run_that_was_killed(workspace: Path, make_content: MakeContent) -> None:
    script = f"""
        from pathlib import Path
        from declarative_ml.trackers import TRACKERS
        from declarative_ml.trackers.base import NestedRun, TrackContent
        content = TrackContent("key-1", "adult", "first", nested=[NestedRun("a"), NestedRun("b")])
        TRACKERS.parse("mlflow").log(Path({str(workspace)!r}), content)
    """
    environment = {**os.environ, "DML_FAULT": "track:finish"}
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(nested_runs(workspace)) == 2
    run_id = MLflowTracker().log(workspace, make_content(model=None, nested=[NestedRun("c")]))
    assert [(run.info.run_name, run.data.tags["mlflow.parentRunId"]) for run in nested_runs(workspace)] == [
        ("c", run_id)
    ]


def test_a_failed_log_is_marked_and_can_be_repeated(
    workspace: Path, make_content: MakeContent, tmp_path: Path
) -> None:
    with pytest.raises(DmlError, match=r"refused: .*missing"):
        MLflowTracker().log(workspace, make_content(files={"a": tmp_path / "missing"}))
    assert [run.info.status for run in active_runs(workspace, "key-1")] == ["FAILED"]
    run_id = MLflowTracker().log(workspace, make_content(model=None))
    assert [run.info.run_id for run in active_runs(workspace, "key-1")] == [run_id]


def test_a_deleted_run_or_experiment_does_not_count(workspace: Path, make_content: MakeContent) -> None:
    tracker = MLflowTracker()
    first = tracker.log(workspace, make_content(model=None))
    client = connect(locate(workspace, None))
    client.delete_run(first)
    assert tracker.find(workspace, "key-1") is None
    second = tracker.log(workspace, make_content(model=None))
    assert second != first
    client.delete_experiment(client.get_experiment_by_name("adult").experiment_id)
    assert tracker.find(workspace, "key-1") is None
    third = tracker.log(workspace, make_content(model=None))
    assert tracker.find(workspace, "key-1") == third
    assert connect(locate(workspace, None)).get_experiment_by_name("adult").lifecycle_stage == "active"


def test_threads_may_log_at_once(workspace: Path, make_content: MakeContent) -> None:
    keys = ["a", "b", "a", "c"]
    found: list[tuple[str, str]] = []

    def work(key: str) -> None:
        found.append((key, MLflowTracker().log(workspace, make_content(key, model=None))))

    threads = [threading.Thread(target=work, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 3


def test_a_folder_with_an_odd_name(tmp_path: Path, empty_database: bytes, make_content: MakeContent) -> None:
    workspace = tmp_path / "a b%20c#d é" / ".dml"
    workspace.mkdir(parents=True)
    (workspace / "mlflow.db").write_bytes(empty_database)
    run_id = MLflowTracker().log(workspace, make_content())
    assert MLflowTracker().find(workspace, "key-1") == run_id
    assert list((workspace / "mlartifacts" / "adult").glob("*/artifacts/report.html"))


def test_an_explicit_sqlite_uri(tmp_path: Path, empty_database: bytes, make_content: MakeContent) -> None:
    database = tmp_path / "elsewhere" / "history.db"
    database.parent.mkdir()
    database.write_bytes(empty_database)
    tracker = MLflowTracker(uri=f"sqlite:///{database}")
    run_id = tracker.log(tmp_path / ".dml", make_content(model=None))
    assert tracker.find(tmp_path / ".dml", "key-1") == run_id
    assert (tmp_path / "elsewhere" / "mlartifacts" / "adult").is_dir()


def test_find_is_fast_and_loads_no_mlflow(workspace: Path, make_content: MakeContent) -> None:
    run_id = MLflowTracker().log(workspace, make_content(model=None))
    script = f"""
        import sys, time
        from pathlib import Path
        from declarative_ml.trackers import TRACKERS
        tracker = TRACKERS.parse("mlflow")
        start = time.process_time()
        found = tracker.find(Path({str(workspace)!r}), "key-1")
        spent = time.process_time() - start
        heavy = {{"mlflow", "sqlalchemy", "pandas", "onnx", "numpy"}} & set(sys.modules)
        print(found, spent < 0.05, heavy)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout == f"{run_id} True set()\n", done.stderr


def test_find_without_a_history(tmp_path: Path) -> None:
    assert MLflowTracker().find(tmp_path, "key") is None
    assert list(tmp_path.iterdir()) == []
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("create table other (a)")
    assert MLflowTracker().find(tmp_path, "key") is None


def test_a_damaged_history_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(DmlError, match="cannot be used: file is not a database") as caught:
        MLflowTracker().find(tmp_path, "key")
    assert caught.value.hint == "move the file away to start a new history, or set track.uri"


@pytest.mark.parametrize("verb", ["find", "log"])
def test_a_server_that_does_not_answer(tmp_path: Path, make_content: MakeContent, verb: str) -> None:
    tracker = MLflowTracker(uri="http://me:secret@127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(DmlError, match=r"http://me:\*\*\*@127.0.0.1:9 does not answer: .*refused") as caught:
        tracker.find(tmp_path, "key") if verb == "find" else tracker.log(tmp_path, make_content())
    assert time.monotonic() - start < 5
    assert "secret" not in str(caught.value)
    assert caught.value.hint is not None and "track.uri" in caught.value.hint


def test_a_store_that_mlflow_refuses(tmp_path: Path, make_content: MakeContent) -> None:
    with pytest.raises(DmlError, match="MLflow at nonsense://x refused") as caught:
        MLflowTracker(uri="nonsense://x").log(tmp_path, make_content())
    assert caught.value.hint is not None and "track.enabled: false" in caught.value.hint


@pytest.mark.slow
def test_log_is_quiet_and_stays_at_home(tmp_path: Path, onnx_file: Path) -> None:
    script = f"""
        import socket
        from pathlib import Path
        def refuse(self, address):
            raise AssertionError(f"network: {{address}}")
        socket.socket.connect = refuse
        from declarative_ml.trackers import TRACKERS
        from declarative_ml.trackers.base import TrackContent
        content = TrackContent("k", "adult", "first", model=Path({str(onnx_file)!r}), metrics={{"a": 1.0}},
            inputs={{"age": "float32", "sex": "string"}}, example={{"age": [1.0], "sex": ["m"]}},
            dataset_digest="abc", files={{"a.txt": "a"}},
            curves={{"c": [{{"step": 1, "train": 1}}]}})
        TRACKERS.parse("mlflow").log(Path(".dml").absolute(), content)
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == [".dml"]


@pytest.mark.slow
def test_the_database_is_the_one_that_mlflow_makes(tmp_path: Path, empty_database: bytes) -> None:
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{tmp_path / 'slow.db'}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _initialize_tables(engine)
    engine.dispose()
    create_database(tmp_path / "fast.db")

    def content(name: str) -> list[object]:
        query = "select type, name, tbl_name, coalesce(sql, '') from sqlite_master order by type, name"
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            # MLflow writes the values of a CHECK in any order.
            tables = [(*row[:3], sorted(re.findall(r"\w+", row[3]))) for row in connection.execute(query)]
            return [*tables, *connection.execute("select * from alembic_version")]

    assert content("fast.db") == content("slow.db")
    assert len(content("fast.db")) > 50


@pytest.mark.slow
def test_a_read_only_history_is_an_error_at_once(
    workspace: Path, make_content: MakeContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "mlflow.db").write_bytes(b"")
    with closing(sqlite3.connect(workspace / "mlflow.db", isolation_level=None)) as other:
        other.execute("create table runs (run_uuid)")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr("declarative_ml.trackers.mlflow_store.BUSY_SECONDS", 0.1)
        with pytest.raises(DmlError, match=r"mlflow\.db cannot be used: database is locked"):
            MLflowTracker().log(workspace, make_content())


def test_create_database_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"mine")
    create_database(tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").read_bytes() == b"mine"


def test_the_import_spares_what_tracking_does_not_use_and_leaves_it_usable() -> None:
    """In a process of its own: MLflow is imported once per process."""
    code = (
        "import sys\n"
        "from declarative_ml.trackers.mlflow_store import import_mlflow\n"
        "mlflow = import_mlflow()\n"
        "assert 'fastapi' not in sys.modules and 'mlflow.genai' not in sys.modules, sorted(sys.modules)\n"
        "assert mlflow.genai.evaluate and mlflow.gateway.get_gateway_uri\n"
        "import mlflow.genai.scorers, mlflow.gateway.config\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_process_without_a_main_file_outlives_a_client_of_spark() -> None:
    """With pyspark-client alone, looking for its session ends such a process (a worker of pytest)."""
    code = (
        "from declarative_ml.trackers.mlflow_store import import_mlflow\n"
        "print(import_mlflow().get_registry_uri())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("sqlite")


@pytest.mark.slow
def test_a_kept_database_that_is_cut_short_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    create_database(tmp_path / "a.db")
    [kept] = (tmp_path / "declarative-ml").iterdir()
    whole = kept.read_bytes()
    assert (tmp_path / "a.db").read_bytes() == whole
    kept.write_bytes(whole[:5000])
    create_database(tmp_path / "b.db")
    assert (tmp_path / "b.db").read_bytes() == kept.read_bytes()
    assert len(kept.read_bytes()) == len(whole)


def test_a_cache_that_cannot_be_written_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    create_database(tmp_path / "a.db")
    assert (tmp_path / "a.db").stat().st_size > 0
