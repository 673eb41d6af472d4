import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from declarative_ml.core.schema import DEFAULT_MISSING
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.sample import SampleSource
from declarative_ml.spec.sampled_rows import ROWS, Sample, sample_rows


def sampled(path: Path | Sequence[Path], **options: Any) -> Sample:
    paths = str(path) if isinstance(path, Path) else tuple(map(str, path))
    found = sample_rows(FileSource(path=paths, **options), DEFAULT_MISSING)
    assert found is not None
    return found


def cells(sample: Sample, name: str) -> list[str]:
    column = sample.column(name)
    assert column is not None
    return column.cells


def write_csv(path: Path, rows: int) -> Path:
    path.write_text("a,y\n" + "".join(f"{n},x{n % 3}\n" for n in range(rows)))
    return path


@pytest.mark.parametrize(
    ("rows", "seen", "whole", "said"),
    [(60, 60, True, "the 60 rows"), (ROWS, ROWS, True, "the 1,000 rows"),
     (ROWS + 1, ROWS, False, "the first 1,000 rows"), (9000, ROWS, False, "the first 1,000 rows")],
)  # fmt: skip
def test_the_first_rows(rows: int, seen: int, whole: bool, said: str, tmp_path: Path) -> None:
    sample = sampled(write_csv(tmp_path / "t.csv", rows))
    assert cells(sample, "a") == [str(n) for n in range(seen)]
    assert (sample.rows, sample.whole, sample.said) == (seen, whole, said)
    assert sample.column("none") is None


def test_rows_from_further_down_are_other_rows_of_the_file(tmp_path: Path) -> None:
    for rows in (1001, 1020, 1100, 2000, 9000, 200_000):
        column = sampled(write_csv(tmp_path / "t.csv", rows)).column("a")
        assert column is not None
        further = [int(cell) for cell in column.further]
        assert len(set(further)) == len(further)
        assert all(ROWS <= number < rows for number in further)
    assert len(further) == 300
    assert max(further) > 199_000


def test_rows_of_a_column_stay_beside_those_of_another(tmp_path: Path) -> None:
    sample = sampled(write_csv(tmp_path / "t.csv", 50_000))
    a, y = sample.column("a"), sample.column("y")
    assert a is not None
    assert y is not None
    assert [f"x{int(cell) % 3}" for cell in a.further] == y.further


def test_cells_of_several_lines_are_not_taken_for_rows(tmp_path: Path) -> None:
    note = '"one, two\nthree, four\n"'
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{note},x{n % 3}\n" for n in range(20_000)))
    sample = sampled(tmp_path / "t.csv")
    assert (cells(sample, "y")[:3], sample.below) == (["x0", "x1", "x2"], {})


def test_a_block_that_ends_in_a_cell_is_left_out(tmp_path: Path) -> None:
    rows = [f"{n},x{n % 3}\n" for n in range(150_000)]
    rows[-3] = '"begins\nhere, and ends"",nowhere\n'
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(rows))
    column = sampled(tmp_path / "t.csv").column("y")
    assert column is not None
    assert {*column.further} == {"x0", "x1", "x2"}
    assert len(column.further) == 200


def test_the_last_of_several_files_is_looked_at(tmp_path: Path) -> None:
    write_csv(tmp_path / "1.csv", 20)
    (tmp_path / "2.csv").write_text("y,a\nz,-1\n")
    sample = sampled([tmp_path / "1.csv", tmp_path / "2.csv"])
    column = sample.column("a")
    assert column is not None
    assert (sample.rows, sample.whole, column.further) == (20, False, ["-1"])


def as_jsonl(path: Path, table: pa.Table) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


def as_arrow(path: Path, table: pa.Table) -> None:
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)


def as_csv(path: Path, table: pa.Table) -> None:
    rows = [["" if cell is None else str(cell) for cell in row.values()] for row in table.to_pylist()]
    path.write_text("\n".join(",".join(row) for row in [table.column_names, *rows]) + "\n")


def as_gzip(path: Path, table: pa.Table) -> None:
    as_csv(path.with_suffix(""), table)
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))


