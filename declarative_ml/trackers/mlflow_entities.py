"""A run's content in the shapes and within the limits that MLflow accepts."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from declarative_ml.trackers.base import DIGEST_TAG, Registered

NAME_LENGTH = 250
VALUE_LENGTH = 500
"""Servers before 2.0 refuse longer parameter values."""
TAG_LENGTH = 5000
DIGEST_LENGTH = 36
METRICS_PER_BATCH = 1000
ENTRIES_PER_BATCH = 100

_FORBIDDEN = re.compile(r"[^\w\-. :/]")

Point = tuple[str, float, int]
"""A metric's name, value and step."""


def safe_name(name: str) -> str:
    """`name` with every character replaced that MLflow refuses in names of metrics and parameters."""
    parts = [part for part in _FORBIDDEN.sub("_", name).split("/") if part]
    joined = "/".join("_" if part in (".", "..") else part for part in parts)
    return joined[:NAME_LENGTH].rstrip("/") or "_"


def folder_name(name: str) -> str:
    """`name` as one folder's name: word characters, dashes and dots only."""
    return re.sub(r"[^\w\-.]", "-", name).strip(".") or "-"


def shortened(text: str, length: int) -> str:
    """`text`, cut with an ellipsis where it is longer than `length`."""
    return text if len(text) <= length else text[: length - 1] + "…"


def flatten(params: Mapping[str, Any]) -> dict[str, str]:
    """Nested mappings as dotted names with short text values; empty and null values are left out."""
    flat: dict[str, str] = {}
    for name, value in _leaves("", params):
        flat[_unused(safe_name(name), flat)] = shortened(value, VALUE_LENGTH)
    return flat


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        for number, inner in enumerate(value):
            yield from _leaves(f"{prefix}.{number}", inner)
    elif value not in (None, "", [], ()):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        yield prefix, text


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        suffix = f"_{number}"
        candidate, number = name[: NAME_LENGTH - len(suffix)] + suffix, number + 1
    return candidate


def final_points(metrics: Mapping[str, float]) -> list[Point]:
    """The final metrics that are finite, at step 0."""
    names: dict[str, float] = {}
    for name, value in metrics.items():
        if math.isfinite(value):
            names[_unused(safe_name(name), names)] = float(value)
    return [(name, value, 0) for name, value in names.items()]


def curve_points(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Point]:
    """The learning curves as "<step id>/<series>_loss", one point a round or epoch."""
    return [
        (safe_name(f"{step_id}/{series}_loss"), float(point[series]), int(point["step"]))
        for step_id, curve in curves.items()
        for series in ("train", "validation")
        for point in curve
        if series in point and math.isfinite(point[series])
    ]


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """`items` in pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def registered_version(
    name: str,
    version: int,
    run_id: str | None,
    created: int,
    *,
    tags: Mapping[str, str],
    aliases: Iterable[str],
) -> Registered:
    """A version of the registry as we know it; `created` in milliseconds since 1970."""
    return Registered(
        name=name,
        version=version,
        aliases=tuple(sorted(aliases)),
        run_id=run_id or "",
        model_digest=tags.get(DIGEST_TAG, ""),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created / 1000)),
        tags=dict(tags),
    )
