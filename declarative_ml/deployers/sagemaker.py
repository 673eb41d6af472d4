"""Amazon SageMaker: the service as the bodies of three requests.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModel.html and its siblings. The container
answers /ping and /invocations, and is started as `IMAGE serve`.
"""

from __future__ import annotations

import json
from typing import ClassVar, Literal

from pydantic import Field

from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.base import Deployer, Object, Release, Rendered
from declarative_ml.deployers.host import clear_environment, service_image
from declarative_ml.deployers.manifests.names import hashed, name_of
from declarative_ml.deployers.manifests.serving import COMPONENT

_LONGEST_START = 3600
_SHORTEST_START = 60
_VARIANT = "all"


class SageMaker(Deployer):
    """Files for `aws sagemaker … --cli-input-json file://…`, in the order of their names."""

    type: Literal["sagemaker"] = "sagemaker"
    role: str = Field(
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$",
        description="ARN of the role as which SageMaker pulls the image and writes logs",
    )
    instance: str = Field(default="ml.m5.large", pattern=r"^ml\.", description="Type of the machines")

    serves: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = frozenset({"image", "env", "labels", "replicas", "startup"})

    def render(self, release: Release) -> Rendered:
        """The bodies of CreateModel, CreateEndpointConfig and CreateEndpoint.

        Names of model and configuration change with their content: neither can be changed once it is there,
        and an endpoint goes over to a new configuration without a pause (UpdateEndpoint takes the same body).
        """
        if release.serve is None:
            return Rendered()
        refuse_secrets(release, self.type)
        model = self._model(release)
        configuration = self._configuration(release, model["ModelName"])
        endpoint = {
            "EndpointName": name_of(release),
            "EndpointConfigName": configuration["EndpointConfigName"],
            "Tags": _tags(release),
        }
        files = {
            "1-create-model.json": model,
            "2-create-endpoint-config.json": configuration,
            "3-create-endpoint.json": endpoint,
        }
        return Rendered(files={name: as_json(body) for name, body in files.items()})

    def _model(self, release: Release) -> Object:
        container: Object = {
            "Image": str(service_image(release)),
            "Environment": dict(clear_environment(release, COMPONENT)),
        }
        body: Object = {
            "PrimaryContainer": container,
            "ExecutionRoleArn": self.role,
            "EnableNetworkIsolation": True,
            "Tags": _tags(release),
        }
        return {"ModelName": hashed(release, COMPONENT, body), **body}

    def _configuration(self, release: Release, model: str) -> Object:
        assert release.serve is not None
        startup = min(max(seconds_of(release.serve.startup), _SHORTEST_START), _LONGEST_START)
        body: Object = {
            "ProductionVariants": [
                {
                    "VariantName": _VARIANT,
                    "ModelName": model,
                    "InitialInstanceCount": release.serve.replicas.min,
                    "InstanceType": self.instance,
                    "ContainerStartupHealthCheckTimeoutInSeconds": startup,
                }
            ],
            "Tags": _tags(release),
        }
        return {"EndpointConfigName": hashed(release, "endpoint", body), **body}


def refuse_secrets(release: Release, target: str) -> None:
    """These services have no secrets in an environment. Raises UsageError where the spec names some."""
    if release.serve_secrets:
        names = ", ".join(sorted(release.serve_secrets))
        raise UsageError(
            f"{target} cannot hand secrets to a container, and the service is to get {names}",
            hint="leave serve.token out: who may ask is for the permissions of the endpoint to say",
        )


def as_json(body: Object) -> str:
    """A request's body as text."""
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _tags(release: Release) -> list[Object]:
    assert release.serve is not None
    own = {"declarative-ml/spec-digest": release.spec_digest, "declarative-ml/name": release.name}
    found = {**release.labels, **release.serve.labels, **own}
    return [{"Key": name, "Value": value} for name, value in sorted(found.items())]
