"""Rendered objects against the schemas of Kubernetes, strictly, and those of operators."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import targets
from crd_schemas import faults
from deployed import SPECS, of_kind, rendered

SHARED = next(
    (parent / "shared" / "crds" / "stripped" for parent in Path(__file__).resolve().parents
     if (parent / "shared" / "crds" / "stripped").is_dir()),
    None,
)  # fmt: skip
OPERATORS = {"ServiceMonitor": "monitoring.coreos.com_servicemonitors.json"}


@pytest.mark.parametrize("name", SPECS)
def test_core_objects(name: str) -> None:
    library = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for each in rendered(name):
        if each["kind"] not in OPERATORS:
            library.validate(each, "1.36", strict=True)  # an unknown kind is an error here, no warning


@pytest.mark.parametrize("name", [*targets.TARGETS, *targets.PODLESS])
def test_objects_of_every_target(name: str) -> None:
    library = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for each in targets.rendered(name)[0]:
        group = each["apiVersion"].rpartition("/")[0]
        if "." not in group or group.endswith(".k8s.io"):
            library.validate(each, "1.36", strict=True)
        elif each["kind"] == "RayCronJob":  # there is no schema of it; what it makes is a RayJob
            job = {**each, "kind": "RayJob", "spec": each["spec"]["jobTemplate"]}
            assert faults(job) == []
        else:
            assert faults(each) == []


def test_the_check_sees_typing_errors() -> None:
    library = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    (service,) = of_kind(copy.deepcopy(rendered("minimal")), "Deployment")
    container = service["spec"]["template"]["spec"]["containers"][0]
    container["readynessProbe"] = container.pop("readinessProbe")
    with pytest.raises(library.ValidationError, match="readynessProbe"):
        library.validate(service, "1.36", strict=True)


@pytest.mark.skipif(SHARED is None, reason="the schemas of operators are not here")
@pytest.mark.parametrize("name", ["full", "every"])
def test_objects_of_operators(name: str) -> None:
    assert SHARED is not None
    seen = 0
    for each in rendered(name):
        if each["kind"] in OPERATORS:
            crd = json.loads((SHARED / OPERATORS[each["kind"]]).read_text())
            version = each["apiVersion"].partition("/")[2]
            (schema,) = [
                one["schema"]["openAPIV3Schema"] for one in crd["spec"]["versions"] if one["name"] == version
            ]
            jsonschema.Draft202012Validator(closed(schema)).validate(each)
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.Draft202012Validator(closed(schema)).validate({**each, "spec": {"selektor": {}}})
            seen += 1
    assert seen == 1


def closed(schema: Any) -> Any:
    """The schema with unknown keys as errors, as the server has it for applied objects."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(item) for key, item in schema.items()}
    top = {"apiVersion", "kind", "metadata"} <= set(found.get("properties") or {})
    if (
        "properties" in found
        and "additionalProperties" not in found
        and isinstance(found["properties"], dict)
    ):
        keeps = found.get("x-kubernetes-preserve-unknown-fields")
        if found.get("type") == "object" and not keeps and not top:
            found["additionalProperties"] = False
    return found
