"""The Python API: one small model, asked in every way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
import pytest

import declarative_ml as dml

SPEC = {
    "name": "flowers",
    "description": "Kinds <b>of</b> flowers",
    "data": {"source": "flowers.csv", "split": {"method": "random", "validation": 0.2}},
    "target": "kind",
    "model": "linear",
    "evaluate": {"slices": ["wild"]},
    "explain": {"rows": 4, "background": 8},
    "track": False,
    "resources": {"cpu": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_flowers: Callable[..., Path]) -> Path:
    place = tmp_path_factory.mktemp("flowers")
    write_flowers(place / "flowers.csv", rows=120)
    (place / "spec.yaml").write_text(json.dumps(SPEC))
    return place


@pytest.fixture(scope="module")
def spec(folder: Path) -> dml.Spec:
    return dml.load(folder / "spec.yaml")


@pytest.fixture(scope="module")
def run(spec: dml.Spec) -> dml.Run:
    return dml.run(spec)


@pytest.fixture(scope="module")
def rows(run: dml.Run) -> dml.Rows:
    return run.rows("test")


def test_every_name_is_there() -> None:
    for name in dml.__all__:
        assert getattr(dml, name) is not None
    assert set(dml.__all__) <= set(dir(dml))
    with pytest.raises(AttributeError, match="module 'declarative_ml' has no attribute 'train'"):
        dml.train  # noqa: B018


def test_five_lines(run: dml.Run, rows: dml.Rows) -> None:
    assert (run.status, run.name, run.primary) == ("ok", "flowers", "log_loss")
    assert run.metrics["test"] == run.bundle.metrics["test"]
    assert run.report.name == "report.html"
    answer = run.bundle.predict(rows)
    assert answer.columns == ["prediction", "probability", *(f"probability_{name}" for name in "abc")]
    assert len(answer) == len(rows) == 24
    assert repr(run).startswith(f"<Run {run.id} of flowers: ok, log_loss 0.")
    assert "On 24 unseen rows" in run.verdict


def test_a_second_run_is_the_first(run: dml.Run, spec: dml.Spec) -> None:
    again = dml.run(spec)
    assert again.id == run.id
    assert dml.plan(spec).to_run == []
    assert {step.status for step in again.plan.steps} == {"cached"}
    assert len(again.leaderboard) == 1


def test_the_plan_of_a_run_says_what_ran(run: dml.Run) -> None:
    assert {step.status for step in run.plan.steps} == {"run"}
    assert "flowchart LR" in run.plan.mermaid()
    assert run.plan.words()[0] == "Read flowers.csv and infer column types"


def answers(model: dml.Bundle, rows: dml.Rows) -> list[dict[str, Any]]:
    return model.predict(rows).to_pylist()


FORMS: dict[str, Callable[[pa.Table], Any]] = {
    "rows": dml.Rows,
    "arrow table": lambda table: table,
    "arrow batch": lambda table: table.combine_chunks().to_batches()[0],
    "pandas": lambda table: table.to_pandas(),
    "pandas, other index": lambda table: table.to_pandas().set_index(pandas.Index(range(7, 7 + len(table)))),
    "pandas, categorical": lambda table: table.to_pandas().astype({"colour": "category"}),
    "pandas, text for numbers": lambda table: table.to_pandas().astype({"length": str}),
    "dict of columns": lambda table: table.to_pydict(),
    "list of dicts": lambda table: table.to_pylist(),
    "dict of arrays": lambda table: {name: np.array(table[name].to_pylist()) for name in table.column_names},
}


@pytest.mark.parametrize("form", FORMS)
def test_tables_of_every_kind_get_the_same_answers(form: str, run: dml.Run, rows: dml.Rows) -> None:
    given = FORMS[form](rows.arrow)
    answer = run.bundle.predict(given)
    expected = answers(run.bundle, rows)
    if isinstance(answer, pandas.DataFrame):
        assert answer.index.equals(given.index)
        answer = answer.to_dict("records")
    elif isinstance(answer, dict):
        answer = [dict(zip(answer, row)) for row in zip(*answer.values())]
    elif not isinstance(answer, list):
        answer = answer.to_pylist()
    assert [item["prediction"] for item in answer] == [item["prediction"] for item in expected]
    probabilities = [item["probability_b"] for item in answer]
    np.testing.assert_allclose(probabilities, [item["probability_b"] for item in expected], rtol=1e-6)
    assert run.bundle.predict_proba(given).shape == (24, 3)


def test_the_answers_are_those_of_the_command_line(
    run: dml.Run, folder: Path, tmp_path: Path, dml: Any
) -> None:
    dml("predict", folder / "spec.yaml", folder / "flowers.csv", "-o", tmp_path / "out.jsonl", "--quiet")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert run.predict(folder / "flowers.csv").to_pylist() == lines


def test_files_are_scored_in_bounded_memory(run: dml.Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert run.bundle.predict_file(folder / "flowers.csv", out, keep=["kind"]) == 120
    assert pandas.read_parquet(out).columns[:2].tolist() == ["kind", "prediction"]


def test_artifacts_of_another_version_are_refused(run: dml.Run, tmp_path: Path) -> None:
    place = run.workspace.store.path(run.record.record["digests"]["assemble"]) / "assembly.json"
    text = place.read_text()
    try:
        place.chmod(0o644)
        place.write_text('{"task": 1}')
        with pytest.raises(dml.UsageError, match="was made by another version"):
            dml.find_run(run.id, store=run.workspace.root).verdict  # noqa: B018
    finally:
        place.write_text(text)


def test_formats_of_the_spec(tmp_path: Path, write_flowers: Callable[..., Path]) -> None:
    write_flowers(tmp_path / "flowers.csv")
    (tmp_path / "spec.yaml").write_text(json.dumps({**SPEC, "explain": False, "convert": ["onnx"]}))
    run = dml.run(tmp_path / "spec.yaml")
    assert [(item["name"], item["status"]) for item in run.conversions] == [("onnx", "ok")]
    assert "differs by" in run._repr_html_()
    found = dml.convert(run, "onnx", tmp_path / "out")
    assert found.status == "ok"
    assert dml.convert(run, "onnx", tmp_path / "old", opset=15).status == "refused"
    with pytest.raises(dml.UsageError, match="there is no format 'onx'"):
        dml.convert(run, "onx")


def test_one_row_as_a_dict(run: dml.Run, rows: dml.Rows) -> None:
    row = rows.to_pylist()[0]
    answer = run.predict(row)
    assert answer == answers(run.bundle, rows[:1])[0]
    assert run.predict([row]) == [answer]
    assert run.predict({**row, "length": np.float32(row["length"]), "width": None})["prediction"] in "abc"


def test_keep(run: dml.Run, rows: dml.Rows) -> None:
    kept = run.predict(rows.arrow.to_pandas(), keep=["kind", "seen"])
    assert list(kept.columns[:3]) == ["kind", "seen", "prediction"]


def test_no_rows_give_no_answers(run: dml.Run, rows: dml.Rows) -> None:
    assert len(run.predict(rows[:0])) == 0
    assert run.bundle.predict_proba(rows[:0]).shape == (0, 3)
    with pytest.raises(TypeError, match=r"rows are cut by a slice, such as rows\[:5\]"):
        rows[0]  # type: ignore[index]


REFUSED = [
    (3, "a int is no table"),
    ([{"length": 1.0}], "row 1 lacks the column(s) 'colour', 'seen', 'width', 'wild'"),
    ({"length": [1.0, 2.0]}, "the data lacks the column(s) 'colour', 'seen', 'width', 'wild'"),
    (np.zeros((2, 3)), "the array has 3 columns, the model takes 5"),
    (
        {
            "length": [1, "long"],
            "width": [1, 2],
            "colour": ["", ""],
            "seen": [None, None],
            "wild": ["yes", "no"],
        },
        "1 value(s) do not fit: column 'length', row 2: 'long' is not a number",
    ),
    ({"length": [1.0, 2.0], "width": [1.0]}, "unequal numbers of rows (length: 2, width: 1)"),
    ({"length": [1.0, 2.0], "width": 1.0}, "the column 'width' is 1.0, not a list of values"),
    ("nowhere.csv", "nowhere.csv"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_does_not_fit_is_named(given: Any, message: str, run: dml.Run) -> None:
    with pytest.raises(dml.DataError) as error:
        run.predict(given)
    assert message in error.value.message


def test_twice_the_same_column_is_refused(run: dml.Run, rows: dml.Rows) -> None:
    frame = rows.arrow.to_pandas()
    with pytest.raises(dml.DataError, match="several columns called 'length'"):
        run.predict(pandas.concat([frame, frame[["length"]]], axis=1))


def test_evaluate(run: dml.Run, rows: dml.Rows) -> None:
    found = run.evaluate(rows, slices=["wild"])
    assert found.rows == 24
    assert found.metrics["accuracy"] == run.metrics["test"]["accuracy"]
    assert [item["slice"] for item in found.slices] == ["wild = no", "wild = yes"]
    assert run.bundle.evaluation.metrics == run.metrics["test"]
    assert dml.evaluate(run, rows.arrow.to_pandas()).metrics == found.metrics


def test_explain(run: dml.Run, rows: dml.Rows) -> None:
    stored = run.explain()
    assert len(stored) == 4
    assert stored.outputs == ["a", "b", "c"]
    assert list(stored.importance) == sorted(stored.importance, key=lambda name: -stored.importance[name])
    fresh = dml.explain(run, rows[:2])
    assert len(fresh) == 2
    parts = fresh.rows[0]
    whole = parts["base"]["a"] + sum(value["a"] for value in parts["values"].values())
    assert whole == pytest.approx(parts["prediction"]["a"], abs=1e-5)
    assert len(run.explain(rows.to_pylist()[0])) == 1


def test_a_bundle_alone(run: dml.Run, tmp_path: Path) -> None:
    from declarative_ml.store.bundle import zip_bundle

    model = dml.open(zip_bundle(run.bundle.path, tmp_path / "flowers.zip"))
    assert (model.name, model.target, model.task, model.classes) == (
        "flowers", "kind", "multiclass", ["a", "b", "c"],
    )  # fmt: skip
    assert model.columns == {
        "length": "number", "width": "number", "colour": "category", "seen": "date", "wild": "binary",
    }  # fmt: skip
    assert len(model.predict(model.examples(3))) == 3
    assert model.evaluation.rows == 24
    assert repr(model) == "<Bundle flowers: multiclass kind from 5 columns>"


def test_models_are_found_by_whatever_names_them(run: dml.Run, spec: dml.Spec, folder: Path) -> None:
    digest = run.model_digest
    for given in (run, spec, run.bundle, folder / "spec.yaml", str(run.bundle.path)):
        assert dml.open(given).manifest.model_digest == digest


def test_runs_and_comparisons(run: dml.Run, folder: Path) -> None:
    changed = dml.load(folder / "spec.yaml", overrides={"model.iterations": 40, "description": 'a "b" # c'})
    assert changed.options["description"] == 'a "b" # c'
    other = dml.run(changed)
    found = dml.runs(folder / "spec.yaml")
    assert [each.id for each in found][:2] == [other.id, run.id]
    assert dml.find_run(run.id, folder / "spec.yaml").name == "flowers"
    compared = dml.compare(run.id, other.id, spec=folder / "spec.yaml")
    assert compared.options["model.iterations"] == [300, 40]
    assert compared.metrics["test"]["accuracy"][0] == run.metrics["test"]["accuracy"]
    different = dml.diff(folder / "spec.yaml", changed)
    assert different
    assert different.steps["train.linear.final"] == "changed"
    assert not dml.diff(folder / "spec.yaml", folder / "spec.yaml")
    assert dml.why("split", changed) == {"split": "cached: nothing that it depends on has changed"}
    with pytest.raises(dml.UsageError, match="no run 'nope'"):
        dml.find_run("nope", folder / "spec.yaml")


def test_all_problems_at_once(folder: Path) -> None:
    wrong = {"model": "lineer", "target": "kinds"}
    with pytest.raises(dml.SpecError) as error:
        dml.load(folder / "spec.yaml", overrides=wrong)
    assert [problem.code for problem in error.value.problems] == ["DML016", "DML201"]
    found = dml.validate(folder / "spec.yaml", overrides=wrong)
    assert not found.ok
    assert repr(found) == "<Problems: 2 error(s), 0 warning(s)>"
    assert "did you mean 'linear'?" in str(found)
    assert dml.validate(folder / "spec.yaml").ok


def test_data_that_is_not_there_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("name: a\ndata: {source: no.csv}\ntarget: y\n")
    assert [problem.code for problem in dml.validate(tmp_path / "spec.yaml")] == ["DML202"]
    assert dml.validate(tmp_path / "spec.yaml", data=False).ok
    with pytest.raises(dml.DataError, match=r"no\.csv"):
        dml.load(tmp_path / "spec.yaml")


def test_a_run_that_fails(folder: Path) -> None:
    wrong = dml.load(folder / "spec.yaml", overrides={"target": {"column": "colour", "type": "number"}})
    with pytest.raises(dml.DmlError, match="colour"):
        dml.run(wrong)
    failed = dml.run(wrong, check=False)
    assert failed.status == "failed"
    assert isinstance(failed.error, dml.DmlError)
    for wanted, message in (("bundle", "made no bundle"), ("report", "has no report")):
        with pytest.raises(dml.UsageError, match=message):
            getattr(failed, wanted)
    with pytest.raises(dml.UsageError, match="did not get to the step"):
        failed.content  # noqa: B018
    assert "failed" in failed._repr_html_()


def test_a_spec_without_a_run(tmp_path: Path, write_flowers: Callable[..., Path]) -> None:
    write_flowers(tmp_path / "flowers.csv")
    made = dml.init(tmp_path / "flowers.csv", "kind", tmp_path / "spec.yaml")
    assert made.options["target"]["column"] == "kind"
    with pytest.raises(dml.UsageError, match="has no finished run yet"):
        dml.open(made)
    with pytest.raises(dml.UsageError, match="exists already"):
        dml.init(tmp_path / "flowers.csv", "kind", tmp_path / "spec.yaml")


def test_sql_is_applied_to_raw_rows_and_not_twice(tmp_path: Path, write_flowers: Callable[..., Path]) -> None:
    write_flowers(tmp_path / "flowers.csv")
    shaped = {"source": "flowers.csv", "sql": "SELECT length * 2 AS length, colour, kind FROM source"}
    (tmp_path / "spec.yaml").write_text(json.dumps({**SPEC, "data": shaped, "evaluate": {}}))
    run = dml.run(tmp_path / "spec.yaml")
    raw = pandas.read_csv(tmp_path / "flowers.csv", keep_default_na=False)
    from_raw = run.predict(raw, keep=["length"])
    assert from_raw["length"].tolist() == pytest.approx((raw["length"] * 2).tolist())
    rows = run.rows("test")
    assert run.evaluate(rows).metrics["accuracy"] == run.metrics["test"]["accuracy"]
    assert len(run.explain(rows[:1])) == len(run.predict(rows[:1])) == 1


def test_the_workshop(run: dml.Run, folder: Path) -> None:
    assert dml.schema("plan")["title"] == "declarative-ml plan, version 1"
    with pytest.raises(dml.UsageError, match="there is no schema 'specs'"):
        dml.schema("specs")
    assert "tabular-binary" in [each["name"] for each in dml.templates(folder)]
    assert {"onnx", "sql"} <= {each.name for each in dml.list_formats()}
    assert dml.migrate(folder / "spec.yaml").changes is False
    assert {check.name for check in dml.doctor()} >= {"python", "numpy"}


def test_a_store_that_was_cleaned(tmp_path: Path, write_flowers: Callable[..., Path]) -> None:
    write_flowers(tmp_path / "flowers.csv")
    (tmp_path / "spec.yaml").write_text(json.dumps({**SPEC, "explain": False}))
    run = dml.run(tmp_path / "spec.yaml")
    assert dml.gc(5, tmp_path / "spec.yaml") == (0, 0)
    shutil.rmtree(run.workspace.store.path(run.record.record["digests"]["split"]))
    with pytest.raises(dml.UsageError, match="the store no longer has the step 'split'"):
        run.rows("test")
    assert len(run.predict(run.bundle.examples(2))) == 2
