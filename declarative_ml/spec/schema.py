"""The JSON Schemas (draft 2020-12) of the documents that others write or read.

    spec      what a person may write, shorthands included, for editors
    plan      what `dml plan --format json` prints
    bundle    the manifest of a bundle, bundle.json

`python -m declarative_ml.spec.schema schemas` writes them all.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import write_text
from declarative_ml.core.component import Section
from declarative_ml.deployers import DEPLOYERS
from declarative_ml.features import FEATURES
from declarative_ml.formats import FORMATS
from declarative_ml.graph.plan import Plan
from declarative_ml.models import MODELS
from declarative_ml.spec.document import Spec
from declarative_ml.spec.shapes import TAGS
from declarative_ml.store.bundle import MANIFEST, MODEL, REFERENCE, Manifest

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SEGMENT = r"(?!\.{1,2}(/|$))[^/\\:\x00]+"
_FILE_NAME = rf"^(?!{re.escape(MANIFEST)}$){_SEGMENT}(/{_SEGMENT})*$"
"""A file inside of a bundle: relative, without a way out, and not the manifest itself."""

_REFERENCE: Schema = {
    "type": "string",
    "pattern": r"^\$\{(env:|file:|params\.).+\}$",
    "description": "${env:NAME}, ${env:NAME:-default}, ${file:path}, or in a template ${params.NAME}",
}
_AS_WRITTEN = ["string", "number", "boolean"]
"""A text may look like a number in YAML: it is taken as written."""


def spec_schema() -> Schema:
    """The schema of a spec as a JSON-serialisable dict; equal for equal versions of the package."""
    schema = Spec.model_json_schema(by_alias=True)
    definitions: dict[str, Schema] = schema.pop("$defs")
    for definition in (schema, *definitions.values()):
        properties = definition.get("properties", {})
        for name, value in properties.items():
            properties[name] = _writable(value, as_text=name not in ("name", *TAGS))
    _require_tags(definitions)
    _add_shorthands(schema["properties"], definitions)
    definitions["Reference"] = _REFERENCE
    parts = {f"Partial{name}": _partial(part) for name, part in definitions.items() if name != "Reference"}
    overlay = _partial(schema)
    for whole in (schema, overlay):
        whole["title"] = _head("spec")["title"]
    schema["properties"] |= _ABOVE
    profiles = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Profile"}}
    schema["properties"]["profiles"] = {**profiles, "description": "Named variants of this spec"}
    definitions |= parts
    definitions["Spec"] = schema
    definitions["Profile"] = {
        **overlay,
        "title": "Profile",
        "description": "Laid over the spec by `--profile NAME`: null unsets, `key+` appends to a list",
    }
    above = {**_ABOVE, "profiles": schema["properties"]["profiles"]}
    definitions["Extended"] = {**overlay, "properties": {**overlay["properties"], **above}}
    return {
        **_head("spec"),
        "type": "object",
        # What a template brings need not be said again.
        "if": {"anyOf": [{"required": ["extends"]}, {"required": ["params"]}]},
        "then": {"$ref": "#/$defs/Extended"},
        "else": {"$ref": "#/$defs/Spec"},
        "$defs": dict(sorted(definitions.items())),
    }


_EXTENDS_ONE: Schema = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["use"],
            "properties": {
                "use": {"type": "string", "description": "The template: a name, a path, pkg:… or git+…"},
                "with": {"type": "object", "description": "Values of the template's params"},
                "allow": {
                    "type": "array",
                    "items": {"type": "string", "pattern": "^(env|file):.+$"},
                    "description": "References that a template from elsewhere may use: env:NAME, file:path",
                },
            },
        },
    ]
}
_PARAM: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["type"],
    "properties": {
        "type": {"enum": ["string", "integer", "number", "boolean", "list", "mapping"]},
        "default": {"description": "Taken when the param is not given; null leaves the key out"},
        "choices": {"type": "array", "minItems": 1, "description": "All values that it can have"},
        "pattern": {"type": "string", "description": "A regular expression that the whole text must match"},
        "description": {"type": "string"},
        "required": {"type": "boolean", "description": "true: it must be given, even where it is overridden"},
    },
}
_ABOVE: dict[str, Schema] = {
    "extends": {
        "anyOf": [*_EXTENDS_ONE["anyOf"], {"type": "array", "items": _EXTENDS_ONE}],
        "description": "Templates below this spec, lowest priority first",
    },
    "params": {
        "type": "object",
        "additionalProperties": _PARAM,
        "description": "Declares what a template can be given by `with`; used as ${params.NAME}",
    },
}


def _partial(value: Any) -> Any:
    """The schema of an overlay: nothing is required, null unsets, `key+` appends to a list."""
    if isinstance(value, list):
        return [_partial(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _partial(item) for key, item in value.items() if key != "required"}
    reference = found.get("$ref", "")
    if reference and not reference.endswith("/Reference"):
        found["$ref"] = reference.replace("#/$defs/", "#/$defs/Partial")
    properties = found.get("properties")
    if isinstance(properties, dict) and found.get("type") == "object":
        more = {f"{name}+": item for name, item in properties.items() if _is_list(value["properties"][name])}
        nullable = {name: {"anyOf": [item, {"type": "null"}]} for name, item in properties.items()}
        found["properties"] = {**nullable, **more}
    return found


def _is_list(value: Schema) -> bool:
    return value.get("type") == "array" or any(_is_list(item) for item in value.get("anyOf", ()))


def _writable(value: Any, *, as_text: bool) -> Any:
    """A field's schema without generated titles, with references and texts that look like numbers."""
    if not isinstance(value, dict):
        return value
    value = {key: item for key, item in value.items() if key not in ("title", "discriminator")}
    if isinstance(value.get("default"), dict):
        del value["default"]
    if "oneOf" in value:
        value["anyOf"] = value.pop("oneOf")
    for key in ("anyOf", "prefixItems"):
        if key in value:
            value[key] = [_writable(item, as_text=as_text) for item in value[key]]
    for key in ("items", "additionalProperties"):
        if key in value:
            value[key] = _writable(value[key], as_text=as_text)
    if value.get("type") == "string" and as_text and not {"enum", "const", "pattern"} & set(value):
        value["type"] = _AS_WRITTEN
    return _with_reference(value)


