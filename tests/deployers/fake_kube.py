"""A small API server of Kubernetes for tests: what of its behaviour `dml deploy` depends on.

Server-side apply with lists merged by name, conflicts between field managers, resource versions that move
only when something changes, dry runs, label selectors, the immutable template of a job, and namespaces that
must exist. In place of controllers, an applied Deployment gets a ReplicaSet and a pod at once; images in
`broken` cannot be pulled. It behaves as a real 1.36 server was recorded to behave.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from restricted import pod_specs, restricted_faults

Object = dict[str, Any]
Path = tuple[Any, ...]

KINDS = {
    "Namespace": ("v1", "namespaces"),
    "Pod": ("v1", "pods"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "ConfigMap": ("v1", "configmaps"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "Service": ("v1", "services"),
    "Deployment": ("apps/v1", "deployments"),
    "ReplicaSet": ("apps/v1", "replicasets"),
    "Job": ("batch/v1", "jobs"),
    "CronJob": ("batch/v1", "cronjobs"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "Ingress": ("networking.k8s.io/v1", "ingresses"),
    "Role": ("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings"),
    "ServiceMonitor": ("monitoring.coreos.com/v1", "servicemonitors"),
    "InferenceService": ("serving.kserve.io/v1beta1", "inferenceservices"),
    "Workflow": ("argoproj.io/v1alpha1", "workflows"),
    "CronWorkflow": ("argoproj.io/v1alpha1", "cronworkflows"),
    "RayJob": ("ray.io/v1", "rayjobs"),
    "RayCronJob": ("ray.io/v1", "raycronjobs"),
    "TrainJob": ("trainer.kubeflow.org/v1alpha1", "trainjobs"),
}
SECURED = ("Deployment", "Job", "CronJob")
"""Workloads whose pods the server holds against the standard of the namespace, and warns."""
_KEYS = {"containers": "name", "initContainers": "name", "env": "name", "volumes": "name",
         "volumeMounts": "mountPath", "ports": "containerPort"}  # fmt: skip


class Failure(Exception):
    """An answer that is a Status."""

    def __init__(self, code: int, message: str, causes: list[Object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        said = {"code": code, "message": message, "details": {"causes": causes or []}}
        self.body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", **said}


def leaves(value: Any, path: Path = (), name: str = "") -> Iterator[tuple[Path, Any]]:
    """Every field that a manager sets, with entries of keyed lists by their key."""
    key = _KEYS.get(name)
    if isinstance(value, dict) and value:
        for child, item in value.items():
            yield from leaves(item, (*path, child), child)
    elif isinstance(value, list) and key and all(isinstance(each, dict) and key in each for each in value):
        for each in value:
            for child, item in each.items():
                yield from leaves(item, (*path, (key, each[key]), child), child)
    else:
        yield path, value


def put(holder: Any, path: Path, value: Any) -> None:
    """Set the field at `path`, making what is above it."""
    for at, part in enumerate(path[:-1]):
        holder = _into(holder, part, path[at + 1])
    holder[path[-1]] = value


def _into(holder: Any, part: Any, below: Any) -> Any:
    if isinstance(part, tuple):
        found = next((each for each in holder if each.get(part[0]) == part[1]), None)
        if found is None:
            found = {part[0]: part[1]}
            holder.append(found)
        return found
    if not isinstance(holder.get(part), list if isinstance(below, tuple) else dict):
        holder[part] = [] if isinstance(below, tuple) else {}
    return holder[part]


def take(holder: Any, path: Path) -> None:
    """Remove the field at `path`, and entries of lists of which only the key is left."""
    if len(path) == 1:
        holder.pop(path[0], None)
        return
    part = path[0]
    if isinstance(part, tuple):
        found = next((each for each in holder if each.get(part[0]) == part[1]), None)
        if found is not None:
            take(found, path[1:])
            if not found:
                holder.remove(found)
    elif part in holder:
        take(holder[part], path[1:])
        if holder[part] in ({}, []):
            del holder[part]


class FakeKube:
    """The state of the server. `with FakeKube() as kube:` serves it at `kube.url`."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.owners: dict[tuple[str, str, str], dict[str, dict[Path, Any]]] = {}
        self.broken: set[str] = set()
        self.version = 0
        self.requests: list[str] = []
        labels = {"pod-security.kubernetes.io/warn": "restricted"}
        self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ml", "labels": labels}})
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                try:
                    code, answer = 200, fake.answer(self.command, self.path, body, self.headers)
                except Failure as failure:
                    code, answer = failure.code, failure.body
                text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(code)
                kind = "text/plain" if isinstance(answer, str) else "application/json"
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text)))
                for warning in fake.warnings(self.command, body) if code == 200 else []:
                    quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
                    self.send_header("warning", f'299 - "{quoted}"')
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_one  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> FakeKube:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def warnings(self, method: str, body: bytes) -> list[str]:
        """What a server says of the pods of a workload: it takes the object, and refuses the pods later."""
        each = yaml.safe_load(body) if method == "PATCH" else {}
        if each.get("kind") not in SECURED:
            return []
        namespace = self.objects["Namespace", "", each["metadata"]["namespace"]]
        level = (namespace["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/warn")
        found = [fault for pod in pod_specs(each) for fault in restricted_faults(pod)]
        if level != "restricted" or not found:
            return []
        return [f'would violate PodSecurity "restricted:latest": {", ".join(found)}']

    # What tests do directly.

    def put(self, each: Object) -> Object:
        """Store an object as if a controller had written it."""
        self.version += 1
        head = each["metadata"]
        head.setdefault("uid", f"uid-{self.version}")
        head["resourceVersion"] = str(self.version)
        self.objects[each["kind"], head.get("namespace", ""), head["name"]] = each
        return each

    def set(self, kind: str, name: str, path: Path, value: Any, manager: str = "hpa") -> None:
        """Write one field as another manager, without apply."""
        key = (kind, "ml", name)
        put(self.objects[key], path, value)
        self.owners.setdefault(key, {}).setdefault(manager, {})[path] = value
        for other, fields in self.owners[key].items():
            if other != manager:
                fields.pop(path, None)
        self.put(self.objects[key])

    # The API.

    def answer(self, method: str, target: str, body: bytes, headers: Any) -> Any:
        parts, query = urlsplit(target), parse_qs(urlsplit(target).query)
        self.requests.append(f"{method} {parts.path}")
        found = self._discovery(parts.path)
        if found is not None:
            return found
        kind, namespace, name, below = self._place(parts.path)
        if method == "GET" and below == "log":
            return f"{name} says hello\n"
        if method == "GET":
            return self._get(kind, namespace, name, query)
        if method == "PATCH" and "apply-patch" in headers["content-type"]:
            return self._apply(kind, namespace, yaml.safe_load(body), query)
        if method == "DELETE":
            return self._delete(kind, namespace, name)
        raise Failure(405, f"{method} is not served here")

    def _discovery(self, path: str) -> Object | None:
        groups = sorted({group for group, _ in KINDS.values()})
        if path == "/version":
            return {"major": "1", "minor": "36", "gitVersion": "v1.36.2"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            found = [_group(group) for group in groups if "/" in group]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}
        version = path.removeprefix("/apis/").removeprefix("/api/")
        if version not in groups:
            return None
        resources = [
            {"name": plural, "kind": kind, "namespaced": kind != "Namespace", "singularName": kind.lower(),
             "verbs": ["get", "list", "patch", "delete", "create"]}
            for kind, (group, plural) in KINDS.items() if group == version
        ]  # fmt: skip
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": version,
            "resources": resources,
        }

    def _place(self, path: str) -> tuple[str, str, str, str]:
        """Kind, namespace, name and what is below it."""
        parts = path.strip("/").split("/")
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        kinds = [kind for kind, (_, plural) in KINDS.items() if plural == rest[0]]
        if not kinds:
            raise Failure(404, "the server could not find the requested resource")
        return kinds[0], namespace, (rest[1] if len(rest) > 1 else ""), (rest[2] if len(rest) > 2 else "")

    def _get(self, kind: str, namespace: str, name: str, query: dict[str, list[str]]) -> Object:
        if name:
            if (kind, namespace, name) not in self.objects:
                raise Failure(404, f"{KINDS[kind][1]} {name!r} not found")
            return self.objects[kind, namespace, name]
        wanted = dict(pair.split("=") for pair in query.get("labelSelector", [""])[0].split(",") if pair)
        found = [
            {key: item for key, item in each.items() if key not in ("kind", "apiVersion")}
            for (one, space, _), each in self.objects.items()
            if one == kind and space == namespace
            and wanted.items() <= (each["metadata"].get("labels") or {}).items()
        ]  # fmt: skip
        return {"kind": f"{kind}List", "apiVersion": KINDS[kind][0], "metadata": {}, "items": found}

    def _delete(self, kind: str, namespace: str, name: str) -> Object:
        gone = self.objects.pop((kind, namespace, name), None)
        if gone is None:
            raise Failure(404, f"{KINDS[kind][1]} {name!r} not found")
        self.owners.pop((kind, namespace, name), None)
        for key, each in list(self.objects.items()):  # what belongs to it goes in the background
            if gone["metadata"]["uid"] in [o["uid"] for o in each["metadata"].get("ownerReferences", [])]:
                self._delete(*key)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _apply(self, kind: str, namespace: str, wanted: Object, query: dict[str, list[str]]) -> Object:
        name, manager = wanted["metadata"]["name"], query["fieldManager"][0]
        key = (kind, namespace, name)
        if namespace and ("Namespace", "", namespace) not in self.objects:
            raise Failure(404, f"namespaces {namespace!r} not found")
        old, owners = self.objects.get(key), copy.deepcopy(self.owners.get(key, {}))
        mine = {path: value for path, value in leaves(wanted) if path[0] not in ("apiVersion", "kind")}
        mine.pop(("metadata", "name"), None)
        mine.pop(("metadata", "namespace"), None)
        new = copy.deepcopy(old) if old is not None else {**wanted, "metadata": dict(wanted["metadata"])}
        _conflicts(owners, mine, manager, force=query.get("force", ["false"])[0].lower() == "true", name=name)
        held = {path for other, fields in owners.items() if other != manager for path in fields}
        for path in owners.get(manager, {}):
            if path not in mine and path not in held:
                take(new, path)
        for path, value in mine.items():
            put(new, path, copy.deepcopy(value))
        if kind == "Job" and old is not None and new["spec"]["template"] != old["spec"]["template"]:
            raise Failure(422, f'Job.batch "{name}" is invalid: spec.template: field is immutable')
        owners[manager] = mine
        if query.get("dryRun"):
            return new
        if old is not None and new == old:
            self.owners[key] = owners
            return old
        self.owners[key] = owners
        changed = old is None or new.get("spec") != old.get("spec")
        new["metadata"]["generation"] = (old or new)["metadata"].get("generation", 0) + changed
        self.put(new)
        if kind == "Deployment" and changed:
            self._roll_out(new)
        return new

    def _roll_out(self, each: Object) -> None:
        """What the controllers make of a Deployment."""
        template, head, count = each["spec"]["template"], each["metadata"], each["spec"].get("replicas", 1)
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        sets = [
            other for (kind, _, _), other in self.objects.items()
            if kind == "ReplicaSet" and other["metadata"]["ownerReferences"][0]["uid"] == head["uid"]
        ]  # fmt: skip
        latest = max((int(one["metadata"]["annotations"][REVISION]) for one in sets), default=0)
        labels = {**template["metadata"]["labels"], "pod-template-hash": digest}
        owner = [{"kind": "Deployment", "name": head["name"], "uid": head["uid"]}]
        marked = {**template["metadata"], "labels": labels}
        made = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {
            "name": f"{head['name']}-{digest}", "namespace": head["namespace"], "labels": labels,
            "ownerReferences": owner, "annotations": {REVISION: str(latest + 1)}},
            "spec": {"template": {**template, "metadata": marked}}}  # fmt: skip
        self.put(copy.deepcopy(made))
        image = template["spec"]["containers"][0]["image"]
        fails = image in self.broken
        self._pod(made, labels, template, fails)
        status: Object = {"observedGeneration": head["generation"]}
        status |= {"replicas": count, "updatedReplicas": count}
        if fails:
            late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
            status |= {"updatedReplicas": 1, "availableReplicas": count, "conditions": [late]}
            status["replicas"] = count + 1
        else:
            status["availableReplicas"] = count
        each["status"] = status

    def _pod(self, owner: Object, labels: Object, template: Object, fails: bool) -> None:
        head = owner["metadata"]
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
        state = {"name": "serve", "ready": not fails, "state": waiting if fails else {"running": {}}}
        uid = self.objects["ReplicaSet", head["namespace"], head["name"]]["metadata"]["uid"]
        self.put({"apiVersion": "v1", "kind": "Pod", "metadata": {
            "name": f"{head['name']}-0", "namespace": head["namespace"], "labels": labels,
            "ownerReferences": [{"kind": "ReplicaSet", "name": head["name"], "uid": uid}]},
            "spec": template["spec"], "status": {"containerStatuses": [state]}})  # fmt: skip


REVISION = "deployment.kubernetes.io/revision"


def _group(group: str) -> Object:
    name, version = group.split("/")
    entry = {"groupVersion": group, "version": version}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def _conflicts(
    owners: dict[str, dict[Path, Any]], mine: dict[Path, Any], manager: str, *, force: bool, name: str
) -> None:
    causes = []
    for other, fields in owners.items():
        if other == manager:
            continue
        for path in [path for path in fields if path in mine and mine[path] != fields[path]]:
            shown = "".join(
                f'[{part[0]}="{part[1]}"]' if isinstance(part, tuple) else f".{part}" for part in path
            )
            causes.append(
                {"reason": "FieldManagerConflict", "message": f'conflict with "{other}"', "field": shown}
            )
            if force:
                del fields[path]
    if causes and not force:
        raise Failure(409, f"Apply failed with {len(causes)} conflict(s): {name}", causes)
