"""A look into the data of a spec: the first rows, and a few from further down. Bounded in rows and bytes.

Text is read with the standard library, so that `dml validate` stays light. For Parquet and Arrow files
the header has loaded pyarrow by then.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from itertools import islice, takewhile
from operator import methodcaller
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from declarative_ml.core.arrow_types import plain_array
from declarative_ml.core.errors import DataError
from declarative_ml.core.grammar import WHITESPACE, canonical_float, spellings_of_missing
from declarative_ml.sources.base import Source
from declarative_ml.sources.delimited import header, open_bytes
from declarative_ml.sources.file import COMPRESSIONS, ENDINGS, FileSource

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 1_000
_LEAST_ROWS = 100
_CELLS = 60_000
"""A wide table gives fewer rows."""
_BYTES = 4 << 20
_BLOCK = 64 << 10
_BLOCKS = (0.25, 0.6, 1.0)
"""Where, between the first rows and the end of the file, a few more are looked at."""
_BLOCK_ROWS = 100

_TRIM = methodcaller("strip", WHITESPACE)
_NESTED = {list, dict}
_WRITTEN_AS_THEY_ARE = {int, str, date, datetime}

Rows = list[list[str]]


@dataclass(frozen=True)
class Column:
    """The sampled cells of one column, in row order. A missing cell is ""."""

    name: str
    raw: Sequence[str]
    """As they are written."""
    missing: frozenset[str]
    below: Sequence[str] = ()
    """Cells from further down, as they are written. They may take a suspicion back and never raise one."""

    @cached_property
    def cells(self) -> list[str]:
        """The first rows' cells without blanks around them."""
        return self._read(self.raw)

    @cached_property
    def further(self) -> list[str]:
        """The cells from further down without blanks around them."""
        return self._read(self.below)

    @cached_property
    def values(self) -> list[str]:
        """The present cells of the first rows."""
        return list(filter(None, self.cells))

    @cached_property
    def distinct(self) -> dict[str, None]:
        """The different present values of the first rows, in the order of appearance."""
        return dict.fromkeys(self.values)

    def row(self, text: str) -> int:
        """The first row that holds a present value, counted from 1."""
        return self.cells.index(text) + 1

    def _read(self, cells: Sequence[str]) -> list[str]:
        # Every cell of the sample comes along here, so the work is left to functions written in C.
        trimmed = list(map(_TRIM, cells))
        if self.missing.isdisjoint(trimmed):
            return trimmed
        return ["" if cell in self.missing else cell for cell in trimmed]


@dataclass(frozen=True)
class Sample:
    """Some rows of a source."""

    first: dict[str, Sequence[str]]
    below: dict[str, Sequence[str]]
    rows: int
    whole: bool
    """Whether there are no other rows."""
    missing: frozenset[str]
    total: int | None = None
    """About how many rows there are; None where the size of the files does not tell."""
    counted: bool = False
    """Whether `total` is exact."""
    size: int = 0
    """Bytes of the files."""
    _columns: dict[str, Column] = field(default_factory=dict, compare=False)

    @property
    def said(self) -> str:
        """How many rows were looked at: "the first 1,000 rows", or "the 344 rows" when these are all."""
        return f"the {self.rows:,} rows" if self.whole else f"the first {self.rows:,} rows"

    @property
    def names(self) -> list[str]:
        """The columns there are."""
        return list(self.first)

    def column(self, name: str) -> Column | None:
        """One column, or None where the sampled rows do not have it."""
        if name not in self._columns and name in self.first:
            self._columns[name] = Column(name, self.first[name], self.missing, self.below.get(name, ()))
        return self._columns.get(name)


