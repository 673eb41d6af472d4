"""Images of a folder or an archive: a row each, a column for each pixel of a small picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from declarative_ml.core.digest import digest_json
from declarative_ml.core.errors import DataError
from declarative_ml.sources.base import Source
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.image_files import image_names, images
from declarative_ml.sources.pixels import CHANNELS, Colour, pixels

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Side = Annotated[int, Field(ge=1, le=64)]
Sides = Annotated[tuple[Side, ...], Field(min_length=2, max_length=2)]
_BATCH_ROWS = 1_024


class ImagesSource(Source):
    """Images as pixels from 0 to 255, stretched to one small size, so that any model can learn from them.

    What they show is the name of the folder that each lies in, or stands in a table beside them.
    """

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow", "pillow")

    type: Literal["images"] = "images"
    path: str = Field(
        min_length=1,
        description="Folder, or archive: zip, tar, tar.gz, tar.bz2, tar.xz; relative to the spec",
    )
    size: Side | Sides = Field(
        default=16, description="Pixels a side, or [height, width], of the picture to learn from"
    )
    colour: Colour = Field(default="grey", description="grey: one number a pixel; rgb: three")
    label: str = Field(
        default="label", min_length=1, description="Column for the name of the folder that an image lies in"
    )
    table: str | None = Field(
        default=None,
        min_length=1,
        description="A file with a row for each image and columns of its own; relative to the spec",
    )
    file: str | None = Field(
        default=None,
        min_length=1,
        description="Column of the images' paths below `path`: that of `table`; without a table it is added",
    )

    @model_validator(mode="after")
    def _fitting(self) -> ImagesSource:
        if self.table is not None and self.file is None:
            raise ValueError("'table' needs 'file': its column with the paths of the images")
        if self.file == self.label:
            raise ValueError("'file' and 'label' are two columns")
        return self

    def described(self) -> str:
        """The folder or archive."""
        return f"the images in {Path(self.path).name}"

    def resolved(self, base: Path) -> ImagesSource:
        """The same source with its paths made absolute against `base`."""
        paths = {"path": self.path, "table": self.table}
        return self.model_copy(
            update={name: str(base / Path(path).expanduser()) for name, path in paths.items() if path}
        )

    def files(self) -> list[Path]:
        """The archive, or the images of the folder; and the table."""
        path = Path(self.path)
        found = [path / name for name in image_names(path)] if path.is_dir() else [path]
        return found if self.table is None else [*found, Path(self.table)]

    def options_for_key(self) -> dict[str, object]:
        """What becomes of the images; and of a folder their names, which tell their class."""
        options = self.model_dump(mode="json", exclude={"type", "path", "table"}, exclude_none=True)
        path = Path(self.path)
        return options | ({"names": digest_json(image_names(path))} if path.is_dir() else {})

    def columns(self) -> list[str]:
        """The columns in front, and a column for each pixel: `grey_16x16_r0_c15`.

        The size is in the name: images of another size cannot be taken for these.
        """
        if self.table is not None:
            return [*self._table().columns(), *self._pixel_names()]
        labels = _labels(image_names(Path(self.path)), self.path)
        front = ([self.label] if labels is not None else []) + ([self.file] if self.file else [])
        return [*front, *self._pixel_names()]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """A row for each image, or for each row of the table.

        Raises DataError, which names the file, for what cannot be read, and for files of the table that are
        not there.
        """
        yield from self._with_table() if self.table is not None else self._with_labels()

    def _with_labels(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        path = Path(self.path)
        labels = _labels(image_names(path), self.path)
        for names, rows in self._pictures(None):
            front = {}
            if labels is not None:
                front[self.label] = pa.array([labels[name] for name in names], pa.string())
            if self.file is not None:
                front[self.file] = pa.array(names, pa.string())
            yield self._batch(front, rows)

    def _with_table(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        table = pa.Table.from_batches(list(self._table().batches())).combine_chunks()
        if self.file not in table.schema.names:
            hint = f"its columns: {', '.join(table.schema.names[:20])}"
            raise DataError(f"{self.table} has no column {self.file!r}, which `file` names", hint=hint)
        wanted: dict[str, list[int]] = {}
        for row, name in enumerate(table[self.file].cast(pa.string()).to_pylist()):
            if not name:
                raise DataError(f"{self.table}: row {row + 1} names no image", hint="take the row away")
            wanted.setdefault(_plain(name), []).append(row)
        for names, rows in self._pictures(frozenset(wanted)):
            repeated = [(row, place) for place, name in enumerate(names) for row in wanted.pop(name, [])]
            front = table.take([row for row, _ in repeated])
            columns = {name: front[name].combine_chunks() for name in front.schema.names}
            yield self._batch(columns, rows[[place for _, place in repeated]])
        if wanted:
            name, rows_of = next(iter(wanted.items()))
            said = f"{self.path} lacks {len(wanted):,} images that {Path(str(self.table)).name} names: "
            hint = "paths are those below `path`, with /"
            raise DataError(f"{said}{name!r} (row {rows_of[0] + 1:,})", hint=hint)

    def _pictures(self, wanted: frozenset[str] | None) -> Iterator[tuple[list[str], np.ndarray]]:
        """Names, and pixels [rows, columns], of some images at a time."""
        import numpy as np

        height, width = self._sides()
        names: list[str] = []
        rows: list[np.ndarray] = []
        for name, content in images(Path(self.path), wanted):
            names.append(name)
            rows.append(pixels(content, f"{self.path}: {name}", height, width, self.colour))
            if len(names) == _BATCH_ROWS:
                yield names, np.stack(rows)
                names, rows = [], []
        if names:
            yield names, np.stack(rows)

    def _batch(self, front: dict[str, pa.Array], rows: np.ndarray) -> pa.RecordBatch:
        import pyarrow as pa

        columns = dict(zip(self._pixel_names(), map(pa.array, rows.T.copy()), strict=True))
        if twice := front.keys() & columns.keys():
            raise DataError(f"{self.table} has a column {min(twice)!r}, which is that of a pixel")
        return pa.RecordBatch.from_pydict(front | columns)

    def _pixel_names(self) -> list[str]:
        height, width = self._sides()
        return [
            f"{self.colour}_{height}x{width}_r{row}_c{column}{channel}"
            for row in range(height)
            for column in range(width)
            for channel in CHANNELS[self.colour]
        ]

    def _sides(self) -> tuple[int, int]:
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        return height, width

    def _table(self) -> FileSource:
        return FileSource(path=str(self.table))


def _plain(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _labels(names: list[str], path: str) -> dict[str, str] | None:
    """Image -> the name of the folder that it lies in; None where none lies in a folder."""
    found = {name: PurePosixPath(name).parent.name for name in names}
    without = [name for name, folder in found.items() if not folder]
    if len(without) == len(found):
        return None
    if without:
        raise DataError(
            f"{path}: {without[0]!r} lies in no folder, and {len(found) - len(without):,} images do",
            hint="folders are named by what their images show",
        )
    return found
