"""Drift of requests, and the prediction log, of a service in this process."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from service_client import Client

from declarative_ml.core.errors import UsageError
from declarative_ml.scoring.scorer import Predictions
from declarative_ml.serving.app import Application
from declarative_ml.serving.batching import Asked
from declarative_ml.serving.exchange import Answer
from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.prediction_log import MOST_QUEUED, PART, LoggedRows, LogWriter
from declarative_ml.serving.service import Service
from declarative_ml.serving.watch import FEW_ROWS, MOST_WAITING, watch_models
from declarative_ml.spec.monitor import Monitor, PredictionLog
from declarative_ml.store.bundle import Bundle

Watched = Callable[..., Client]


@pytest.fixture
def watched(bundle_of: Callable[[str], Bundle], runner: asyncio.Runner) -> Iterator[Watched]:
    services = []

    def client(target: str = "stays", **monitor: Any) -> Client:
        models = [ServedModel(bundle_of(target))]
        watch_models(models, Monitor.model_validate(monitor))
        service = Service(Fleet.of(models))
        services.append(service)
        return Client(Application(service), runner)

    yield client
    for service in services:
        service.close()


def exposed(client: Client) -> str:
    """What Prometheus reads, without the version of the model on each line."""
    version = f',version="{client.application.service.first.version}"'
    text = client.get("/metrics").body.decode()
    assert version in text
    return text.replace(version, "")


def lines_of(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.iterdir())
    return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]


def finish(client: Client) -> None:
    """As a service does when it stops; closing it again changes nothing."""
    for model in client.application.service.fleet.models:
        assert model.watch is not None
        model.watch.close()
        model.watch = None


def test_windows_count_what_every_way_in_brings(watched: Watched, rows: list[dict[str, Any]]) -> None:
    client = watched()
    few = rows[:4]
    table = io.StringIO()
    writer = csv.DictWriter(table, few[0])
    writer.writeheader()
    writer.writerows(few)
    tensors = [
        {"name": name, "shape": [4, 1], "datatype": "FP32" if name in ("age", "fare") else "BYTES",
         "data": [row[name] if row[name] is not None else (0.5 if name == "age" else "") for row in few]}
        for name in few[0]
    ]  # fmt: skip
    answers = [
        client.post("/predict", {"rows": few}),
        client.post("/predict", {"columns": {name: [row[name] for row in few] for name in few[0]}}),
        client.post("/models/guests-stays/predict", {"rows": few}),
        client.ask("POST", "/predict", table.getvalue().encode(), {"content-type": "text/csv"}),
        client.post("/invocations", {"rows": few}),
        client.post("/vertex/predict", {"instances": few}),
        client.post("/v2/models/guests-stays/infer", {"inputs": tensors}),
    ]
    assert [answer.status for answer in answers] == [200] * 7
    client.post("/predict", {"rows": rows * 3})  # beyond LONG_BODY: read aside
    client.post("/predict", {"rows": [{"age": "x"}]})  # refused: not counted
    report = client.get("/drift").json
    total = 7 * 4 + 3 * len(rows)
    assert (report["current"]["rows"], report["last"], report["dropped_rows"]) == (total, None, 0)
    assert {item["column"]: item["rows"] for item in report["current"]["columns"]} == dict.fromkeys(
        few[0], total
    )
    assert [item["column"] for item in report["current"]["predictions"]] == ["prediction", "probability"]
    assert report["current"]["verdict"] == "no drift"


def test_drift_names_its_column_in_the_answer_and_in_the_metrics(
    watched: Watched, rows: list[dict[str, Any]]
) -> None:
    client = watched(drift={"rows": 600})
    wrong = [{**row, "fare": row["fare"] * 1000} for row in rows]
    few = client.post("/predict", {"rows": wrong[:100]})
    assert few.status == 200
    first = client.get("/drift").json["current"]
    assert (first["verdict"], first["rows"], first["rows_needed"], first["moved"]) == (
        "too few rows",
        100,
        500,
        [],
    )
    client.post("/predict", {"rows": wrong * 3})
    report = client.get("/models/guests-stays/drift").json
    assert report["current"]["rows"] == 0
    last = report["last"]
    assert last["verdict"] == "drift" and last["moved"][0] == "fare"
    fare = next(item for item in last["columns"] if item["column"] == "fare")
    assert fare["moved"] and fare["psi"] > 1 > fare["noise"]["psi"] and fare["outside"] > 0.5
    assert next(item for item in last["columns"] if item["column"] == "town")["moved"] is False
    text = exposed(client)
    assert 'dml_drift_moved{column="fare",model="guests-stays"} 1.0' in text
    assert 'dml_drift_moved{column="town",model="guests-stays"} 0.0' in text
    assert 'dml_drift_psi{column="(prediction)",model="guests-stays"}' in text
    assert f'dml_drift_rows{{model="guests-stays"}} {100 + 3 * len(rows):.1f}' in text


@pytest.mark.parametrize("target", ["kind", "spent"])
def test_answers_of_every_task_are_watched(watched: Watched, rows: list[dict[str, Any]], target: str) -> None:
    client = watched(target)
    client.post("/predict", {"rows": rows * 3})
    current = client.get("/drift").json["current"]
    names = ["prediction", "probability"] if target == "kind" else ["prediction"]
    assert [item["column"] for item in current["predictions"]] == names
    # The rows are those that the model was trained on, with few held out: no alarm of its answers.
    assert current["verdict"] == "no drift"


def test_nothing_is_watched_where_the_spec_says_so(watched: Watched, row: dict[str, Any]) -> None:
    client = watched(drift={"enabled": False})
    assert "x-request-id" not in client.post("/predict", {"rows": [row]}).headers
    assert client.get("/drift").status == 404
    assert "dml_drift" not in exposed(client)


def test_only_the_columns_that_the_spec_names(watched: Watched, row: dict[str, Any]) -> None:
    client = watched(drift={"columns": ["age"]})
    client.post("/predict", {"rows": [row]})
    assert [item["column"] for item in client.get("/drift").json["current"]["columns"]] == ["age"]


@pytest.mark.parametrize(
    "monitor", [{"drift": {"columns": ["agee"]}}, {"log": {"path": "x", "redact": ["agee"]}}]
)
def test_a_column_that_no_model_takes_is_told_at_once(
    bundle_of: Callable[[str], Bundle], monitor: dict[str, Any]
) -> None:
    model = ServedModel(bundle_of("stays"))
    with pytest.raises(UsageError, match="monitor names 'agee', which the model does not take"):
        watch_models([model], Monitor.model_validate(monitor))
    model.close()


def test_rows_beyond_what_may_wait_are_dropped_and_counted(watched: Watched, row: dict[str, Any]) -> None:
    client = watched()
    watch = client.application.service.first.watch
    watch._submitted += MOST_WAITING
    assert client.post("/predict", {"rows": [row]}).status == 200
    assert client.get("/drift").json["dropped_rows"] == 1
    watch._submitted -= MOST_WAITING
    assert 'dml_watch_dropped_rows_total{model="guests-stays"} 1.0' in exposed(client)


def test_few_rows_are_counted_by_the_loop_and_a_fault_in_it_fails_no_request(
    watched: Watched, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = watched()
    watch = client.application.service.first.watch

    def broken(*_: object) -> None:
        raise ValueError("no counting today")

    with monkeypatch.context() as patch:
        patch.setattr(watch.windows, "update", broken)
        answers = [client.post("/predict", {"rows": [row]}).status for _ in range(FEW_ROWS)]
    assert set(answers) == {200}
    assert "rows of requests could not be watched" in caplog.text
    for _ in range(FEW_ROWS):
        client.post("/predict", {"rows": [row]})
    assert watch._counting is None
    assert client.get("/drift").json["current"]["rows"] == FEW_ROWS


def test_the_log_has_every_row_with_its_id(watched: Watched, row: dict[str, Any], tmp_path: Path) -> None:
    client = watched(log={"path": str(tmp_path), "redact": ["age", "town"]})
    named = client.ask("POST", "/predict", {"rows": [row]}, {"X-Request-Id": "order 7"})
    assert named.headers["x-request-id"] == "order 7"
    nameless = client.post("/predict", {"rows": [{**row, "member": None}, row]})
    bad = client.ask("POST", "/predict", {"rows": [row]}, {"X-Request-Id": "x" * 200})
    assert len(bad.headers["x-request-id"]) < 40
    finish(client)
    found = lines_of(tmp_path)
    generated = nameless.headers["x-request-id"]
    assert [line["id"] for line in found] == [
        "order 7", f"{generated}/0", f"{generated}/1", bad.headers["x-request-id"],
    ]  # fmt: skip
    first = found[0]
    manifest = client.application.service.first.manifest
    assert (first["model"], first["digest"]) == ("guests-stays", manifest.model_digest)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert first["redacted"] == ["age", "town"]
    assert first["inputs"] == {"age": None, "fare": 12.0, "town": None, "member": "yes", "seen": "2024-05-04"}
    assert found[1]["inputs"]["member"] is None
    answer = named.json["predictions"][0]
    assert first["prediction"] == answer["prediction"]
    assert first["probabilities"] == pytest.approx(answer["probabilities"])
    assert "Oslo" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_parquet_files_have_the_same_rows(
    watched: Watched, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    client = watched("spent", log={"path": str(tmp_path), "format": "parquet"})
    answers = client.post("/predict", {"rows": rows}).json["predictions"]
    finish(client)
    [path] = tmp_path.iterdir()
    found = pq.read_table(path)
    assert str(found.schema.field("time").type) == "timestamp[ms, tz=UTC]"
    assert found.column("prediction").to_pylist() == pytest.approx([item["prediction"] for item in answers])
    assert found.column("lower").to_pylist() == pytest.approx([item["lower"] for item in answers])
    inputs = found.column("inputs").to_pylist()
    assert [item["town"] for item in inputs] == [row["town"] for row in rows]
    assert [item["fare"] for item in inputs] == pytest.approx([row["fare"] for row in rows])


def test_a_sample_of_the_rows(watched: Watched, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    client = watched(log={"path": str(tmp_path), "sample": 0.1})
    for _ in range(10):
        client.post("/predict", {"rows": rows})
    finish(client)
    assert 0.05 < len(lines_of(tmp_path)) / (10 * len(rows)) < 0.15


def some_rows(count: int) -> LoggedRows:
    columns = {name: np.ones((count, 1), np.float32) for name in ("age", "fare")}
    columns |= {name: np.full((count, 1), "x", object) for name in ("town", "member", "seen")}
    from declarative_ml.scoring.scorer import Predictions

    labels = np.full(count, "yes", object)
    probabilities = np.full((count, 2), 0.5, np.float32)
    return LoggedRows([("r", time.time(), count)], columns, Predictions(labels, probabilities), labels)


def writer_of(bundle: Bundle, folder: Path, **options: Any) -> LogWriter:
    return LogWriter(PredictionLog.model_validate({"path": str(folder), **options}), bundle.manifest)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_files_are_finished_by_size_and_the_oldest_go(
    bundle_of: Callable[[str], Bundle], tmp_path: Path, form: str
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    writer = writer_of(bundle_of("stays"), tmp_path, format=form, rotate={"size": "20kB"}, keep=3)
    for _ in range(6):
        writer.put(some_rows(100))
        time.sleep(0.01)
    writer.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names.pop() == "notes.txt"
    assert len(names) == 3 and all(name.endswith(f".{form}") for name in names)
    assert (writer.written, writer.dropped, writer.faults) == (600, 0, 0)


def test_a_file_is_finished_by_time_although_nothing_comes(
    bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    writer = writer_of(bundle_of("stays"), tmp_path, rotate={"time": "1s"})
    writer.put(some_rows(3))
    deadline = time.monotonic() + 20
    while not any(path.suffix == ".jsonl" for path in tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(lines_of(tmp_path)) == 3
    writer.close()


def test_more_rows_than_may_wait_are_dropped_and_nobody_waits(
    bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    writer = writer_of(bundle_of("stays"), tmp_path)
    began = time.monotonic()
    for _ in range(3):
        writer.put(some_rows(MOST_QUEUED))
    assert time.monotonic() - began < 2
    writer.close()
    assert writer.dropped >= MOST_QUEUED
    assert writer.written + writer.dropped == 3 * MOST_QUEUED


_KILLED = """
import os, sys, time
sys.path[:0] = {paths!r}
from test_watch import some_rows, writer_of
from declarative_ml.store.bundle import Bundle
from pathlib import Path
writer = writer_of(Bundle.open({bundle!r}), Path({folder!r}))
writer.put(some_rows(200))
while writer.written < 200:
    time.sleep(0.01)
