"""Prediction logs read back: record batches of one model's rows, whatever the files hold beside them."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.core.errors import DataError
from declarative_ml.serving.log_format import line_blocks, log_schema, read_lines
from declarative_ml.serving.prediction_log import PART
from declarative_ml.store.bundle import Manifest

if TYPE_CHECKING:
    import pyarrow as pa

_LINES = (".jsonl", f".jsonl{PART}")


@dataclass
class Logged:
    """The log of a model, and what was met on the way through it."""

    files: list[Path]
    manifest: Manifest
    rows: int = 0
    other_rows: int = 0
    """Of other models, or other versions of this one."""
    broken_lines: int = 0
    """Half written, or no JSON."""

    def batches(self) -> Iterator[pa.Table]:
        """The model's rows, some thousand at a time. Raises DataError for a file that cannot be read."""
        import pyarrow as pa

        for path in self.files:
            try:
                for table in self._tables(path):
                    kept = self._own(table)
                    if kept.num_rows:
                        yield kept
            except (pa.ArrowException, OSError) as error:
                first = str(error).splitlines()[0][:200]
                raise DataError(f"{path} is no prediction log: {first}") from error

    def _tables(self, path: Path) -> Iterator[pa.Table]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = log_schema(self.manifest)
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=65_536):
                    yield pa.Table.from_batches([batch])
            return
        for block in line_blocks(path):
            try:
                yield read_lines(block, schema)
            except pa.ArrowInvalid:
                whole = self._whole_lines(block)
                if whole:
                    yield read_lines(whole, schema)

    def _whole_lines(self, block: bytes) -> bytes:
        """The lines of this model; others may have columns of other types."""
        kept = []
        for line in block.splitlines():
            try:
                fields = json.loads(line)
            except ValueError:
                self.broken_lines += 1
                continue
            if isinstance(fields, dict) and fields.get("digest") == self.manifest.model_digest:
                kept.append(line)
            else:
                self.other_rows += 1
        return b"".join(line + b"\n" for line in kept)

    def _own(self, table: pa.Table) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        schema = log_schema(self.manifest)
        if absent := [name for name in ("time", "id", "digest", "inputs") if name not in table.column_names]:
            raise pa.ArrowInvalid(f"it has no column {absent[0]}")
        mine = pc.fill_null(pc.equal(table.column("digest"), self.manifest.model_digest), False)
        kept = table.filter(mine)
        self.rows += kept.num_rows
        self.other_rows += table.num_rows - kept.num_rows
        return kept.select(schema.names).cast(schema) if kept.num_rows else kept


def open_log(path: str, manifest: Manifest) -> Logged:
    """The log at a folder, a file, or a pattern of files. Raises DataError where there is none."""
    place = Path(path)
    found = list(place.iterdir()) if place.is_dir() else [Path(name) for name in glob.glob(path)]  # noqa: PTH207
    names = {item.name for item in found}
    files = sorted(item for item in found if _is_log(item, names))
    if not files:
        raise DataError(
            f"{path} has no prediction log",
            hint="give the folder of monitor.log, or files of it: 'predictions/*.parquet'",
        )
    return Logged(files, manifest)


def _is_log(path: Path, names: set[str]) -> bool:
    """Whether it is a file of a log, and not the lines from which a Parquet file beside it was made."""
    if path.name.startswith(".") or not path.is_file():
        return False
    if path.suffix == ".parquet":
        return True
    ending = next((ending for ending in _LINES if path.name.endswith(ending)), None)
    return ending is not None and f"{path.name.removesuffix(ending)}.parquet" not in names
