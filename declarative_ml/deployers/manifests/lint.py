"""What a server would refuse of an object, and what offline checks against its schema do not see.

The rows are those that only a real server caught (names, quantities, ports, selectors, volumes, schedules),
and the security standard `restricted`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from declarative_ml.deployers.base import Object
from declarative_ml.deployers.manifests.fields import CONTAINER, POD
from declarative_ml.deployers.quantity import amount

NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
LABEL_KEY = re.compile(
    r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
PORT = re.compile(r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$")
_VOLUMES = frozenset(
    {
        "configMap", "secret", "emptyDir", "projected", "downwardAPI", "csi", "persistentVolumeClaim",
        "ephemeral",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One fault of one object."""

    kind: str
    name: str
    message: str
    hint: str
    refused: bool = True
    """Whether a server refuses it; otherwise a namespace that is `restricted` does."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.message}"


Found = Iterator[tuple[str, str, bool]]
"""Message, hint, whether every server refuses it."""


def lint(objects: Iterable[Object]) -> list[Finding]:
    """The faults of the objects, in their order."""
    return [
        Finding(each["kind"], str(each["metadata"].get("name")), message, hint, refused)
        for each in objects
        for message, hint, refused in _object(each)
    ]


def pod_of(each: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The pod template of a workload; None for other objects."""
    spec = each.get("spec", {})
    if each["kind"] == "CronJob":
        spec = spec.get("jobTemplate", {}).get("spec", {})
    template = spec.get("template") if isinstance(spec, Mapping) else None
    return template if isinstance(template, Mapping) and "spec" in template else None


def _object(each: Object) -> Found:
    head = each["metadata"]
    longest = 52 if each["kind"] == "CronJob" else 63
    if not NAME.match(str(head.get("name"))) or len(head["name"]) > longest:
        yield (
            f"the name '{head.get('name')}' is none",
            f"{longest} of a-z, 0-9 and - at most",
            True,
        )
    for key, text in head.get("labels", {}).items():
        if not LABEL_KEY.match(key) or not LABEL_VALUE.match(str(text)):
            yield f"the label {key}: {text} is none", "63 letters, digits, and -_. inside, at most", True
    if nulls := list(_nulls(each, "")):
        yield f"{nulls[0]} is null", "delete the key, or give it a value", True
    if each["kind"] in ("Job", "CronJob"):
        yield from _alone(each)
    template = pod_of(each)
    if template is not None:
        yield from _template(each, template)


def _alone(each: Object) -> Found:
    """One pod makes a run: others beside it would train the same, into the same store."""
    spec = each["spec"] if each["kind"] == "Job" else each["spec"].get("jobTemplate", {}).get("spec", {})
    for key in ("parallelism", "completions"):
        if spec.get(key, 1) != 1:
            hint = "resources.processes shares one training among the processes of a pod"
            yield f"{key} {spec[key]}: each of its pods would do the whole work", hint, True


def _nulls(value: Any, path: str) -> Iterator[str]:
    if value is None:
        yield path.lstrip(".")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _nulls(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _nulls(item, f"{path}[{number}]")


def _template(each: Object, template: Mapping[str, Any]) -> Found:
    pod = template["spec"]
    wanted = each["spec"].get("selector", {}).get("matchLabels", {})
    labels = template.get("metadata", {}).get("labels", {})
    if any(labels.get(key) != text for key, text in wanted.items()):
        yield "its selector does not find its own pods", "keep the labels of the pods", True
    yield from _unknown(pod, POD, "a pod spec")
    if each["kind"] in ("Job", "CronJob") and pod.get("restartPolicy") not in ("Never", "OnFailure"):
        yield f"restartPolicy {pod.get('restartPolicy')} is not for jobs", "write Never or OnFailure", True
    volumes = [item.get("name") for item in pod.get("volumes", [])]
    containers = [*pod.get("containers", []), *pod.get("initContainers", [])]
    yield from _names([*(item.get("name") for item in containers)], "container")
    yield from _names(volumes, "volume")
    for container in containers:
        yield from _container(container, volumes)
    yield from _restricted(pod, containers)


def _names(names: Sequence[Any], what: str) -> Found:
    for name in names:
        if not isinstance(name, str) or not NAME.match(name):
            yield f"the {what} name '{name}' is none", "63 small letters, digits, hyphens at most", True
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        yield f"two of its {what}s are called {name}", "names are unique inside of a pod", True


def _unknown(found: Mapping[str, Any], known: frozenset[str], what: str) -> Found:
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "the API reference of Kubernetes lists them"
            yield f"{what} has no field '{key}'", hint, True


def _container(container: Mapping[str, Any], volumes: Sequence[Any]) -> Found:
    name = container.get("name")
    yield from _unknown(container, CONTAINER, f"the container {name}")
    if not container.get("image"):
        yield (
            f"the container {name} has no image",
            "ours are called serve and train",
            True,
        )
    for mount in container.get("volumeMounts", []):
        if mount.get("name") not in volumes:
            hint = f"volumes: {', '.join(map(str, volumes))}"
            yield f"{name} mounts the volume '{mount.get('name')}', which is not there", hint, True
    ports = container.get("ports", [])
    for port in ports:
        yield from _port(port)
    known = {port.get("name") for port in ports}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = (container.get(probe) or {}).get("httpGet", {}).get("port")
        if isinstance(asked, str) and asked not in known:
            yield f"the {probe} of {name} asks the port '{asked}', which is not there", "name the port", True
    yield from _resources(name, container.get("resources", {}))


def _port(port: Mapping[str, Any]) -> Found:
    name, number = port.get("name"), port.get("containerPort")
    if name is not None and not PORT.match(str(name)):
        yield (
            f"the port name '{name}' is none",
            "15 of a-z, 0-9 and - at most, one of them a letter",
            True,
        )
    if not isinstance(number, int) or not 0 < number < 65_536:
        yield f"the port {number} is none", "a number from 1 to 65535", True
    if port.get("hostPort"):
        yield "hostPort takes a port of the node", "ask the Service", False


def _resources(name: Any, resources: Mapping[str, Any]) -> Found:
    read: dict[tuple[str, str], Any] = {}
    for part in ("requests", "limits"):
        for resource, text in (resources.get(part) or {}).items():
            try:
                read[part, resource] = amount(str(text))
            except ValueError as error:
                yield f"{resource} of {name}: {error}", "such as 500m, 2, 512Mi, 2Gi", True
    for (part, resource), asked in read.items():
        limit = read.get(("limits", resource))
        if part == "requests" and limit is not None and asked > limit:
            shown = resources["limits"][resource]
            message = (
                f"{name} asks for {resources['requests'][resource]} of {resource}, over its limit {shown}"
            )
            yield message, "raise the limit, or ask for less", True


def _restricted(pod: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> Found:
    hint = "a namespace with the security standard restricted refuses such pods"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"{key} shares what belongs to the node", hint, False
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds or not kinds <= _VOLUMES:
            yield f"the volume {volume.get('name')} is of the kind {', '.join(sorted(kinds))}", hint, False
    outer = pod.get("securityContext") or {}
    for container in containers:
        inner = container.get("securityContext") or {}
        for fault in _context({**outer, **inner}, inner):
            yield f"{container.get('name')}: {fault}", hint, False


def _context(context: Mapping[str, Any], inner: Mapping[str, Any]) -> Iterator[str]:
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield "it may run as root"
    if (context.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "it has no seccompProfile"
    if inner.get("allowPrivilegeEscalation") is not False or inner.get("privileged"):
        yield "it may gain privileges"
    capabilities = inner.get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "it keeps capabilities"
