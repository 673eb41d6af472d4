"""What is said, and what is not, about features, leaks, splits and classes: one table of columns a case."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from declarative_ml.core.columns import row_hashes, typed_batches
from declarative_ml.core.errors import DataError, Problem
from declarative_ml.core.schema import DEFAULT_MISSING
from declarative_ml.features.date import Date
from declarative_ml.learning.statistics import ColumnProfiler
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.inference import RuleInference
from declarative_ml.spec.doubt import Look
from declarative_ml.spec.doubtful_features import silence_doubt
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.sampled_rows import sample_rows
from declarative_ml.steps.profile import infer_feature

Problems = Callable[..., list[Problem]]
Columns = dict[str, Sequence[object]]

ROWS = 60
N = range(ROWS)
BASE: Columns = {"z": [n * 7 % 11 for n in N], "y": ["yes" if n % 5 < 2 else "no" for n in N]}
AMOUNT: Columns = {"z": [n * 7 % 11 for n in N], "y": [round((n * n % 97) * 1.5, 1) for n in N]}
SPEC = "data: {source: t.csv}\ntarget: y\n"


def write(folder: Path, columns: Columns) -> None:
    with (folder / "t.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def letters(number: int) -> str:
    return chr(97 + number % 26) + chr(97 + number // 26 % 26)


def mixed(values: Sequence[object], **exceptions: object) -> list[object]:
    """The values with other ones in some rows: `r5="x"` puts "x" into row 5."""
    changed = list(values)
    for row, value in exceptions.items():
        changed[int(row[1:]) - 1] = value
    return changed


DATES = [f"{1 + n % 28:02d}/{1 + n // 28:02d}/2024" for n in N]


TYPES = {
    "word": (
        "number",
        mixed(N, r7="n.d."),
        "1 of the 60 rows holds none: 'n.d.' (row 7)",
        "'n.d.' to data.missing",
    ),
    "words": (
        "number",
        mixed(N, r7="n.d.", r9="low"),
        "2 of the 60 rows hold none, such as 'n.d.' (row 7)",
        "add 'n.d.', 'low' to data.missing",
    ),
    "word-among-money": (
        "number",
        mixed([f"${n},500" for n in range(1, 61)], r2="free"),
        "1 of the 60 rows holds none: 'free' (row 2)",
        "'free' to data.missing",
    ),
    "texts": ("number", ["red", "green"] * 30, "its cells are texts such as 'red' (row 1)", "write category"),
    "dates": ("number", DATES, "its cells are dates such as '01/01/2024' (row 1)", "write date"),
    "units": (
        "number",
        [f"{n} kg" if n % 2 else n for n in N],
        "in different ways: '0' (row 1), '1 kg' (row 2)",
        "in one way",
    ),
    "commas": (
        "number",
        ["1.5", "2,5"] * 30,
        "in different ways: '1.5' (row 1), '2,5' (row 2)",
        "in one way",
    ),
    "ranges": (
        "number",
        mixed(N, r4="10-20"),
        "1 of the 60 rows holds none: '10-20' (row 4)",
        "correct these cells",
    ),
    "date-of-numbers": (
        "date",
        [20240101 + n % 28 for n in N],
        "its cells are numbers such as '20240101' (row 1), which count as missing",
        "strptime(…, '%Y%m%d')",
    ),
    "date-of-seconds": ("date", [1700000000 + n for n in N], "numbers such as '1700000000'", "to_timestamp"),
    "date-of-years": ("date", [1950 + n for n in N], "numbers such as '1950' (row 1)", "write number"),
    "date-of-texts": ("date", ["soon", "later"] * 30, "its cells are texts such as 'soon'", "write category"),
    "date-with-word": (
        "date",
        mixed(DATES, r3="lost"),
        "1 of the 60 rows holds none: 'lost' (row 3); so the column",
        "add 'lost' to data.missing",
    ),
    "dates-in-two-orders": (
        "date",
        [f"{13 + n % 9}/01/2024" if n % 2 else f"01/{13 + n % 9}/2024" for n in N],
        "its cells are dates such as '01/13/2024' (row 1), which count as missing",
        "in one way",
    ),
    "binary": ("binary", ["a", "b", "c"] * 20, "it holds 'a', 'b', 'c'", "write category"),
    "binary-numbers": ("binary", [n % 7 for n in N], "it holds '0', '1', '2', '3', …", "write number"),
    "binary-dates": ("binary", DATES, "it holds '01/01/2024'", "write date"),
    "binary-blanks": (
        "binary",
        ["yes", " yes", "no"] * 20,
        "it holds 'yes', ' yes', 'no'",
        "spell each value",
    ),
}


@pytest.mark.parametrize("case", TYPES.values(), ids=TYPES)
def test_cells_speak_against_a_type(
    case: tuple[str, list[object], str, str], problems: Problems, folder: Path
) -> None:
    kind, values, words, hint = case
    write(folder, {"x": values, **BASE})
    found = problems(f"{SPEC}features: {{z: number, x: {kind}}}", data=True)
    assert [(each.code, each.severity, each.path) for each in found] == [("DML113", "warning", "features.x")]
    assert f"'x' is declared {'' if kind == 'binary' else 'a '}{kind}, and" in found[0].message
    assert words in found[0].message
    assert hint in str(found[0].hint)
    assert (found[0].line, found[0].column) == (3, 23)


FITTING = {
    "money": ("number", [f"${n},500.50" for n in range(1, 61)]),
    "units": ("number", [f"{n} kg" for n in (3, 5, 8) * 20]),
    "decimal-commas": ("number", ["1,5", "2,25", "3"] * 20),
    "thousands": ("number", ["1,500", "12", "7"] * 20),
    "codes": ("number", ["007", "012", "9"] * 20),
    "true": ("number", ["true", "FALSE"] * 30),
    "missing": ("number", ["", "NA", "1.5", " 2 "] * 15),
    "measurements": ("number", [n * 7919 % 100_003 for n in N]),
    "decimals": ("number", [n + 0.25 for n in N]),
    "years": ("number", [1960 + n for n in N]),
    "seconds": ("number", [1_700_000_000 + 3600 * n for n in N]),
    "iso-with-words": ("date", mixed([f"2024-01-{1 + n % 28:02d}" for n in N], r3="lost")),
    "day-first": ("date", DATES),
    "months": ("date", [f"2024-{1 + n % 12:02d}" for n in N]),
    "moments": ("date", [f"2024-01-{1 + n % 28:02d} 10:{n % 60:02d}" for n in N]),
    "binary-spellings-of-one-number": ("binary", ["1", "1.0", "0"] * 20),
    "binary-of-booleans": ("binary", ["TRUE", "true", "false"] * 20),
    "category": ("category", ["a", "b", "c"] * 20),
    "category-of-numbers": ("category", [n % 7 for n in N]),
    "category-that-repeats-once": ("category", mixed([letters(n) for n in N], r60=letters(0))),
}


@pytest.mark.parametrize("case", FITTING.values(), ids=FITTING)
def test_features_that_nobody_complains_about(
    case: tuple[str, list[object]], problems: Problems, folder: Path
) -> None:
    kind, values = case
    write(folder, {"x": values, **BASE})
    assert problems(f"{SPEC}features: {{z: number, x: {kind}}}", data=True) == []


SILENT = {
    "constant": ("category", ["north"] * ROWS, "'x' is 'north' in each of the 60 rows", "delete it"),
    "missing": ("number", [""] * ROWS, "'x' is missing in each of the 60 rows", "data.missing"),
    "counter": (
        "number",
        N,
        "a different whole number in each of the 60 rows: it counts the rows",
        "delete it",
    ),
    "counter-of-tens": ("number", [10 * n for n in N], "it counts the rows", "delete it"),
    "counter-with-decimals": ("number", [f"{n}.0" for n in N], "it counts the rows", "delete it"),
    "shuffled": ("number", [100 + n * 7 % 60 for n in N], "it looks like an id", "delete it"),
    "mail": (
        "category",
        [f"{letters(n)}@shop.example" for n in N],
        "different in each of the 60 rows: it looks like an id",
        "split by group",
    ),
    "uuid": (
        "category",
        [f"{n:08x}-0000-4000-8000-00000000000a" for n in N],
        "it looks like an id",
        "delete it",
    ),
    "code": ("category", [f"A-{n:05d}" for n in N], "it looks like an id", "delete it"),
    "text": (
        "category",
        [f"text about {letters(n)}" for n in N],
        "learned from values that repeat",
        "write text",
    ),
    "shapes": ("category", [f"{letters(n)} {letters(n + 7)}" for n in N], "that repeat", "repeats"),
    "numbers": ("category", [n + 0.5 for n in N], "learned from values that repeat", "write number"),
    "dates": ("category", DATES, "learned from values that repeat", "write date"),
}


@pytest.mark.parametrize("case", SILENT.values(), ids=SILENT)
def test_features_that_tell_nothing(
    case: tuple[str, Sequence[object], str, str], problems: Problems, folder: Path
) -> None:
    kind, values, words, hint = case
    write(folder, {"x": values, **BASE})
    found = problems(f"{SPEC}features: {{z: number, x: {kind}}}", data=True)
    assert [(each.code, each.severity, each.path) for each in found] == [("DML112", "warning", "features.x")]
    assert words in found[0].message
    assert hint in str(found[0].hint)


def test_a_number_called_id_is_one(problems: Problems, folder: Path) -> None:
    far_apart = [n * 7919 % 100_003 for n in N]
    for name in ("customer_id", "laptop_ID", "PassengerId", "id"):
        write(folder, {name: far_apart, **BASE})
        found = problems(SPEC, data=True)
        assert [(each.code, each.path, each.hint) for each in found] == [
            (
                "DML112",
                "data.source",
                f"exclude: [{name}]; if rows come in an order that matters, split by time",
            ),
        ]
    for name in ("paid", "grid", "width", "price"):
        write(folder, {name: far_apart, **BASE})
        assert problems(SPEC, data=True) == []


def test_what_a_run_leaves_out_by_itself_is_not_said(problems: Problems, folder: Path) -> None:
    columns = {name: case[1] for name, case in SILENT.items()} | dict(BASE)
    write(folder, columns)
    said = {each.message.split("'")[1] for each in problems(SPEC, data=True) if each.code == "DML112"}
    assert said == {"counter-of-tens", "counter-with-decimals"}
    kept = _features_of_a_run(folder / "t.csv")
    assert said <= kept
    assert kept - said == {"z", "y", "text", "numbers", "dates"}


def _features_of_a_run(path: Path) -> set[str]:
    """The columns that the run would use by `features: auto`."""
    source, inference = FileSource(path=str(path)), RuleInference(DEFAULT_MISSING)
    for batch in source.batches():
        inference.update(batch)
    (block,) = typed_batches(source.batches(), inference.schema())
    kept = set()
    for field, column in zip(block.schema, block.columns, strict=True):
        profiler = ColumnProfiler(field.name, field.type)
        profiler.update(column, row_hashes(block, 0))
        if infer_feature(profiler.profile())[0] is not None:
            kept.add(field.name)
    return kept


def test_fewer_than_fifty_rows_show_nothing(problems: Problems, folder: Path) -> None:
    write(folder, {"x": range(49), "same": [1] * 49, "y": ["a"] * 49})
    assert problems(f"{SPEC}features: {{x: number, same: number}}", data=True) == []


def test_rows_from_further_down_take_a_suspicion_back(problems: Problems, folder: Path) -> None:
    first, last = 1000, 4000
    rows = range(first + last)
    late = [n >= first for n in rows]
    write(
        folder,
        {
            "shop": ["south" if after else "north" for after in late],
            "mail": [f"{n % first}@a.example" for n in rows],
            "x": [n % 3 if after else n % 2 for n, after in zip(rows, late, strict=True)],
            "y": ["no" if after else ["yes", "no"][n % 2] for n, after in zip(rows, late, strict=True)],
            "sorted": ["b" if after else "a" for after in late],
        },
    )
    spec = f"{SPEC}features: {{shop: category, mail: category, x: category}}"
    assert problems(spec, data=True) == []
    assert (
        problems(spec.replace("target: y", "target: sorted").replace("shop: category, ", ""), data=True) == []
    )


LEAKS = {
    "itself": (BASE["y"], "'x' is the target 'y' itself, in all of the 60 rows"),
    "other-words": (
        ["J" if each == "yes" else "N" for each in BASE["y"]],
        "'x' says the target 'y' in other words: 'J' for 'yes'",
    ),
    "numbers": (
        [1 if each == "yes" else 2 for each in BASE["y"]],
        "'x' says the target 'y' in other words: '1' for 'yes'",
    ),
    "finer": (
        [f"{each}{n % 3}" for n, each in enumerate(BASE["y"])],
        "'x' tells the target 'y': each of its values stands beside one class only",
    ),
    "amount": (
        [n + 3.5 if each == "yes" else 0 for n, each in enumerate(BASE["y"])],
        "'x' tells the target 'y': it is '0' where that is 'no', and nowhere else",
    ),
    "filled-in-later": (
        ["" if each == "no" else f"2024-01-{1 + n % 28:02d}" for n, each in enumerate(BASE["y"])],
        "'x' tells the target 'y': it is missing where that is 'no', and nowhere else",
    ),
}


@pytest.mark.parametrize("case", LEAKS.values(), ids=LEAKS)
def test_leaks_of_a_class(case: tuple[Sequence[object], str], problems: Problems, folder: Path) -> None:
    values, words = case
    write(folder, {"x": values, **BASE})
    found = problems(f"{SPEC}features: auto", data=True)
    assert [(each.code, each.path, each.hint) for each in found] == [
        ("DML114", "features", "known only when the target is? exclude: [x]")
    ]
    assert words in found[0].message
    found = problems(f"{SPEC}features: {{z: number, x: category}}", data=True)
    assert [(each.path, each.hint) for each in found if each.code == "DML114"] == [
        ("features.x", "known only when the target is? delete it here")
    ]


Y = [float(str(value)) for value in AMOUNT["y"]]
NUMBER_LEAKS = {
    "itself": ({"x": Y}, "'x' is the target 'y' itself"),
    "other-unit": ({"x": [round(1.8 * y + 32, 1) for y in Y]}, "'x' is the target 'y' in other numbers"),
    "gaps": (
        {"x": ["" if n % 8 == 7 else 2 * y for n, y in enumerate(Y)]},
        "'x' is the target 'y' in other numbers",
    ),
    "sum": (
        {"w": [y - n for n, y in enumerate(Y)], "x": [n * 13 % 7 + 0.5 for n in N], "v": N},
        "'w' + 'v' is the target 'y'",
    ),
    "difference": (
        {"w": [y + n * 13 % 17 for n, y in enumerate(Y)], "x": [n * 13 % 17 for n in N]},
        "'w' - 'x' is the target 'y'",
    ),
}


@pytest.mark.parametrize("case", NUMBER_LEAKS.values(), ids=NUMBER_LEAKS)
def test_leaks_of_a_number(case: tuple[Columns, str], problems: Problems, folder: Path) -> None:
    columns, words = case
    write(folder, {**columns, **AMOUNT})
    found = [each for each in problems(f"{SPEC}exclude: []", data=True) if each.code == "DML114"]
    assert len(found) == 1
    assert f"{words}, in all of the 60 rows" in found[0].message
    assert "exclude: [" in str(found[0].hint)


def test_strong_columns_are_no_leaks(problems: Problems, folder: Path) -> None:
    draw = random.Random(4)
    truth = [draw.random() < 0.4 for _ in range(400)]
    write(
        folder,
        {
            "close": ["a" if yes != (n == 17) else "b" for n, yes in enumerate(truth)],
            "higher": [draw.gauss(6.0 if yes else 0.0, 1.0) for yes in truth],
            "number": [draw.gauss(0, 1) for _ in truth],
            "rare": ["r" if n in (3, 4) else "s" for n in range(400)],
            "y": ["yes" if yes else "no" for yes in truth],
        },
    )
    assert problems(SPEC, data=True) == []
    y = [draw.gauss(0, 1) for _ in range(400)]
    write(
        folder, {"a": [value + draw.gauss(0, 0.05) for value in y], "b": [-(value**3) for value in y], "y": y}
    )
    assert problems(SPEC, data=True) == []


def data(split: str) -> str:
    return f"data: {{source: t.csv, {split}}}\ntarget: y\nfeatures: {{z: number}}\n"


SPLITS = {
    "other-parts": (
        data("split: {method: column, column: x}"),
        ["train", "valid", "test"] * 20,
        "data.split.column",
        "it holds 'valid' (row 2); the parts are 'train', 'validation' and 'test'",
        "'train', 'valid'",
    ),
    "blanks": (
        data("split: {method: column, column: x}"),
        ["train", "test ", "validation"] * 20,
        "data.split.column",
        "it holds 'test ' (row 2)",
        "which value is which",
    ),
    "no-part": (
        data("split: {method: column, column: x}"),
        mixed(["train", "test"] * 30, r9=""),
        "data.split.column",
        "it is missing in row 9",
        "which value is which",
    ),
    "own-parts": (
        data('split: {method: column, column: x, train: "1", validation: "2", test: "3"}'),
        [1, 2, 4] * 20,
        "data.split.column",
        "it holds '4' (row 3); the parts are those of data.split",
        "which value",
    ),
    "no-test": (
        data("split: {method: column, column: x}"),
        ["train", "validation"] * 30,
        "data.split.column",
        "'x' marks none of the 60 rows as test rows",
        "mark some rows 'test'",
    ),
    "times-of-text": (
        data("split: {method: time, column: x}"),
        ["spring", "summer"] * 30,
        "data.split.column",
        "'x' orders the rows, and it holds texts such as 'spring' (row 1)",
        "dates of one kind",
    ),
    "times-with-word": (
        data("split: {method: time, column: x}"),
        mixed(DATES, r4="lost"),
        "data.split.column",
        "it holds texts such as 'lost' (row 4) beside '01/01/2024' (row 1)",
        "dates of one kind",
    ),
    "times-missing": (
        data("split: {method: time, column: x}"),
        mixed(DATES, r4=""),
        "data.split.column",
        "it is missing in row 4",
        "drop rows without a time",
    ),
    "one-time": (
        data("split: {method: time, column: x}"),
        ["2024-01-03"] * ROWS,
        "data.split.column",
        "it is '2024-01-03' in each of the 60 rows",
        "split by another column",
    ),
    "one-group": (
        data("split: {method: group, column: x}"),
        ["a"] * ROWS,
        "data.split.column",
        "'x' names the group, and it is 'a' in each of the 60 rows",
        "cannot be divided",
    ),
    "groups-of-one": (
        data("split: {method: group, column: x}"),
        N,
        "data.split.column",
        "different in each of the 60 rows",
        "hold nothing together",
    ),
    "key-twice": (
        data("key: x"),
        mixed(N, r9=3),
        "data.key",
        "'x' is the key, and '3' stands in 2 of the 60 rows",
        "split: {method: group}",
    ),
    "key-missing": (
        data("key: x"),
        mixed(N, r9=""),
        "data.key",
        "it is missing in 1 of the 60 rows",
        "delete 'key'",
    ),
    "key-constant": (data("key: x"), ["a"] * ROWS, "data.key", "'a' stands in 60 of the 60 rows", "one part"),
    "missing": (
        data("missing: [NA, x]"),
        N,
        "data.missing[1]",
        "'x' in data.missing is a column",
        "delete it",
    ),
}


@pytest.mark.parametrize("case", SPLITS.values(), ids=SPLITS)
def test_columns_that_cannot_divide_the_rows(
    case: tuple[str, Sequence[object], str, str, str], problems: Problems, folder: Path
) -> None:
    spec, values, path, words, hint = case
    write(folder, {"x": values, **BASE})
    found = problems(spec, data=True)
    code = "DML116" if path.startswith("data.missing") else "DML115"
    assert [(each.code, each.severity, each.path) for each in found] == [(code, "warning", path)]
    assert words in found[0].message
    assert hint in str(found[0].hint)


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (data("split: {method: column, column: x}"), ["train", "validation", "test"] * 20),
        (
            data('split: {method: column, column: x, train: "1", validation: "2", test: "3"}'),
            ["1", "2.0", "3"] * 20,
        ),
        (data("split: {method: time, column: x}"), DATES),
        (data("split: {method: time, column: x}"), [1 + n // 2 for n in N]),
        (data("split: {method: group, column: x}"), [n // 2 for n in N]),
        (data("key: x"), N),
        (data("missing: [x]"), mixed(N, r3="x")),
    ],
    ids=["parts", "own-parts", "dates", "numbers", "groups", "key", "missing"],
)
def test_columns_that_divide_the_rows(
    spec: str, values: Sequence[object], problems: Problems, folder: Path
) -> None:
    write(folder, {"x": values, **BASE})
    assert problems(spec, data=True) == []


CLASSES = {
    "one": (["a"] * ROWS, "", "target.column", "the target 'y' is 'a' in each of the 60 rows", "two classes"),
    "rare": (
        mixed(["no"] * ROWS, r3="yes"),
        "evaluate: {metric: accuracy}",
        "evaluate.metric",
        "'y' has the rare class 'yes' (1 row) among the 60 rows: never predicting it may still give an "
        "accuracy of 0.983",
        "roc_auc, average_precision or f1",
    ),
    "rare-of-many": (
        mixed(["a", "b"] * 30, r3="c", r4="c", r5="d"),
        "evaluate: {metric: accuracy}",
        "evaluate.metric",
        "the rare classes 'd' (1 row), 'c' (2 rows) among",
        "f1_macro",
    ),
    "single": (
        mixed(["a", "b"] * 30, r3="c"),
        "",
        "target.column",
        "'y' has the rare class 'c' (1 row) among the 60 rows: a row that trains cannot test",
        "join rare",
    ),
    "numbers": (
        [n * 1.5 for n in N],
        "evaluate: {metric: accuracy}",
        "evaluate.metric",
        "the target 'y' holds numbers such as 0.0, and is read as a number; metric accuracy is for",
        "such as rmse",
    ),
    "grades": (
        [3 + n * 7 % 5 for n in N],
        "evaluate: {metric: f1_macro}",
        "evaluate.metric",
        "is read as a number; metric f1_macro is for classes",
        "type: multiclass",
    ),
}


@pytest.mark.parametrize("case", CLASSES.values(), ids=CLASSES)
def test_classes_that_cannot_be_learned(
    case: tuple[list[object], str, str, str, str], problems: Problems, folder: Path
) -> None:
    values, spec, path, words, hint = case
    write(folder, {"z": BASE["z"], "y": values})
    found = problems(f"{SPEC}{spec}", data=True)
    code = "DML110" if "read as a number" in words else "DML111"
    assert [(each.code, each.severity, each.path) for each in found] == [(code, "warning", path)]
    assert words in found[0].message
    assert hint in str(found[0].hint)


@pytest.mark.parametrize(
    ("values", "spec"),
    [
        (mixed(["no"] * ROWS, r3="yes", r4="yes"), "evaluate: {metric: roc_auc}"),
        (mixed(["no"] * ROWS, r3="yes", r4="yes"), "evaluate: {metric: accuracy}\nimbalance: weights"),
        (["yes"] * 5 + ["no"] * 55, "evaluate: {metric: accuracy}"),
        ([n % 3 for n in N], "evaluate: {metric: accuracy}"),
        ([n % 7 + 3 for n in N], "target: {column: y, type: multiclass}\nevaluate: {metric: accuracy}"),
        ([n % 2 * 5 for n in N], "evaluate: {metric: accuracy}"),
        ([7.5] * ROWS, "target: {column: y, type: number}"),
    ],
)
def test_classes_that_nobody_complains_about(
    values: Sequence[object], spec: str, problems: Problems, folder: Path
) -> None:
    write(folder, {"z": BASE["z"], "y": values})
    target = "" if "target:" in spec else "target: y\n"
    assert problems(f"data: {{source: t.csv}}\n{target}{spec}", data=True) == []


def test_a_sorted_file_is_given_the_benefit_of_the_doubt(problems: Problems, folder: Path) -> None:
    rows = 3000
    write(folder, {"z": [n * 7 % 11 for n in range(rows)], "y": ["a"] * 2000 + ["b"] * 1000})
    assert problems(SPEC, data=True) == []
    write(folder, {"z": [n * 7 % 11 for n in range(rows)], "y": ["a"] * rows})
    found = problems(SPEC, data=True)
    assert [each.message for each in found] == ["the target 'y' is 'a' in each of the first 1,000 rows"]
    assert "a sorted file may have the other classes further down" in str(found[0].hint)


def test_others_auto_adds_the_columns_that_are_not_named(problems: Problems, folder: Path) -> None:
    write(folder, {"x": BASE["y"], **BASE})
    assert problems(f"{SPEC}features: {{z: number}}", data=True) == []
    found = problems(f"{SPEC}features: {{z: number}}\nothers: auto", data=True)
    assert [(each.code, each.path) for each in found] == [("DML114", "features")]


@pytest.mark.parametrize("role", ["weight: x", "exclude: [x]", "data: {source: t.csv, key: x}"])
def test_columns_of_another_role_are_no_features(role: str, problems: Problems, folder: Path) -> None:
    write(folder, {"x": [f"{value}{n % 9}" for n, value in enumerate(BASE["y"])], **BASE})
    spec = SPEC if not role.startswith("data") else "target: y\n"
    assert "DML114" not in [each.code for each in problems(f"{spec}{role}", data=True)]


def test_a_date_column_with_a_word_loses_its_dates_in_a_run(folder: Path) -> None:
    """The claim behind the warning."""
    values = mixed(DATES, r3="lost")
    inference = RuleInference()
    inference.update(pa.record_batch({"x": pa.array(values, pa.string())}))
    assert inference.schema().columns["x"].type == "text"
    feature = Date()
    state = {"parts": ["days"], "centre": 0, "unit": 1.0, "indicator": True, "has_time": False}
    encoded = feature.encode(pa.array(values, pa.string()), state)
    assert not (encoded.raw == encoded.raw).any()


def test_the_data_is_not_read_without_being_asked(folder: Path, problems: Problems) -> None:
    write(folder, {"x": BASE["y"], **BASE})
    assert problems(SPEC) == []
    assert [each.code for each in problems(SPEC, data=True)] == ["DML114"]


def test_damaged_data_is_an_error_and_no_doubt(folder: Path) -> None:
    (folder / "spec.yaml").write_text(f"name: x\n{SPEC}")
    (folder / "t.csv").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        load_spec(folder / "spec.yaml", data=True)


def test_looking_needs_no_position(folder: Path) -> None:
    write(folder, {"x": N, **BASE})
    (folder / "spec.yaml").write_text(f"name: x\n{SPEC}features: {{x: number, z: number}}\n")
    spec = load_spec(folder / "spec.yaml").spec
    sample = sample_rows(spec.data.source, spec.data.missing)
    assert sample is not None
    look = Look(spec, sample)
    assert [(used.name, used.declared) for used in look.features] == [("x", "number"), ("z", "number")]
    assert [silence_doubt(used, look) is not None for used in look.features] == [True, False]
