"""The schemas of operators' CRDs in the shared folder, made strict: unknown fields are errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SHARED = Path(os.environ.get("DML_SHARED") or Path(__file__).parents[3] / "shared")
FOLDER = SHARED / "crds/stripped"
_OPEN = "x-kubernetes-preserve-unknown-fields"


def faults(each: dict[str, Any]) -> list[str]:
    """What is wrong with a custom resource, each as path and message; skips where there are no schemas."""
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in _validator(each).iter_errors(each)
    ]


def _validator(each: dict[str, Any]) -> jsonschema.Draft202012Validator:
    if not FOLDER.is_dir():
        pytest.skip(f"the schemas of CRDs are not in {FOLDER}; set DML_SHARED")
    return _schema(each["apiVersion"], each["kind"])


@cache
def _schema(api: str, kind: str) -> jsonschema.Draft202012Validator:
    group, _, version = api.partition("/")
    for path in sorted(FOLDER.glob(f"{group}_*.json")):
        definition = json.loads(path.read_text())["spec"]
        if definition["names"]["kind"] != kind or path.name.endswith(".minimal.json"):
            continue
        for served in definition["versions"]:
            if served["name"] == version:
                schema = served["schema"]["openAPIV3Schema"]
                for node in _nodes(schema):
                    _tighten(node)
                schema["properties"]["metadata"] = {"type": "object"}
                return jsonschema.Draft202012Validator(schema)
    raise AssertionError(f"no CRD of {api} {kind} in {FOLDER}")


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _tighten(node: dict[str, Any]) -> None:
    if node.get("x-kubernetes-int-or-string"):
        node.pop("type", None)
    if isinstance(node.get("properties"), dict) and node.get("type") == "object" and not node.get(_OPEN):
        node.setdefault("additionalProperties", False)
    if node.get("nullable") and isinstance(node.get("type"), str):
        node["type"] = [node["type"], "null"]
