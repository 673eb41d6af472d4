from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from releases import IMAGE, files, section

from declarative_ml.core.errors import SpecError, UsageError
from declarative_ml.spec.load import load_spec

ROLE = "arn:aws:iam::123456789012:role/service/models"
SAGEMAKER = {"type": "sagemaker", "role": ROLE}
VERTEX = {"type": "vertex", "project": "my-project", "location": "europe-west4"}
SERVE = {"replicas": {"min": 2, "max": 4}, "env": {"A": "b"}, "labels": {"team.example/cost": "Garden.1"}}


def bodies(spec: Path) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in files(spec).items()}


def test_sagemaker(flowers: Callable[..., Path]) -> None:
    found = bodies(flowers(deploy=section(SAGEMAKER, train=None, serve=SERVE)))
    model, configuration, endpoint = found.values()
    assert list(found) == ["1-create-model.json", "2-create-endpoint-config.json", "3-create-endpoint.json"]
    assert model["PrimaryContainer"] == {"Image": IMAGE, "Environment": {"A": "b"}}
    (variant,) = configuration["ProductionVariants"]
    assert variant["ModelName"] == model["ModelName"] and variant["InitialInstanceCount"] == 2
    assert endpoint["EndpointConfigName"] == configuration["EndpointConfigName"]
    other = section(SAGEMAKER, train=None, serve={**SERVE, "env": {"A": "c"}})
    changed = bodies(flowers("b", deploy=other))
    assert changed["1-create-model.json"]["ModelName"] != model["ModelName"]
    assert changed["3-create-endpoint.json"]["EndpointName"] == endpoint["EndpointName"]


def test_sagemaker_by_the_model_of_its_api(flowers: Callable[..., Path]) -> None:
    session = pytest.importorskip("botocore.session", reason="botocore is not installed")
    validate = pytest.importorskip("botocore.validate")
    service = session.Session().get_service_model("sagemaker")
    found = bodies(flowers(deploy=section(SAGEMAKER, train=None, serve=SERVE)))
    for operation, body in zip(
        ("CreateModel", "CreateEndpointConfig", "CreateEndpoint"), found.values(), strict=True
    ):
        shape = service.operation_model(operation).input_shape
        report = validate.ParamValidator().validate(body, shape)
        assert not report.has_errors(), report.generate_report()


def test_vertex(flowers: Callable[..., Path]) -> None:
    found = bodies(flowers(deploy=section(VERTEX, train=None, serve=SERVE)))
    upload, endpoint, deploy = found.values()
    container = upload["model"]["containerSpec"]
    assert container["imageUri"] == IMAGE and container["predictRoute"] == "/vertex/predict"
    assert container["args"][:2] == ["serve", "/model"] and container["ports"] == [{"containerPort": 8080}]
    labels = upload["model"]["labels"]
    assert labels["team-example-cost"] == "garden-1" and endpoint["labels"] == labels
    deployed = deploy["deployedModel"]
    assert deployed["model"] == "projects/my-project/locations/europe-west4/models/flowers@v1-4-0"
    assert deployed["model"].endswith(upload["model"]["versionAliases"][0])
    resources = deployed["dedicatedResources"]
    assert (resources["minReplicaCount"], resources["maxReplicaCount"]) == (2, 4)
    assert resources["autoscalingMetricSpecs"][0]["target"] == 70


@pytest.mark.parametrize("to", [SAGEMAKER, VERTEX], ids=["sagemaker", "vertex"])
def test_secrets_are_refused_rather_than_lost(to: dict[str, str], flowers: Callable[..., Path]) -> None:
    deploy = section(to, train=None, secrets={"TOKEN": {"secret": "flowers", "key": "token"}})
    spec = flowers(deploy=deploy, serve={"token": "${env:TOKEN}"})
    with pytest.raises(
        UsageError, match="cannot hand secrets to a container, and the service is to get TOKEN"
    ):
        files(spec)


@pytest.mark.parametrize(
    ("to", "key"),
    [
        ({"type": "sagemaker"}, "role"),
        ({**SAGEMAKER, "role": "arn:aws:iam::1:role/x"}, "role"),
        ({**SAGEMAKER, "instance": "m5.large"}, "instance"),
        ({**VERTEX, "location": "europe"}, "location"),
        ({**VERTEX, "project": "My Project"}, "project"),
    ],
)
def test_what_the_platform_would_refuse(to: dict[str, str], key: str, flowers: Callable[..., Path]) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(flowers(deploy=section(to, train=None)))
    assert any(key in problem.path or key in problem.message for problem in caught.value.problems)
