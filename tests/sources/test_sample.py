from __future__ import annotations

import importlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import ValidationError

from declarative_ml.core.columns import row_hashes, typed_batches
from declarative_ml.core.digest import digest_json
from declarative_ml.core.errors import MissingDependency
from declarative_ml.core.optional import installed
from declarative_ml.sources import messy, tickets
from declarative_ml.sources.inference import RuleInference
from declarative_ml.sources.sample import SampleSource


@pytest.mark.parametrize(
    ("name", "rows", "columns", "target", "classes"),
    [
        ("iris", 150, 5, "species", {"setosa": 50, "versicolor": 50, "virginica": 50}),
        ("wine", 178, 14, "cultivar", {"class_0": 59, "class_1": 71, "class_2": 48}),
        ("breast_cancer", 569, 31, "diagnosis", {"malignant": 212, "benign": 357}),
        ("diabetes", 442, 11, "progression", None),
        ("digits", 1797, 65, "digit", None),
        ("messy", 2000, 15, "returned", {"no": 1179, "yes": 821}),
        ("tickets", 1000, 6, "team", {"billing": 318, "delivery": 333, "technical": 349}),
    ],
)
def test_tables_are_whole_and_end_in_their_target(
    name: str, rows: int, columns: int, target: str, classes: dict[str, int] | None
) -> None:
    source = SampleSource.model_validate({"name": name})
    (batch,) = source.batches()
    assert batch.schema.names == source.columns()
    assert (batch.num_rows, batch.num_columns) == (rows, columns)
    assert batch.schema.names[-1] == target
    if classes is not None:
        assert Counter(batch.column(target).to_pylist()) == classes
    assert all(path.is_file() for path in source.files())


@pytest.mark.parametrize(
    ("name", "loader"),
    [
        ("iris", "load_iris"),
        ("wine", "load_wine"),
        ("breast_cancer", "load_breast_cancer"),
        ("digits", "load_digits"),
    ],
)
def test_tables_equal_those_that_scikit_learn_loads(name: str, loader: str) -> None:
    expected = getattr(importlib.import_module("sklearn.datasets"), loader)()
    (batch,) = SampleSource.model_validate({"name": name}).batches()
    values = [[float(cell) for cell in column.to_pylist()] for column in batch.columns[:-1]]
    assert values == expected.data.T.tolist()


def test_diabetes_columns_keep_their_meaning() -> None:
    (batch,) = SampleSource(name="diabetes").batches()
    assert batch.slice(0, 1).to_pylist()[0] == {
        "age": "59", "sex": "2", "bmi": "32.1", "blood_pressure": "101.0", "tc": "157", "ldl": "93.2",
        "hdl": "38.0", "tch": "4.0", "ltg": "4.8598", "glucose": "87", "progression": "151",
    }  # fmt: skip


def test_penguins_come_from_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package folder of the same layout; the real one is an extra."""
    data = tmp_path / "palmerpenguins" / "data"
    data.mkdir(parents=True)
    (tmp_path / "palmerpenguins" / "__init__.py").write_text("raise SystemExit('must not be imported')")
    (data / "penguins.csv").write_text("species,island,sex\nAdelie,Torgersen,NA\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    source = SampleSource(name="penguins")
    assert source.columns() == ["island", "sex", "species"]
    (batch,) = source.batches()
    assert batch.to_pylist() == [{"island": "Torgersen", "sex": "NA", "species": "Adelie"}]
    assert source.files() == [data / "penguins.csv"]


@pytest.mark.skipif(installed("palmerpenguins"), reason="palmerpenguins is installed")
def test_an_absent_package_names_the_extra() -> None:
    with pytest.raises(
        MissingDependency, match=r"palmerpenguins is not installed[\s\S]*declarative-ml\[samples\]"
    ):
        SampleSource(name="penguins").files()


# Examples and documented numbers rest on these rows.
MESSY_DIGEST = "a4c02deba5eeca52b9208ce2d2e9f2f8aa70991c4207371275b4ee256611245b"
TICKETS_DIGEST = "e8eecfc60785638652574b45cc7a1ba33da2d113f1eab57b0cf35789a90a7e60"


@pytest.mark.parametrize(("table", "digest"), [(messy, MESSY_DIGEST), (tickets, TICKETS_DIGEST)])
def test_the_made_tables_do_not_change(table: ModuleType, digest: str) -> None:
    rows = table.make_rows()
    assert digest_json(rows) == digest
    assert rows[:10] == table.make_rows(10)


def test_the_made_table_has_its_quirks() -> None:
    source = SampleSource(name="messy")
    inference = RuleInference()
    for batch in source.batches():
        inference.update(batch)
    schema = inference.schema()
    kinds = {name: rule.type for name, rule in schema.columns.items()}
    assert kinds == {
        "order_id": "text", "ordered": "date", "price": "number", "weight": "number", "discount": "number",
        "quantity": "integer", "rating": "integer", "category": "text", "gift": "boolean", "postcode": "text",
        "shop": "text", "delivery_days": "text", "comment": "text", "refund": "number", "returned": "text",
    }  # fmt: skip
    told = {note.partition(":")[0] for note in inference.notes}
    assert told == {"ordered", "price", "weight", "discount", "postcode", "delivery_days"}
    (typed,) = typed_batches(source.batches(), schema)
    refunded = [refund > 0 for refund in typed.column("refund").to_pylist()]
    assert refunded == [answer == "yes" for answer in typed.column("returned").to_pylist()]
    assert len(set(row_hashes(typed).tolist())) == typed.num_rows


def test_no_library_is_imported_for_the_columns() -> None:
    code = (
        "import sys; from declarative_ml.sources.sample import SampleSource; "
        "SampleSource(name='iris').columns(); "
        "sys.exit(bool({'sklearn', 'pyarrow', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_tables_are_refused() -> None:
    with pytest.raises(ValidationError, match="iris"):
        SampleSource.model_validate({"name": "irsi"})
