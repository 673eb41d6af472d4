"""The bundle: the thing that ships. A folder, or one .zip, that opens without our training code.

    bundle.json       the manifest: schema of inputs and output, threshold, metrics, digests
    model.onnx        raw columns in, labelled answer out
    reference.json    {"columns": histograms for drift, "background": rows for explanations}
    …                 report.html, spec.yaml, spec.lock.yaml, formats/…: listed in the manifest

docs/bundle.md describes the format for readers in other languages.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, FiniteFloat, ValidationError, field_validator, model_validator

from declarative_ml.core.atomic import publish_folder, write_bytes, write_json
from declarative_ml.core.component import Section
from declarative_ml.core.digest import digest_bytes, digest_file, digest_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.reading import AnyReading
from declarative_ml.core.schema import DEFAULT_MISSING, ColumnRule, TableSchema
from declarative_ml.core.task import Task

FORMAT = 1
MANIFEST = "bundle.json"
MODEL = "model.onnx"
REFERENCE = "reference.json"
REPORT = "report.html"

MAX_MANIFEST_BYTES = 64 << 20
MAX_FILE_BYTES = 4 << 30
MAX_FILES = 10_000
"""Limits on what an archive from elsewhere may make us read."""

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class Input(Section):
    """One raw column that the graph takes."""

    name: str = Field(description="The column, and the graph's input of the same name")
    feature: str = Field(description="The feature type, for example category")
    dtype: Literal["float32", "string"] = Field(description="Of the graph's input, [N, 1]")
    rule: ColumnRule = Field(description="How text becomes the typed value")
    field: dict[str, Any] = Field(default_factory=dict, description="JSON Schema of one value in a request")
    reading: AnyReading | None = Field(
        default=None, description="What turns a text into the string that the graph takes in its place"
    )


class Manifest(Section):
    """The content of bundle.json."""

    format: Literal[1] = Field(default=1, description="Version of the bundle's format")
    name: str = Field(description="The spec's name")
    description: str = Field(default="", description="What is predicted and why, for people")
    task: Task = Field(description="What is predicted")
    target_rule: ColumnRule | None = Field(default=None, description="integer, boolean: how labels come back")
    inputs: tuple[Input, ...] = Field(description="The graph's inputs in order, each with a name of its own")
    missing: tuple[str, ...] = Field(default=DEFAULT_MISSING, description="Spellings of a missing value")
    threshold: FiniteFloat | None = Field(
        default=None, description="binary: positive from this probability on"
    )
    interval: FiniteFloat | None = Field(
        default=None, description="number: the share of rows that is to lie between `lower` and `upper`"
    )
    metrics: dict[str, dict[str, FiniteFloat | None]] = Field(
        default_factory=dict, description="By part (test, validation), by metric"
    )
    model_digest: str = Field(description="SHA-256 of what makes the model what it is: its identity")
    spec_digest: str = Field(default="", description="SHA-256 of what the spec meant")
    data_fingerprint: str = Field(default="", description="Of the rows that it was learned from")
    sql: str | None = Field(default=None, description="The data.sql that made the columns, if any")
    sources: dict[str, TableSchema] = Field(
        default_factory=dict, description="With sql: the tables that it reads, and how their text is typed"
    )
    files: dict[str, str] = Field(description="Every other file of the bundle and its SHA-256")

    @field_validator("files")
    @classmethod
    def _plain_names(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if not _is_plain(name):
                raise ValueError(f"unsafe file name {name!r}")
        return files

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [column.name for column in self.inputs]
        if len(set(names)) != len(names):
            raise ValueError("two inputs have the same name")
        if absent := [name for name in (MODEL, REFERENCE) if name not in self.files]:
            raise ValueError(f"the bundle must contain {', '.join(absent)}")
        return self


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. `path` is the folder or the .zip."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = False) -> Bundle:
        """Open a folder or a .zip. `verify` also compares every file with its digest.

        Raises DataError when it is not a bundle, comes from a newer format, or is damaged.
        """
        path = Path(path)
        manifest = parse_manifest(_read(path, MANIFEST, MAX_MANIFEST_BYTES), path)
        bundle = cls(path, manifest)
        bundle._check_files()
        if verify:
            bundle.verify()
        return bundle

    def read(self, name: str) -> bytes:
        """The content of a file that the manifest lists. Raises DataError for any other name."""
        if name not in self.manifest.files:
            raise DataError(f"{self.path}: the bundle has no file {name!r}", hint=self._listing())
        return _read(self.path, name, MAX_FILE_BYTES)

    def reference(self) -> dict[str, Any]:
        """reference.json: `columns` (training histograms) and `background` (rows for explanations)."""
        try:
            content: dict[str, Any] = json.loads(self.read(REFERENCE))
        except ValueError as error:
            raise self._damaged(REFERENCE, "is not JSON") from error
        return content

    def verify(self) -> None:
        """Compare every file with its digest, and the whole with `model_digest`. Raises DataError."""
        for name, wanted in self.manifest.files.items():
            if digest_bytes(self.read(name)) != wanted:
                raise self._damaged(name, "does not match its digest")
        if model_digest(self.manifest.model_dump(mode="json")) != self.manifest.model_digest:
            raise self._damaged(MANIFEST, "does not match its model_digest")

    def unpack(self, target: Path) -> Bundle:
        """Copy the verified files into the folder `target`, which appears whole. Returns it, opened.

        Only names that the manifest lists are written, so nothing can land outside `target`.
        """
        if target.exists():
            raise DataError(f"{target} exists already", hint="Name a folder that does not exist yet.")
        self.verify()
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            for name in (MANIFEST, *self.manifest.files):
                place = temporary / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(_read(self.path, name, MAX_FILE_BYTES))
            temporary.chmod(0o755)
            publish_folder(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Bundle.open(target)

    def _check_files(self) -> None:
        present = _names(self.path)
        for name in self.manifest.files:
            if name not in present:
                raise self._damaged(name, "is missing")

    def _damaged(self, name: str, what: str) -> DataError:
        return DataError(
            f"{self.path}: the bundle is damaged: {name} {what}", hint="Copy the bundle again, or run again."
        )

    def _listing(self) -> str:
        return f"It has {', '.join(sorted(self.manifest.files))}."


def is_bundle(path: str | Path) -> bool:
    """Whether `path` looks like a bundle (a folder with bundle.json, or a zip file with one)."""
    path = Path(path)
    return (path / MANIFEST).is_file() if path.is_dir() else _is_zip(path) and MANIFEST in _names(path)


def model_digest(fields: Mapping[str, Any]) -> str:
    """The identity of a model: over model.onnx, reference.json, schemas, threshold and metrics.

    `fields` is the JSON form of a manifest. Timings, reports, formats and provenance stay outside,
    so equal spec, data and seed give an equal digest.
    """
    schemas = {name: fields[name] for name in ("task", "target_rule", "missing", "sql")}
    schemas["inputs"] = [_without_none(column, "reading") for column in fields["inputs"]]
    files = {name: fields["files"][name] for name in (MODEL, REFERENCE)}
    return digest_json(
        {**schemas, "files": files, "threshold": fields["threshold"], "metrics": fields["metrics"]}
    )


def _without_none(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The fields without `name` where it says nothing, as before it was there."""
    return {key: value for key, value in fields.items() if key != name or value is not None}


