"""The cluster through the official client, by server-side apply.

https://kubernetes.io/docs/reference/using-api/server-side-apply/. The dynamic client is used because it is
the same in versions 36 and 37 of the library, and leaves checking to the server.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from declarative_ml.core.errors import MissingDependency, StepFailed, UsageError
from declarative_ml.deployers.base import Object
from declarative_ml.deployers.manifests.names import MANAGER

_NO_CACHE = os.path.join(os.devnull, "none")  # noqa: PTH118 - a path that never exists
"""What the library would keep below /tmp, where anybody may write it first."""
_TIMEOUT = 30
"""Seconds for one answer of the server."""
_SERVERS = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")


_WARNING = re.compile(r'299 [^ "]+ "((?:[^"\\]|\\.)*)"')
"""One warning: the number for those that persist, who says it, and the text in quotes."""


class Refused(StepFailed):
    """The server does not take an object."""


class Conflict(StepFailed):
    """Another manager holds fields that the objects set."""


class Cluster:
    """A connection. Every method raises Refused where the server says no."""

    def __init__(self, api: Any) -> None:
        """`api` is a `kubernetes.client.ApiClient`."""
        from kubernetes.dynamic import DynamicClient

        self._api = api
        self._heard: list[str] = []
        self._listen(api.rest_client.pool_manager)
        try:
            self._dynamic = DynamicClient(api, cache_file=_NO_CACHE)
        except Exception as error:
            raise StepFailed(
                f"the cluster does not answer: {_short(error)}", hint="kubectl version tries the same"
            ) from error

    @classmethod
    def connect(cls, context: str | None = None) -> Cluster:
        """By KUBECONFIG or, inside of a cluster, the pod's account. Raises MissingDependency, UsageError."""
        try:
            from kubernetes import client, config
        except ImportError as error:
            raise MissingDependency("kubernetes", "kubernetes") from error
        try:
            try:
                config.load_kube_config(context=context)
            except config.ConfigException:
                if context is not None:
                    raise
                config.load_incluster_config()
        except config.ConfigException as error:
            raise UsageError(
                f"no cluster is configured: {_short(error)}", hint="set KUBECONFIG, or write ~/.kube/config"
            ) from error
        return cls(client.ApiClient())

    def apply(self, each: Object, *, force: bool = False, dry_run: bool = False) -> Object:
        """Create the object or change it to what is given; returns it as the server has it then."""
        kind = self._kind(each)
        try:
            done = kind.server_side_apply(
                body=each,
                name=each["metadata"]["name"],
                namespace=each["metadata"].get("namespace"),
                field_manager=MANAGER,
                force_conflicts=force,
                _request_timeout=_TIMEOUT,
                **({"dry_run": "All"} if dry_run else {}),
            )
        except self._errors() as error:
            raise _said(error, each) from error
        return _plain(done)

    def warnings(self) -> list[str]:
        """What the server has warned of since the last call: it takes what it warns of."""
        heard, self._heard = list(dict.fromkeys(self._heard)), []
        return heard

    def _listen(self, pool: Any) -> None:
        """Take down the headers `Warning`, which no version of the library hands out (RFC 7234, 5.5)."""
        asked = pool.request

        def request(*arguments: Any, **options: Any) -> Any:
            answer = asked(*arguments, **options)
            lines = answer.headers.getlist("warning")
            self._heard += [_unquoted(found[1]) for line in lines for found in _WARNING.finditer(line)]
            return answer

        pool.request = request

    def get(self, each: Object) -> Object | None:
        """The object as it is in the cluster; None where it is not."""
        head = each["metadata"]
        try:
            found = self._kind(each).get(
                name=head["name"], namespace=head.get("namespace"), _request_timeout=_TIMEOUT
            )
        except self._errors() as error:
            if error.status == 404:
                return None
            raise _said(error, each) from error
        return _plain(found)

    def knows(self, api_version: str, kind: str) -> bool:
        """Whether the cluster has the kind: those of operators are not everywhere."""
        group = api_version.rpartition("/")[0]
        if group and group not in self._groups:  # a look for the kind would discover all there is anew
            return False
        try:
            self._kind({"apiVersion": api_version, "kind": kind})
        except Refused:
            return False
        return True

    @cached_property
    def _groups(self) -> frozenset[str]:
        return frozenset(self._dynamic.resources.api_groups)

    def list(
        self, api_version: str, kind: str, namespace: str | None, selector: Mapping[str, str]
    ) -> list[Object]:
        """The objects of a kind that carry the labels; none where the cluster does not know the kind."""
        sample = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "", "namespace": namespace}}
        text = ",".join(f"{key}={value}" for key, value in selector.items())
        try:
            found = self._kind(sample).get(
                namespace=namespace, label_selector=text, _request_timeout=_TIMEOUT
            )
        except self._errors() as error:
            if error.status == 404:
                return []
            raise _said(error, sample) from error
        items: list[Object] = _plain(found)["items"]
        return [{"apiVersion": api_version, "kind": kind, **item} for item in items]

    def delete(self, each: Object) -> bool:
        """Delete the object and, behind it, what belongs to it; False where it is not there."""
        head = each["metadata"]
        try:
            self._kind(each).delete(
                name=head["name"],
                namespace=head.get("namespace"),
                body={"propagationPolicy": "Background"},
                _request_timeout=_TIMEOUT,
            )
        except self._errors() as error:
            if error.status == 404:
                return False
            raise _said(error, each) from error
        return True

    def logs(self, pod: Object, container: str, lines: int) -> str:
        """The last lines that a container of a pod wrote; empty before it has begun."""
        from kubernetes.client import CoreV1Api
        from kubernetes.client.exceptions import ApiException

        head, api = pod["metadata"], CoreV1Api(self._api)
        options = {"container": container, "tail_lines": lines, "_request_timeout": _TIMEOUT}
        try:
            # The bytes themselves: version 36 would answer with their representation.
            if hasattr(api, "read_namespaced_pod_log_without_preload_content"):
                read = api.read_namespaced_pod_log_without_preload_content
                answer = read(head["name"], head["namespace"], **options)
            else:
                options["_preload_content"] = False
                answer = api.read_namespaced_pod_log(head["name"], head["namespace"], **options)
        except ApiException as error:
            if error.status == 400:  # the container waits
                return ""
            raise _said(error, pod) from error
        if answer.status == 400:
            return ""
        return bytes(answer.data or answer.read()).decode(errors="replace")

    def _kind(self, each: Object) -> Any:
        from kubernetes.dynamic.exceptions import ResourceNotFoundError

        try:
            return self._dynamic.resources.get(api_version=each["apiVersion"], kind=each["kind"])
        except ResourceNotFoundError as error:
            raise Refused(
                f"the cluster has no kind {each['kind']} of {each['apiVersion']}",
                hint="install the operator that brings it, or leave out what needs it",
            ) from error

    @staticmethod
    def _errors() -> Any:
        from kubernetes.client.exceptions import ApiException
        from kubernetes.dynamic.exceptions import DynamicApiError

        return (ApiException, DynamicApiError)


