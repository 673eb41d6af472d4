"""`dml monitor`: drift of a prediction log by periods, and quality by labels that came later."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from click.testing import CliRunner

from declarative_ml.api.monitor import alarm_of, monitor
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.cli import dml
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.scoring.answer_cells import answer_cells
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.serving.prediction_log import LoggedRows, LogWriter
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.monitor import PredictionLog
from declarative_ml.store.bundle import Bundle

TOWNS = np.array(["Oslo", "Rome", "Bonn"], dtype=object)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
PER_DAY = 600


def table_of(random: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Columns with their targets."""
    age = random.normal(40, 10, rows).astype(np.float32)
    town = TOWNS[random.choice(3, rows, p=[0.5, 0.3, 0.2])]
    score = (age - 40) / 5 + 2 * (town == "Oslo") - 1 + random.logistic(size=rows)
    return {
        "age": age,
        "town": town,
        "stays": np.where(score > 0, "yes", "no").astype(object),
        "kind": np.digitize(score, [-2, 2]).astype(str).astype(object),
        "spent": (3 * score + random.normal(size=rows)).astype(np.float32),
    }


@pytest.fixture(scope="module")
def spec_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A spec with a good run."""
    trained: dict[str, Path] = {}

    def spec(target: str) -> Path:
        if target not in trained:
            folder = tmp_path_factory.mktemp(target)
            pyarrow.csv.write_csv(pa.table(table_of(np.random.default_rng(0), 3_000)), folder / "table.csv")
            options = {
                "name": f"guests-{target}",
                "data": {
                    "source": "table.csv",
                    "split": {"method": "random", "validation": 0.2, "test": 0.3},
                },
                "target": {"column": target, "type": "multiclass"} if target == "kind" else target,
                "features": {"age": "number", "town": "category"},
                "model": "linear",
                "explain": False,
                "track": False,
                "monitor": {"log": "predictions"},
                "resources": {"cpu": 1},
            }
            (folder / "spec.yaml").write_text(json.dumps(options))
            run_spec(load_spec(folder / "spec.yaml", data=True), RunOptions(listener=lambda event: None))
            trained[target] = folder / "spec.yaml"
        return trained[target]

    return spec


def bundle_of(spec: Path) -> Bundle:
    from declarative_ml.api.model import open_model

    return open_model(str(spec))


def write_log(bundle: Bundle, folder: Path, days: list[dict[str, np.ndarray]], **options: Any) -> None:
    """A request a day with a row for each, as the service writes them; ids are d0/0, d0/1, …"""
    writer = LogWriter(PredictionLog.model_validate({"path": str(folder), **options}), bundle.manifest)
    scorer = Scorer(bundle)
    for number, table in enumerate(days):
        columns = {name: table[name].reshape(-1, 1) for name in ("age", "town")}
        scored = scorer.predict_raw(columns)
        when = (MONDAY + timedelta(days=number, hours=3)).timestamp()
        cells = answer_cells(scorer, scored)
        writer.put(LoggedRows([(f"d{number}", when, len(scored))], columns, scored, cells["prediction"]))
    writer.close()


def write_labels(path: Path, days: list[dict[str, np.ndarray]], target: str, share: float = 1.0) -> None:
    lines = [f"id,{target}"]
    for number, table in enumerate(days):
        kept = int(share * len(table[target]))
        lines += [f"d{number}/{row},{value}" for row, value in enumerate(table[target][:kept].tolist())]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def days() -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    return [table_of(random, PER_DAY) for _ in range(3)]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("target", ["stays", "kind", "spent"])
def test_days_like_the_training_rows_raise_no_alarm(
    spec_of: Callable[[str], Path], days: list[dict[str, np.ndarray]], tmp_path: Path, target: str, form: str
) -> None:
    spec = spec_of(target)
    write_log(bundle_of(spec), tmp_path / "log", days, format=form)
    write_labels(tmp_path / "labels.csv", days, target, 0.5)
    found = monitor(str(spec), str(tmp_path / "log"), labels=str(tmp_path / "labels.csv"))
    assert [period.began for period in found.periods] == [MONDAY + timedelta(days=day) for day in range(3)]
    assert [period.drift.rows for period in found.periods] == [PER_DAY] * 3
    assert [period.drift.word for period in found.periods] == ["no drift"] * 3
    answers = [item.column for item in found.periods[0].drift.watched if item.is_answer]
    assert answers == (["prediction"] if target == "spent" else ["prediction", "probability"])
    assert (found.labels, alarm_of(found)) == ({"labels": 900, "joined": 900, "rows": 900}, None)
    for period in found.periods:
        assert period.quality is not None and period.quality.rows == 300
        low, high = period.quality.intervals[found.primary]
        assert low <= found.tested.metrics[found.primary] * 1.1 and high >= low


def test_the_metrics_are_those_of_dml_evaluate(
    spec_of: Callable[[str], Path], days: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    from declarative_ml.api.evaluate import evaluate

    bundle = bundle_of(spec_of("stays"))
    write_log(bundle, tmp_path / "log", days[:1])
    write_labels(tmp_path / "labels.csv", days[:1], "stays")
    found = monitor(str(bundle.path), str(tmp_path / "log"), labels=str(tmp_path / "labels.csv"))
    assert found.periods[0].quality is not None
    table = pa.table({name: days[0][name] for name in ("age", "town", "stays")})
    wanted = evaluate(bundle, table)["metrics"]
    assert dict(found.periods[0].quality.metrics) == pytest.approx(wanted, rel=1e-6)


def test_drift_and_worse_answers_are_told_with_exit_code_4(
    spec_of: Callable[[str], Path], days: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    spec = spec_of("stays")
    days[2]["age"] = days[2]["age"] + np.float32(8)
    days[2]["stays"] = np.where(days[2]["stays"] == "yes", "no", "yes").astype(object)
    write_log(bundle_of(spec), tmp_path / "log", days)
    write_labels(tmp_path / "labels.csv", days, "stays")
    arguments = ["monitor", str(spec), "--log", str(tmp_path / "log")]
    arguments += ["--labels", str(tmp_path / "labels.csv")]
    done = CliRunner().invoke(dml, [*arguments, "-o", str(tmp_path / "page.html")])
    assert getattr(done.exception, "exit_code", None) == 4
    assert "from 2026-03-04 00:00 on age (psi " in str(done.exception)
    assert "roc_auc is 0." in str(done.exception) and "on the test rows 0.89" in str(done.exception)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["from", "rows", "drift", "labelled", "rows,", "roc_auc"]
    assert "no drift" in lines[1] and "age (psi" in lines[3] and lines[3].endswith("worse")
    assert "1,800 of 1,800 labels belong to logged rows" in done.stdout
    page = (tmp_path / "page.html").read_text()
    assert "The model is worse than it was tested." in page and "2026-03-04" in page
    told = json.loads(CliRunner().invoke(dml, [*arguments, "--format", "json"]).stdout)
    assert told["alarm"]["quality"] is True and "age" in told["alarm"]["drift"]
    assert [period["verdict"] for period in told["periods"]] == ["no drift", "no drift", "drift"]
    assert [period["quality"]["worse"] for period in told["periods"]] == [False, False, True]
    assert told["log"] == {"files": 1, "rows": 1800, "other_rows": 0, "broken_lines": 0}


def test_an_alarm_ends_when_the_last_period_is_as_it_should_be(
    spec_of: Callable[[str], Path], days: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    bundle = bundle_of(spec_of("stays"))
    days[1]["town"] = np.full(PER_DAY, "Lima", dtype=object)
    few = {name: values[:100] for name, values in days[1].items()}
    write_log(bundle, tmp_path, [days[0], days[1], days[2], few])
    found = monitor(str(bundle.path), str(tmp_path))
    assert [period.drift.word for period in found.periods] == [
        "no drift",
        "drift",
        "no drift",
        "too few rows",
    ]
    assert found.periods[1].drift.moved[0].column == "town"
    assert found.periods[1].drift.moved[0].unseen == 1.0
    assert alarm_of(found) is None


def test_periods_of_other_lengths(
    spec_of: Callable[[str], Path], days: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    bundle = bundle_of(spec_of("stays"))
    write_log(bundle, tmp_path, days)
    hours = monitor(str(bundle.path), str(tmp_path), every="6h").periods
    assert [period.began.hour for period in hours] == [0, 0, 0]
    assert hours[0].ended - hours[0].began == timedelta(hours=6)
    assert len(monitor(str(bundle.path), str(tmp_path), every="30d").periods) <= 2
    for text in ("soon", "0d", "d", "1w"):
        with pytest.raises(UsageError, match=f"'{text}' is no span of time"):
            monitor(str(bundle.path), str(tmp_path), every=text)


def test_redacted_columns_say_nothing_of_drift(
    spec_of: Callable[[str], Path], days: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    bundle = bundle_of(spec_of("stays"))
    write_log(bundle, tmp_path, days, redact=["age"])
    found = monitor(str(bundle.path), str(tmp_path))
    watched = [item.column for item in found.periods[0].drift.watched]
    assert watched == ["town", "prediction", "probability"]
    assert alarm_of(found) is None


def test_rows_of_others_and_broken_lines_are_left_out_and_counted(
    spec_of: Callable[[str], Path], days: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    bundle, other = bundle_of(spec_of("stays")), bundle_of(spec_of("spent"))
    write_log(bundle, tmp_path, days)
    write_log(other, tmp_path, days[:1])
    (tmp_path / "guests-stays-1.jsonl.part").write_bytes(
        next(tmp_path.glob("guests-stays-*.jsonl")).read_bytes().splitlines(keepends=True)[0]
        + b'{"time": "2026'
    )
    (tmp_path / "old-1.jsonl").write_text(
        '{"time": "2026-03-02T00:00:00.000Z", "digest": "x", "inputs": 3}\n'
    )
    (tmp_path / "notes.txt").write_text("no log")
    found = monitor(str(bundle.path), str(tmp_path))
    assert found.log == {"files": 4, "rows": 1801, "other_rows": 601, "broken_lines": 1}
    with pytest.raises(DataError, match="has no rows of this model, 600 of others"):
        monitor(str(bundle.path), str(tmp_path / "guests-spent-*.jsonl"))


def test_lines_beside_the_parquet_file_made_from_them_count_once(
    spec_of: Callable[[str], Path], days: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    bundle = bundle_of(spec_of("stays"))
    write_log(bundle, tmp_path, days, format="parquet")
    [made] = tmp_path.glob("*.parquet")
    made.with_suffix(".jsonl.part").write_text("left by a kill\n")
    assert monitor(str(bundle.path), str(tmp_path)).log["rows"] == 1_800


def test_labels_that_do_not_fit_are_told(
    spec_of: Callable[[str], Path], days: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    bundle = bundle_of(spec_of("stays"))
    write_log(bundle, tmp_path / "log", days[:1])
    labels = tmp_path / "labels.csv"
    cases = [
        ("id,stays\nd0/1,yes\nd0/1,no\n", "id", DataError, "has several labels for id 'd0/1'"),
        (
            "id,stays\nx,yes\n",
            "id",
            DataError,
            "a logged row: id is 'x' in the labels, 'd0/0'",
        ),
        ("id,stays\nd0/1,perhaps\n", "id", DataError, "labels that the model does not know: perhaps"),
        ("id,left\nd0/1,yes\n", "id", DataError, "stays"),
        ("age,stays\n40,yes\n", "age", UsageError, "the input 'age' is a number"),
    ]
    for text, key, error, message in cases:
        labels.write_text(text)
        with pytest.raises(error, match=message):
            monitor(str(bundle.path), str(tmp_path / "log"), labels=str(labels), key=key)


def test_labels_by_an_input_that_is_text(
    spec_of: Callable[[str], Path], days: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    bundle = bundle_of(spec_of("stays"))
    write_log(bundle, tmp_path / "log", days[:1])
    (tmp_path / "labels.csv").write_text("town,stays\nOslo,yes\nRome,no\n")
    found = monitor(str(bundle.path), str(tmp_path / "log"), labels=str(tmp_path / "labels.csv"), key="town")
    known = int(np.isin(days[0]["town"], ["Oslo", "Rome"]).sum())
    assert found.labels == {"labels": 2, "joined": 2, "rows": known}


def test_a_log_that_is_not_there_is_told(spec_of: Callable[[str], Path], tmp_path: Path) -> None:
    spec = spec_of("stays")
    with pytest.raises(DataError, match="predictions has no prediction log"):
        monitor(str(spec))
    with pytest.raises(UsageError, match="names no prediction log"):
        monitor(str(bundle_of(spec).path))
    (tmp_path / "broken.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"broken\.parquet is no prediction log"):
        monitor(str(spec), str(tmp_path))


def test_without_test_rows_the_held_out_rows_of_folds_are_the_reference(tmp_path: Path) -> None:
    table = table_of(np.random.default_rng(0), 900)
    pyarrow.csv.write_csv(pa.table(table), tmp_path / "table.csv")
    options = {
        "name": "guests",
        "data": {"source": "table.csv", "split": {"test": 0, "folds": 3}},
        "target": "stays",
        "features": {"age": "number", "town": "category"},
        "model": "linear",
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(options))
    run_spec(load_spec(tmp_path / "spec.yaml", data=True), RunOptions(listener=lambda event: None))
    bundle = bundle_of(tmp_path / "spec.yaml")
    bundle.verify()
    answers = bundle.reference()["predictions"]
    assert answers["prediction"]["levels"] == ["no", "yes"]
    assert (answers["prediction"]["rows"], sum(answers["probability"]["counts"])) == (900, 900)
