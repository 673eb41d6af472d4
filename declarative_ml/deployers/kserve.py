"""KServe: the service as an InferenceService, by our container or by Triton's ONNX Runtime.

https://kserve.github.io/website/ · the shape is that of the CRD of KServe 0.20, `Standard` mode.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from declarative_ml.deployers.base import Deployer, Object, Release, Rendered
from declarative_ml.deployers.manifests import ground, serving
from declarative_ml.deployers.manifests.names import metadata, name_of
from declarative_ml.deployers.manifests.order import in_order
from declarative_ml.deployers.manifests.pod import pod_template, resources_of
from declarative_ml.deployers.model_servers import Runtime

_CONTAINER = "kserve-container"
"""The name by which KServe knows the container that answers."""
_STANDARD = 17
"""Since 0.17 the mode without Knative has this name; RawDeployment before."""


class KServe(Deployer):
    """An InferenceService with plain Deployments behind it (mode Standard)."""

    type: Literal["kserve"] = "kserve"
    version: str = Field(
        default="0.20", pattern=r"^0\.[0-9]+$", description="Of KServe in the cluster: names of modes differ"
    )
    runtime: Literal["dml", "triton"] = Field(
        default="dml",
        description="dml: the image with our service; triton: Triton's ONNX Runtime, by storage_uri",
    )
    storage_uri: str | None = Field(
        default=None,
        min_length=1,
        description="triton: the folder with NAME/1/model.onnx, such as s3://models/churn or pvc://claim/churn",
    )

    serves: ClassVar[bool] = True
    cluster: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = frozenset(
        {
            *("image", "resources", "env", "labels", "annotations", "volumes", "pod", "model"),
            *("replicas", "startup", "drain"),
        }
    )

    @model_validator(mode="after")
    def _has_storage(self) -> KServe:
        if (self.runtime == "triton") != (self.storage_uri is not None):
            raise ValueError("'storage_uri' belongs to 'runtime: triton', which needs it")
        return self

    @property
    def answers(self) -> Runtime:
        """See Deployer.answers."""
        return self.runtime

    def render(self, release: Release) -> Rendered:
        """The InferenceService, and what its pods need."""
        if release.serve is None:
            return Rendered()
        workload = release.serve
        version = "triton" if self.runtime == "triton" else serving.serving(release)[1].version
        found = [ground.namespace(release)] if release.create_namespace else []
        found.append(ground.service_account(release, serving.COMPONENT, workload, version))
        if self.runtime == "dml":
            found.append(serving.config_map(release))
        found.append(self._inference_service(release, version))
        return Rendered(tuple(in_order(found)))

    def _inference_service(self, release: Release, version: str) -> Object:
        head = metadata(
            release,
            serving.COMPONENT,
            name_of(release, longest=_LONGEST),
            version=version,
            workload=release.serve,
        )
        head["annotations"]["serving.kserve.io/deploymentMode"] = self._mode()
        predictor = _ours(release) if self.runtime == "dml" else self._triton(release)
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": head,
            "spec": {"predictor": {**_scale(release), **predictor}},
        }

    def _mode(self) -> str:
        return "Standard" if int(self.version.partition(".")[2]) >= _STANDARD else "RawDeployment"

    def _triton(self, release: Release) -> Object:
        assert release.serve is not None
        environment = [{"name": name, "value": text} for name, text in sorted(release.serve.env.items())]
        return {
            "serviceAccountName": name_of(release, serving.COMPONENT),
            "model": {
                "modelFormat": {"name": "triton"},
                "protocolVersion": "v2",
                "storageUri": self.storage_uri,
                # The configuration of each model is read from its graph.
                "args": ["--strict-model-config=false"],
                "resources": resources_of(release.serve.resources),
                **({"env": environment} if environment else {}),
            },
        }


_LONGEST = 63 - len("-predictor") - len("-default")
"""KServe puts these behind the name, and the result is a name as well."""


def _ours(release: Release) -> Object:
    template = pod_template(release, serving.serving_pod(release))
    spec: dict[str, Any] = dict(template["spec"])
    spec["containers"] = [
        {**each, "name": _CONTAINER} if each["name"] == serving.COMPONENT else each
        for each in spec["containers"]
    ]
    return {**template["metadata"], **spec}


def _scale(release: Release) -> Object:
    assert release.serve is not None
    replicas = release.serve.replicas
    scale: Object = {"minReplicas": replicas.min, "maxReplicas": replicas.max or replicas.min}
    if replicas.scales:
        scale |= {"scaleMetric": "cpu", "scaleTarget": replicas.cpu_percent}
    return scale