def _plain(found: Any) -> Object:
    value: Object = found.to_dict() if hasattr(found, "to_dict") else dict(found)
    return value


def _said(error: Any, each: Object) -> StepFailed:
    """What the server said, in one line, with the paths of fields where it names them."""
    name = f"{each['kind']} {each['metadata']['name']}".strip()
    try:
        status = json.loads(error.body)
    except (TypeError, ValueError):
        status = {}
    message = str(status.get("message") or error.reason)
    causes = (status.get("details") or {}).get("causes") or []
    conflicts = [cause for cause in causes if cause.get("reason") == "FieldManagerConflict"]
    if error.status == 409 and conflicts:
        held = "; ".join(f"{cause.get('field')} ({cause.get('message')})" for cause in conflicts)
        return Conflict(f"{name}: others hold fields of it: {held}", hint="--force-conflicts takes them over")
    if error.status == 422 and each["kind"] == "Job":
        return Refused(f"{name}: {message}", hint="delete the job: its template cannot be changed")
    if error.status in (401, 403):
        return Refused(f"{name}: {message}", hint="kubectl auth can-i --list shows what you may do")
    return Refused(f"{name}: the server refuses it: {message}", hint="`dml deploy` prints what is sent")


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _short(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]


def bare(each: Object) -> Object:
    """The object without what only the server writes."""
    head = {key: item for key, item in each.get("metadata", {}).items() if key not in _SERVERS}
    rest = {key: item for key, item in each.items() if key not in ("metadata", "status")}
    return {**rest, "metadata": head}
