"""Tables and SQL that go wrong: each ends in its documented exit code, one clear message, and a way out."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HEADER = ["num", "cat", "y"]
Row = Sequence[object]


def _rows(count: int = 40, seed: int = 0) -> list[list[object]]:
    source = random.Random(seed)
    return [[round(source.gauss(0, 1), 3), source.choice("abc"), source.choice("ny")] for _ in range(count)]


def _csv(header: Sequence[str], rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


ROWS = _rows()


def _changed(place: int, column: int, value: object) -> list[Row]:
    return [
        [value if (number, at) == (place, column) else cell for at, cell in enumerate(row)]
        for number, row in enumerate(ROWS)
    ]


def _with(extra: Callable[[int], object]) -> list[Row]:
    return [[*row, extra(number)] for number, row in enumerate(ROWS)]


def _all_targets(value: object) -> list[Row]:
    return [[*row[:2], value] for row in ROWS]


def _noise(columns: int, rows: int) -> list[Row]:
    source = random.Random(1)
    return [[*(round(source.random(), 2) for _ in range(columns)), source.choice("ny")] for _ in range(rows)]


@dataclass(frozen=True)
class Bad:
    """A table, what of the spec differs, and how `dml run` and `dml init` end on it."""

    id: str
    content: bytes
    code: int
    message: str
    spec: dict[str, Any] = field(default_factory=dict)
    init: int | None = None
    """Where `dml init` ends otherwise than `dml run`."""


BAD = [
    Bad("empty file", b"", 5, "is empty"),
    Bad("blank lines", b"\n\n\n", 5, "is empty"),
    Bad("header only", b"num,cat,y\n", 5, "has a header but no rows"),
    Bad("one class", _csv(HEADER, _all_targets("y")), 5, "one class only: 'y'"),
    Bad("target all missing", _csv(HEADER, _all_targets("")), 5, "'y' is missing in every row"),
    Bad("duplicate columns", _csv(["num", "num", "y"], ROWS), 5, "names 'num' more than once"),
    Bad(
        "latin-1 bytes",
        _csv(HEADER, _changed(3, 1, "café")).decode().encode("latin-1"),
        5,
        "is not utf-8: line 5",
    ),
    Bad("long row", _csv(HEADER, [*ROWS[:20], [1, "a", "y", "more"], *ROWS]), 5, "row 21 has 4"),
    Bad("short row", _csv(HEADER, [*ROWS[:20], [1, "a"], *ROWS]), 5, "row 21 has 2"),
    Bad("target absent", _csv(["num", "cat", "z"], ROWS), 3, "no column 'y'", init=5),
    Bad("binary junk", random.Random(0).randbytes(5000), 5, "is not delimited text"),
    Bad("NUL bytes", _csv(HEADER, _changed(3, 1, "a\0b")), 5, "holds NUL bytes"),
    Bad("single column", b"y\n" + b"a\nb\n" * 20, 3, "no column left to learn from", init=5),
    Bad("one row", _csv(HEADER, ROWS[:1]), 5, "one class only"),
    Bad("three rows", _csv(HEADER, [[1, "a", "y"], [2, "b", "n"], [3, "a", "y"]]), 5, "do not fill", init=0),
    Bad(
        "unknown feature",
        _csv(HEADER, ROWS),
        3,
        "did you mean 'num'",
        {"features": {"nmu": "number"}},
        init=0,
    ),
    Bad(
        "text in a number feature",
        _csv(HEADER, _changed(7, 0, "abc")),
        5,
        "column 'num' has 1 value(s) that are not a number: row 8: 'abc'",
        {"features": {"num": "number"}},
        init=0,
    ),
    Bad(
        "date as a number feature",
        _csv(HEADER, [[f"2024-01-{1 + n % 28:02d}", *row[1:]] for n, row in enumerate(ROWS)]),
        5,
        "column 'num' holds dates",
        {"features": {"num": "number"}},
        init=0,
    ),
    Bad(
        "negative weight",
        _csv([*HEADER, "w"], _with(lambda row: -1 if row == 3 else 1)),
        5,
        "the weight column 'w' has missing, negative",
        {"weight": "w"},
        init=0,
    ),
    Bad(
        "weights of zero",
        _csv([*HEADER, "w"], _with(lambda row: 0)),
        5,
        "zeros only",
        {"weight": "w"},
        init=0,
    ),
    Bad(
        "text weight",
        _csv([*HEADER, "w"], _with(lambda row: "q")),
        5,
        "not a number",
        {"weight": "w"},
        init=0,
    ),
    Bad("absent weight", _csv(HEADER, ROWS), 3, "no column 'w'", {"weight": "w"}, init=0),
    Bad(
        "number target with an odd value",
        _csv(["cat", "y"], [[row[1], f"{row[0]}" if n else "n.b."] for n, row in enumerate(ROWS)]),
        5,
        "classes in 40 rows",
    ),
    Bad(
        "huge whole numbers as target",
        _csv(["cat", "y"], [[row[1], 10**25 + n] for n, row in enumerate(ROWS)]),
        5,
        "classes in 40 rows",
    ),
    Bad(
        "an id as target",
        _csv(HEADER, [[*row[:2], f"k{n}"] for n, row in enumerate(ROWS)]),
        5,
        "40 classes in 40 rows",
    ),
    Bad("1,500 classes", _csv(HEADER, [[n % 7, "a", f"k{n}"] for n in range(1500)]), 5, "1,500 classes"),
    Bad(
        "too many columns",
        _csv([*(f"c{n}" for n in range(2002)), "y"], _noise(2002, 30)),
        5,
        "2,002 columns are too many",
    ),
    Bad(
        "feature called prediction",
        _csv(["prediction", "cat", "y"], ROWS),
        5,
        "a feature cannot be called 'prediction'",
        {"features": {"prediction": "number", "cat": "category"}},
        init=0,
    ),
]


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., Path]:
    """Write a spec over d.csv: a quick model, no explanation, no tracking."""

    def write(sql: str | None = None, **sections: Any) -> Path:
        data = {"source": "d.csv"} | ({"sql": sql} if sql is not None else {})
        whole = {
            "name": "bad",
            "data": data,
            "target": "y",
            "model": "linear",
            "explain": False,
            "track": False,
        }
        path = tmp_path / "s.yaml"
        path.write_text(json.dumps({**whole, **sections}, ensure_ascii=False))
        return path

    return write


def _refused(outcome: Any, code: int, message: str) -> None:
    assert (outcome.code, message in outcome.err) == (code, True), outcome.err
    assert "Traceback" not in outcome.err + outcome.out
    assert "internal error" not in outcome.err
    assert outcome.err.count("error") >= 1
    assert "hint:" in outcome.err or " | " in outcome.err, outcome.err


def _nothing_half_written(folder: Path) -> None:
    assert not list(folder.glob(".dml/store/building/*"))
    assert not list(folder.rglob("*.part"))
    assert not list(folder.glob(".dml/store/actions/*/.*"))


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.id)
def test_a_bad_table_is_refused_by_run(case: Bad, dml: Any, spec: Any, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(case.content)
    _refused(dml("run", spec(**case.spec), "-q"), case.code, case.message)
    _nothing_half_written(tmp_path)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.id)
def test_a_bad_table_is_refused_by_init(case: Bad, dml: Any, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(case.content)
    outcome = dml("init", tmp_path / "d.csv", "--target", "y", "-o", tmp_path / "i.yaml")
    wanted = case.code if case.init is None else case.init
    if wanted:
        _refused(outcome, wanted, "")
        assert not (tmp_path / "i.yaml").exists()
    else:
        assert outcome.code == 0, outcome.err
        assert dml("validate", tmp_path / "i.yaml").code == 0


NAMES = [
    "a b",
    "ü–列",
    'q"uote',
    "new\nline",
    "dot.ted.name",
    "sl/ash",
    "com,ma",
    "'single'",
    "{b}",
    "$x",
    "a: b",
]


def _odd_names() -> bytes:
    source = random.Random(2)
    rows = [
        [
            *(round(source.random(), 2) if at % 2 else source.choice("abc") for at in range(len(NAMES))),
            source.choice("ny"),
        ]
        for _ in range(60)
    ]
    return _csv([*NAMES, "y"], rows)


FINE: list[tuple[str, bytes, dict[str, Any]]] = [
    ("a column without values", _csv([*HEADER, "gone"], _with(lambda row: "")), {}),
    (
        "a named feature without values",
        _csv([*HEADER, "gone"], _with(lambda row: "")),
        {"features": {"num": "number", "gone": "number"}},
    ),
    (
        "some targets missing",
        _csv(HEADER, [[*row[:2], row[2] if n % 4 else ""] for n, row in enumerate(ROWS)]),
        {},
    ),
    ("infinite numbers", _csv(HEADER, _changed(3, 0, "inf")), {}),
    ("huge whole numbers", _csv(HEADER, [[10 ** (n % 30), *row[1:]] for n, row in enumerate(ROWS)]), {}),
    ("numbers beyond float32", _csv(HEADER, _changed(3, 0, "1e300")), {"features": {"cat": "category"}}),
    ("a class with one row", _csv(HEADER, [[1, "a", "q"], *ROWS]), {}),
    ("odd column names", _odd_names(), {}),
    ("an odd target name", _csv(["num", "cat", 't "x"\nü.y'], ROWS), {"target": 't "x"\nü.y'}),
    ("a column called prediction", _csv(["prediction", "cat", "y"], ROWS), {}),
    ("the target called prediction", _csv(["num", "cat", "prediction"], ROWS), {"target": "prediction"}),
    (
        "names that differ by case",
        _csv(["Num", "num", "y"], [[row[0], n % 7, row[2]] for n, row in enumerate(ROWS)]),
        {},
    ),
]


@pytest.mark.parametrize(("content", "sections"), [case[1:] for case in FINE], ids=[case[0] for case in FINE])
def test_an_odd_table_trains_and_predicts(
    content: bytes, sections: dict[str, Any], dml: Any, spec: Any, tmp_path: Path
) -> None:
    (tmp_path / "d.csv").write_bytes(content)
    target = sections.get("target", "y")
    assert dml("init", tmp_path / "d.csv", "--target", target, "-o", tmp_path / "i.yaml").code == 0
    path = spec(**sections)
    outcome = dml("run", path, "-q")
    assert outcome.code == 0, outcome.err
    outcome = dml("predict", path, tmp_path / "d.csv", "-o", tmp_path / "out.jsonl")
    assert outcome.code == 0, outcome.err
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(written) == len(list(csv.reader(io.StringIO(content.decode())))) - 1
    _nothing_half_written(tmp_path)


@pytest.mark.parametrize("names", [["t1", "const_0", "y"], ["t2", "t1_1", "y"]], ids=" ".join)
def test_columns_may_be_called_like_tensors_of_the_graph(
    names: list[str], dml: Any, spec: Any, tmp_path: Path
) -> None:
    (tmp_path / "d.csv").write_bytes(_csv(names, ROWS))
    outcome = dml("run", spec(model={"type": "lightgbm", "rounds": 3}), "-q")
    assert outcome.code == 0, outcome.err


def test_a_cell_of_five_megabytes(dml: Any, spec: Any, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(_csv(HEADER, _changed(20, 1, "x" * 5_000_000)))
    outcome = dml("run", spec(), "-q")
    assert outcome.code == 0, outcome.err


def test_five_hundred_classes(dml: Any, spec: Any, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(
        _csv(HEADER, [[n % 500 + n / 1500, "ab"[n % 2], f"k{n % 500}"] for n in range(1500)])
    )
    path = spec(model={"type": "lightgbm", "rounds": 1})
    outcome = dml("run", path, "-q", "--set", "data.split={method: random, validation: 0.1}")
    assert outcome.code == 0, outcome.err


def test_a_folder_as_data(dml: Any, spec: Any, tmp_path: Path) -> None:
    (tmp_path / "d.csv").mkdir()
    _refused(dml("run", spec(), "-q"), 5, "is a folder")
    _refused(dml("init", tmp_path / "d.csv", "--target", "y", "-o", tmp_path / "i.yaml"), 5, "is a folder")


def test_absent_data(dml: Any, spec: Any, tmp_path: Path) -> None:
    outcome = dml("run", spec(), "-q")
    assert outcome.code in (3, 5)
    assert "there is no file" in outcome.err
    _refused(
        dml("init", tmp_path / "d.csv", "--target", "y", "-o", tmp_path / "i.yaml"), 5, "there is no file"
    )


SQL = [
    ("SELEC * FROM source", "syntax error"),
    ("SELECT nope, y FROM source", '"nope" not found'),
    ("SELECT * FROM other", "Table with name other does not exist"),
    ("SELECT * FROM read_csv('/etc/passwd')", "Permission Error"),
    ("SELECT * FROM '/etc/passwd'", "does not exist"),
    ("SELECT * FROM glob('/etc/*')", "Permission Error"),
    ("SELECT *, (SELECT content FROM read_text('/etc/hostname')) h FROM source", "Permission Error"),
    ("SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')", "Permission Error"),
    ("COPY (SELECT 1) TO 'stolen.csv'", "must be one SELECT"),
    ("ATTACH 'stolen.db'", "must be one SELECT"),
    ("SET enable_external_access = true", "must be one SELECT"),
    ("PRAGMA database_list", "must be one SELECT"),
    ("INSTALL httpfs", "must be one SELECT"),
    ("DROP TABLE source", "must be one SELECT"),
    ("SELECT * FROM source; SELECT 1", "must be one SELECT"),
    ("SELECT getenv('HOME') AS h, * FROM source", "getenv does not exist"),
    ("  ", "must be one SELECT"),
    ("-- nothing", "must be one SELECT"),
    ("SELECT * FROM source WHERE 1 = 0", "the data has no rows"),
    ("SELECT CAST(cat AS INT) AS c, y FROM source", "Could not convert"),
    ("SELECT [num] AS l, y FROM source", "cannot be a column"),
    ("SELECT num FROM source", "no column 'y'"),
    ("SELECT *, random() AS r FROM source", "other rows each time: it uses random()"),
    ("SELECT *, year(now()) AS r FROM source", "it uses now()"),
    ("SELECT *, current_date AS r FROM source", "it uses current_date"),
    ("SELECT * FROM source USING SAMPLE 20", "it uses a sample without a seed"),
    ("SELECT * FROM source WHERE num > (SELECT random())", "it uses random()"),
]


@pytest.mark.parametrize(("sql", "message"), SQL, ids=[sql for sql, _ in SQL])
def test_bad_sql_is_refused(
    sql: str, message: str, dml: Any, spec: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_bytes(_csv(HEADER, ROWS))
    _refused(dml("run", spec(sql=sql), "-q"), 5, message)
    assert not list(tmp_path.glob("stolen*"))
    _nothing_half_written(tmp_path)


@pytest.mark.slow
def test_ten_thousand_columns_are_refused_in_time(spawn: Any, spec: Any, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(_csv([*(f"c{n}" for n in range(10_000)), "y"], _noise(10_000, 200)))
    process = spawn("run", spec(), "-q")
    error = process.communicate(timeout=180)[1]
    assert (process.returncode, "too many to learn from" in error) == (5, True), error
