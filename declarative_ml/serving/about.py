"""What a model tells people of itself: its task, its numbers, and its columns as the fields of a form.

No row of the training data is in it. Values to begin with are made of medians and the commonest levels, and
the shape of each column is that of the histograms for drift.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from declarative_ml.core.errors import DataError
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.lineup import Role
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.shadow import Comparison, Shadow
from declarative_ml.store.bundle import Input

MOST_LEVELS = 500
"""Of a column: the form offers no more."""


def about_all(
    fleet: Fleet, compared: Callable[[Shadow], Comparison] = lambda shadow: shadow.comparison
) -> list[dict[str, Any]]:
    """All models with their roles, the first to be shown first. `compared`: what is known of a shadow."""
    members = list(fleet.members())
    found = []
    for model, role in members:
        versions = len(fleet.versions(model.name))
        prefix = f"models/{model.name}/" + (f"versions/{model.version}/" if versions > 1 else "")
        shown = about(model, prefix if len(members) > 1 else "")
        found.append({**shown, "role": role, **_origin(fleet, model), **_part(fleet, role, compared)})
    return found


def _origin(fleet: Fleet, model: ServedModel) -> dict[str, Any]:
    """Where it comes from, and since when it is there."""
    entry = fleet.entries.get(model)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(model.opened))
    number = {"number": entry.number} if entry and entry.number else {}
    return {"since": since, "origin": entry.origin if entry else "", **number}


def _part(fleet: Fleet, role: Role, compared: Callable[[Shadow], Comparison]) -> dict[str, Any]:
    """What a canary or a shadow gets of the traffic, and how that compares."""
    canary, shadow = fleet.lines[0].canary, fleet.shadow
    if role == "canary" and canary is not None:
        return {"share": canary.share} | ({"by": canary.by} if canary.by else {})
    if role == "shadow" and shadow is not None:
        labels = shadow.model.manifest.task.is_classification
        return {"share": shadow.share, "comparison": compared(shadow).about(labels=labels)}
    return {}


def about(model: ServedModel, prefix: str) -> dict[str, Any]:
    """The model for the page, with the paths that ask it below `prefix`."""
    manifest = model.manifest
    reference = _columns(model)
    inputs = [_field(column, reference.get(column.name, {})) for column in manifest.inputs]
    return {
        "name": model.name,
        "version": model.version,
        "description": manifest.description,
        "digest": manifest.model_digest,
        "task": manifest.task.type,
        "target": manifest.task.target,
        "classes": list(model.classes),
        "threshold": manifest.threshold,
        "interval": manifest.interval,
        "data": _data(model, reference),
        **_metrics(model),
        "inputs": inputs,
        "example": {**model.example, **_commonest(inputs)},
        "paths": {"predict": f"{prefix}predict", "explain": f"{prefix}explain"},
    }


def _commonest(inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The commonest level of each column that has levels."""
    return {
        field["name"]: field["levels"][field["counts"].index(max(field["counts"]))]
        for field in inputs
        if field["kind"] == "choice" and field["counts"]
    }


def _columns(model: ServedModel) -> Mapping[str, Mapping[str, Any]]:
    try:
        columns: Mapping[str, Mapping[str, Any]] = model.bundle.reference().get("columns", {})
    except DataError:  # a bundle may have been packed without it
        return {}
    return columns


def _data(model: ServedModel, reference: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    facts = _file(model, "card.json")
    return {
        "source": facts.get("source", []),
        "period": facts.get("period", {}),
        "rows": max((column.get("rows", 0) for column in reference.values()), default=0) or None,
        "fingerprint": model.manifest.data_fingerprint,
    }


def _metrics(model: ServedModel) -> dict[str, Any]:
    """The scores on test rows, on validation rows where there were none; the one that counts first."""
    found = model.manifest.metrics
    part = next((part for part in ("test", "validation") if found.get(part)), None)
    if part is None:
        return {"part": None, "metrics": []}
    measured = _file(model, "metrics.json")
    intervals = measured.get("intervals", {}).get(part, {})
    primary = measured.get("primary")
    scores = [
        {
            "name": name,
            "title": METRICS[name].title if name in METRICS else name,
            "value": value,
            "interval": intervals.get(name),
            "primary": name == primary,
        }
        for name, value in found[part].items()
        if value is not None
    ]
    return {"part": part, "metrics": sorted(scores, key=lambda score: not score["primary"])}


def _file(model: ServedModel, name: str) -> dict[str, Any]:
    """A JSON file of the bundle; empty where it has none."""
    if name not in model.manifest.files:
        return {}
    content = json.loads(model.bundle.read(name))
    return content if isinstance(content, dict) else {}


def _field(column: Input, reference: Mapping[str, Any]) -> dict[str, Any]:
    """A column as a field of a form: its kind, what it may be, and how it was spread in training."""
    found: dict[str, Any] = {"name": column.name, "feature": column.feature}
    known = [value for value in column.field.get("enum", reference.get("levels", [])) if value is not None]
    if known:
        counts = reference.get("counts", [])
        return {
            **found,
            "kind": "choice",
            "levels": known[:MOST_LEVELS],
            "counts": counts[:MOST_LEVELS] if len(counts) == len(known) else [],
        }
    kind = {"integer": "number", "number": "number", "date": "date"}.get(column.rule.type, "text")
    found["kind"] = "datetime" if kind == "date" and column.rule.has_time else kind
    found["whole"] = column.rule.type == "integer"
    if kind != "text" and reference.get("edges"):
        found |= {"edges": reference["edges"], "counts": reference["counts"]}
    return found
