"""Readings of texts before they reach the graph, for the columns whose encoder is `spacy`.

Training and scoring both come here, so that a text has one reading. A pipeline is loaded once in a process.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.core.errors import DmlWarning
from declarative_ml.core.reading import Reading
from declarative_ml.text.pipelines import Pipeline, PipelineReader, find_pipeline, is_folder

if TYPE_CHECKING:
    from declarative_ml.store.bundle import Input

_REMEMBERED = 32 << 20
"""Characters of texts and readings that a reader keeps: explanations and services see texts again."""


class PipelineWarning(DmlWarning):
    """Texts are read by another version of the pipeline than the training rows were."""


class TextReader:
    """One pipeline and what it said of texts. Safe to share between threads."""

    def __init__(self, pipeline: Pipeline, reading: Reading) -> None:
        """Load the pipeline; see PipelineReader. `reading` says which versions are at work here."""
        self.described = reading
        self._reader = PipelineReader(pipeline, reading)
        self._known: dict[str, str] = {}
        self._held = 0
        self._lock = threading.Lock()

    def read(self, texts: Sequence[str]) -> list[str]:
        """The reading of every text, each different one read once; "" (missing) stays ""."""
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text and text not in self._known]
            found = dict(zip(new, self._reader.read(new), strict=True))
            readings = [found.get(text) or self._known.get(text, "") for text in texts]
            self._remember(found)
        return readings

    def _remember(self, found: Mapping[str, str]) -> None:
        size = sum(len(text) + len(words) for text, words in found.items())
        if self._held + size > _REMEMBERED:
            self._known.clear()
            self._held = 0
        if size <= _REMEMBERED:
            self._known.update(found)
            self._held += size


_readers: dict[tuple[str, str], TextReader] = {}
_opening = threading.Lock()


def text_reader(reading: Reading, bases: Sequence[Path] = ()) -> TextReader:
    """The reader for `reading`; a folder is looked for below `bases`, or from the working directory.

    Warns (PipelineWarning) when the versions here are not those that `reading` names. Raises
    MissingDependency without spaCy or without the pipeline, DataError for one that does not do.
    """
    pipeline = find_pipeline(reading.pipeline, bases)
    here = pipeline.describe(reading)
    with _opening:
        key = str(pipeline.folder), here.model_dump_json()
        if key not in _readers:
            _readers[key] = TextReader(pipeline, here)
    for difference in _differences(reading, here):
        warnings.warn(
            f"{difference}: readings, and with them predictions, may differ", PipelineWarning, stacklevel=2
        )
    return _readers[key]


def _differences(trained: Reading, here: Reading) -> Iterable[str]:
    name = f"the spaCy pipeline {trained.pipeline!r}"
    if trained.version and trained.version != here.version:
        yield f"{name} has version {here.version} here, the model was trained with {trained.version}"
    elif trained.digest and trained.digest != here.digest:
        yield f"{name} has other files here than when the model was trained"
    if trained.spacy and _minor(trained.spacy) != _minor(here.spacy):
        yield f"spaCy has version {here.spacy} here, the model was trained with {trained.spacy}"


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


class Readers:
    """The readers that the inputs of a bundle need."""

    def __init__(self, inputs: Iterable[Input], path: Path) -> None:
        """Open them. `path` is the bundle's: a pipeline's folder is looked for from the working directory,
        and from the folders above the bundle. Raises what `text_reader` raises."""
        bases = [Path.cwd(), *path.resolve().parents]
        self._readers = {
            column.name: text_reader(column.reading, bases if is_folder(column.reading.pipeline) else ())
            for column in inputs
            if column.reading is not None
        }

    def read(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the graph takes: the raw columns [N, 1], with readings in place of texts that need one."""
        read = {
            name: as_column(reader.read(columns[name].ravel().tolist()))
            for name, reader in self._readers.items()
        }
        return {**columns, **read}


def as_column(texts: Sequence[str]) -> np.ndarray:
    """Texts as a raw column, [N, 1] objects."""
    column = np.empty((len(texts), 1), dtype=object)
    column[:, 0] = texts
    return column