def _with_reference(value: Schema) -> Schema:
    """The schema of a number, truth value or choice, or a reference to one."""
    closed: bool = value.get("type") in ("number", "integer", "boolean") or not {
        "enum",
        "pattern",
    }.isdisjoint(value)
    if not closed:
        return value
    outside: Schema = {key: value.pop(key) for key in ("description", "default") if key in value}
    return {"anyOf": [value, {"$ref": "#/$defs/Reference"}], **outside}


def _require_tags(definitions: dict[str, Schema]) -> None:
    """Full forms say their `type`, `method` or `format`; a split without one is a random split."""
    for name, definition in definitions.items():
        for tag in TAGS:
            if "const" in definition.get("properties", {}).get(tag, {}) and name != "RandomSplit":
                definition["required"] = [tag, *definition.get("required", [])]


def _add_shorthands(root: dict[str, Schema], definitions: dict[str, Schema]) -> None:
    path: Schema = {"type": "string", "description": "Path of a file, relative to the spec"}
    data = definitions["Data"]["properties"]
    _or(data, "source", path)
    _or(data["sources"], "additionalProperties", path)
    methods = [name["properties"]["method"]["const"] for name in definitions.values()
               if "const" in name.get("properties", {}).get("method", {})]  # fmt: skip
    _or(data, "split", {"enum": methods})
    split = definitions["FilesSplit"]["properties"]
    _or(split, "test", path)
    _or(split, "validation", path)
    _or(root, "target", {"type": _AS_WRITTEN, "description": "The column to predict"})
    kinds = [branch["$ref"].rpartition("/")[2] for branch in root["model"]["anyOf"]]
    _or(root, "model", {"enum": [definitions[kind]["properties"]["type"]["const"] for kind in kinds]})
    _or(definitions["Ensemble"]["properties"]["members"], "items", {"enum": list(MODELS)})
    features = next(branch for branch in root["features"]["anyOf"] if "additionalProperties" in branch)
    _or(features, "additionalProperties", {"enum": list(FEATURES)})
    _or(root, "features", {"$ref": "#/$defs/Reference"})  # a template's param can be the whole mapping
    evaluate = definitions["Evaluate"]["properties"]
    _or(evaluate, "threshold", {"type": "number", "minimum": 0, "maximum": 1})
    _or(evaluate, "champion", {"type": "string", "description": "Path of a bundle, relative to the spec"})
    _or(root, "explain", {"enum": ["shap", "none", True, False]})
    _or(root, "track", {"type": "boolean"})
    for side in ("shadow", "canary"):
        _or(definitions["Serve"]["properties"], side, {"type": "string", "description": "Its model"})
    _or(definitions["Monitor"]["properties"], "drift", {"type": "boolean"})
    _or(
        definitions["Monitor"]["properties"],
        "log",
        {"type": "string", "description": "Path of a folder, relative to the spec"},
    )
    _or(
        definitions["Monitor"]["properties"],
        "apm",
        {"type": "string", "description": "URL of the APM server"},
    )
    _or(root["convert"], "items", {"enum": list(FORMATS)})
    _or(root, "convert", {"enum": list(FORMATS)})
    for workload in ("DeployServe", "DeployTrain"):
        _or(definitions[workload]["properties"], "to", {"enum": list(DEPLOYERS)})
    service = definitions["DeployServe"]["properties"]
    _or(service, "replicas", {"type": "integer", "minimum": 1, "description": "Always so many"})
    _or(service, "scrape", {"type": "boolean"})


