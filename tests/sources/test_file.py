from __future__ import annotations

import datetime as dt
import decimal
import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from pydantic import ValidationError

from declarative_ml.core.errors import DataError
from declarative_ml.sources.delimited import FIRST_BLOCK, MAX_COLUMNS
from declarative_ml.sources.file import FileSource


def source(path: Path, content: str | bytes | None = None, **options: Any) -> FileSource:
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return FileSource(path=str(path), **options)


def read(source: FileSource) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in source.columns()}
    for batch in source.batches():
        assert batch.schema.names == list(columns)
        for name, values in batch.to_pydict().items():
            columns[name] += values
    return columns


def refuse(source: FileSource) -> DataError:
    with pytest.raises(DataError) as caught:
        list(source.batches())
    return caught.value


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "a,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        ("a.csv", "a,b\n1,2", {"a": ["1"], "b": ["2"]}),
        ("a.csv", "a,b\r\n1,2\r\n3,4\r\n", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("a.csv", "\ufeffa,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        ("a.csv", "\n\na , b\n1, 2\n\n3,4\n", {"a": ["1", "3"], "b": [" 2", "4"]}),
        ("a.csv", "a;b\n1;2,5\n3;4\n", {"a": ["1", "3"], "b": ["2,5", "4"]}),
        ("a.csv", 'a|b\n1|"x|y"\n', {"a": ["1"], "b": ["x|y"]}),
        ("a.csv", 'a\tb\n"1,2,3"\tx\n', {"a": ["1,2,3"], "b": ["x"]}),
        ("a.csv", 'a,b\n"x;y;z","q;r"\n"1;2;3",4\n', {"a": ["x;y;z", "1;2;3"], "b": ["q;r", "4"]}),
        ("a.csv", 'a,b\n1,"x ""y""\nz"\n', {"a": ["1"], "b": ['x "y"\nz']}),
        ("a.csv", '"a\nx",b\n1,2\n', {"a\nx": ["1"], "b": ["2"]}),
        ("a.csv", "a,b\n00012,\nNA,null\n", {"a": ["00012", "NA"], "b": ["", "null"]}),
        ("a.csv", "only\nx y\nz\n", {"only": ["x y", "z"]}),
        ("a.tsv", "a\tb\n1,5\t2\n", {"a": ["1,5"], "b": ["2"]}),
        ("a.TXT", "a,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        ("a.jsonl", '{"a":1,"b":null}\n\n{"c":2.50,"b":true,"a":"x"}\n',
         {"a": ["1", "x"], "b": [None, "true"], "c": [None, "2.5"]}),
        ("a.ndjson", '\ufeff{"a":1e300,"b":NaN}\n', {"a": ["1e+300"], "b": [None]}),
    ],
)  # fmt: skip
def test_text_formats_yield_strings(
    tmp_path: Path, name: str, content: str, expected: dict[str, list[Any]]
) -> None:
    assert read(source(tmp_path / name, content)) == expected


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2"])
@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "a,b\n1,2\n"), ("a.jsonl", '{"a": "1", "b": "2"}\n')]
)
def test_compressed_text(tmp_path: Path, ending: str, name: str, content: str) -> None:
    path = tmp_path / f"{name}.{ending}"
    with pa.output_stream(
        str(path), compression={"gz": "gzip", "zst": "zstd", "bz2": "bz2"}[ending]
    ) as stream:
        stream.write(content.encode())
    assert read(source(path)) == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    content = "naïve,b\ncafé,2\n".encode(encoding)
    assert read(source(tmp_path / "a.csv", content, encoding=encoding)) == {"naïve": ["café"], "b": ["2"]}


def test_a_cell_of_five_megabytes_and_rows_around_it(tmp_path: Path) -> None:
    rows = "1,2\n" * 2_000
    long = "z" * (FIRST_BLOCK + 1_000_000)
    columns = read(source(tmp_path / "a.csv", f'a,b\n{rows}3,"{long}"\n{rows}'))
    assert columns["a"] == ["1"] * 2_000 + ["3"] + ["1"] * 2_000
    assert columns["b"][2_000] == long


def test_ten_thousand_columns(tmp_path: Path) -> None:
    header = ",".join(f"c{number}" for number in range(10_000))
    wide = source(tmp_path / "a.csv", f"{header}\n{','.join('7' * 10_000)}\n")
    (batch,) = wide.batches()
    assert batch.num_columns == 10_000
    assert batch.column("c9999").to_pylist() == ["7"]


