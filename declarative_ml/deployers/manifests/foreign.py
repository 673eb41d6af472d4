"""The pod in which the server of others answers: the same probes, limits and security as ours."""

from __future__ import annotations

import math

from declarative_ml.core.digest import digest_json
from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.manifests.pod import Pod
from declarative_ml.deployers.manifests.serving import (
    COMPONENT,
    PORT_NAME,
    SLEEP,
    SPARE,
    STARTUP_PERIOD,
    mounted,
    serving,
    spread,
)
from declarative_ml.deployers.model_servers import ModelServer
from declarative_ml.deployers.sections import ServeWorkload


def server_pod(release: Release, server: ModelServer) -> Pod:
    """What is particular to its pods. The image is the one that `dml package` writes: the model is inside."""
    workload, image = serving(release)
    arguments = server.arguments(release.name)
    return Pod(
        component=COMPONENT,
        workload=workload,
        image=image,
        command=server.command,
        arguments=tuple(arguments),
        secrets=release.serve_secrets,
        config={},
        config_digest=digest_json(arguments),
        claims=tuple(mounted(workload)),
        container={
            "ports": [
                {"name": name, "containerPort": number, "protocol": "TCP"}
                for name, number in server.ports.items()
            ],
            **_probes(release.name, server, workload),
            "lifecycle": {"preStop": {"sleep": {"seconds": SLEEP}}},
        },
        spec={
            "terminationGracePeriodSeconds": SLEEP + seconds_of(workload.drain) + SPARE,
            "topologySpreadConstraints": spread(release),
        },
    )


def _probes(name: str, server: ModelServer, workload: ServeWorkload) -> dict[str, Object]:
    """Started and ready: the model is loaded. Alive: the process answers at all, within a minute."""
    tries = max(1, math.ceil(seconds_of(workload.startup) / STARTUP_PERIOD))
    ready: Object = {
        "httpGet": {"path": server.ready.format(name=name), "port": PORT_NAME},
        "timeoutSeconds": 2,
    }
    alive: Object = {"timeoutSeconds": 2}
    if server.alive is None:
        alive["tcpSocket"] = {"port": PORT_NAME}
    else:
        alive["httpGet"] = {"path": server.alive, "port": PORT_NAME}
    return {
        "startupProbe": {**ready, "periodSeconds": STARTUP_PERIOD, "failureThreshold": tries},
        "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**alive, "periodSeconds": 10, "failureThreshold": 6},
    }
