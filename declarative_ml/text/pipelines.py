"""Installed spaCy pipelines: where they are, what they are, and texts read by them in bounded memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.core.optional import installed
from declarative_ml.core.reading import Reading
from declarative_ml.core.versions import library_version
from declarative_ml.text.linguistics import new_adder, new_writer

if TYPE_CHECKING:
    from spacy.language import FactoryMeta, Language
    from spacy.tokens import Doc
    from spacy.vectors import Vectors

EXTRA = "spacy"
_META = "meta.json"
_TEXTS_AT_ONCE = 256
_CHARACTERS_AT_ONCE = 100_000
_LONGEST = 50_000
"""A longer text is read in pieces, each with its words, entities and parts of speech: a pipeline needs
memory in proportion to the longest text, and refuses those of a million characters."""
_NEW_STRINGS = 200_000
"""spaCy keeps every word that it has seen, and faster than with a zone of memory for every batch. After so
many new ones the pipeline is loaded anew, which takes a second for a minute of reading."""

_IDLE = frozenset(
    (
        *("parser", "senter", "sentencizer", "entity_linker", "textcat", "textcat_multilabel"),
        *("spancat", "spancat_singlelabel", "span_finder"),
    )
)
_OF_ENTITIES = frozenset(("ner", "beam_ner", "entity_ruler"))
_OF_LEMMAS = frozenset(("lemmatizer", "trainable_lemmatizer"))
_OF_PARTS = frozenset(("tagger", "morphologizer", "attribute_ruler"))
"""Kinds of components that readings never need, or need for one of their parts only."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that is installed here. Finding it loads nothing of spaCy."""

    name: str
    """The package's, or the folder as it was asked for."""
    folder: Path
    """With its meta.json: the folder, or that of the package."""
    is_package: bool
    version: str

    def digest(self) -> str | None:
        """SHA-256 of the names and contents of a folder's files; None for a package: it has a version."""
        if self.is_package:
            return None
        total = hashlib.sha256()
        for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            total.update(path.relative_to(self.folder).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()

    def describe(self, reading: Reading) -> Reading:
        """`reading` with the versions that are at work here."""
        versions = {"version": self.version, "spacy": library_version("spacy"), "digest": self.digest()}
        return reading.model_copy(update=versions)


def is_folder(pipeline: str) -> bool:
    """Whether the name is that of a folder: it has a slash, or begins with a dot."""
    return "/" in pipeline or "\\" in pipeline or pipeline.startswith((".", "~"))


def find_pipeline(pipeline: str, bases: Sequence[Path] = ()) -> Pipeline:
    """The pipeline of this name: a package, or a folder seen from the first of `bases` that has it.

    Raises MissingDependency without spaCy or without the pipeline.
    """
    require_spacy()
    if is_folder(pipeline):
        for base in bases or (Path.cwd(),):
            folder = base / Path(pipeline).expanduser()
            if (folder / _META).is_file():
                return Pipeline(pipeline, folder, False, _version(folder))
        raise _missing(pipeline, "no folder with a meta.json is there; save it by nlp.to_disk")
    package = _package_folder(pipeline)
    if package is None:
        raise _missing(pipeline, _how_to_get(pipeline))
    return Pipeline(pipeline, package, True, _version(package))


def pipeline_files(pipeline: str, base: Path) -> list[Path]:
    """The files of a pipeline in a folder below `base`, in order; none of a package or of what is absent."""
    folder = base / Path(pipeline).expanduser()
    return sorted(path for path in folder.rglob("*") if path.is_file()) if is_folder(pipeline) else []


def require_spacy() -> None:
    """Raise MissingDependency without spaCy, which is not loaded."""
    if not installed("spacy"):
        raise MissingDependency("spaCy", EXTRA)


def _package_folder(name: str) -> Path | None:
    """The folder of an installed package that says in its meta.json that it is a pipeline."""
    if not name.isidentifier():
        return None
    found = find_spec(name)
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent
    return folder if (folder / _META).is_file() else None


def _version(folder: Path) -> str:
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        return str(meta["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder / _META} is not that of a spaCy pipeline", hint="save the pipeline by nlp.to_disk"
        ) from error


def _missing(pipeline: str, hint: str) -> MissingDependency:
    error = MissingDependency(f"the spaCy pipeline {pipeline!r}", EXTRA)
    error.hint = hint
    return error


def _how_to_get(pipeline: str) -> str:
    known = sorted({entry.name for entry in entry_points(group="spacy_models")})
    here = f"; installed here: {', '.join(known)}" if known else ""
    return (
        f"pip install 'declarative-ml[{EXTRA}]', then `python -m spacy download {pipeline}`, or pip install "
        f"a package of this name{here}"
    )


class PipelineReader:
    """Reads texts by one pipeline. Not safe to share between threads."""

    def __init__(self, pipeline: Pipeline, reading: Reading) -> None:
        """Load it. Raises DataError for a pipeline that cannot be loaded, or finds not what is asked for."""
        self._pipeline, self._reading = pipeline, reading
        self._writer = new_writer(reading)
        self._open()

    def _open(self) -> None:
        self._nlp = _load(self._pipeline)
        _require_findings(self._nlp, self._pipeline, self._reading)
        for name in idle_components(self._nlp, self._reading):
            self._nlp.disable_pipe(name)
        self._vectors = _vectors(self._nlp, self._pipeline) if self._reading.vectors else None
        self._adder = None if self._vectors is None else new_adder(self._vectors)
        self._most_strings = len(self._nlp.vocab.strings) + _NEW_STRINGS

    def read(self, texts: Sequence[str]) -> list[str]:
        """The readings of the texts. Only "" is read as "": where there is no word the reading is a blank."""
        import numpy as np

        from declarative_ml.text.vectors import joined, write_vectors

        words = [""] * len(texts)
        width = 0 if self._vectors is None else self._vectors.shape[1]
        sums = np.zeros((len(texts), width))
        for batch in _batches(texts):
            for (place, _), doc in zip(batch, self._docs([piece for _, piece in batch]), strict=True):
                words[place] = f"{words[place]} {self._writer.write(doc)}".strip()
                if self._adder is not None:
                    self._adder.add(doc, sums[place])
        readings = joined(words, write_vectors(sums))
        return [reading if text else "" for reading, text in zip(readings, texts, strict=True)]

    def _docs(self, pieces: Sequence[str]) -> Iterator[Doc]:
        if len(self._nlp.vocab.strings) > self._most_strings:
            self._open()
        docs: Iterator[Doc] = self._nlp.pipe(pieces, batch_size=len(pieces))
        return docs


def idle_components(nlp: Language, reading: Reading) -> list[str]:
    """The components of a pipeline that the reading does not need, by kind. Unknown kinds are needed."""
    idle = set(_IDLE)
    if not reading.entities:
        idle |= _OF_ENTITIES
    if not reading.lemmas:
        idle |= _OF_LEMMAS
    if not (reading.lemmas or reading.parts_of_speech):
        idle |= _OF_PARTS
    metas = {name: nlp.get_pipe_meta(name) for name in nlp.pipe_names}
    kept = [name for name, meta in metas.items() if meta.factory not in idle]
    asked = {attribute for name in kept for attribute in metas[name].requires}
    found = [name for name in metas if name not in kept and not asked & set(metas[name].assigns)]
    # Vectors that no component in use listens to.
    for name in kept:
        listeners = getattr(nlp.get_pipe(name), "listening_components", None)
        if listeners and set(listeners) <= set(found):
            found.append(name)
    return found


def _load(pipeline: Pipeline) -> Language:
    from spacy.util import load_model_from_package, load_model_from_path

    try:
        if pipeline.is_package:
            return load_model_from_package(pipeline.name)
        return load_model_from_path(pipeline.folder)
    except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise DataError(
            f"the spaCy pipeline {pipeline.name!r} cannot be loaded: {first}",
            hint="`python -m spacy validate` says which pipelines fit this spaCy",
        ) from error


_FINDINGS = {"lemmas": "token.lemma", "entities": "doc.ents", "parts_of_speech": "token.pos"}
_UNDECLARED = {"attribute_ruler": ("lemmas", "parts_of_speech"), "span_ruler": ("entities",)}
"""What components may find by their patterns, and do not declare."""


def _require_findings(nlp: Language, pipeline: Pipeline, reading: Reading) -> None:
    """Raise DataError for what no component finds. A foreign one that declares nothing may find anything."""
    metas = [nlp.get_pipe_meta(name) for name in nlp.pipe_names]
    for option, attribute in _FINDINGS.items():
        if getattr(reading, option) and not any(_may_find(meta, option, attribute) for meta in metas):
            raise DataError(
                f"the spaCy pipeline {pipeline.name!r} finds no {option.replace('_', ' ')}: its components "
                f"are {', '.join(nlp.pipe_names) or '(none)'}",
                hint=f"set {option}: false, or name another pipeline",
            )


def _vectors(nlp: Language, pipeline: Pipeline) -> Vectors:
    """The pipeline's table of word vectors. Raises DataError for one that has none, or computes them."""
    vectors, hint = nlp.vocab.vectors, "set vectors: false, or name a pipeline with a table of vectors"
    if vectors.mode != "default":
        raise DataError(
            f"the spaCy pipeline {pipeline.name!r} computes vectors from pieces of words ({vectors.mode}), "
            "and has no table of words",
            hint=hint,
        )
    if not vectors.size or not vectors.key2row:
        computed = ": what its tok2vec computes are no vectors of words" if nlp.has_pipe("tok2vec") else ""
        raise DataError(
            f"the spaCy pipeline {pipeline.name!r} has no table of word vectors{computed}", hint=hint
        )
    return vectors


def _may_find(component: FactoryMeta, option: str, attribute: str) -> bool:
    if component.factory in _UNDECLARED:
        return option in _UNDECLARED[component.factory]
    return attribute in component.assigns or not component.assigns


def _batches(texts: Sequence[str]) -> Iterator[list[tuple[int, str]]]:
    """Pieces with the places of their texts, so many that a batch stays small."""
    batch: list[tuple[int, str]] = []
    size = 0
    for place, text in enumerate(texts):
        for piece in _pieces(text):
            if batch and (len(batch) == _TEXTS_AT_ONCE or size + len(piece) > _CHARACTERS_AT_ONCE):
                yield batch
                batch, size = [], 0
            batch.append((place, piece))
            size += len(piece)
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[str]:
    """A text, or the parts of a long one, cut at blanks where there are any."""
    # Half a surrogate pair is no character, and JSON may hold one.
    text = text if text.isascii() else text.encode("utf-8", "ignore").decode()
    start = 0
    while len(text) - start > _LONGEST:
        cut = text.rfind(" ", start + 1, start + _LONGEST)
        stop = cut if cut > 0 else start + _LONGEST
        yield text[start:stop]
        start = stop
    if start < len(text):
        yield text[start:]
