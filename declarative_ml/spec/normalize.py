"""Shorthands to full forms, so that each key of the document has one type.

A value of the wrong kind is left as it is: validation then says what is wrong with it. Texts that
hold a `${reference}` wait until it is resolved.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from declarative_ml.sources.remote import REMOTE_PATH
from declarative_ml.spec.homes import Home
from declarative_ml.spec.positions import Node
from declarative_ml.trackers.registry_name import read_registry_name

Expand = Callable[[Node], Node]


def expand_shorthands(root: Node) -> Node:
    """The document, or an overlay, with every shorthand written out. Doing it twice changes nothing."""
    for name, expand in _SECTIONS.items():
        root = _change(root, name, expand)
    return root


def complete(root: Node) -> Node:
    """After all overlays: a `split` without `method` is a random split."""

    def with_method(node: Node) -> Node:
        if not node.is_mapping or "method" in node.value:
            return node
        return replace(node, value={"method": Node("random", node.place, node.key), **node.value})

    return _change(root, "data", lambda data: _change(data, "split", with_method))


def rebase(root: Node, homes: Mapping[str, Home], folder: Path | None) -> Node:
    """Paths of data that a template in another folder says, as the spec in `folder` would say them."""

    def path(node: Node) -> Node:
        if isinstance(node.value, list):
            return replace(node, value=[path(item) for item in node.value])
        home = homes.get(node.place.file)
        there = home.folder if home is not None else None
        if not isinstance(node.value, str) or there is None or folder is None or there == folder:
            return node
        if Path(node.value).is_absolute() or node.value.startswith("~") or REMOTE_PATH.match(node.value):
            return node
        return replace(node, value=Path(os.path.relpath(there / node.value, folder)).as_posix())

    def source(node: Node) -> Node:
        return _change(node, "path", path)

    def split(node: Node) -> Node:
        return _change(_change(node, "test", source), "validation", source)

    def data(node: Node) -> Node:
        return _change(_change(_change(node, "source", source), "sources", _each(source)), "split", split)

    def evaluate(node: Node) -> Node:
        return _change(node, "champion", source)

    def test(node: Node) -> Node:
        return _change(node, "file", path)

    def bundle(node: Node) -> Node:
        return node if isinstance(node.value, str) and read_registry_name(node.value) else path(node)

    def side(node: Node) -> Node:
        return _change(node, "model", bundle)

    def serve(node: Node) -> Node:
        return _change(_change(node, "shadow", side), "canary", side)

    def monitor(node: Node) -> Node:
        return _change(_change(node, "log", source), "apm", lambda apm: _change(apm, "ca", path))

    changed = _change(_change(root, "data", data), "evaluate", evaluate)
    changed = _change(_change(changed, "serve", serve), "monitor", monitor)
    return _change(changed, "tests", _each(test))


def _change(node: Node, name: str, expand: Expand) -> Node:
    """`node` with its child `name`, if there is one, replaced by what `expand` makes of it."""
    if not node.is_mapping or name not in node.value:
        return node
    return replace(node, value={**node.value, name: expand(node.value[name])})


def _wrap(node: Node, name: str) -> Node:
    """The scalar as `{name: scalar}` at the same place."""
    return Node({name: replace(node, key=None)}, node.place, node.key)


def _is_text(node: Node) -> bool:
    return isinstance(node.value, str) and "${" not in node.value


def _is_number(node: Node) -> bool:
    return isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _source(node: Node) -> Node:
    if not _is_text(node):
        return node
    kind = Node("remote" if REMOTE_PATH.match(node.value) else "file", node.place)
    return Node({"type": kind, "path": replace(node, key=None)}, node.place, node.key)


def _typed(node: Node) -> Node:
    return _wrap(node, "type") if _is_text(node) else node


def _each(expand: Expand) -> Expand:
    """`expand` for every value of a mapping or list."""

    def expand_all(node: Node) -> Node:
        if isinstance(node.value, dict):
            return replace(node, value={name: expand(child) for name, child in node.value.items()})
        if isinstance(node.value, list):
            return replace(node, value=[expand(child) for child in node.value])
        return node

    return expand_all


def _data(node: Node) -> Node:
    node = _change(node, "source", _source)
    node = _change(node, "sources", _each(_source))
    return _change(node, "split", _split)


def _split(node: Node) -> Node:
    if _is_text(node):
        return _wrap(node, "method")
    if node.is_mapping and "method" in node.value and node.value["method"].value == "files":
        node = _change(node, "test", _source)
        node = _change(node, "validation", _source)
    return node


def _target(node: Node) -> Node:
    scalar = _is_text(node) or isinstance(node.value, bool | int | float)
    return _wrap(node, "column") if scalar else node


def _model(node: Node) -> Node:
    return _change(_typed(node), "members", _each(_typed))


def _evaluate(node: Node) -> Node:
    def threshold(node: Node) -> Node:
        return _wrap(node, "value") if _is_number(node) else node

    def champion(node: Node) -> Node:
        return _wrap(node, "path") if _is_text(node) else node

    return _change(_change(node, "threshold", threshold), "champion", champion)


def _explain(node: Node) -> Node:
    if node.value is False:
        node = replace(node, value="none", text=None)
    elif node.value is True:
        node = replace(node, value="shap", text=None)
    return _wrap(node, "method") if _is_text(node) else node


def _track(node: Node) -> Node:
    return _wrap(node, "enabled") if isinstance(node.value, bool) else node


def _serve(node: Node) -> Node:
    def side(node: Node) -> Node:
        return _wrap(node, "model") if _is_text(node) else node

    return _change(_change(node, "shadow", side), "canary", side)


def _monitor(node: Node) -> Node:
    def drift(node: Node) -> Node:
        return _wrap(node, "enabled") if isinstance(node.value, bool) else node

    def log(node: Node) -> Node:
        return _wrap(node, "path") if _is_text(node) else node

    def apm(node: Node) -> Node:
        return _wrap(node, "url") if _is_text(node) else node

    return _change(_change(_change(node, "drift", drift), "log", log), "apm", apm)


def _convert(node: Node) -> Node:
    def format_of(item: Node) -> Node:
        return _wrap(item, "format") if _is_text(item) else item

    if _is_text(node) or node.is_mapping:
        node = Node([replace(node, key=None)], node.place, node.key)
    return _each(format_of)(node)


def _deploy(node: Node) -> Node:
    def replicas(item: Node) -> Node:
        return _wrap(item, "min") if _is_number(item) else item

    def scrape(item: Node) -> Node:
        if not isinstance(item.value, bool):
            return item
        return replace(item, value={} if item.value else None, text=None)

    def workload(item: Node) -> Node:
        return _change(_change(_change(item, "to", _typed), "replicas", replicas), "scrape", scrape)

    def predict(item: Node) -> Node:
        return _change(workload(item), "source", _source)

    return _change(_change(_change(node, "serve", workload), "train", workload), "predict", predict)


_SECTIONS: dict[str, Expand] = {
    "data": _data,
    "features": _each(_typed),
    "target": _target,
    "model": _model,
    "evaluate": _evaluate,
    "explain": _explain,
    "track": _track,
    "monitor": _monitor,
    "convert": _convert,
    "serve": _serve,
    "deploy": _deploy,
}