def write_bundle(folder: Path, fields: Mapping[str, Any], files: Mapping[str, bytes | Path]) -> Manifest:
    """Write a bundle into `folder`, with bundle.json last. Returns the manifest.

    `fields` are the manifest's without `format`, `model_digest` and `files`, which are computed;
    `files` maps a name inside the bundle to its bytes, or to a file to copy. Files that stand in
    `folder` already stay, and are listed too. Raises DataError for fields or names that do not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if not _is_plain(name):
            raise DataError(f"{name!r} cannot be a file name in a bundle")
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, place)
        else:
            place.write_bytes(content)
    digests = {name: digest_file(folder / name) for name in sorted(_names(folder) - {MANIFEST})}
    plain = {
        name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for name, value in fields.items()
    }
    draft = _validated({**plain, "model_digest": "", "files": digests}, folder)
    digest = model_digest(draft.model_dump(mode="json"))
    manifest = draft.model_copy(update={"model_digest": digest})
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def add_file(folder: Path, name: str, content: bytes) -> Manifest:
    """Add a file to the bundle in `folder`, and list it in the manifest, which is returned. Outside
    `model_digest`. Raises DataError for a name that does not fit."""
    if not _is_plain(name):
        raise DataError(f"{name!r} cannot be a file name in a bundle")
    manifest = Bundle.open(folder).manifest
    write_bytes(folder / name, content)
    listed = manifest.model_copy(update={"files": {**manifest.files, name: digest_bytes(content)}})
    write_json(folder / MANIFEST, listed.model_dump(mode="json"))
    return listed


def zip_bundle(folder: Path, target: Path) -> Path:
    """Write the bundle in `folder` as one .zip, atomically. Equal bundles give equal bytes
    (with one version of zlib): no times, no owners, names in order. Returns `target`."""
    bundle = Bundle.open(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
        draft = Path(temporary) / target.name
        with zipfile.ZipFile(draft, "w") as archive:
            for name in (MANIFEST, *sorted(bundle.manifest.files)):
                _add(archive, name, folder / name)
        draft.replace(target)
    return target


def _add(archive: zipfile.ZipFile, name: str, source: Path) -> None:
    entry = zipfile.ZipInfo(name, date_time=_ZIP_TIME)
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.file_size = source.stat().st_size  # zipfile decides on ZIP64 by this
    with source.open("rb") as reader, archive.open(entry, "w") as writer:
        shutil.copyfileobj(reader, writer)


def _is_plain(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and name != MANIFEST
        and not name.startswith("/")
        and not any(character in name for character in "\\:\0")
        and "/".join(parts) == name
        and ".." not in parts
    )


def _is_zip(path: Path) -> bool:
    return path.is_file() and zipfile.is_zipfile(path)


def _names(path: Path) -> set[str]:
    if path.is_dir():
        return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def _read(path: Path, name: str, limit: int) -> bytes:
    if path.is_dir():
        return _read_plain(path, name, limit)
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if not _is_zip(path):
        raise _not_a_bundle(path)
    return _read_zipped(path, name, limit)


def _read_plain(path: Path, name: str, limit: int) -> bytes:
    file = path / name
    if not file.is_file():
        raise _not_a_bundle(path)
    if file.stat().st_size > limit:
        raise DataError(f"{path}: {name} is larger than {limit >> 20} MiB")
    return file.read_bytes()


def _read_zipped(path: Path, name: str, limit: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MAX_FILES:
                raise DataError(f"{path}: the archive holds more than {MAX_FILES} files")
            entry = archive.getinfo(name)
            # `read` stops at the size that the directory states, so a bomb cannot grow past the limit.
            if entry.file_size > limit:
                raise DataError(f"{path}: {name} is larger than {limit >> 20} MiB")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(f"{path}: {name} is compressed in a way that bundles do not use")
            return archive.read(name)
    except KeyError:
        raise _not_a_bundle(path) from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        raise DataError(f"{path}: the bundle is damaged: {error}", hint="Copy the bundle again.") from error


def _not_a_bundle(path: Path) -> DataError:
    return DataError(
        f"{path} is not a bundle: it has no {MANIFEST}",
        hint="Give the folder or .zip that `dml run` printed; in a .zip, bundle.json stands at the top.",
    )


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """The manifest that is the content of bundle.json. Raises DataError, which names `path`."""
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise DataError(f"{path}: {MANIFEST} is not JSON: {error}") from error
    found = fields.get("format") if isinstance(fields, dict) else None
    if not isinstance(found, int):
        raise DataError(f"{path}: {MANIFEST} names no format version, so this is not a bundle of ours")
    if found > FORMAT:
        raise DataError(
            f"{path}: the bundle has format {found}, this version reads up to {FORMAT}",
            hint="pip install --upgrade declarative-ml",
        )
    return _validated(fields, path)


def _validated(fields: dict[str, Any], path: Path) -> Manifest:
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: {MANIFEST} is not valid: {place or 'manifest'}: {first['msg']}") from error
