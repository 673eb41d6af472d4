"""The reference page of a spec's keys, made from the JSON Schema, so that it cannot fall behind.

`python -m declarative_ml.spec.reference docs/reference.md` writes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from declarative_ml.behaviour import BEHAVIOURS
from declarative_ml.core.atomic import write_text
from declarative_ml.deployers import DEPLOYERS
from declarative_ml.features import FEATURES
from declarative_ml.formats import FORMATS
from declarative_ml.sources import SINKS, SOURCES
from declarative_ml.spec.schema import Schema, spec_schema
from declarative_ml.spec.shapes import TAGS

_HEAD = """# Reference of a spec

<!-- Written by `python -m declarative_ml.spec.reference docs/reference.md` (`make regen`). -->

Every key, what it may hold, and what it is when absent. Keys that are not listed here are errors, with
the nearest name as a hint. Numbers, truth values and choices may also be written as a reference:
`${env:NAME}`, `${env:NAME:-default}` or `${file:path}`. A dash in the column *when absent* means that
nothing is set; the meaning says what happens then. `dml schema` prints the same as JSON Schema.
"""

_SPLITS = ("RandomSplit", "HashSplit", "TimeSplit", "GroupSplit", "ColumnSplit", "FilesSplit")

_DEPLOY = {
    "DeployServe": "deploy.serve",
    "Replicas": "deploy.serve.replicas",
    "Ingress": "deploy.serve.ingress",
    "Scrape": "deploy.serve.scrape",
    "DeployTrain": "deploy.train",
    "DeployPredict": "deploy.predict",
    "PodResources": "resources of pods",
    "Limits": "resources of pods: limits",
    "Network": "deploy: network",
    "Volume": "deploy.store",
    "Mount": "deploy: volumes",
    "SecretRef": "deploy.secrets",
    "Patch": "deploy.patches",
    "Operation": "deploy.patches: operations",
}


@dataclass(frozen=True)
class _Section:
    """One heading: the name of its definition in the schema, and where it stands in a spec."""

    definition: str
    heading: str
    level: int = 2

    @property
    def anchor(self) -> str:
        """The link target that Markdown renderers make from the heading."""
        kept = (char for char in self.heading.lower() if char.isalnum() or char in " -_")
        return "".join(kept).replace(" ", "-")


def _sections(definitions: dict[str, Schema]) -> list[_Section]:
    found = [_Section("Data", "data")]
    found += [_Section(SOURCES.load(name).__name__, f"data.source: type {name}", 3) for name in SOURCES]
    found += [
        _Section(name, f"data.split: method {name.removesuffix('Split').lower()}", 3) for name in _SPLITS
    ]
    found += [_Section("Checks", "data.checks", 3), _Section("TableChecks", "data.checks.table", 3)]
    found += [_Section("RowsCheck", "data.checks.rows", 3)]
    found += [
        _Section("ColumnCheck", "data.checks.columns", 3),
        _Section("RuleCheck", "data.checks.rules", 3),
        _Section("DriftCheck", "data.checks.drift", 3),
    ]
    found.append(_Section("Target", "target"))
    found += [_Section(FEATURES.load(name).__name__, f"features: type {name}") for name in FEATURES]
    for branch in definitions["Spec"]["properties"]["model"]["anyOf"]:
        if kind := branch.get("$ref", "").rpartition("/")[2]:  # else it is the choice of bare names
            name = definitions[kind]["properties"]["type"]["const"]
            found.append(_Section(kind, f"model: type {name}"))
    found += [_Section("Tune", "tune"), _Section("Span", "tune.space", 3)]
    found += [_Section("Evaluate", "evaluate"), _Section("Threshold", "evaluate.threshold", 3)]
    found += [_Section("Gate", "evaluate.gates", 3), _Section("Champion", "evaluate.champion", 3)]
    found += [_Section(BEHAVIOURS.load(name).__name__, f"tests: type {name}") for name in BEHAVIOURS]
    found += [_Section("Expected", "tests: rows of type expect", 3)]
    found += [
        _Section("Probability", "tests: rows: probability", 3),
        _Section("Range", "tests: rows: number", 3),
    ]
    found += [_Section(name, name.lower()) for name in ("Explain", "Track", "Serve")]
    found += [_Section("Shadow", "serve.shadow", 3), _Section("Canary", "serve.canary", 3)]
    found += [
        _Section("Monitor", "monitor"),
        _Section("Drift", "monitor.drift", 3),
        _Section("Webhook", "monitor.drift.webhook", 3),
        _Section("PredictionLog", "monitor.log", 3),
        _Section("Rotate", "monitor.log.rotate", 3),
        _Section("Apm", "monitor.apm", 3),
        _Section("Deploy", "deploy"),
    ]
    found += [_Section(name, heading, 3) for name, heading in _DEPLOY.items()]
    found += [_Section(SINKS.load(name).__name__, f"deploy.predict.output: type {name}", 3) for name in SINKS]
    found += [_Section(DEPLOYERS.load(name).__name__, f"deploy: target {name}", 3) for name in DEPLOYERS]
    found.append(_Section("Resources", "resources"))
    found += [_Section(FORMATS.load(name).__name__, f"convert: format {name}") for name in FORMATS]
    return found


def reference_page() -> str:
    """The whole page as Markdown."""
    schema = spec_schema()
    definitions: dict[str, Schema] = schema["$defs"]
    sections = _sections(definitions)
    links = {section.definition: f"[{_short(section)}](#{section.anchor})" for section in sections}
    links["Profile"] = "parts of a spec"
    parts = [_HEAD, "\n## The whole spec\n\n", *_table(definitions["Spec"], links)]
    for section in sections:
        definition = definitions[section.definition]
        parts.append(f"\n{'#' * section.level} {section.heading}\n\n{definition['description']}\n\n")
        parts += _table(definition, links)
    return "".join(parts)


def _short(section: _Section) -> str:
    kind, _, name = section.heading.rpartition(" ")
    return name if kind else f"mapping `{name}`"


def _table(definition: Schema, links: dict[str, str]) -> Iterator[str]:
    required = definition.get("required", [])
    yield "| key | holds | when absent | meaning |\n|---|---|---|---|\n"
    for name, value in definition["properties"].items():
        absent = "must be there" if name in required else _default(value)
        meaning = _cell(value.get("description", _tag(name)))
        yield f"| `{name}` | {_cell(_holds(value, links))} | {_cell(absent)} | {meaning} |\n"


def _tag(name: str) -> str:
    return "Names this kind" if name in TAGS else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _default(value: Schema) -> str:
    default = value.get("default")
    if default is None or default in ("", [], {}):
        return "–"
    return f"`{json.dumps(default, ensure_ascii=False)}`" if not isinstance(default, str) else f"`{default}`"


def _holds(value: Schema, links: dict[str, str]) -> str:
    """What a value may be, in words. Raises KeyError for a definition that has no section."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return "" if name == "Reference" else links[name]
    if "anyOf" in value:
        choices = [_holds(choice, links) for choice in value["anyOf"]]
        return " or ".join(dict.fromkeys(choice for choice in choices if choice))
    if "const" in value:
        return _code(value["const"])
    if "enum" in value:
        return ", ".join(_code(choice) for choice in value["enum"])
    return _of_type(value, links)


def _of_type(value: Schema, links: dict[str, str]) -> str:
    kind = value.get("type")
    if kind == "array":
        return f"list of: {_holds(value['items'], links)}"
    if kind == "object":
        inner = value.get("additionalProperties")
        return f"mapping of names to: {_holds(inner, links)}" if isinstance(inner, dict) else "mapping"
    if kind in ("integer", "number"):
        return f"{'whole number' if kind == 'integer' else 'number'}{_range(value)}"
    if kind == "boolean":
        return "`true`, `false`"
    return "" if kind == "null" else "text"


def _range(value: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {value[key]:,}" for key, sign in signs.items() if key in value]
    return " " + ", ".join(limits) if limits else ""


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m declarative_ml.spec.reference FILE")
    write_text(Path(sys.argv[1]), reference_page())