def test_batches_are_bounded(tmp_path: Path) -> None:
    batches = list(source(tmp_path / "a.csv", "a,b\n" + "1234567,abcdefg\n" * 1_000_000).batches())
    assert sum(batch.num_rows for batch in batches) == 1_000_000
    assert max(batch.nbytes for batch in batches) < 4 * FIRST_BLOCK


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("a.csv", "", "is empty", "first line must name the columns"),
        ("a.csv", "\n\n", "is empty", "first line"),
        ("a.csv", "a,b\n", "has a header but no rows", "data"),
        ("a.csv", "a,,b,\n1,2,3,4\n", "no name to column 2, 4 of 4", "row index"),
        ("a.csv", "a,b,a\n1,2,3\n", "names 'a' more than once", "name of its own"),
        ("a.csv", "a, a\n1,2\n", "names 'a' more than once", "name of its own"),
        ("a.csv", "a,b\n1,2\n3\n4,5,6\n", "the header has 2 columns, but row 2 has 1 ('3'); "
         "row 3 has 3 ('4,5,6')", "delimiter ','"),
        ("a.csv", "a,b\n" + "1\n" * 9, "6 more so far", "delimiter"),
        ("a.csv", b"a,b\nfoo,1\nbar,caf\xe9\n", r"is not utf-8: line 3 holds b'bar,caf\xe9\n'", "latin-1"),
        ("a.csv", b"a,b\n" + b"foo,1\n" * 9_000 + b"\xff,2\n", "line 9002", "encoding"),
        ("a.csv", b"\xe9,b\nfoo,1\n", "line 1", "encoding"),
        ("a.csv", "a,b\n1,é\n".encode("utf-16"), "holds NUL bytes", "utf-16"),
        ("a.csv", b"a\0b,c\n1,2\n", "holds NUL bytes", "real format"),
        ("a.csv", b"PAR1....", "a Parquet file", None),
        ("a.csv", b"PK\x03\x04....", "Excel", None),
        ("a.csv", gzip.compress(b"a\n1\n", mtime=0), "gzip-compressed", None),
        ("a.csv", 'a,b\n1,"x\n2,3\n',
         "opened in line 2 and never closed; the cell begins with 'x\\n2,3", "close it"),
        ("a.csv.gz", gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 99_999, mtime=0)[:-20],
         "damaged or cut short", "again"),
        ("a.csv.gz", b"a,b\n1,2\n", "damaged or cut short", "again"),
        ("a.csv.zst", b"a,b\n1,2\n", "damaged or cut short", "again"),
        ("a.xyz", "a\n1\n", "the ending '.xyz' does not tell the format", "format: csv"),
        ("a.jsonl", "", "is empty", "object"),
        ("a.jsonl", '{"a": [1]}', "line 1: 'a' holds a list", "flatten"),
        ("a.jsonl", '{"a": 1}\n{"a": {"b": 1}}', "line 2: 'a' holds a nested object", "flatten"),
        ("a.jsonl", '{"a": 1}\n[1]', "line 2 is not an object but list", "column"),
        ("a.jsonl", '{"a":\n1}', "line 1 is not JSON", "one object a line"),
        ("a.jsonl", b'{"a":"\xff"}', "line 1 is not JSON", "UTF-8"),
        ("a.jsonl", '{"": 1}', "no name to column 1", "name it"),
        ("a.jsonl.gz", b"nope", "damaged or cut short", None),
        ("a.parquet", b"junk", "is not a readable Parquet file", "format"),
        ("a.arrow", b"junk", "is not a readable Arrow file", "format"),
    ],
)  # fmt: skip
def test_unreadable_files_are_explained(
    tmp_path: Path, name: str, content: str | bytes, message: str, hint: str | None
) -> None:
    error = refuse(source(tmp_path / name, content))
    assert message in error.message
    assert (hint or "") in (error.hint or "")


def test_too_many_columns(tmp_path: Path) -> None:
    names = ",".join(f"c{number}" for number in range(MAX_COLUMNS + 1))
    assert "16,385 columns" in refuse(source(tmp_path / "a.csv", f"{names}\n")).message


def test_an_unknown_encoding(tmp_path: Path) -> None:
    assert "no encoding 'klingon'" in refuse(source(tmp_path / "a.csv", "a\n1\n", encoding="klingon")).message


def test_absent_files_name_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a\n1\n")
    assert refuse(source(tmp_path / "tain.csv")).hint == f"did you mean {tmp_path / 'train.csv'}?"
    assert refuse(source(tmp_path / "xyzzy.parquet")).hint == "files there: train.csv"
    assert "does not exist either" in str(refuse(source(tmp_path / "none" / "a.csv")).hint)
    assert "no file matches" in refuse(source(tmp_path / "*.parquet")).message
    (tmp_path / "none").mkdir()
    assert "is a folder without tables" in refuse(source(tmp_path / "none")).message


