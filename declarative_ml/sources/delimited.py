"""Delimited text (CSV, TSV): its header, its delimiter, and its rows as batches of strings."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

MAX_COLUMNS = 16_384
DELIMITERS = (",", ";", "\t", "|")
FIRST_BLOCK = 4 << 20
LAST_BLOCK = 256 << 20
"""A row longer than this is taken for a quotation mark that is never closed."""

_SNIFF_LINES = 50
_SHOWN_ROWS = 3
_COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_MAGIC = {
    b"PAR1": "a Parquet file (format: parquet)",
    b"ARROW1": "an Arrow file (format: arrow)",
    b"PK\x03\x04": "a zip or Excel file (format: excel)",
    b"\x1f\x8b": "gzip-compressed (give the file the ending .gz)",
    b"\x28\xb5\x2f\xfd": "zstd-compressed (give the file the ending .zst)",
    b"\x89PNG": "an image",
    b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "an old Excel file (format: excel)",
    b"SQLite format 3": "an SQLite database",
}


_LONGEST_CELL = 1 << 30


def _cells(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """The cells of each line. The limit of the csv module, 128 kB a cell, is for others' programs."""
    csv.field_size_limit(_LONGEST_CELL)
    return csv.reader(lines, delimiter=delimiter)


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file, decompressed where its last ending says so."""
    compression = _COMPRESSED.get(path.suffix.lower())
    if compression is None:
        return path.open("rb")
    if compression == "gzip":
        import gzip

        return gzip.open(path, "rb")  # type: ignore[return-value]
    import pyarrow as pa

    return io.BufferedReader(pa.input_stream(str(path), compression=compression))


def header(path: Path, delimiter: str | None, encoding: str) -> tuple[list[str], str]:
    """The column names, trimmed, and the delimiter (sniffed when None), from the first lines only.

    Raises DataError for an empty file, binary data, names that are blank or double, and too many columns.
    """
    lines = _first_lines(path, encoding)
    if delimiter is None:
        delimiter = sniff(lines)
    names = next((row for row in _cells(lines, delimiter) if row), None)
    if names is None:
        raise DataError(f"{path} is empty", hint="the first line must name the columns")
    names = [name.strip() for name in names]
    check_names(names, path)
    return names, delimiter


def sniff(lines: Sequence[str]) -> str:
    """The delimiter that cuts most of the lines into equally many cells, more than one; else a comma."""

    def score(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in _cells(lines, delimiter) if row]
        if not widths or widths[0] < 2:
            return (0, 0)
        return (100 * sum(width == widths[0] for width in widths) // len(widths), widths[0])

    best = max(DELIMITERS, key=score)
    return best if score(best)[0] else ","


def check_names(names: Sequence[str], path: Path) -> None:
    """Raise DataError unless every column has a name of its own and there are not too many."""
    if len(names) > MAX_COLUMNS:
        raise DataError(
            f"{path} has {len(names):,} columns; the most that can be read is {MAX_COLUMNS:,}",
            hint="is the file transposed, or the delimiter another one?",
        )
    blank = [str(place) for place, name in enumerate(names, 1) if not name]
    if blank:
        raise DataError(
            f"{path}: the header gives no name to column {', '.join(blank[:5])} of {len(names)}",
            hint="name it; a first column without a name is often a row index that was saved by mistake",
        )
    seen: set[str] = set()
    double = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    if double:
        raise DataError(
            f"{path}: the header names {', '.join(map(repr, double[:5]))} more than once",
            hint="give every column a name of its own",
        )


def read_delimited(
    path: Path, names: Sequence[str], delimiter: str, encoding: str
) -> Iterator[pa.RecordBatch]:
    """All rows as batches of string columns; an empty cell is "".

    Raises DataError for rows with another number of cells, wrong encoding and damaged compression.
    """
    import pyarrow as pa

    block, done = FIRST_BLOCK, 0
    while True:
        try:
            for batch in _skipped(_stream(path, names, delimiter, encoding, block), done):
                done += batch.num_rows
                yield batch
            return
        except (pa.ArrowInvalid, OSError, UnicodeError, EOFError) as problem:
            if "straddling" not in str(problem) or block >= LAST_BLOCK:
                raise _explained(path, encoding, problem, done) from problem
            block *= 8


def _stream(
    path: Path, names: Sequence[str], delimiter: str, encoding: str, block: int
) -> Iterator[pa.RecordBatch]:
    """One attempt to read the rows with blocks of `block` bytes. The header comes as a row and is dropped."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    from declarative_ml.sources.quotes import QuoteWatch, WatchedStream

    ragged: list[Any] = []

    def on_ragged(row: Any) -> str:
        ragged.append(row)
        return "skip"

    watch = QuoteWatch(path, delimiter, encoding)
    strings = {f"f{place}": pa.string() for place in range(len(names))}
    with pa.input_stream(str(path), compression=_COMPRESSED.get(path.suffix.lower())) as stream:
        reader = arrow_csv.open_csv(
            WatchedStream(stream, watch),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=block, encoding=encoding, autogenerate_column_names=True
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=on_ragged
            ),
            convert_options=arrow_csv.ConvertOptions(column_types=strings, strings_can_be_null=False),
        )
        for batch in _without_header(reader, path):
            if ragged or watch.fault:
                break
            yield batch.rename_columns(list(names))
    if watch.fault is not None:
        raise watch.fault
    if ragged:
        raise _ragged_error(path, ragged, delimiter)


