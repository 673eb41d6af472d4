"""The Pod Security Standard `restricted`, rule by rule as it is documented, for any pod of any object.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ (1.36)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Pod = dict[str, Any]

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"
}  # fmt: skip
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
SELINUX = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SECCOMP = ("RuntimeDefault", "Localhost")
HANDLERS = ("httpGet", "tcpSocket")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def pod_specs(each: Any) -> list[Pod]:
    """Every pod spec of an object: of workloads, of cron jobs, and inside of custom resources."""
    if each.get("kind") in ("Workflow", "CronWorkflow"):
        return _of_workflow(each["spec"].get("workflowSpec", each["spec"]))
    return list(_below(each))


def _below(value: Any) -> Iterator[Pod]:
    if isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        else:
            for item in value.values():
                yield from _below(item)
    elif isinstance(value, list):
        for item in value:
            yield from _below(item)


def _of_workflow(spec: Pod) -> list[Pod]:
    """Argo puts the fields of the workflow around the container of each template."""
    return [
        {**spec, "containers": [each["container"], *each.get("sidecars", [])]}
        for each in spec["templates"]
        if "container" in each
    ]


def restricted_faults(pod: Pod) -> list[str]:
    """What a namespace that is `restricted` has against a pod."""
    containers = [
        each for key in ("containers", "initContainers", "ephemeralContainers") for each in pod.get(key, [])
    ]
    outer = pod.get("securityContext") or {}
    found = list(_of_pod(pod, outer))
    for container in containers:
        inner = container.get("securityContext") or {}
        found += [f"{container['name']}: {fault}" for fault in _of_container(container, outer, inner)]
    return found


def _of_pod(pod: Pod, outer: Pod) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"host namespaces ({key}=true)"
    for volume in pod.get("volumes", []):
        if kinds := set(volume) - {"name"} - VOLUMES:
            yield f"restricted volume types ({', '.join(sorted(kinds))})"
    for each in outer.get("sysctls", []):
        if each["name"] not in SYSCTLS:
            yield f"forbidden sysctls ({each['name']})"
    if outer.get("runAsUser") == 0:
        yield "runAsUser=0"
    if "supplementalGroups" in outer and 0 in outer["supplementalGroups"]:
        yield "supplementalGroups has 0"
    yield from _of_context(outer)


def _of_context(context: Pod) -> Iterator[str]:
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess"
    if (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault") not in SECCOMP:
        yield "forbidden AppArmor profile"
    linux = context.get("seLinuxOptions") or {}
    if linux.get("type") not in SELINUX or linux.get("user") or linux.get("role"):
        yield "seLinuxOptions"
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield "seccompProfile is Unconfined"


def _of_container(container: Pod, outer: Pod, inner: Pod) -> Iterator[str]:
    yield from _of_context(inner)
    if inner.get("privileged"):
        yield "privileged"
    if inner.get("procMount", "Default") != "Default":
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "hostPort"
    handlers = [container.get(key) or {} for key in PROBES]
    handlers += [(container.get("lifecycle") or {}).get(key) or {} for key in ("preStop", "postStart")]
    if any((each.get(kind) or {}).get("host") for each in handlers for kind in HANDLERS):
        yield "a probe asks another host"
    if inner.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation != false"
    capabilities = inner.get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", []):
        yield "unrestricted capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if inner.get("runAsNonRoot", outer.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot != true"
    if inner.get("runAsUser") == 0:
        yield "runAsUser=0"
    profile = inner.get("seccompProfile") or outer.get("seccompProfile") or {}
    if profile.get("type") not in SECCOMP:
        yield "seccompProfile"
