"""What differs between two runs: metrics, options, model, data."""

from __future__ import annotations

from typing import Any

import yaml

from declarative_ml.api.workspace import Run


def compare_runs(first: Run, second: Run) -> dict[str, Any]:
    """Metrics side by side with their difference, and every option of the specs that differs."""
    old, new = first.record.get("result", {}), second.record.get("result", {})
    return {
        "runs": [first.id, second.id],
        "metrics": {
            part: _paired(old.get("metrics", {}).get(part, {}), new.get("metrics", {}).get(part, {}))
            for part in dict.fromkeys([*old.get("metrics", {}), *new.get("metrics", {})])
        },
        "options": changed_options(_options(first), _options(second)),
        "same_model": old.get("model_digest") is not None
        and old.get("model_digest") == new.get("model_digest"),
        "seconds": [old.get("seconds"), new.get("seconds")],
    }


def changed_options(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[Any]]:
    """Dotted path -> [old, new] of every option that differs; None where there is none."""
    before, after = _flat(old), _flat(new)
    names = dict.fromkeys([*before, *after])
    return {
        name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)
    }


def _paired(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        found[name] = [before, after, None if before is None or after is None else after - before]
    return found


def _options(run: Run) -> dict[str, Any]:
    path = run.folder / "spec.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix.removesuffix("."): value}
    return {
        path: leaf for name, item in value.items() for path, leaf in _flat(item, f"{prefix}{name}.").items()
    }