os.write(writer._file._handle, b'{{"time": "half a li')
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_wrote_is_kept_and_finished_by_the_next(
    bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = bundle_of("stays")
    code = _KILLED.format(
        paths=[str(Path(__file__).parent), *sys.path], bundle=str(bundle.path), folder=str(tmp_path)
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    [left] = tmp_path.iterdir()
    assert left.name.endswith(PART) and left.read_bytes().endswith(b"half a li")
    held = writer_of(bundle, tmp_path)
    held.put(some_rows(1))
    held.close()
    assert not any(path.name.endswith(PART) for path in tmp_path.iterdir())
    assert len(lines_of(tmp_path)) == 201


_FULL = """
import resource, signal, sys
sys.path[:0] = {paths!r}
from test_watch import some_rows, writer_of
from declarative_ml.store.bundle import Bundle
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
writer = writer_of(Bundle.open({bundle!r}), Path({folder!r}))
for _ in range(10):
    writer.put(some_rows(100))
writer.close()
print(writer.written, writer.dropped, writer.faults)
"""


def test_a_full_disk_drops_rows_and_leaves_whole_lines(
    bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    """The limit of the size of a file stands for a full disk: the write fails in the same way."""
    code = _FULL.format(
        paths=[str(Path(__file__).parent), *sys.path],
        bundle=str(bundle_of("stays").path),
        folder=str(tmp_path),
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    written, dropped, faults = map(int, done.stdout.split())
    assert written + dropped == 1_000 and faults == dropped // 100 > 0
    assert len(lines_of(tmp_path)) == written
    assert "the prediction log cannot be written" in done.stderr


def test_a_folder_that_cannot_be_made_is_told_at_once(
    bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"monitor.log: the folder .* cannot be made"):
        writer_of(bundle_of("stays"), tmp_path / "file" / "log")


def test_a_service_whose_log_is_gone_goes_on(watched: Watched, row: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "log"
    client = watched(log={"path": str(folder)})
    time.sleep(0.1)
    folder.rmdir()
    assert client.post("/predict", {"rows": [row]}).status == 200
    watch = client.application.service.first.watch
    watch.flush()
    deadline = time.monotonic() + 20
    while not watch.log.dropped and time.monotonic() < deadline:
        time.sleep(0.02)
    assert 'dml_log_dropped_rows_total{model="guests-stays"} 1.0' in exposed(client)
    assert client.post("/predict", {"rows": [row]}).status == 200


@pytest.mark.parametrize(
    "parts",
    [
        [np.array([[1.0]], np.float32), np.array([[np.nan]], np.float32)],
        [np.arange(6, dtype=np.float32).reshape(3, 2)[:, :1], np.ones((2, 1), np.float32)],
        [np.ones((1, 3), np.float32), np.zeros((2, 3), np.float32)],
        [np.array([["a"]], object), np.array([["b"]], object)],
        [np.array([["a"]], object), np.array([["b"], [""]], object)],
        [np.array([True], object), np.array([False], object)],
    ],
)
def test_parts_are_put_together_as_numpy_does_it(parts: list[np.ndarray]) -> None:
    from declarative_ml.serving.watch import _joined

    wanted = np.concatenate(parts)
    found = _joined(parts, len(wanted))
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)


def test_requests_of_a_batch_are_watched_together_and_those_that_left_are_not() -> None:
    from declarative_ml.serving.watch import _parts

    columns = {"age": np.arange(5, dtype=np.float32).reshape(-1, 1)}
    together = Predictions(np.arange(5, dtype=np.float32) * 10, None)
    lone = Asked(1, lambda scored: Answer(b""), raw={"age": np.array([[9]], np.float32)})
    alone = Predictions(np.array([90], np.float32), None)

    def seen(*places: tuple[int, int]) -> list[Any]:
        parts = [
            (Asked(end - start, lone.reply, batch=(columns, together, start)), together.part(start, end))
            for start, end in places
        ]
        return [("", 0.0, asked, scored) for asked, scored in [*parts, (lone, alone)]]

    def ages(*places: tuple[int, int]) -> list[list[float]]:
        found = list(_parts(cast(Any, None), seen(*places)))
        assert all((part["age"][:, 0] * 10 == scored.prediction).all() for part, scored in found)
        return [part["age"][:, 0].tolist() for part, _ in found]

    assert ages((0, 1), (1, 3), (3, 5)) == [[0, 1, 2, 3, 4], [9]]
    assert ages((0, 1), (3, 5)) == [[0], [3, 4], [9]]
    assert ages((1, 3), (3, 4)) == [[1, 2, 3], [9]]
    assert ages((3, 4), (0, 1)) == [[3], [0], [9]]
