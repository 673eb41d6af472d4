"""KubeRay: the rendered job against its CRD, and what an SRE expects of the pods in it."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crd_schemas import faults
from releases import IMAGE, IRIS, objects, section
from test_operator_targets import POD, SECRET, check_restricted, of_kind

from declarative_ml.api.package import target_libraries
from declarative_ml.core.errors import MissingDependency, SpecError
from declarative_ml.core.optional import installed
from declarative_ml.spec.load import load_spec

TO = {"type": "ray", "workers": 3, "ray_version": "2.60.0"}


def _job(found: list[dict[str, Any]]) -> dict[str, Any]:
    return of_kind(found, "RayJob")


def _templates(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"][0]["template"]]


def test_a_job_runs_the_plan_on_a_cluster_of_its_own(flowers: Callable[..., Path]) -> None:
    train = {"pod": POD, "retries": 3, "env": {"A": "b"}, "annotations": {"example.com/why": "weekly"}}
    deploy = section(TO, serve=None, secrets=SECRET, train=train, create_namespace=True)
    found = objects(flowers(deploy=deploy, **IRIS))
    kinds = ["Namespace", "ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "RayJob"]
    assert [each["kind"] for each in found] == kinds
    job = _job(found)
    assert faults(job) == []
    spec = job["spec"]
    command = [
        "dml",
        "run",
        "/etc/dml/spec.yaml",
        "--store",
        "/store",
        "--engine",
        "ray",
        "--address",
        "auto",
    ]
    assert shlex.split(spec["entrypoint"]) == command
    assert (spec["backoffLimit"], spec["shutdownAfterJobFinishes"]) == (3, True)
    assert "suspend" not in spec
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (group,) = cluster["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (3, 3, 3)
    assert of_kind(found, "PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteMany"]
    config = of_kind(found, "ConfigMap")
    assert list(config["data"]) == ["spec.yaml"]
    for template in _templates(cluster):
        pod = template["spec"]
        container = pod["containers"][0]
        assert container["image"] == f"{IMAGE}-train"
        assert not {"command", "args"} & set(container)
        assert "httpGet" in container["readinessProbe"] and "httpGet" in container["livenessProbe"]
        assert {each["mountPath"] for each in container["volumeMounts"]} >= {"/store", "/etc/dml", "/tmp"}
        assert {"name": "A", "value": "b"} in container["env"]
        reference = {"secretKeyRef": {"name": "flowers", "key": "token"}}
        assert {"name": "TOKEN", "valueFrom": reference} in container["env"]
        assert pod["runtimeClassName"] == "gvisor" and pod["priorityClassName"] == "high"
        assert pod["serviceAccountName"] == of_kind(found, "ServiceAccount")["metadata"]["name"]
        mounted = [each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each]
        assert mounted == [config["metadata"]["name"]]
        assert template["metadata"]["annotations"]["example.com/why"] == "weekly"
    check_restricted(job)
    wrong = copy.deepcopy(job)
    wrong["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParms"] = {}
    assert len(faults(wrong)) == 1


def test_by_a_schedule(flowers: Callable[..., Path]) -> None:
    train = {"schedule": "0 3 * * 1", "time_zone": "Europe/Oslo"}
    found = objects(flowers(name="f" * 60, deploy=section("ray", serve=None, train=train), **IRIS))
    cron = of_kind(found, "RayCronJob")
    assert (cron["spec"]["schedule"], cron["spec"]["timeZone"]) == ("0 3 * * 1", "Europe/Oslo")
    assert len(cron["metadata"]["name"]) <= 36
    # There is no schema of RayCronJob here; what it makes of its template is a RayJob.
    job = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {}, "spec": cron["spec"]["jobTemplate"]}
    assert faults(job) == []


def test_names_change_with_what_is_run(flowers: Callable[..., Path]) -> None:
    names = set()
    for workers in (1, 2):
        to = {"type": "ray", "workers": workers}
        deploy = section(to, serve=None, train={"queue": "team"})
        job = _job(objects(flowers(name="f" * 60, deploy=deploy, **IRIS)))
        assert len(job["metadata"]["name"]) <= 47 and job["spec"]["suspend"] is True
        assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
        names.add(job["metadata"]["name"])
    assert len(names) == 2


@pytest.mark.parametrize(
    ("deploy", "code", "message"),
    [
        (section("ray", train=None), "DML164", "ray does not run the service"),
        (
            section("ray", serve=None, store={"size": "1Gi", "access": "ReadWriteOnce"}),
            "DML162",
            "ReadWriteOnce",
        ),
        (section({"type": "ray", "workers": 0}, serve=None), "DML017", "workers"),
    ],
)
def test_what_is_refused(
    deploy: dict[str, Any], code: str, message: str, flowers: Callable[..., Path]
) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(flowers(deploy=deploy, **IRIS))
    (problem,) = [each for each in caught.value.problems if each.severity == "error"]
    assert (problem.code, message in problem.message + problem.path) == (code, True)


def test_what_has_no_effect_is_told(flowers: Callable[..., Path]) -> None:
    loaded = load_spec(flowers(deploy=section("ray", serve=None, train={"parallel": "steps"}), **IRIS))
    assert [problem.code for problem in loaded.problems] == ["DML161"]


def test_the_image_of_the_training_has_ray(flowers: Callable[..., Path]) -> None:
    loaded = load_spec(flowers(deploy=section("ray", serve=None), **IRIS))
    if installed("ray"):
        assert target_libraries(loaded) == ("ray",)
    else:
        with pytest.raises(MissingDependency, match="ray is not installed"):
            target_libraries(loaded)
    assert target_libraries(load_spec(flowers(deploy=section("argo", serve=None), **IRIS))) == ()
