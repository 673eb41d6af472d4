"""A Spec as canonical options, as readable YAML, and as a digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from declarative_ml.core.digest import digest_json
from declarative_ml.core.secret import Secret
from declarative_ml.sources.base import Source
from declarative_ml.spec.document import FilesSplit, Spec
from declarative_ml.spec.yaml_reader import resolve_scalar
from declarative_ml.trackers.registry_name import read_registry_name


def resolve_sources(spec: Spec, folder: Path) -> Spec:
    """The spec with relative paths of its sources and of all other files made absolute against `folder`."""
    data = spec.data
    update: dict[str, Any] = {
        "sources": {name: source.resolved(folder) for name, source in data.sources.items()}
    }
    if data.source is not None:
        update["source"] = data.source.resolved(folder)
    if isinstance(data.split, FilesSplit):
        parts: dict[str, Any] = {"test": data.split.test, "validation": data.split.validation}
        resolved = {name: part.resolved(folder) for name, part in parts.items() if isinstance(part, Source)}
        update["split"] = data.split.model_copy(update=resolved)
    tests = {name: test.resolved(folder) for name, test in spec.tests.items()}
    changed: dict[str, Any] = {"data": data.model_copy(update=update), "tests": tests}
    champion = spec.evaluate.champion
    if champion is not None and champion.path is not None:
        path = str(folder / Path(champion.path).expanduser())
        there = {"champion": champion.model_copy(update={"path": path})}
        changed["evaluate"] = spec.evaluate.model_copy(update=there)
    sides = {"shadow": spec.serve.shadow, "canary": spec.serve.canary}
    moved = {
        name: side.model_copy(update={"model": str(folder / Path(side.model).expanduser())})
        for name, side in sides.items()
        if side is not None and read_registry_name(side.model) is None
    }
    if moved:
        changed["serve"] = spec.serve.model_copy(update=moved)
    watched: dict[str, Any] = {"drift": spec.monitor.drift.resolved(folder)}
    if spec.monitor.log is not None:
        path = str(folder / Path(spec.monitor.log.path).expanduser())
        watched["log"] = spec.monitor.log.model_copy(update={"path": path})
    if spec.monitor.apm is not None:
        watched["apm"] = spec.monitor.apm.resolved(folder)
    changed["monitor"] = spec.monitor.model_copy(update=watched)
    if spec.deploy is not None and spec.deploy.predict is not None:
        changed["deploy"] = spec.deploy.model_copy(update={"predict": spec.deploy.predict.resolved(folder)})
    return spec.model_copy(update=changed)


def spec_options(spec: Spec, folder: Path | None = None) -> dict[str, Any]:
    """The whole spec as plain JSON values; paths below `folder` become relative to it."""
    options = spec.model_dump(mode="json", by_alias=True)
    if folder is not None:
        for part in ("data", "evaluate", "tests", "serve", "monitor"):
            options[part] = _relative(options[part], f"{folder.resolve().as_posix()}/")
    return options


def _relative(value: Any, prefix: str) -> Any:
    if isinstance(value, dict):
        return {name: _relative(item, prefix) for name, item in value.items()}
    if isinstance(value, list):
        return [_relative(item, prefix) for item in value]
    return value.removeprefix(prefix) if isinstance(value, str) else value


def spec_digest(spec: Spec, folder: Path | None = None) -> str:
    """SHA-256 of the spec's meaning, as hex; the same in every `folder`."""
    return digest_json(spec_options(spec, folder))


def spec_to_yaml(spec: Spec, folder: Path | None = None) -> str:
    """The whole spec, defaults included, as YAML that `load_spec` reads back to an equal spec."""
    options = _with_references(spec_options(spec, folder), spec.model_dump(by_alias=True))
    return yaml.dump(_without_empty(options), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Reference(str):
    """The text of a secret's reference, which is to be read as one again."""


def _with_references(options: Any, values: Any) -> Any:
    """`options` with the references of the secrets among `values` marked."""
    if isinstance(values, Secret):
        return _Reference(values.reference)
    if isinstance(options, dict) and isinstance(values, dict):
        return {name: _with_references(item, values.get(name)) for name, item in options.items()}
    if isinstance(options, list) and isinstance(values, tuple | list) and len(options) == len(values):
        return [_with_references(item, value) for item, value in zip(options, values, strict=True)]
    return options


def _without_empty(options: dict[str, Any]) -> dict[str, Any]:
    """Without keys that say nothing: null and empty descriptions."""
    return {
        name: _without_empty(value) if isinstance(value, dict) else value
        for name, value in options.items()
        if value is not None and value != "" and value != {}
    }


class _Dumper(yaml.SafeDumper):
    """Short lists in one line; texts that YAML 1.1 or 1.2 would read as something else in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """Quoted where our reader, whose numbers are those of YAML 1.2, would take it for something else."""
    text = text.replace("${", "$${")
    if "\n" in text and _is_block(text):
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    style = None if isinstance(resolve_scalar(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_block(text: str) -> bool:
    """Whether every line can stand in a literal block."""
    return all(line.isprintable() and line == line.strip() and line for line in text.split("\n"))


def _represent_list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    flow = all(not isinstance(item, dict | list) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flow)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(
    _Reference, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="'")
)
_Dumper.add_representer(list, _represent_list)
