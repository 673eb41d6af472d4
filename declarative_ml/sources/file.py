"""Files: CSV, TSV, JSON lines, Parquet, Arrow and Excel, one or several, read as a stream."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from declarative_ml.core.errors import DataError
from declarative_ml.sources import delimited
from declarative_ml.sources.image_files import holds_images, is_archive
from declarative_ml.sources.partitions import Partition, check_partitions, partition_of, with_partition
from declarative_ml.sources.table_files import Format, TableFiles

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS: dict[str, Format] = {
    ".csv": "csv", ".txt": "csv", ".data": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl",
    ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow",
    ".ipc": "arrow", ".xlsx": "excel", ".xlsm": "excel", ".xlsb": "excel", ".xls": "excel", ".ods": "excel",
}  # fmt: skip
COMPRESSIONS = (".gz", ".zst", ".bz2")
_GLOB = frozenset("*?[")
_MOST_FILES = 100_000


class FileSource(TableFiles):
    """Tables in files. Text formats and Excel yield strings; Parquet and Arrow yield their own types."""

    type: Literal["file"] = "file"
    path: str | tuple[str, ...] = Field(
        description="File, folder, or pattern such as data/*.csv, or a list of them; relative to the spec"
    )

    @field_validator("path")
    @classmethod
    def _some_path(cls, path: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not path or (isinstance(path, tuple) and not all(path)):
            raise ValueError("give the path of a file")
        return path

    def resolved(self, base: Path) -> FileSource:
        """The same source with its paths made absolute against `base`; `~` is the home folder."""
        paths = tuple(str(base / Path(path).expanduser()) for path in self._paths())
        return self.model_copy(update={"path": paths[0] if isinstance(self.path, str) else paths})

    def files(self) -> list[Path]:
        """The files, patterns expanded in sorted order. Raises DataError for what matches nothing."""
        found: dict[Path, None] = {}
        for path in self._paths():
            found.update(dict.fromkeys(_expand(path)))
        return list(found)

    def options_for_key(self) -> dict[str, object]:
        """How the files are read; what is in them enters the key by their contents."""
        files = self.files()
        options: dict[str, object] = {
            "formats": [self._format(path) for path in files],
            "delimiter": self.delimiter,
            "encoding": self.encoding,
        }
        partitions = self._partitions(files)
        further = {"sheet": self.sheet, "select": self.select, "partitions": any(partitions) and partitions}
        return options | {name: value for name, value in further.items() if value}

    def columns(self) -> list[str]:
        """The column names of the first file (of CSV the header line only is read) and of its folders."""
        files = self.files()
        return self._selected(self._all_columns(files, self._partitions(files)), files[0])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, file after file; columns are matched by name and come in the first file's order.

        Raises DataError when the files' columns differ, when there are no rows, and for unreadable data.
        """
        files = self.files()
        partitions = self._partitions(files)
        names = self._columns(files[0])
        for path in files[1:]:
            _check_same_columns(names, self._columns(path), files[0], path)
        wanted = self._selected(self._all_columns(files, partitions), files[0])
        rows = 0
        for path, partition in zip(files, partitions, strict=True):
            for read in self._read(path, [name for name in wanted if name in names]):
                batch = with_partition(read, partition) if partition else read
                rows += batch.num_rows
                yield batch if batch.schema.names == wanted else batch.select(wanted)
        if not rows:
            raise DataError(
                f"{', '.join(map(str, files[:3]))} has a header but no rows", hint="give a file with data"
            )

    def _partitions(self, files: list[Path]) -> list[Partition]:
        return [partition_of(path, self._paths()) for path in files]

    def _all_columns(self, files: list[Path], partitions: list[Partition]) -> list[str]:
        names = self._columns(files[0])
        return names + [name for name in check_partitions(partitions, files) if name not in names]

    def _selected(self, names: list[str], path: Path) -> list[str]:
        absent = [name for name in self.select if name not in names]
        if absent:
            near = difflib.get_close_matches(absent[0], names, n=1)
            raise DataError(
                f"{path} has no column {absent[0]!r}, which `select` names",
                hint=f"did you mean {near[0]!r}?" if near else f"its columns: {', '.join(names[:20])}",
            )
        return list(self.select) or names

    def _paths(self) -> tuple[str, ...]:
        return (self.path,) if isinstance(self.path, str) else self.path

    def _format(self, path: Path) -> Format:
        if self.format is not None:
            return self.format
        bare = Path(path.stem) if path.suffix.lower() in COMPRESSIONS else path
        ending = bare.suffix.lower()
        if ending not in ENDINGS:
            raise DataError(
                f"{path}: the ending {ending!r} does not tell the format",
                hint="images are read by source: {type: images, path: …}"
                if is_archive(path)
                else "set format: csv, tsv, jsonl, parquet, arrow or excel",
            )
        return ENDINGS[ending]

    def _header(self, path: Path, kind: Format) -> tuple[list[str], str]:
        delimiter = self.delimiter or ("\t" if kind == "tsv" else None)
        return delimited.header(path, delimiter, self.encoding)

    def _columns(self, path: Path) -> list[str]:
        kind = self._format(path)
        if kind in ("csv", "tsv"):
            return self._header(path, kind)[0]
        if kind == "jsonl":
            from declarative_ml.sources.json_lines import read_keys

            return read_keys(path)
        if kind == "excel":
            from declarative_ml.sources.excel import sheet_columns

            return sheet_columns(path, self.sheet)
        from declarative_ml.sources.columnar import arrow_columns, parquet_columns

        return parquet_columns(path) if kind == "parquet" else arrow_columns(path)

    def _read(self, path: Path, wanted: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows of one file with the columns `wanted` at least, where the format can leave others out."""
        kind = self._format(path)
        if kind in ("csv", "tsv"):
            names, delimiter = self._header(path, kind)
            return delimited.read_delimited(path, names, delimiter, self.encoding)
        if kind == "jsonl":
            from declarative_ml.sources.json_lines import read_json_lines

            return read_json_lines(path, wanted)
        if kind == "excel":
            from declarative_ml.sources.excel import read_sheet

            return read_sheet(path, self.sheet)
        from declarative_ml.sources.columnar import read_arrow, read_parquet

        return read_parquet(path, wanted) if kind == "parquet" else read_arrow(path, wanted)


def _expand(text: str) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        return _tables_in(path)
    if not _GLOB.isdisjoint(text):
        found = sorted(
            match for match in Path(path.anchor or ".").glob(_below_anchor(path)) if match.is_file()
        )
        if found:
            return found
        raise DataError(f"no file matches {text}", hint=_nearest(path))
    raise DataError(f"there is no file {path}", hint=_nearest(path))


def is_table(path: PurePath) -> bool:
    """Whether the ending of the path is that of a format."""
    bare = PurePath(path.stem) if path.suffix.lower() in COMPRESSIONS else path
    return bare.suffix.lower() in ENDINGS


def _tables_in(folder: Path) -> list[Path]:
    """The tables of a folder and those below it; what begins with `.` or `_` is other programs' own."""

    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        tables = [name for name in names if not name.startswith((".", "_")) and is_table(PurePath(name))]
        found += [Path(place) / name for name in sorted(tables)]
        if len(found) > _MOST_FILES:
            raise DataError(
                f"{folder} holds more than {_MOST_FILES:,} tables", hint="is it the folder you mean?"
            )
    if not found:
        pictures = "images are read by source: {type: images, path: …}"
        hint = pictures if holds_images(folder) else f"known endings: {', '.join(ENDINGS)}"
        raise DataError(f"{folder} is a folder without tables", hint=hint)
    return sorted(found)


def holds_tables(folder: Path) -> bool:
    """Whether a table lies in the folder or below it."""
    try:
        return bool(_tables_in(folder))
    except DataError:
        return False


def _below_anchor(path: Path) -> str:
    return str(path.relative_to(path.anchor)) if path.anchor else str(path)


def _nearest(path: Path) -> str:
    """What may have been meant: a file of that folder, or the folder itself."""
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist either"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {path.parent / close[0]}?"
    return f"files there: {', '.join(names[:8])}" if names else f"the folder {path.parent} holds no files"


def _check_same_columns(first: list[str], other: list[str], first_path: Path, path: Path) -> None:
    if set(first) == set(other):
        return
    lacking = [name for name in first if name not in other]
    extra = [name for name in other if name not in first]
    parts = [f"it lacks {', '.join(map(repr, lacking[:5]))}"] if lacking else []
    parts += [f"it has {', '.join(map(repr, extra[:5]))} besides"] if extra else []
    raise DataError(
        f"{path} has other columns than {first_path}: {' and '.join(parts)}",
        hint="files that are read together need the same columns",
    )
