"""The service: Deployment, Service, and what belongs around them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from declarative_ml.core.digest import digest_json
from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.image import CONFIG, MODEL, PORT, SERVE_FILE, SPEC_FILE, STORE, Image
from declarative_ml.deployers.manifests.names import hashed, metadata, name_of, selector
from declarative_ml.deployers.manifests.pod import Pod, pod_template
from declarative_ml.deployers.model import IN_STORE, follows, model_words, reads_store
from declarative_ml.deployers.model_servers import HTTP
from declarative_ml.deployers.sections import ServeWorkload, Workload

COMPONENT = "serve"
PORT_NAME = HTTP
PORTS = {PORT_NAME: PORT}
"""Of our own server."""
_PROTOCOLS = {"grpc": "kubernetes.io/h2c"}
SLEEP = 5
"""Seconds between the end of a pod's readiness and its signal: what routes to it learns of it first."""
STARTUP_PERIOD = 2
SPARE = 5


def serving(release: Release) -> tuple[ServeWorkload, Image]:
    """The workload and its image. Raises UsageError for a release without an image."""
    if release.serve is None or release.image is None:
        raise UsageError("the spec names no image of the service", hint="add deploy.image: HOST/NAME:TAG")
    return release.serve, release.image


def config_map(release: Release) -> Object:
    """The options of the service. Its name changes with its content, so that pods are started anew."""
    workload, image = serving(release)
    options = {**release.serve_options, "host": "0.0.0.0", "port": PORT}
    data = {SERVE_FILE: json.dumps(options, indent=1, sort_keys=True) + "\n"}
    if release.model == IN_STORE:
        data[SPEC_FILE] = release.spec_text
    name = hashed(release, "serve", data)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(release, COMPONENT, name, version=image.version, workload=workload),
        "immutable": True,
        "data": data,
    }


def service(release: Release, ports: Mapping[str, int] = PORTS) -> Object:
    """The name under which the pods are reached inside of the cluster: HTTP at 80, the rest as it is."""
    workload, image = serving(release)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(release, COMPONENT, name_of(release), version=image.version, workload=workload),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(release, COMPONENT),
            "ports": [
                {
                    "name": name,
                    "port": 80 if name == PORT_NAME else number,
                    "targetPort": name,
                    "protocol": "TCP",
                    "appProtocol": _PROTOCOLS.get(name, "http"),
                }
                for name, number in ports.items()
            ],
        },
    }


def deployment(release: Release, pod: Pod) -> Object:
    """The pods. Without `replicas` where their number follows the load: each apply would reset it."""
    workload, image = serving(release)
    spec: Object = {} if workload.replicas.scales else {"replicas": workload.replicas.min}
    surge = workload.update == "surge"
    spec |= {
        "selector": {"matchLabels": selector(release, COMPONENT)},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0 if surge else 1, "maxSurge": 1 if surge else 0},
        },
        "minReadySeconds": SPARE,
        "progressDeadlineSeconds": seconds_of(workload.startup) + 300,
        "revisionHistoryLimit": 10,
        "template": pod_template(release, pod),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(release, COMPONENT, name_of(release), version=image.version, workload=workload),
        "spec": spec,
    }


def serving_pod(release: Release) -> Pod:
    """What is particular to the pods of the service; other targets that run our container start from it."""
    workload, image = serving(release)
    config = config_map(release)
    model = model_words(release, own=MODEL, spec=f"{CONFIG}/{SPEC_FILE}", store=STORE)
    claims = mounted(workload)
    if reads_store(release):
        claims.insert(0, ("store", store_claim(release), STORE, True))
    return Pod(
        component=COMPONENT,
        workload=workload,
        image=image,
        arguments=("serve", *model, "--options", f"{CONFIG}/{SERVE_FILE}", "--quiet"),
        secrets=release.serve_secrets,
        config={CONFIG: config["metadata"]["name"]},
        config_digest=digest_json(config["data"]),
        claims=tuple(claims),
        container={
            "ports": [{"name": PORT_NAME, "containerPort": PORT, "protocol": "TCP"}],
            **_probes(workload, waits=follows(release)),
            "lifecycle": {"preStop": {"sleep": {"seconds": SLEEP}}},
        },
        spec={
            "terminationGracePeriodSeconds": _grace(release, workload),
            "topologySpreadConstraints": spread(release),
        },
    )


def mounted(workload: Workload) -> list[tuple[str, str, str, bool]]:
    """The claims that the person mounts: name, claim, path, whether it is read-only."""
    return [(name, each.claim, each.at, each.read_only) for name, each in sorted(workload.volumes.items())]


def store_claim(release: Release) -> str:
    """The claim of the shared workspace."""
    return release.store.claim or name_of(release, "store")


def _probes(workload: ServeWorkload, *, waits: bool) -> dict[str, Any]:
    """Started: the model is loaded, or where it may come later (`waits`) the process answers. Ready: it takes
    requests. Alive: the process answers at all, whatever the model does; only after that has failed for a
    minute is a pod started anew."""
    tries = math.ceil(seconds_of(workload.startup) / STARTUP_PERIOD)

    def get(path: str, period: int, failures: int) -> Object:
        return {
            "httpGet": {"path": path, "port": PORT_NAME},
            "periodSeconds": period,
            "timeoutSeconds": 2,
            "failureThreshold": failures,
        }

    return {
        "startupProbe": get("/healthz" if waits else "/readyz", STARTUP_PERIOD, max(1, tries)),
        "readinessProbe": get("/readyz", 5, 2),
        "livenessProbe": get("/healthz", 10, 6),
    }


def _grace(release: Release, workload: ServeWorkload) -> int:
    """Seconds for the sleep, the linger of the service, and the requests in flight."""
    linger = seconds_of(str(release.serve_options.get("linger", "1s")))
    return SLEEP + linger + seconds_of(workload.drain) + SPARE


_SPREAD_OVER = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def spread(release: Release) -> list[Object]:
    """Over zones and nodes, as far as it can be."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(release, COMPONENT)},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in _SPREAD_OVER
    ]
