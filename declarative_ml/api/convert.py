"""Convert a trained model to one more format, and tell what of the formats is installed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from declarative_ml.core.errors import UsageError
from declarative_ml.core.optional import installed
from declarative_ml.formats import FORMATS
from declarative_ml.formats.base import Format, Original
from declarative_ml.formats.conversion import Conversion
from declarative_ml.formats.conversion import convert as convert_original
from declarative_ml.scoring.explain import background_rows
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import MODEL, Bundle


@dataclass(frozen=True)
class FormatState:
    """A format and whether it can be made here."""

    name: str
    about: str
    absent: tuple[str, ...]
    """The libraries that are not installed."""
    extra: str | None
    """The extra of this package that brings them."""


def formats() -> list[FormatState]:
    """Every format there is."""
    found = []
    for name in FORMATS:
        kind = FORMATS.load(name)
        absent = tuple(module for module in kind.modules if not installed(module))
        found.append(FormatState(name, kind.about, absent, kind.extra))
    return found


def parse_format(name: str, options: Mapping[str, Any]) -> Format:
    """The format `name` with its options. Raises UsageError for unknown ones."""
    if name not in FORMATS:
        raise UsageError(f"there is no format {name!r}", hint=f"dml formats lists them: {', '.join(FORMATS)}")
    try:
        return FORMATS.parse({**options, "format": name})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or name
        known = sorted(set(FORMATS.load(name).model_fields) - {"format"})
        raise UsageError(
            f"{name}: {place}: {first['msg']}", hint=f"its options: {', '.join(known)}"
        ) from error


def original_of(bundle: Bundle) -> Original:
    """What a bundle's model is, with its background rows."""
    manifest = bundle.manifest
    return Original(
        content=bundle.read(MODEL),
        name=manifest.name,
        task=manifest.task,
        inputs=manifest.inputs,
        threshold=manifest.threshold,
        rows=background_rows(Scorer(bundle)),
        missing=manifest.missing,
    )


def convert(bundle: Bundle, wanted: Format, target: Path) -> Conversion:
    """Convert the bundle's model into the folder `target`.

    Raises UsageError when `target` is there already, MissingDependency without the format's libraries.
    """
    if target.exists():
        raise UsageError(f"{target} exists already", hint="name another folder with -o")
    return convert_original(original_of(bundle), wanted, target, threads=os.cpu_count() or 1)
