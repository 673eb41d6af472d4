"""Samples of rows, and what is found in them, from nasty columns and however the rows are cut."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.core.columns import hash_places
from declarative_ml.core.task import Task
from declarative_ml.learning.relations import Relations, find_relations
from declarative_ml.learning.row_sample import RowSample
from declarative_ml.learning.statistics import ColumnProfiler
from declarative_ml.learning.suspicions import Suspicion, find_suspicions

ROWS = 600
BINARY = Task(target="y", type="binary", classes=("no", "yes"))
NUMBER = Task(target="y", type="number")


def sampled(table: pa.Table, block: int = 100_000, size: int | None = None) -> RowSample:
    table = table.combine_chunks()
    sample = RowSample(table.schema, size)
    for start in range(0, len(table), block):
        batch = table.slice(start, block).combine_chunks().to_batches()[0]
        sample.update(batch, hash_places(np.arange(start, start + batch.num_rows)))
    return sample


def related(columns: dict[str, object], features: dict[str, str], task: Task = BINARY) -> Relations:
    return find_relations(sampled(pa.table(columns)), features, task)


def suspected(columns: dict[str, object], features: dict[str, str], task: Task = BINARY) -> list[Suspicion]:
    table = pa.table(columns)
    profiles = []
    for name in table.column_names:
        profiler = ColumnProfiler(name, table.schema.field(name).type)
        profiler.update(table.column(name).combine_chunks(), hash_places(np.arange(len(table))))
        profiles.append(profiler.profile())
    sample = sampled(table)
    return find_suspicions(sample.table(), find_relations(sample, features, task), profiles, "y")


def mixed(rows: int = ROWS) -> pa.Table:
    random = np.random.default_rng(0)
    x = random.normal(size=rows)
    return pa.table(
        {
            "x": x,
            "z": pa.array(
                np.where(random.random(rows) < 0.2, np.nan, -x + random.normal(size=rows)), from_pandas=True
            ),
            "kind": np.array(["a", "b", "c", None], dtype=object)[random.integers(0, 4, rows)],
            "words": [f"word{'s' * (place % 90)}" for place in range(rows)],
            "is": x > 0.5,
            "day": [
                datetime.date(2024, 1, 1) + datetime.timedelta(days=place % 300) for place in range(rows)
            ],
            "y": np.where(x + random.normal(size=rows) > 0, "yes", "no"),
        }
    )


FEATURES = {"x": "number", "z": "number", "kind": "category", "words": "text", "is": "binary", "day": "date"}


@pytest.mark.parametrize("block", [1, 37, 100, 599])
def test_the_same_rows_are_found_however_they_are_cut(block: int) -> None:
    table = mixed()
    whole, cut = sampled(table, size=150), sampled(table, block, size=150)
    assert cut.table().equals(whole.table())
    assert cut.seen == ROWS and len(cut.table()) == 150
    np.testing.assert_array_equal(cut.lengths("words"), whole.lengths("words"))
    assert find_relations(cut, FEATURES, BINARY) == find_relations(whole, FEATURES, BINARY)


def test_merged_samples_equal_one() -> None:
    table, hashes = mixed().combine_chunks(), hash_places(np.arange(ROWS))
    first, second = RowSample(table.schema, 100), RowSample(table.schema, 100)
    first.update(table.slice(0, 350).combine_chunks().to_batches()[0], hashes[:350])
    second.update(table.slice(350).combine_chunks().to_batches()[0], hashes[350:])
    first.merge(second)
    assert first.seen == ROWS
    assert first.table().equals(sampled(table, size=100).table())


def test_a_sample_holds_all_rows_while_there_are_few_and_texts_in_part() -> None:
    table = mixed()
    sample = sampled(table)
    assert sorted(sample.table().column("x").to_pylist()) == sorted(table.column("x").to_pylist())
    assert max(map(len, sample.table().column("words").to_pylist())) == 64
    assert sorted(sample.lengths("words").tolist()) == sorted(map(len, table.column("words").to_pylist()))
    assert RowSample(pa.schema([(str(place), pa.int64()) for place in range(1000)])).size == 2_000


def test_columns_against_the_target() -> None:
    found = find_relations(sampled(mixed()), FEATURES, BINARY)
    by_name = {item.column: item for item in found.target}
    assert found.rows == found.of == ROWS
    assert [abs(item.value or 0.0) for item in found.target] == sorted(
        (abs(item.value or 0.0) for item in found.target), reverse=True
    )
    assert by_name["x"].measure == by_name["is"].measure == "rank correlation"
    assert (by_name["x"].value or 0) > 0.5 > 0 > (by_name["z"].value or 0)
    assert (by_name["x"].auc or 0) > 0.75
    assert by_name["kind"].measure == "Cramér's V"
    assert by_name["words"].is_length and not by_name["x"].is_length
    assert found.columns[0] == "y" and len(found.values) == len(found.columns) == 7
    assert [len(row) for row in found.values] == list(range(7))


def test_the_target_along_numbers_levels_and_dates() -> None:
    columns = {
        "x": np.repeat([1.0, 2.0, 3.0], 40),
        "kind": ["a", "b"] * 60,
        "y": np.repeat([10.0, 20.0, 60.0], 40),
    }
    found = {
        item.column: item for item in related(columns, {"x": "number", "kind": "category"}, NUMBER).target
    }
    assert [(part.low, part.high, part.rows, part.mean) for part in found["x"].along] == [
        (1.0, 1.0, 40, 10.0), (2.0, 2.0, 40, 20.0), (3.0, 3.0, 40, 60.0),
    ]  # fmt: skip
    assert [(part.level, part.rows, part.mean) for part in found["kind"].along] == [
        ("a", 60, 30.0),
        ("b", 60, 30.0),
    ]
    assert (found["x"].value, found["x"].pearson) == (1.0, pytest.approx(0.9449, abs=1e-4))
    many = related({"x": np.arange(500.0), "y": np.arange(500.0)}, {"x": "number"}, NUMBER).target[0].along
    assert [part.rows for part in many] == [50] * 10
    assert [part.mean for part in many] == [24.5 + 50 * place for place in range(10)]


NASTY = {
    "missing": pa.nulls(ROWS, pa.float64()),
    "no text": pa.nulls(ROWS, pa.string()),
    "constant": np.ones(ROWS),
    "infinite": np.where(np.arange(ROWS) % 2, np.inf, -np.inf),
    "one value": pa.array([1.0] + [None] * (ROWS - 1)),
    "unique": [f"id {place}" for place in range(ROWS)],
    "huge": np.where(np.arange(ROWS) % 2, 1e300, -1e300),
}


@pytest.mark.parametrize(
    "task", [BINARY, NUMBER, Task(target="y", type="multiclass", classes=("a", "b", "c"))]
)
def test_nasty_columns(task: Task) -> None:
    random = np.random.default_rng(0)
    target = (
        random.normal(size=ROWS)
        if task is NUMBER
        else np.array(task.classes)[random.integers(0, len(task.classes), ROWS)]
    )
    kinds = {name: "category" if name in ("no text", "unique") else "number" for name in NASTY}
    columns = {**NASTY, "y": target}
    found = {item.column: item.value for item in related(columns, kinds, task).target}
    assert {name for name, value in found.items() if value is not None} == {"huge"}
    noticed = {(item.kind, item.columns) for item in suspected(columns, kinds, task)}
    assert noticed >= {("sparse", ("missing",)), ("sparse", ("no text",)), ("single", ("constant",))}
    assert not {kind for kind, _ in noticed} & {"leak", "strong", "missing", "same"}


def test_one_row_and_a_hundred_thousand_levels() -> None:
    one = related({"x": [1.0], "k": ["a"], "y": ["yes"]}, {"x": "number", "k": "category"})
    assert [item.value for item in one.target] == [None, None]
    random = np.random.default_rng(0)
    levels = [f"M{number}" for number in random.integers(0, 100_000, 40_000)]
    target = np.where(random.random(40_000) < 0.5, "yes", "no")
    many = related({"k": levels, "y": target}, {"k": "category"})
    assert (many.rows, many.of, many.target[0].value) == (5_000, 40_000, None)


def test_features_declared_of_another_type_than_the_column() -> None:
    codes = np.arange(ROWS) % 3
    columns = {
        "code": codes,
        "price": ["1.5", "n/a", "2.5"] * (ROWS // 3),
        "when": ["2024-01-02", "soon", "2024-03-04"] * (ROWS // 3),
        "y": np.where(codes == 1, "yes", "no"),
    }
    found = related(columns, {"code": "category", "price": "number", "when": "date"})
    by_name = {item.column: item for item in found.target}
    assert by_name["code"].measure == "Cramér's V" and (by_name["code"].value or 0) > 0.99
    assert by_name["price"].missing == by_name["when"].missing == 1.0


def test_suspicions_the_gravest_first() -> None:
    random = np.random.default_rng(0)
    yes = random.random(ROWS) < 0.3
    columns = {
        "recoded": np.where(yes, "Y", "N"),
        "late": pa.array(np.where(yes & (random.random(ROWS) < 0.9), 1.0, np.nan), from_pandas=True),
        "score": yes + 0.38 * random.normal(size=ROWS).clip(-1.2, 1.2),
        "metres": np.arange(ROWS) * 2.0,
        "feet": np.arange(ROWS) * 6.56,
        "flag": pa.array([1] * (ROWS - 3) + [0] * 3),
        "y": np.where(yes, "yes", "no"),
    }
    kinds = dict.fromkeys(columns, "number") | {"recoded": "category"}
    del kinds["y"]
    found = suspected(columns, kinds)
    assert [(item.kind, item.columns) for item in found] == [
        ("leak", ("recoded",)),
        ("strong", ("score",)),
        ("missing", ("late",)),
        ("same", ("metres", "feet")),
        ("sparse", ("late",)),
        ("single", ("flag",)),
    ]
    assert [item.is_grave for item in found] == [True, True, True, False, False, False]
    assert found[0].reason == "each of its values has one value of the target 'y'"
    assert found[1].reason.startswith("it alone nearly tells the target 'y': a ROC AUC of ")
    assert found[4].reason.startswith("it is missing in 7")
    assert found[5].reason == "it is 1 in 99.5 % of the rows"


def test_a_copy_is_found_in_a_wide_table() -> None:
    values = np.random.default_rng(0).normal(size=(120, ROWS))
    columns: dict[str, object] = {f"c{place:03d}": row for place, row in enumerate(values)}
    columns |= {"copy": 3.0 - values[100], "y": np.where(values[0] > 0, "yes", "no")}
    found = related(columns, dict.fromkeys(name for name in columns if name != "y") | {})  # type: ignore[arg-type]
    assert len(found.columns) == 41
    assert [set(pair.columns) for pair in found.pairs] == [{"c100", "copy"}]
