"""A base and its variants for kustomize: each variant says only what differs.

https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from declarative_ml.deployers.base import Object
from declarative_ml.deployers.manifests.text import as_documents, as_yaml

_HEAD = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
_FILE = "kustomization.yaml"


def file_name(each: Object) -> str:
    """The name of the file of one object."""
    return f"{each['kind'].lower()}-{each['metadata']['name']}.yaml"


def base_files(objects: Sequence[Object]) -> dict[str, str]:
    """The files of a base: one an object, and what lists them."""
    names = [file_name(each) for each in objects]
    files = dict(zip(names, (as_documents([each]) for each in objects), strict=True))
    return {**files, _FILE: as_yaml({**_HEAD, "resources": names})}


def overlay_files(base: Sequence[Object], objects: Sequence[Object], to_base: str) -> dict[str, str]:
    """The files of a variant of the base at the relative path `to_base`: patches for what both have, files
    for what is new, and deletions."""
    before, after = ({_key(each): each for each in each_of} for each_of in (base, objects))
    new = [each for key, each in after.items() if key not in before]
    patches: list[Object | None] = [_deletion(each) for key, each in before.items() if key not in after]
    patches += [_changes(before[key], each) for key, each in after.items() if key in before]
    content = {
        **_HEAD,
        "resources": [to_base, *(file_name(each) for each in new)],
        "patches": [patch for patch in patches if patch is not None],
    }
    files = {file_name(each): as_documents([each]) for each in new}
    return {**files, _FILE: as_yaml({key: item for key, item in content.items() if item})}


def _key(each: Object) -> tuple[str, str, str]:
    return each["apiVersion"], each["kind"], each["metadata"]["name"]


def _target(each: Object) -> Object:
    group, _, version = each["apiVersion"].rpartition("/")
    head = each["metadata"]
    target = {"group": group, "version": version, "kind": each["kind"], "name": head["name"]}
    if "namespace" in head:
        target["namespace"] = head["namespace"]
    return {key: item for key, item in target.items() if item}


def _deletion(each: Object) -> Object:
    head = {key: each["metadata"][key] for key in ("name", "namespace") if key in each["metadata"]}
    gone = {"apiVersion": each["apiVersion"], "kind": each["kind"], "metadata": head, "$patch": "delete"}
    return {"target": _target(each), "patch": as_yaml(gone)}


def _changes(old: Object, new: Object) -> Object | None:
    operations = list(_operations(old, new, ""))
    if not operations:
        return None
    patch: Object = {"target": _target(old), "patch": as_yaml(operations)}
    if old["metadata"].get("namespace") != new["metadata"].get("namespace"):
        patch["options"] = {"allowNameChange": True}
    return patch


def _operations(old: Any, new: Any, path: str) -> Iterator[Object]:
    """The JSON patch (RFC 6902) from one to the other."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in old:
            if key not in new:
                yield {"op": "remove", "path": _below(path, key)}
        for key, item in new.items():
            if key in old:
                yield from _operations(old[key], item, _below(path, key))
            else:
                yield {"op": "add", "path": _below(path, key), "value": item}
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _operations(before, after, f"{path}/{number}")
    elif old != new:
        yield {"op": "replace", "path": path, "value": new}


def _below(path: str, key: str) -> str:
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
