"""Files: CSV, TSV, JSON lines, Parquet and Arrow, one or several, read as a stream."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from declarative_ml.core.errors import DataError
from declarative_ml.sources import delimited
from declarative_ml.sources.base import Source

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "tsv", "jsonl", "parquet", "arrow"]

ENDINGS: dict[str, Format] = {
    ".csv": "csv", ".txt": "csv", ".data": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl",
    ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow",
    ".ipc": "arrow",
}  # fmt: skip
COMPRESSIONS = (".gz", ".zst", ".bz2")
_GLOB = frozenset("*?[")


class FileSource(Source):
    """Tables in files. Text formats yield strings; Parquet and Arrow yield their own types."""

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)

    type: Literal["file"] = "file"
    path: str | tuple[str, ...] = Field(
        description="File, or pattern such as data/*.csv, or a list of them; relative to the spec"
    )
    format: Format | None = Field(default=None, description="By the file's ending when absent")
    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="csv: found in the first lines when absent"
    )
    encoding: str = Field(default="utf-8", description="csv: character encoding, such as latin-1")

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
        formats = [self._format(path) for path in self.files()]
        return {"formats": formats, "delimiter": self.delimiter, "encoding": self.encoding}

    def columns(self) -> list[str]:
        """The column names of the first file: of CSV the header line only is read."""
        return self._columns(self.files()[0])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, file after file; columns are matched by name and come in the first file's order.

        Raises DataError when the files' columns differ, when there are no rows, and for unreadable data.
        """
        files = self.files()
        names = self._columns(files[0])
        for path in files[1:]:
            _check_same_columns(names, self._columns(path), files[0], path)
        rows = 0
        for path in files:
            for batch in self._read(path):
                rows += batch.num_rows
                yield batch if batch.schema.names == names else batch.select(names)
        if not rows:
            raise DataError(
                f"{', '.join(map(str, files[:3]))} has a header but no rows", hint="give a file with data"
            )

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
                hint="set format: csv, tsv, jsonl, parquet or arrow",
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
        from declarative_ml.sources.columnar import arrow_columns, parquet_columns

        return parquet_columns(path) if kind == "parquet" else arrow_columns(path)

    def _read(self, path: Path) -> Iterator[pa.RecordBatch]:
        kind = self._format(path)
        if kind in ("csv", "tsv"):
            names, delimiter = self._header(path, kind)
            return delimited.read_delimited(path, names, delimiter, self.encoding)
        names = self._columns(path)
        if kind == "jsonl":
            from declarative_ml.sources.json_lines import read_json_lines

            return read_json_lines(path, names)
        from declarative_ml.sources.columnar import read_arrow, read_parquet

        return read_parquet(path, names) if kind == "parquet" else read_arrow(path, names)


def _expand(text: str) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        raise DataError(f"{path} is a folder", hint=f"name the files in it, for example {path}/*.csv")
    if not _GLOB.isdisjoint(text):
        found = sorted(
            match for match in Path(path.anchor or ".").glob(_below_anchor(path)) if match.is_file()
        )
        if found:
            return found
        raise DataError(f"no file matches {text}", hint=_nearest(path))
    raise DataError(f"there is no file {path}", hint=_nearest(path))


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
