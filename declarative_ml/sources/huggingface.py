"""Datasets of Hugging Face on disk, as `save_to_disk` writes them: Arrow files, read without the library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError
from declarative_ml.sources.base import Source
from declarative_ml.sources.columnar import arrow_columns, read_arrow
from declarative_ml.sources.native_columns import selected

if TYPE_CHECKING:
    import pyarrow as pa

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"


class HuggingFaceSource(Source):
    """A dataset, or a split of one, in a folder that `save_to_disk` of the library datasets has written.

    Numbers of classes are read as the names of their classes.
    """

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)

    type: Literal["huggingface"] = "huggingface"
    path: str = Field(min_length=1, description="The folder; relative to the spec")
    part: str | None = Field(
        default=None, min_length=1, description="Which one, where the folder holds several, such as train"
    )
    select: tuple[str, ...] = Field(
        default=(), description="Columns to read, in this order; all of them when absent"
    )

    def described(self) -> str:
        """The folder and the split."""
        name = Path(self.path).name
        return f"the dataset {name}" + ("" if self.part is None else f", split {self.part}")

    def resolved(self, base: Path) -> HuggingFaceSource:
        """The same source with its path made absolute against `base`."""
        return self.model_copy(update={"path": str(base / Path(self.path).expanduser())})

    def files(self) -> list[Path]:
        """The Arrow files in their order, and what tells of them. Raises DataError for those not there."""
        return [*self._data(), self._folder() / _INFO]

    def options_for_key(self) -> dict[str, object]:
        """The columns; the split acts through the files' contents."""
        return {"select": self.select} if self.select else {}

    def columns(self) -> list[str]:
        """The column names, from the first file."""
        return selected(self.select, arrow_columns(self._data()[0]), self.described())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, file after file, in plain types; a class that is not known (-1) is a null.

        Raises DataError for nested columns, and for numbers that are no class.
        """
        names = self.columns()
        classes = self._classes()
        rows = 0
        for path in self._data():
            for batch in read_arrow(path, names):
                rows += batch.num_rows
                yield _named(batch, classes, self.described())
        if not rows:
            raise DataError(f"{self.described()} has no rows", hint="name another folder or split")

    def _folder(self) -> Path:
        """Where the files of the split are."""
        root = Path(self.path)
        if (root / _STATE).is_file() and self.part is None:
            return root
        if (root / _STATE).is_file():
            own = _read(root / _STATE).get("_split")
            if own == self.part:
                return root
            raise DataError(
                f"the dataset {root.name} has no split {self.part!r}: it is one dataset", hint="leave it out"
            )
        if not (root / _SPLITS).is_file():
            raise DataError(
                f"{root} is no dataset that save_to_disk has written", hint=f"it holds {_STATE} or {_SPLITS}"
            )
        splits = _read(root / _SPLITS).get("splits", [])
        if self.part not in splits:
            what = "has several splits" if self.part is None else f"has no split {self.part!r}"
            raise DataError(f"the dataset {root.name} {what}", hint=f"part: {' or '.join(splits)}")
        return root / self.part if self.part is not None else root

    def _data(self) -> list[Path]:
        folder = self._folder()
        state = _read(folder / _STATE)
        if state.get("_indices_files") or state.get("_indices_data_files"):
            raise DataError(
                f"{self.described()} was written by an old version of datasets, as rows chosen from others",
                hint="load it and save it again: its newer versions write the rows",
            )
        paths = [folder / Path(entry["filename"]).name for entry in state.get("_data_files", [])]
        absent = [path for path in paths if not path.is_file()]
        if absent or not paths:
            name = absent[0].name if absent else "files with rows"
            raise DataError(f"{self.described()} lacks {name}", hint="copy the whole folder")
        return paths

    def _classes(self) -> dict[str, list[str]]:
        """Column -> the names of its classes."""
        features = _read(self._folder() / _INFO).get("features") or {}
        return {
            name: feature["names"]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }


def _named(batch: pa.RecordBatch, classes: Mapping[str, list[str]], place: str) -> pa.RecordBatch:
    """The batch with names in place of the numbers of classes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for number, name in enumerate(batch.schema.names):
        if name not in classes:
            continue
        codes = batch.column(number)
        codes = pc.if_else(pc.less(codes, 0), pa.scalar(None, codes.type), codes)
        try:
            names = pa.array(classes[name], pa.string()).take(codes)
        except pa.ArrowIndexError:
            raise DataError(
                f"{place}: column {name!r} holds {pc.max(codes).as_py()}, and has only "
                f"{len(classes[name])} classes",
                hint=f"look at its features in {_INFO}",
            ) from None
        batch = batch.set_column(number, name, names)
    return batch


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", hint="copy the whole folder") from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{path} is damaged: no JSON object", hint="copy the whole folder again")
    return found
