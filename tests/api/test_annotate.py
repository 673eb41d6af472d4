"""`dml annotate`: rows out to Label Studio, and the labels back into training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from click.testing import CliRunner

from declarative_ml.api.annotate import annotate
from declarative_ml.api.model import open_model
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.cli import dml
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.sources.label_studio import LabelStudioSource
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle

Train = Callable[..., Bundle]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory, write_flowers: Callable[..., Path]) -> Train:
    def trained(**sections: Any) -> Bundle:
        folder = tmp_path_factory.mktemp("flowers")
        write_flowers(folder / "flowers.csv")
        whole = {
            "name": "flowers",
            "data": {"source": "flowers.csv", "split": {"method": "random", "validation": 0.2}},
            "target": "kind",
            "exclude": ["wild"],
            "model": "linear",
            "explain": False,
            "track": False,
        }
        (folder / "spec.yaml").write_text(json.dumps(whole | sections))
        report = run_spec(load_spec(folder / "spec.yaml", data=True), RunOptions())
        assert report.error is None, report.error
        return open_model(str(folder / "spec.yaml"))

    return trained


@pytest.fixture(scope="module")
def kinds(train: Train) -> Bundle:
    return train()


def new_rows(**columns: Any) -> pa.Table:
    """Rows that are clear, doubtful, and clear again."""
    given = {
        "length": [0.0, 0.5, 2.0],
        "width": [0.1, -0.5, -2.0],
        "colour": ["red", None, "blue"],
        "seen": ["2024-01-01"] * 3,
        "row number": [1, 2, 3],
    }
    return pa.table(given | columns)


def tasks_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


def test_tasks_and_their_interface(kinds: Bundle, tmp_path: Path) -> None:
    made = annotate(kinds, new_rows(), tmp_path / "tasks.json")
    tasks = tasks_of(tmp_path / "tasks.json")
    assert (made.rows, len(tasks), made.hidden) == (3, 3, ())
    cells = {"length": "0.5", "width": "-0.5", "colour": "", "seen": "2024-01-01", "row number": "2"}
    assert tasks[1]["data"] == cells
    (said,) = tasks[0]["predictions"]
    assert said["model_version"] == f"flowers-{kinds.manifest.model_digest[:12]}"
    (region,) = said["result"]
    view = ElementTree.fromstring(made.interface.read_text())
    texts = {tag.get("name"): tag.get("value") for tag in view.iter("Text")}
    assert texts == {name: f"${name}" for name in ("colour", "length", "seen", "width")}
    (choices,) = view.iter("Choices")
    assert (choices.get("name"), choices.get("choice")) == ("kind", "single")
    assert [tag.get("value") for tag in choices] == ["a", "b", "c"]
    assert (region["from_name"], region["to_name"], region["type"]) == (
        "kind",
        choices.get("toName"),
        "choices",
    )
    assert region["to_name"] in texts
    assert region["value"] == {"choices": ["a"]}
    assert 0.4 < said["score"] <= 1
    assert (
        list(tmp_path.iterdir()) == [*sorted([made.tasks, made.interface])]
        or len(list(tmp_path.iterdir())) == 2
    )


def test_the_least_confident_come_first(kinds: Bundle, tmp_path: Path) -> None:
    many = pa.concat_tables([new_rows()] * 4)
    annotate(kinds, many, tmp_path / "all.json")
    scores = [task["predictions"][0]["score"] for task in tasks_of(tmp_path / "all.json")]
    made = annotate(kinds, many, tmp_path / "few.json", least_confident=5)
    chosen = [task["predictions"][0]["score"] for task in tasks_of(tmp_path / "few.json")]
    assert (made.rows, chosen) == (5, sorted(scores)[:5])
    assert annotate(kinds, many, tmp_path / "few.json", least_confident=99).rows == 12


def test_rows_with_a_label_are_left_out(kinds: Bundle, tmp_path: Path) -> None:
    partly = new_rows(kind=["a", " NA ", None])
    made = annotate(kinds, partly, tmp_path / "tasks.json")
    assert [task["data"]["row number"] for task in tasks_of(made.tasks)] == ["2", "3"]
    assert "kind" not in tasks_of(made.tasks)[0]["data"]
    assert annotate(kinds, partly, tmp_path / "tasks.json", labelled=True).rows == 3
    done = new_rows(kind=["a", "b", "c"])
    with pytest.raises(DataError, match="every row has a label already") as caught:
        annotate(kinds, done, tmp_path / "none.json")
    assert "--labelled" in str(caught.value.hint)
    assert not (tmp_path / "none.json").exists()


def test_bad_requests(kinds: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write tasks\.csv"):
        annotate(kinds, new_rows(), tmp_path / "tasks.csv")
    with pytest.raises(UsageError, match=r"the folder .* does not exist"):
        annotate(kinds, new_rows(), tmp_path / "none" / "tasks.json")
    with pytest.raises(DataError, match="column 'boxes' holds list"):
        annotate(kinds, new_rows(boxes=[[1], [2], [3]]), tmp_path / "tasks.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_numbers_by_the_width_of_their_interval(train: Train, tmp_path: Path) -> None:
    sections = {"target": "length", "features": {"width": "number", "colour": "category"}}
    rows = new_rows().drop_columns(["length"])
    with pytest.raises(UsageError, match="says nothing of how sure it is"):
        annotate(train(**sections), rows, tmp_path / "tasks.json", least_confident=1)
    sure = train(**sections, evaluate={"interval": 0.8})
    made = annotate(sure, rows, tmp_path / "tasks.json", least_confident=2)
    (said, _) = (task["predictions"][0] for task in tasks_of(made.tasks))
    assert "score" not in said
    assert isinstance(said["result"][0]["value"]["number"], float)
    (number,) = ElementTree.fromstring(made.interface.read_text()).iter("Number")
    assert number.get("name") == "length"


@pytest.mark.slow
def test_names_that_are_no_words_and_columns_of_sql(train: Train, tmp_path: Path) -> None:
    sql = 'SELECT kind, length AS "the length", width FROM source'
    data = {"source": "flowers.csv", "sql": sql, "split": {"method": "random", "validation": 0.2}}
    shaped = train(data=data, exclude=[])
    made = annotate(shaped, new_rows(wild=["yes"] * 3), tmp_path / "raw.json")
    assert made.hidden == ("row number",)  # of the raw columns, from which data.sql makes those of the model
    assert tasks_of(made.tasks)[0]["data"].keys() >= {"length", "row number"}


def test_labels_come_back_as_rows(kinds: Bundle, tmp_path: Path, write_flowers: Any) -> None:
    """Tasks out; people agree with the model; the export in: the labels are what the model had said."""
    source = labelled_export(kinds, tmp_path, write_flowers)
    found = pa.Table.from_batches(list(LabelStudioSource.model_validate(source).batches()))
    assert found.column_names == ["length", "width", "colour", "seen", "wild", "kind"]
    assert found.num_rows == 60


@pytest.mark.slow
def test_labels_come_back_into_training(
    kinds: Bundle, train: Train, tmp_path: Path, write_flowers: Any
) -> None:
    source = labelled_export(kinds, tmp_path, write_flowers)
    again = train(data={"source": source, "split": {"method": "random", "validation": 0.2}})
    assert again.manifest.task.classes == ("a", "b", "c")
    assert (again.manifest.metrics["test"]["accuracy"] or 0) > 0.7


def labelled_export(kinds: Bundle, folder: Path, write_flowers: Any) -> dict[str, str]:
    new, out = write_flowers(folder / "new.csv", rows=60, seed=7), folder / "t.json"
    command = ["annotate", str(kinds.path), str(new), "-o", str(out), "--labelled"]
    done = CliRunner().invoke(dml, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output == f"60 tasks -> {out}\nlabelling interface -> {folder}/t.xml\n"
    tasks = tasks_of(out)
    for number, task in enumerate(tasks):
        result = task["predictions"][0]["result"]
        task |= {"id": number, "annotations": [{"id": number, "completed_by": 1, "result": result}]}
    (folder / "export.json").write_text(json.dumps(tasks))
    return {"type": "label-studio", "path": str(folder / "export.json")}
