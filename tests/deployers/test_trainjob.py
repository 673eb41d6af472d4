from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crd_schemas import faults
from releases import IMAGE, IRIS, objects, section

from declarative_ml.core.errors import SpecError
from declarative_ml.spec.load import load_spec

TO = {"type": "kubeflow", "kind": "trainjob"}
TRAIN: dict[str, Any] = {
    "deadline": "2h",
    "grace": "90s",
    "queue": "models",
    "env": {"A": "b"},
    "volumes": {"data": {"claim": "tables", "at": "/data"}},
    "resources": {"cpu": "4", "gpu": 1},
    "pod": {"nodeSelector": {"disk": "fast"}},
}
SPEC: dict[str, Any] = {"model": "mlp", "resources": {"processes": 2, "cpu": 4}, **IRIS}


def trainjob(flowers: Callable[..., Path], to: dict[str, Any] = TO, **changes: Any) -> dict[str, Any]:
    deploy = section(
        to,
        serve=None,
        train={**TRAIN, **changes},
        secrets={"TOKEN": {"secret": "flowers", "key": "token"}},
    )
    found = objects(flowers(deploy=deploy, **SPEC))
    assert [each["kind"] for each in found] == [
        "ServiceAccount",
        "ConfigMap",
        "PersistentVolumeClaim",
        "TrainJob",
    ]
    return found[-1]


def test_a_trainjob_runs_the_plan_with_its_processes_in_one_pod(flowers: Callable[..., Path]) -> None:
    job = trainjob(flowers)
    assert faults(job) == []
    spec = job["spec"]
    trainer = spec["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"], trainer["image"]) == (1, 2, f"{IMAGE}-train")
    assert trainer["command"] == ["dml"] and trainer["args"] == [
        "run",
        "/etc/dml/spec.yaml",
        "--store",
        "/store",
    ]
    assert {"name": "A", "value": "b"} in trainer["env"]
    assert [each["valueFrom"]["secretKeyRef"] for each in trainer["env"] if each["name"] == "TOKEN"] == [
        {"name": "flowers", "key": "token"}
    ]
    assert trainer["resourcesPerNode"]["requests"]["cpu"] == "4"
    assert trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == 1
    assert spec["runtimeRef"] == {"name": "torch-distributed"}
    assert spec["activeDeadlineSeconds"] == 7200
    assert spec["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "models"
    assert len(job["metadata"]["name"]) <= 52


def test_its_patch_makes_the_pod_restricted_and_mounts_what_it_needs(flowers: Callable[..., Path]) -> None:
    (patch,) = trainjob(flowers)["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    template = node["template"]["spec"]["template"]
    pod = template["spec"]
    (container,) = pod["containers"]
    assert node["name"] == container["name"] == "node"
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["serviceAccountName"] == "flowers-train"
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False and security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True
    assert pod["terminationGracePeriodSeconds"] == 90
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert [each["key"] for each in pod["tolerations"]] == ["nvidia.com/gpu"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert set(mounts.values()) == {"/tmp", "/etc/dml", "/store", "/data"}
    assert {each["name"] for each in pod["volumes"]} == set(mounts)
    assert template["metadata"]["labels"]["app.kubernetes.io/component"] == "train"


def test_its_name_changes_with_its_content(flowers: Callable[..., Path]) -> None:
    first, other = trainjob(flowers), trainjob(flowers, {**TO, "runtime": "torch-ours"})
    assert other["spec"]["runtimeRef"] == {"name": "torch-ours"}
    assert first["metadata"]["name"] != other["metadata"]["name"]


def test_the_schema_would_find_a_wrong_field(flowers: Callable[..., Path]) -> None:
    wrong = copy.deepcopy(trainjob(flowers))
    (job,) = wrong["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    job["template"]["spec"]["template"]["spec"]["priorityClassName"] = "high"
    assert len(faults(wrong)) == 1


@pytest.mark.parametrize(
    ("pod", "named"),
    [
        ({"priorityClassName": "high"}, "priorityClassName"),
        ({"containers": [{"name": "train", "tty": True}]}, "containers.tty"),
        ({"containers": [{"name": "side", "image": "registry.example.com/side:1"}]}, "containers.side"),
    ],
)
def test_what_only_a_runtime_can_have_is_refused(
    pod: dict[str, Any], named: str, flowers: Callable[..., Path]
) -> None:
    with pytest.raises(SpecError) as caught:
        trainjob(flowers, pod=pod)
    (problem,) = caught.value.problems
    assert problem.message == f"a TrainJob cannot set {named} of a pod"
    assert "runtime" in (problem.hint or "")


@pytest.mark.parametrize(
    ("to", "idle"), [(TO, ["retries"]), ({"type": "kubeflow"}, ["queue"])], ids=["trainjob", "pipeline"]
)
def test_what_each_kind_does_not_take_is_a_warning(
    to: dict[str, Any], idle: list[str], flowers: Callable[..., Path]
) -> None:
    train = {"retries": 3, "queue": "models"}
    loaded = load_spec(flowers(deploy=section(to, serve=None, train=train), **SPEC))
    assert [problem.path for problem in loaded.problems] == [f"deploy.train.{key}" for key in idle]
