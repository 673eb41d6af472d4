"""Laying the person's fields over rendered ones: mappings deeply, lists of named things by name.

The keys are those of Kubernetes' strategic merge (`patchMergeKey` of its types):
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from declarative_ml.deployers.base import Object

KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "resourceClaims": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""The name of a list -> the keys by which its entries are matched."""
_PORTS = ("containerPort", "port")
"""Of a container, and of a Service: the first that an entry has."""
_ADDED = frozenset({"tolerations", "envFrom", "schedulingGates"})
"""Lists without names: entries that are not there yet are put behind the others."""
_DIRECTIVE = "$patch"


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> Object:
    """`over` laid over `base`. Null removes; `$patch: delete` in an entry of a list removes the entry, and
    `$patch: replace` in a mapping replaces the whole. Lists that have no names are replaced."""
    if over.get(_DIRECTIVE) == "replace":
        return {key: item for key, item in over.items() if key != _DIRECTIVE}
    merged: Object = dict(base)
    for key, item in over.items():
        if item is None:
            merged.pop(key, None)
        elif isinstance(item, Mapping):
            old = merged.get(key)
            merged[key] = overlay(old if isinstance(old, Mapping) else {}, item)
        elif isinstance(item, list | tuple):
            merged[key] = _list(key, merged.get(key), list(item))
        else:
            merged[key] = item
    return merged


def _list(name: str, base: Any, over: list[Any]) -> list[Any]:
    old = list(base) if isinstance(base, list | tuple) else []
    if not all(isinstance(item, Mapping) for item in (*old, *over)):
        return over
    if name in _ADDED:
        return old + [overlay({}, item) for item in over if item not in old]
    keys = KEYS.get(name) or (_port_key(old, over) if name == "ports" else None)
    if keys is None:
        return [overlay({}, item) for item in over]
    return _by_name(keys, old, over)


def _port_key(old: list[Any], over: list[Any]) -> tuple[str, ...] | None:
    for key in _PORTS:
        if all(key in item for item in (*old, *over)):
            return (key,)
    return None


def _by_name(keys: tuple[str, ...], old: list[Any], over: list[Any]) -> list[Any]:
    merged = list(old)
    for item in over:
        name = [item.get(key) for key in keys]
        at = next((n for n, each in enumerate(merged) if [each.get(key) for key in keys] == name), None)
        if item.get(_DIRECTIVE) == "delete":
            merged = [each for number, each in enumerate(merged) if number != at]
        elif at is None:
            merged.append(overlay({}, item))
        else:
            merged[at] = overlay(merged[at], _one_source(merged[at], item))
    return merged


def _one_source(old: Mapping[str, Any], item: Mapping[str, Any]) -> Mapping[str, Any]:
    """An environment variable has a value or a source, and a volume one kind: the new one ends the old."""
    for one, other in (("value", "valueFrom"), ("valueFrom", "value")):
        if one in item and other in old:
            return {**item, other: None}
    return item
