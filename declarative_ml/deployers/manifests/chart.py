"""A chart for Helm: the rendered objects as templates, with the few values that people change from outside.

https://helm.sh/docs/topics/charts/. Everything else is the spec's to say: another spec is another chart.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.manifests.ground import version_of
from declarative_ml.deployers.manifests.overlays import file_name
from declarative_ml.deployers.manifests.serving import COMPONENT
from declarative_ml.deployers.manifests.text import as_documents, as_yaml

_MARK = "value-of-the-chart."
"""Stands in an object where a value comes from outside, until the text is written."""
_MARKED = re.compile(rf"^(?P<indent> *)(?P<key>.*: |- ){re.escape(_MARK)}(?P<path>[a-z.]+)$", re.MULTILINE)
_MAPPINGS = frozenset({"resources"})


def chart_files(release: Release, objects: Sequence[Object]) -> dict[str, str]:
    """The files of the chart. Rendered with its own values it gives the objects."""
    values: Object = {}
    marked = [_marked(each, values) for each in objects]
    head = {
        "apiVersion": "v2",
        "name": release.name,
        "description": f"{release.name}, rendered from its spec",
        "type": "application",
        # A version of what it was made from: there is no other.
        "version": f"0.0.0-spec-{release.spec_digest[:12]}",
        "appVersion": version_of(release),
    }
    templates = {
        f"templates/{file_name(each)}": _template(as_documents([other]))
        for each, other in zip(objects, marked, strict=True)
    }
    return {"Chart.yaml": as_yaml(head), "values.yaml": as_yaml(values), **templates}


def _marked(each: Object, values: Object) -> Object:
    """The object with marks in the place of its values, which go into `values`."""
    each = copy.deepcopy(each)
    spec: Any = each.get("spec", {})
    if each["kind"] == "Deployment":
        for container in spec["template"]["spec"]["containers"]:
            if container["name"] == COMPONENT:
                _take(container, "image", values, "image")
                _take(container, "resources", values, "resources")
        if "replicas" in spec:
            _take(spec, "replicas", values, "replicas")
    elif each["kind"] == "HorizontalPodAutoscaler":
        own = values.setdefault("replicas", {})
        _take(spec, "minReplicas", own, "min", "replicas.min")
        _take(spec, "maxReplicas", own, "max", "replicas.max")
    elif each["kind"] == "Ingress":
        for rule in spec["rules"]:
            _take(rule, "host", values, "host")
        for secured in spec["tls"]:
            secured["hosts"] = [f"{_MARK}host"]
    return each


def _take(holder: Any, key: str, values: Object, name: str, path: str = "") -> None:
    values[name], holder[key] = holder[key], f"{_MARK}{path or name}"


def _template(text: str) -> str:
    """The text with the marks as expressions of Helm, and what would be one by chance as it is."""
    return _MARKED.sub(_expression, text.replace("{{", '{{ "{{" }}'))


def _expression(found: re.Match[str]) -> str:
    indent, key, path = found["indent"], found["key"], found["path"]
    if path in _MAPPINGS:
        deep = len(indent) + 2 + (2 if key.startswith("- ") else 0)
        return f"{indent}{key.rstrip()} {{{{- toYaml .Values.{path} | nindent {deep} }}}}"
    written = f".Values.{path}" if path.startswith("replicas") else f".Values.{path} | quote"
    return f"{indent}{key}{{{{ {written} }}}}"
