import gzip
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from declarative_ml.core.errors import Problem
from declarative_ml.spec.first_rows import ROWS, first_cells

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
        b"a,y\n" + b"1,x\n" * 9000 + b"1,\xff\n",
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


def test_only_the_first_rows_of_delimited_files_are_read(folder: Path) -> None:
    from declarative_ml.sources.file import FileSource

    write(folder, list(range(1000)))
    source = FileSource(path=str(folder / "rows.csv"))
    assert first_cells(source, "y") == [str(n) for n in range(ROWS)]
    assert first_cells(source, "none") == []
    (folder / "rows.csv.gz").write_bytes(gzip.compress((folder / "rows.csv").read_bytes()))
    assert len(first_cells(FileSource(path=str(folder / "rows.csv.gz")), "y")) == ROWS
    (folder / "rows.jsonl").write_text('{"a": 1, "y": 2}\n')
    assert first_cells(FileSource(path=str(folder / "rows.jsonl")), "y") == []


def test_it_is_cheap(folder: Path) -> None:
    from declarative_ml.sources.file import FileSource

    (folder / "wide.csv").write_text(
        "\n".join([",".join(f"c{n}" for n in range(1000))] + [",".join("1" * 1000)] * 5000)
    )
    started = time.process_time()
    assert len(first_cells(FileSource(path=str(folder / "wide.csv")), "c7")) == ROWS
    assert time.process_time() - started < 0.5