def sample_rows(source: Source | None, missing: Iterable[str]) -> Sample | None:
    """Rows of a file source, or None where they are not cheap to have, damaged, or none."""
    if not isinstance(source, FileSource):
        return None
    try:
        files = source.files()
        head = _head(source, files[0], ROWS)
        below = _below(source, files, head)
    except (DataError, OSError, EOFError, LookupError, ValueError, RecursionError, csv.Error):
        return None  # the reader of the rows says what is wrong with them
    if head is None or not head.rows:
        return None
    whole = head.ended and len(files) == 1
    size = sum(path.stat().st_size for path in files)
    total, counted = _total(files, head, size)
    if whole:
        total, counted = len(head.rows), True
    known = spellings_of_missing(missing)
    return Sample(head.columns, below, len(head.rows), whole, known, total, counted, size)


def _total(files: list[Path], head: _Head, size: int) -> tuple[int | None, bool]:
    """The number of rows of all files, and whether it is exact."""
    if head.kind == "parquet":
        from pyarrow import parquet

        return sum(parquet.read_metadata(path).num_rows for path in files), True
    return (round(size * len(head.rows) / head.position), False) if head.position else (None, False)


@dataclass(frozen=True)
class _Head:
    """The first rows of one file, and what is needed to read more of it."""

    kind: str
    names: list[str]
    rows: Rows
    ended: bool
    """Whether the file has no more rows."""
    position: int = 0
    """The byte behind the rows; 0 when it is not known."""
    delimiter: str = ""

    @property
    def columns(self) -> dict[str, Sequence[str]]:
        return dict(zip(self.names, zip(*self.rows, strict=True), strict=True)) if self.rows else {}


def _head(source: FileSource, path: Path, rows: int) -> _Head | None:
    compression = path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else ""
    ending = path.with_suffix("").suffix if compression else path.suffix
    kind = source.format or ENDINGS.get(ending.lower())
    if kind in ("parquet", "arrow"):
        return _columnar_head(path, kind, rows)
    if compression not in ("", ".gz"):
        return None  # only pyarrow can open it
    if kind == "jsonl":
        return _json_head(path, rows)
    return _delimited_head(source, path, kind, rows) if kind in ("csv", "tsv") else None