def _or(parent: dict[str, Any], name: str, short: Schema) -> None:
    """Let `short` stand where `parent[name]` does; descriptions stay outside of the choice."""
    value = parent[name]
    outside: Schema = {key: value.pop(key) for key in ("description", "default") if key in value}
    branches = value["anyOf"] if list(value) == ["anyOf"] else [value]
    parent[name] = {"anyOf": [short, *branches], **outside}


def plan_schema() -> Schema:
    """The schema of a plan as a JSON-serialisable dict."""
    return _document("plan", Plan)


def bundle_schema() -> Schema:
    """The schema of a bundle's manifest as a JSON-serialisable dict.

    It cannot say that the names of the inputs are unique; `Bundle.open` refuses those that are not.
    """
    schema = _document("bundle", Manifest)
    schema["required"] = ["format", *schema["required"]]  # as `Bundle.open` has it
    del schema["properties"]["format"]["default"]
    schema["properties"]["files"] |= {
        "required": [MODEL, REFERENCE],
        "propertyNames": {"pattern": _FILE_NAME},
    }
    return schema


def _head(name: str) -> Schema:
    title = f"declarative-ml {name}, version 1"
    return {"$schema": _DIALECT, "$id": f"urn:declarative-ml:{name}.v1", "title": title}


def _document(name: str, model: type[Section]) -> Schema:
    """The schema of a document that programs write: what the model itself accepts, no shorthands."""
    schema = model.model_json_schema(by_alias=True)
    for definition in (schema, *schema["$defs"].values()):
        for field in definition["properties"].values():
            field.pop("title", None)  # made from the key: it says nothing new
    rest = {key: value for key, value in schema.items() if key not in ("title", "$defs")}
    return {**_head(name), **rest, "$defs": dict(sorted(schema["$defs"].items()))}


SCHEMAS: dict[str, Callable[[], Schema]] = {
    "spec": spec_schema,
    "plan": plan_schema,
    "bundle": bundle_schema,
}
"""What has a schema, and the function that makes it."""


def schema_text(name: str = "spec") -> str:
    """A schema as the text of its file, schemas/NAME.v1.json. Raises KeyError for an unknown name."""
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m declarative_ml.spec.schema FOLDER")
    for known in SCHEMAS:
        write_text(Path(sys.argv[1]) / f"{known}.v1.json", schema_text(known))
