"""Who reaches the pods, and what they reach: network policies, the ingress, and Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.manifests.names import metadata, name_of, selector
from declarative_ml.deployers.manifests.serving import COMPONENT, PORT_NAME, serving
from declarative_ml.deployers.sections import Network, Workload

_NAMESPACE = "kubernetes.io/metadata.name"
_PORTS = {"http": 80, "https": 443}
_DNS = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]


def serving_policy(release: Release, ports: Iterable[str] = (PORT_NAME,)) -> Object:
    """In: what is in the same namespace, the ingress controller, Prometheus, and who is named. Out: names,
    the addresses that are given, and the servers that the service asks."""
    workload, image = serving(release)
    network = workload.network or Network()
    namespaces = list(network.ingress)
    if workload.ingress is not None:
        namespaces.append(workload.ingress.namespace)
    if workload.scrape is not None:
        namespaces.append(workload.scrape.namespace)
    peers: list[Object] = [{"podSelector": {}}]
    peers += [{"namespaceSelector": {"matchLabels": {_NAMESPACE: each}}} for each in sorted(set(namespaces))]
    incoming = [{"from": peers, "ports": [{"protocol": "TCP", "port": name} for name in ports]}]
    outgoing = [*_outgoing(network), *_to_servers(release, network)]
    return _policy(release, COMPONENT, workload, image.version, incoming, outgoing)


def training_policy(release: Release, component: str, workload: Workload, version: str) -> Object:
    """In: nobody. Out: everything, because data may be anywhere, or what is given."""
    outgoing = [{}] if workload.network is None else _outgoing(workload.network)
    return _policy(release, component, workload, version, [], outgoing)


def _outgoing(network: Network) -> list[Object]:
    found: list[Object] = [{"ports": _DNS}]
    if network.egress:
        found.append({"to": [{"ipBlock": {"cidr": each}} for each in network.egress]})
    return found


def _to_servers(release: Release, network: Network) -> list[Object]:
    """Ways to the registry and to the APM server. A policy knows no names: for one outside of the cluster the
    port is open to all, unless the person says which addresses."""
    watched = release.serve_options.get("monitor", {})
    asked = [release.registry if release.asks_registry else None, (watched.get("apm") or {}).get("url")]
    found = [_to_server(str(url), network) for url in asked if url is not None]
    if (watched.get("drift") or {}).get("webhook") is not None:
        # Its address is a secret: a receiver beside the service, or one by TLS.
        found += [{"to": [{"podSelector": {}}]}, _to_server("https://webhook.example", network)]
    return [each for number, each in enumerate(found) if each is not None and each not in found[:number]]


def _to_server(url: str, network: Network) -> Object | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    on_port: Object = {"ports": [{"protocol": "TCP", "port": parts.port or _PORTS.get(parts.scheme, 443)}]}
    with suppress(ValueError):
        address = ip_address(host)
        return {"to": [{"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}}], **on_port}
    # The port of a Service is not that of its pods: a policy sees the latter, and the URL says the former.
    _, *rest = host.split(".")
    if not rest:
        return {"to": [{"podSelector": {}}]}
    if rest[1:2] == ["svc"]:
        return {"to": [{"namespaceSelector": {"matchLabels": {_NAMESPACE: rest[0]}}}]}
    return None if network.egress else on_port


def _policy(
    release: Release,
    component: str,
    workload: Workload,
    version: str,
    incoming: list[Object],
    outgoing: list[Object],
) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(
            release, component, name_of(release, component), version=version, workload=workload
        ),
        "spec": {
            "podSelector": {"matchLabels": selector(release, component)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": incoming,
            "egress": outgoing,
        },
    }


def ingress(release: Release) -> Object | None:
    """The way in from outside, with TLS; None where none is asked for."""
    workload, image = serving(release)
    wanted = workload.ingress
    if wanted is None:
        return None
    head = metadata(release, COMPONENT, name_of(release), version=image.version, workload=workload)
    head["annotations"] = {**dict(sorted(wanted.annotations.items())), **head["annotations"]}
    backend = {"service": {"name": name_of(release), "port": {"name": PORT_NAME}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": head,
        "spec": {
            "ingressClassName": wanted.ingress_class,
            "tls": [{"hosts": [wanted.host], "secretName": wanted.tls_secret}],
            "rules": [
                {
                    "host": wanted.host,
                    "http": {"paths": [{"path": wanted.path, "pathType": "Prefix", "backend": backend}]},
                }
            ],
        },
    }


def service_monitor(release: Release, port: str = PORT_NAME, path: str = "/metrics") -> Object | None:
    """How Prometheus finds the metrics: by the labels of the Service. None where it is not asked for."""
    workload, image = serving(release)
    if workload.scrape is None:
        return None
    head = metadata(release, COMPONENT, name_of(release), version=image.version, workload=workload)
    head["labels"] = {**dict(sorted(workload.scrape.labels.items())), **head["labels"]}
    endpoint: Object = {
        "port": port,
        "path": path,
        "interval": f"{seconds_of(workload.scrape.interval)}s",
    }
    token = _token(release)
    if token is not None:
        endpoint["authorization"] = {"type": "Bearer", "credentials": token}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": head,
        "spec": {"selector": {"matchLabels": selector(release, COMPONENT)}, "endpoints": [endpoint]},
    }


def _token(release: Release) -> Object | None:
    """Where the service's token is kept: /metrics asks for it like every other path."""
    reference = str(release.serve_options.get("token") or "")
    for name, ref in release.serve_secrets.items():
        if reference.startswith((f"${{env:{name}}}", f"${{env:{name}:-")):
            return {"name": ref.secret, "key": ref.key}
    return None
