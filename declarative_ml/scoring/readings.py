"""Readings of texts before they reach the graph, for the columns whose encoder is `spacy` or `embedding`.

Training and scoring both come here, so that a text has one reading. What reads is loaded once in a process.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from declarative_ml.core.errors import DataError, DmlWarning
from declarative_ml.core.reading import AnyReading, Embedding, Reading
from declarative_ml.text.embedding_files import EmbeddingModel, Read, carried_model, find_model
from declarative_ml.text.pipelines import PipelineReader, find_pipeline, is_folder

if TYPE_CHECKING:
    from declarative_ml.store.bundle import Input

_REMEMBERED = 32 << 20
"""Characters of texts and readings that a reader keeps: explanations and services see texts again."""


def _nothing(name: str) -> bytes:
    raise DataError(f"the bundle has no file {name!r}")


class PipelineWarning(DmlWarning):
    """Texts are read by another version of the pipeline or model than the training rows were."""


class Reads(Protocol):
    """A PipelineReader or an EmbeddingReader."""

    def read(self, texts: Sequence[str]) -> list[str]:
        """The readings of the texts."""


class TextReader:
    """A pipeline or a model, and what it said of texts. Safe to share between threads."""

    def __init__(self, reader: Reads, reading: AnyReading) -> None:
        """`reading` says which versions are at work here."""
        self.described = reading
        self._reader = reader
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


def text_reader(reading: AnyReading, bases: Sequence[Path] = (), *, threads: int = 1) -> TextReader:
    """The reader for `reading`; a folder is looked for below `bases`, or from the working directory.

    Warns (PipelineWarning) when the versions here are not those that `reading` names. Raises
    MissingDependency without spaCy, the pipeline or the model, DataError for one that does not do.
    """
    if isinstance(reading, Embedding):
        model = find_model(reading.model, bases)
        told = "other files here than" if reading.digest not in ("", model.described.digest) else ""
        _warn(
            [f"the embedding model {reading.model!r} has {told} when the model was trained"] if told else []
        )
        return _model_reader(model, threads)
    pipeline = find_pipeline(reading.pipeline, bases)
    here = pipeline.describe(reading)
    _warn(_differences(reading, here))
    return _opened(str(pipeline.folder), here, lambda: PipelineReader(pipeline, here))


def find_reader(reading: AnyReading, bases: Sequence[Path]) -> None:
    """Raise what `text_reader` raises where what reads is not there. Nothing of it is loaded."""
    if isinstance(reading, Embedding):
        find_model(reading.model, bases)
    else:
        find_pipeline(reading.pipeline, bases)


def _model_reader(model: EmbeddingModel, threads: int) -> TextReader:
    from declarative_ml.scoring.embedders import EmbeddingReader

    return _opened("", model.described, lambda: EmbeddingReader(model, threads=threads))


def _opened(place: str, here: AnyReading, load: Callable[[], Reads]) -> TextReader:
    with _opening:
        key = place, here.model_dump_json()
        if key not in _readers:
            _readers[key] = TextReader(load(), here)
        return _readers[key]


def _warn(differences: Iterable[str]) -> None:
    for difference in differences:
        warnings.warn(
            f"{difference}: readings, and with them predictions, may differ", PipelineWarning, stacklevel=3
        )


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

    def __init__(self, inputs: Iterable[Input], path: Path, carried: Read = _nothing) -> None:
        """Open them. `path` is the bundle's: a pipeline's folder is looked for from the working directory,
        and from the folders above the bundle; `carried` gives the bundle's files, an embedding model's among
        them. Raises what `text_reader` raises."""
        bases = [Path.cwd(), *path.resolve().parents]
        self._readers = {
            column.name: _reader_of(column.reading, bases, carried)
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


def _reader_of(reading: AnyReading, bases: Sequence[Path], carried: Read) -> TextReader:
    if isinstance(reading, Embedding):
        return _model_reader(carried_model(reading, carried), 1)
    return text_reader(reading, bases if is_folder(reading.pipeline) else ())


def as_column(texts: Sequence[str]) -> np.ndarray:
    """Texts as a raw column, [N, 1] objects."""
    column = np.empty((len(texts), 1), dtype=object)
    column[:, 0] = texts
    return column