@pytest.mark.parametrize(
    ("name", "write"),
    [("t.csv", as_csv), ("t.csv.gz", as_gzip), ("t.jsonl", as_jsonl), ("t.arrow", as_arrow),
     ("t.parquet", lambda path, table: parquet.write_table(table, path, row_group_size=400))],
)  # fmt: skip
@pytest.mark.parametrize("rows", [30, 2000])
def test_all_formats_show_the_same_cells(name: str, write: Any, rows: int, tmp_path: Path) -> None:
    table = pa.table(
        {
            "whole": list(range(rows)),
            "part": [n + 0.5 for n in range(rows)],
            "word": [None if n % 4 == 0 else f"w{n}" for n in range(rows)],
        }
    )
    write(tmp_path / name, table)
    sample = sampled(tmp_path / name)
    seen = min(rows, ROWS)
    assert sample.whole == (rows < ROWS)
    assert cells(sample, "whole") == [str(n) for n in range(seen)]
    assert cells(sample, "part") == [f"{n}.5" for n in range(seen)]
    assert cells(sample, "word") == ["" if n % 4 == 0 else f"w{n}" for n in range(seen)]


def test_native_values_are_texts_as_in_a_csv_file(tmp_path: Path) -> None:
    import datetime

    table = pa.table(
        {
            "flag": [True, None],
            "day": [datetime.date(2024, 1, 3), None],
            "float": [2.0, float("nan")],
            "moment": pa.array([1, None], pa.timestamp("ns")),
            "level": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    assert sampled(tmp_path / "t.parquet").first == {
        "flag": ("true", ""),
        "day": ("2024-01-03", ""),
        "float": ("2.0", ""),
        "moment": ("1970-01-01 00:00:00", ""),
        "level": ("a", "b"),
    }


def test_nested_columns_are_left_to_their_reader(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [[1], [2]], "y": [1, 2]}), tmp_path / "t.parquet")
    assert sample_rows(FileSource(path=str(tmp_path / "t.parquet")), DEFAULT_MISSING) is None


def test_no_format_loads_pandas(tmp_path: Path) -> None:
    parquet.write_table(
        pa.table({"t": pa.array([1, 2], pa.timestamp("ns")), "y": [1, 2]}), tmp_path / "t.parquet"
    )
    (tmp_path / "spec.yaml").write_text("name: x\ndata: {source: t.parquet}\ntarget: y\n")
    probe = "import sys; from declarative_ml.spec.load import load_spec; load_spec('spec.yaml', data=True); "
    probe += "print('pandas' in sys.modules, 'pyarrow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


def test_missing_and_blanks(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n x \nNA\n  \n?\n-\n")
    sample = sample_rows(FileSource(path=str(tmp_path / "t.csv")), ["-", " NA"])
    assert sample is not None
    column = sample.column("a")
    assert column is not None
    assert (column.cells, list(column.raw)) == (["x", "", "", "?", ""], [" x ", "NA", "  ", "?", "-"])
    assert (list(column.distinct), column.row("?")) == (["x", "?"], 4)


def test_a_wide_table_gives_fewer_rows(tmp_path: Path) -> None:
    line = ",".join(["1"] * 300)
    (tmp_path / "t.csv").write_text("\n".join([",".join(f"c{n}" for n in range(300))] + [line] * 900))
    assert sampled(tmp_path / "t.csv").rows == 200


def test_long_cells_give_fewer_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + f"{'x' * 100_000},1\n" * 100)
    sample = sampled(tmp_path / "t.csv")
    assert (sample.rows, sample.whole) == (42, False)


@pytest.mark.parametrize(
    "content",
    [b"a,y", b"a,y\n", b"\x00\x01", b"", b"PAR1", b"a,a\n1,2\n"],
)
def test_no_rows_and_damaged_files_are_left_to_their_reader(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert sample_rows(FileSource(path=str(tmp_path / "t.csv")), DEFAULT_MISSING) is None


def test_rows_end_at_the_first_one_of_another_length(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,x\n2\n3,z\n")
    sample = sampled(tmp_path / "t.csv")
    assert (cells(sample, "a"), sample.whole) == (["1"], False)


@pytest.mark.parametrize("content", ["[1, 2]\n", '{"a": [1]}\n', '{"a": 1\n'])
def test_damaged_json_is_left_to_its_reader(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n' + content)
    assert sample_rows(FileSource(path=str(tmp_path / "t.jsonl")), DEFAULT_MISSING) is None


def test_other_sources_are_not_looked_at(tmp_path: Path) -> None:
    assert sample_rows(SampleSource(name="messy"), DEFAULT_MISSING) is None
    assert sample_rows(None, DEFAULT_MISSING) is None
    assert sample_rows(FileSource(path=str(tmp_path / "none.csv")), DEFAULT_MISSING) is None


def test_utf_16_is_read_from_its_beginning_only(tmp_path: Path) -> None:
    text = "a,y\n" + "".join(f"{n},é\n" for n in range(3000))
    (tmp_path / "t.csv").write_bytes(text.encode("utf-16"))
    sample = sampled(tmp_path / "t.csv", encoding="utf-16")
    assert (sample.rows, sample.whole, sample.below) == (ROWS, False, {})
