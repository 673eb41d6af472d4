import time
from collections.abc import Callable
from pathlib import Path

import pytest

from declarative_ml.core.errors import Problem
from declarative_ml.spec.codes import CODES

Problems = Callable[..., list[Problem]]
DATA = "data: {source: rows.csv}\n"


def warnings(found: list[Problem]) -> list[tuple[str, str]]:
    assert all(problem.severity == "warning" for problem in found)
    return [(problem.code, problem.path) for problem in found]


def write(folder: Path, values: list[object], name: str = "rows.csv") -> None:
    (folder / name).write_text("a,y\n" + "".join(f"{n % 7},{value}\n" for n, value in enumerate(values)))


@pytest.mark.parametrize(
    ("values", "spec", "path", "words"),
    [
        (["", "No"], "target: y\nevaluate: {metric: rmse}", "evaluate.metric", "holds texts such as 'No'"),
        (["1", "two"], "target: {column: y, type: number}", "target.type", "holds texts such as 'two'"),
        (["a", "b", "c"], "target: {column: y, type: binary}", "target.type", "holds 'a', 'b', 'c'"),
        (["Yes", "No"], 'target: {column: y, positive: "yes"}', "target.positive", "holds 'Yes', not 'yes'"),
        (list(range(5, 80)), "target: y", "target.column", "the target 'y' counts the rows"),
        ([f"mail{chr(97 + n % 26)}{chr(97 + n // 26)}@x" for n in range(60)], "target: y", "target.column",
         "is different in each of the first 60 rows"),
    ],
)  # fmt: skip
def test_what_speaks_against_the_target(
    values: list[object], spec: str, path: str, words: str, problems: Problems, folder: Path
) -> None:
    write(folder, values)
    found = problems(DATA + spec, data=True)
    assert warnings(found) == [("DML110", path)]
    assert words in found[0].message
    assert found[0].hint
    assert found[0].line >= 1


@pytest.mark.parametrize(
    ("values", "spec"),
    [
        ([1.5, "", "NA", "?", -2], "target: y\nevaluate: {metric: rmse}"),
        (["$5", "1 000", "12 kg", "3,5"], "target: {column: y, type: number}"),
        (["a", "b", "", "NA"], "target: {column: y, type: binary}"),
        (["Yes", "yes"], 'target: {column: y, positive: "yes"}'),
        (["No", "No"], 'target: {column: y, positive: "yes"}'),
        (list(range(20)), "target: y"),
        ([n * n for n in range(90)], "target: y"),
        ([f"2024-01-{n % 28 + 1:02d} {n}" for n in range(90)], "target: y"),
        (["x", *range(90)], "target: y"),
        ([], "target: y"),
    ],
)
def test_what_is_not_complained_about(
    values: list[object], spec: str, problems: Problems, folder: Path
) -> None:
    write(folder, values)
    assert problems(DATA + spec, data=True) == []


def test_a_contradiction_within_the_spec_is_said_once(problems: Problems, folder: Path) -> None:
    write(folder, ["Yes", "No"])
    found = problems(f"{DATA}target: {{column: y, type: binary}}\nevaluate: {{metric: rmse}}", data=True)
    assert [problem.code for problem in found] == ["DML101"]


@pytest.mark.parametrize(
    "content",
    [
        b"a,y\n" + b"1,x\n2,x\n1,z\n2,z\n" * 2000 + b"1,\xff\n",
        b'a,y\n1,"open\n2,x\n',
        b"a,y\n1\n1,2,3\n",
        b"a,y\n\n\n1,x\n",
        b"a,y",
        b"\xef\xbb\xbfa,y\n1,x\n",
    ],
)
def test_damaged_rows_are_left_to_their_reader(content: bytes, problems: Problems, folder: Path) -> None:
    (folder / "rows.csv").write_bytes(content)
    assert problems(f"{DATA}target: y", data=True) == []


def test_the_examples_of_the_codes_that_need_rows(problems: Problems, folder: Path) -> None:
    lines = ["customerID,tenure,Contract,Churn"]
    lines += [
        f"7590-{n:04d},{n % 7},{'Month' if n % 3 else 'Year'},{'No' if n % 3 else 'Yes'}" for n in range(90)
    ]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    for name in ("DML112", "DML114"):
        assert name in [problem.code for problem in problems(CODES[name].wrong, data=True)]
        assert name not in [problem.code for problem in problems(CODES[name].right, data=True)]
    rare = [line.replace("Yes", "No") for line in lines[:-9]] + lines[-9:]
    (folder / "table.csv").write_text("\n".join(rare) + "\n")
    assert "DML111" in [problem.code for problem in problems(CODES["DML111"].wrong, data=True)]
    assert "DML111" not in [problem.code for problem in problems(CODES["DML111"].right, data=True)]


def test_nothing_is_said_behind_sql(problems: Problems, folder: Path) -> None:
    write(folder, ["only"] * 60)
    assert warnings(problems(f"{DATA}target: y", data=True)) == [("DML111", "target.column")]
    assert problems('data: {source: rows.csv, sql: "SELECT * FROM source"}\ntarget: y', data=True) == []


def test_a_doubt_about_all_columns_stands_where_they_are_taken(problems: Problems, folder: Path) -> None:
    write(folder, ["yes" if n % 7 > 2 else "no" for n in range(70)])
    found = problems(f"{DATA}target: y", data=True)
    assert [(each.code, each.path, each.line, each.column) for each in found] == [
        ("DML114", "data.source", 1, 8)
    ]
    found = problems(f"{DATA}target: y\nfeatures: auto", data=True)
    assert [(each.path, each.line, each.column) for each in found] == [("features", 3, 1)]
    found = problems(f"{DATA}target: y\nfeatures:\n  a: number", data=True)
    assert [(each.path, each.line, each.column) for each in found] == [("features.a", 4, 3)]


def test_it_is_cheap(folder: Path) -> None:
    from declarative_ml.spec.load import load_spec

    names = [f"c{n}" for n in range(50)]
    rows = [",".join(str((n * place * 7919) % 10007 / 7) for place in range(50)) for n in range(5000)]
    (folder / "wide.csv").write_text("\n".join([",".join(names), *rows]))
    (folder / "wide.yaml").write_text("name: wide\ndata: {source: wide.csv}\ntarget: c7\n")
    load_spec(folder / "wide.yaml", data=True)
    started = time.process_time()
    load_spec(folder / "wide.yaml", data=True)
    assert time.process_time() - started < 0.5