def _without_header(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """The rows after the first one, which names the columns. Raises DataError where it comes again."""
    import pyarrow.compute as pc

    names: list[str] = []
    rows = 0
    for batch in batches:
        if not names and batch.num_rows:
            names = [column[0].as_py() for column in batch.columns]
            batch = batch.slice(1)
        same = pc.equal(batch.column(0), names[0]) if len(names) > 1 else None
        if same is not None and pc.any(same).as_py():
            for place in pc.indices_nonzero(same).to_pylist():
                if [column[place].as_py() for column in batch.columns] == names:
                    raise DataError(
                        f"{path}: row {rows + place + 1:,} is the header once more",
                        hint="files that were joined keep their headers: take this row out",
                    )
        rows += batch.num_rows
        if batch.num_rows:
            yield batch


def _skipped(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The batches after the first `rows` rows."""
    for batch in batches:
        left = min(rows, batch.num_rows)
        rows -= left
        if left < batch.num_rows:
            yield batch.slice(left)


def _first_lines(path: Path, encoding: str) -> list[str]:
    try:
        with open_bytes(path) as stream:
            start = stream.read(4096)
    except (OSError, EOFError) as problem:
        raise _explained(path, encoding, problem, 0) from problem
    _refuse_binary(path, start, encoding)
    decoder = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding=decoder, newline="") as text:
            return list(islice(text, _SNIFF_LINES))
    except (OSError, EOFError, UnicodeError, LookupError) as problem:
        raise _explained(path, encoding, problem, 0) from problem


def _refuse_binary(path: Path, start: bytes, encoding: str) -> None:
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise DataError(f"{path} is not delimited text but {what}")
    wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32"))
    if b"\0" in start and not wide:
        utf16 = start[:2] in (b"\xff\xfe", b"\xfe\xff")
        hint = "set encoding: utf-16" if utf16 else "give the file's real format, or export it as CSV"
        line = start.count(b"\n", 0, start.index(b"\0")) + 1
        raise DataError(f"{path} is not delimited text: it holds NUL bytes in line {line}", hint=hint)


def _ragged_error(path: Path, ragged: Sequence[Any], delimiter: str) -> DataError:
    shown = "; ".join(
        f"row {row.number - 1} has {row.actual_columns} ({row.text[:60]!r})" for row in ragged[:_SHOWN_ROWS]
    )
    more = f"; {len(ragged) - _SHOWN_ROWS} more so far" if len(ragged) > _SHOWN_ROWS else ""
    return DataError(
        f"{path}: the header has {ragged[0].expected_columns} columns, but {shown}{more}",
        hint=f"quote cells that hold the delimiter {delimiter!r}, or set another delimiter",
    )


def _explained(path: Path, encoding: str, problem: Exception, rows: int) -> DataError:
    """What a reader's complaint means for the person whose file it is."""
    text = str(problem)
    if isinstance(problem, LookupError):
        return DataError(
            f"{path}: there is no encoding {encoding!r}", hint="utf-8, latin-1, cp1252, utf-16, …"
        )
    if isinstance(problem, UnicodeError) or "UTF8" in text:
        return _encoding_error(path, encoding)
    if "straddling" in text:
        return DataError(
            f"{path}: the row after row {rows:,} is longer than {LAST_BLOCK >> 20} MB",
            hint="is a quotation mark opened there and never closed?",
        )
    if isinstance(problem, PermissionError):
        return unreadable(path)
    if isinstance(problem, (OSError, EOFError)) and (path.suffix.lower() in _COMPRESSED):
        return DataError(f"{path} is damaged or cut short: {text}", hint="fetch or compress the file again")
    return DataError(f"{path} cannot be read: {text}", hint="check the format and the delimiter")


def unreadable(path: Path) -> DataError:
    """That the system does not let us read the file."""
    return DataError(f"{path} may not be read: permission denied", hint="ask its owner, or run as who may")


def _encoding_error(path: Path, encoding: str) -> DataError:
    """The first line that is not in `encoding`. Scans the file; memory stays bounded by one line."""
    hint = "set encoding: latin-1 or cp1252 (or whatever it was saved in)"
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode(encoding)
            except UnicodeError as problem:
                start = problem.start if isinstance(problem, UnicodeDecodeError) else 0
                shown = line[max(start - 10, 0) : start + 10]
                return DataError(f"{path} is not {encoding}: line {number} holds {shown!r}", hint=hint)
    return DataError(f"{path} is not {encoding}", hint=hint)
