"""Vertex AI of Google Cloud: the service as the bodies of three requests.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.models/upload and its siblings.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.base import Deployer, Object, Release, Rendered
from declarative_ml.deployers.host import clear_environment, service_image
from declarative_ml.deployers.image import CONFIG, MODEL, PORT, SERVE_FILE
from declarative_ml.deployers.manifests.names import fit, name_of, value
from declarative_ml.deployers.manifests.serving import COMPONENT
from declarative_ml.deployers.sagemaker import as_json, refuse_secrets

_CPU = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
_PROBE_PERIOD = 10


class Vertex(Deployer):
    """Bodies for the REST API at LOCATION-aiplatform.googleapis.com, in the order of their names."""

    type: Literal["vertex"] = "vertex"
    project: str = Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$", description="Id of the project")
    location: str = Field(pattern=r"^[a-z]+-[a-z]+[0-9]+$", description="Region, such as europe-west4")
    machine: str = Field(default="n1-standard-2", min_length=1, description="Type of the machines")

    serves: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = frozenset({"image", "env", "labels", "replicas", "startup"})

    def render(self, release: Release) -> Rendered:
        """The bodies for models:upload, endpoints and endpoints/NAME:deployModel."""
        if release.serve is None:
            return Rendered()
        refuse_secrets(release, self.type)
        endpoint = {"displayName": release.name, "labels": _labels(release)}
        files = {
            "1-upload-model.json": self._upload(release),
            "2-create-endpoint.json": endpoint,
            "3-deploy-model.json": self._deploy(release),
        }
        return Rendered(files={name: as_json(body) for name, body in files.items()})

    def _upload(self, release: Release) -> Object:
        image = service_image(release)
        return {
            "modelId": name_of(release),
            "model": {
                "displayName": release.name,
                "versionAliases": [_alias(image.version)],
                "labels": _labels(release),
                "containerSpec": _container(release),
            },
        }

    def _deploy(self, release: Release) -> Object:
        assert release.serve is not None
        replicas = release.serve.replicas
        resources: Object = {
            "machineSpec": {"machineType": self.machine},
            "minReplicaCount": replicas.min,
            "maxReplicaCount": replicas.max or replicas.min,
        }
        if replicas.scales:
            resources["autoscalingMetricSpecs"] = [
                {"metricName": _CPU, "target": min(replicas.cpu_percent, 100)}
            ]
        alias = _alias(service_image(release).version)
        model = f"projects/{self.project}/locations/{self.location}/models/{name_of(release)}@{alias}"
        return {
            "deployedModel": {
                "model": model,
                "displayName": release.name,
                "dedicatedResources": resources,
            },
            "trafficSplit": {"0": 100},
        }


def _container(release: Release) -> Object:
    """Our routes under the names that Vertex has for them; the options are those inside of the image."""
    assert release.serve is not None
    start = seconds_of(release.serve.startup)
    environment = clear_environment(release, COMPONENT)
    return {
        "imageUri": str(service_image(release)),
        "command": ["dml"],
        "args": [
            "serve",
            MODEL,
            "--options",
            f"{CONFIG}/{SERVE_FILE}",
            "--host",
            "0.0.0.0",
            "--port",
            str(PORT),
        ],
        "env": [{"name": name, "value": text} for name, text in environment.items()],
        "ports": [{"containerPort": PORT}],
        "predictRoute": "/vertex/predict",
        "healthRoute": "/readyz",
        "deploymentTimeout": f"{start + 600}s",
        "startupProbe": {
            "httpGet": {"path": "/readyz", "port": PORT},
            "periodSeconds": _PROBE_PERIOD,
            "failureThreshold": max(1, start // _PROBE_PERIOD),
        },
    }


def _labels(release: Release) -> dict[str, str]:
    """Labels as Google Cloud has them: lower-case letters, digits, hyphens and underscores."""
    assert release.serve is not None
    own = {"declarative-ml-name": release.name, "declarative-ml-spec": release.spec_digest[:12]}
    found = {**release.labels, **release.serve.labels, **own}
    return {_alias(name): _alias(text) for name, text in sorted(found.items())}


def _alias(text: str) -> str:
    plain = value(text).lower().replace(".", "-")
    return fit(plain if plain[:1].isalpha() else f"v{plain}")