def test_several_files_are_aligned_by_name(tmp_path: Path) -> None:
    source(tmp_path / "b.csv", "y,x\n4,3\n")
    source(tmp_path / "a.csv", "x,y\n1,2\n")
    pattern = FileSource(path=str(tmp_path / "*.csv"))
    assert [path.name for path in pattern.files()] == ["a.csv", "b.csv"]
    assert read(pattern) == {"x": ["1", "3"], "y": ["2", "4"]}
    listed = FileSource(path=(str(tmp_path / "b.csv"), str(tmp_path / "*.csv")))
    assert [path.name for path in listed.files()] == ["b.csv", "a.csv"]


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    source(tmp_path / "a.csv", "x,y\n1,2\n")
    source(tmp_path / "b.csv", "x,z\n1,2\n")
    error = refuse(FileSource(path=(str(tmp_path / "a.csv"), str(tmp_path / "b.csv"))))
    assert "b.csv has other columns than" in error.message
    assert "it lacks 'y' and it has 'z' besides" in error.message


NATIVE = pa.table(
    {
        "i": pa.array([1, None], pa.int16()),
        "f": pa.array([0.5, None], pa.float32()),
        "d": pa.array([decimal.Decimal("1.25"), None]),
        "s": pa.array(["a", None], pa.large_string()),
        "c": pa.array(["x", "y"]).dictionary_encode(),
        "t": pa.array([dt.datetime(2020, 1, 2), None], pa.timestamp("ns", "UTC")),
        "b": pa.array([True, None]),
    }
)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather", "stream.arrow"])
def test_native_types_come_plain(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        pyarrow.parquet.write_table(NATIVE, path)
    elif name == "stream.arrow":
        with pa.ipc.new_stream(path, NATIVE.schema) as writer:
            writer.write_table(NATIVE)
    else:
        pyarrow.feather.write_feather(NATIVE, path)
    (batch,) = source(path).batches()
    kinds = [pa.int64(), pa.float64(), pa.float64(), pa.string(), pa.string(), pa.timestamp("us"), pa.bool_()]
    assert batch.schema.types == kinds
    assert batch.column("d").to_pylist() == [1.25, None]
    assert batch.column("t").to_pylist() == [dt.datetime(2020, 1, 2), None]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_nested_columns_are_refused_by_name(tmp_path: Path, name: str) -> None:
    nested = pa.table({"ok": [1], "tags": [["a"]]})
    if name == "a.parquet":
        pyarrow.parquet.write_table(nested, tmp_path / name)
    else:
        pyarrow.feather.write_feather(nested, tmp_path / name)
    assert "column 'tags': values of the Arrow type list" in refuse(source(tmp_path / name)).message


def test_a_cut_parquet_file(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(NATIVE, tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    assert "readable Parquet" in refuse(source(tmp_path / "b.parquet", content[: len(content) // 2])).message


def test_the_header_is_read_without_pyarrow(tmp_path: Path) -> None:
    source(tmp_path / "a.csv", "a;b\n1;2\n")
    code = (
        "import sys; from declarative_ml.sources.file import FileSource; "
        "assert FileSource(path=sys.argv[1]).columns() == ['a', 'b']; sys.exit('pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.csv")], check=False).returncode == 0


def test_paths_are_resolved_against_the_spec(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    source(tmp_path / "data" / "a.csv", "a\n1\n")
    relative = FileSource(path="data/*.csv")
    assert relative.resolved(tmp_path).files() == [tmp_path / "data" / "a.csv"]
    assert FileSource(path=("data/a.csv",)).resolved(tmp_path).path == (f"{tmp_path}/data/a.csv",)
    assert FileSource(path="/x/a.csv").resolved(tmp_path).path == "/x/a.csv"


def test_the_key_holds_options_but_no_paths(tmp_path: Path) -> None:
    key = source(tmp_path / "a.csv", "a\n1\n", encoding="latin-1").options_for_key()
    assert key == {"formats": ["csv"], "delimiter": None, "encoding": "latin-1"}


@pytest.mark.parametrize(
    "options",
    [{"path": ""}, {"path": ()}, {"path": ("a", "")}, {"path": "a", "delimiter": "ab"},
     {"path": "a", "format": "xls"}, {"path": "a", "sheets": 1}],
)  # fmt: skip
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FileSource.model_validate(options)