def _fitting(rows: int, columns: int) -> int:
    return max(_LEAST_ROWS, min(rows, _CELLS // max(columns, 1)))


class _Lines:
    """The lines of a text up to a number of bytes, counted."""

    def __init__(self, text: Iterable[str], encoding: str) -> None:
        self._text = iter(text)
        self._encoding = encoding
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self.size += len(line.encode(self._encoding, "replace"))
            yield line
            if self.size > _BYTES:
                return

    def ended(self) -> bool:
        """Whether the text has no more lines."""
        return next(self._text, None) is None


def _delimited_head(source: FileSource, path: Path, kind: str, rows: int) -> _Head:
    delimiter = source.delimiter or ("\t" if kind == "tsv" else None)
    names, delimiter = header(path, delimiter, source.encoding)
    rows = _fitting(rows, len(names))
    with open_bytes(path) as stream, _as_text(stream, source.encoding) as text:
        lines = _Lines(text, source.encoding)
        table = (row for row in csv.reader(lines, delimiter=delimiter) if row)
        found = list(islice(table, 1, rows + 1))
        ended = (len(found) < rows or next(table, None) is None) and lines.ended()
    sound = list(takewhile(lambda row: len(row) == len(names), found))
    ended = ended and len(sound) == len(found)
    return _Head(kind, names, sound, ended, _position(path, source.encoding, lines.size), delimiter)


def _as_text(stream: IO[bytes], encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")


def _position(path: Path, encoding: str, size: int) -> int:
    """Where rows may be looked for by place: not inside compressed text, nor in letters of several bytes."""
    wide = encoding.lower().startswith(("utf-16", "utf16", "utf_16", "utf-32", "utf32", "utf_32"))
    return 0 if wide or path.suffix.lower() in COMPRESSIONS else size


def _json_head(path: Path, rows: int) -> _Head:
    found: list[dict[str, str]] = []
    with open_bytes(path) as stream, _as_text(stream, "utf-8-sig") as text:
        lines = _Lines(text, "utf-8")
        for line in islice((line for line in lines if line.strip()), rows):
            found.append(_record(json.loads(line)))
        ended = lines.ended()
    names = list(dict.fromkeys(name for record in found for name in record))
    found = found[: _fitting(rows, len(names))]
    table = [[record.get(name, "") for name in names] for record in found]
    return _Head("jsonl", names, table, ended, _position(path, "utf-8", lines.size))


def _columnar_head(path: Path, kind: str, rows: int) -> _Head:
    """The first rows of a Parquet or Arrow file. Raises DataError for nested columns."""
    from declarative_ml.sources.columnar import arrow_columns, parquet_columns, read_arrow

    names = parquet_columns(path) if kind == "parquet" else arrow_columns(path)
    rows = _fitting(rows, len(names))
    batches = _parquet_batches(path, rows) if kind == "parquet" else read_arrow(path, names)
    columns: list[list[Any]] = [[] for _ in names]
    while len(columns[0]) < rows and (batch := next(batches, None)) is not None:
        for values, array in zip(columns, batch.columns, strict=True):
            # A moment in nanoseconds would load pandas, were it not made plain before.
            values += plain_array(array.slice(0, rows - len(values))).to_pylist()
    ended = len(columns[0]) < rows
    return _Head(kind, names, [list(row) for row in zip(*map(_texts, columns), strict=True)], ended)


def _parquet_batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of a few rows: `sources.columnar` would decode 65,536 at once."""
    from pyarrow import parquet

    with parquet.ParquetFile(path, memory_map=True) as file:
        yield from file.iter_batches(batch_size=rows, use_threads=False)


def _texts(values: list[Any]) -> list[str]:
    """Values as they would stand in a CSV file."""
    if set(map(type, values)) <= _WRITTEN_AS_THEY_ARE:
        return list(map(str, values))
    return list(map(_text, values))


def _record(record: Any) -> dict[str, str]:
    """The cells of a line of JSON. Raises ValueError for what the reader of the rows refuses."""
    if not isinstance(record, dict) or not _NESTED.isdisjoint(map(type, record.values())):
        raise ValueError("not a flat object")
    return {
        name: canonical_float(value) if isinstance(value, float) and value - value == 0 else _text(value)
        for name, value in record.items()
    }


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and value - value != 0):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _below(source: FileSource, files: list[Path], head: _Head | None) -> dict[str, Sequence[str]]:
    """Rows from further down the file, or from the last of several files, by column."""
    if head is None or not head.rows:
        return {}
    if len(files) > 1:
        last = _head(source, files[-1], _BLOCK_ROWS * len(_BLOCKS))
        return last.columns if last is not None else {}
    if head.ended or not head.position or _has_long_cells(head):
        return {}
    rows: Rows = []
    for lines in _blocks(files[0], source.encoding, head.position):
        rows += _rows_of(lines, head)
    return dict(zip(head.names, zip(*rows, strict=True), strict=True)) if rows else {}


def _has_long_cells(head: _Head) -> bool:
    """Whether cells run over lines: one cannot tell then where a row begins in the midst of a file."""
    return any("\n" in "".join(row) for row in head.rows)


def _blocks(path: Path, encoding: str, start: int) -> Iterator[list[str]]:
    """Whole lines from some places behind `start`, no line twice.

    A block with an odd number of quotation marks begins or ends inside a cell, and is left out.
    """
    size = path.stat().st_size - start
    length = min(_BLOCK, size // 4)
    with path.open("rb") as stream:
        for share in _BLOCKS:
            stream.seek(start + int((size - length) * share))
            text = stream.read(length).decode(encoding, "replace")
            if text.count('"') % 2 == 0:
                yield [line.removesuffix("\r") for line in text.split("\n")[1:-1]]


def _rows_of(lines: list[str], head: _Head) -> Rows:
    """The last rows of a block, so that the end of the file is among them."""
    if head.kind == "jsonl":
        records = [_record(json.loads(line)) for line in lines[-_BLOCK_ROWS:] if line.strip()]
        return [[record.get(name, "") for name in head.names] for record in records]
    rows = csv.reader(lines, delimiter=head.delimiter)
    return [row for row in rows if len(row) == len(head.names)][-_BLOCK_ROWS:]
