from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crd_schemas import faults
from releases import IMAGE, IRIS, objects, section

from declarative_ml.api.planning import make_plan
from declarative_ml.core.errors import SpecError, UsageError
from declarative_ml.deployers.graph_names import tasks
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.spec.load import load_spec

SECRET = {"TOKEN": {"secret": "flowers", "key": "token"}}
POD = {"priorityClassName": "high", "runtimeClassName": "gvisor", "tolerations": [{"operator": "Exists"}]}


def of_kind(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (one,) = [each for each in found if each["kind"] == kind]
    return one


def containers(value: Any) -> Iterator[dict[str, Any]]:
    """Every container below a value."""
    if isinstance(value, dict):
        if "image" in value and "securityContext" in value:
            yield value
        for item in value.values():
            yield from containers(item)
    elif isinstance(value, list):
        for item in value:
            yield from containers(item)


def check_restricted(each: dict[str, Any]) -> None:
    """What the security standard asks of containers."""
    found = list(containers(each))
    assert found
    for container in found:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
        assert context["capabilities"]["drop"] == ["ALL"]
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_kserve_runs_our_container(flowers: Callable[..., Path]) -> None:
    serve = {"replicas": {"min": 2, "max": 5}, "env": {"A": "b"}, "pod": POD}
    spec = flowers(deploy=section("kserve", train=None, secrets=SECRET, serve=serve))
    found = objects(spec)
    assert [each["kind"] for each in found] == ["ServiceAccount", "ConfigMap", "InferenceService"]
    service = of_kind(found, "InferenceService")
    assert faults(service) == []
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    predictor = service["spec"]["predictor"]
    (container,) = predictor["containers"]
    assert (container["name"], container["image"]) == ("kserve-container", IMAGE)
    assert predictor["minReplicas"] == 2 and predictor["scaleTarget"] == 70
    assert predictor["runtimeClassName"] == "gvisor" and predictor["securityContext"]["runAsNonRoot"]
    (mounted,) = [each["configMap"]["name"] for each in predictor["volumes"] if "configMap" in each]
    assert mounted == of_kind(found, "ConfigMap")["metadata"]["name"]
    assert predictor["serviceAccountName"] == of_kind(found, "ServiceAccount")["metadata"]["name"]
    check_restricted(service)
    wrong = copy.deepcopy(service)
    wrong["spec"]["predictor"]["containers"][0]["readynessProbe"] = {}
    assert len(faults(wrong)) == 1


def test_kserve_hands_the_graph_to_triton(flowers: Callable[..., Path]) -> None:
    to = {"type": "kserve", "runtime": "triton", "storage_uri": "s3://models/flowers", "version": "0.15"}
    service = of_kind(objects(flowers(deploy=section(to, train=None))), "InferenceService")
    assert faults(service) == []
    model = service["spec"]["predictor"]["model"]
    assert (model["storageUri"], model["protocolVersion"]) == ("s3://models/flowers", "v2")
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "RawDeployment"


@pytest.mark.parametrize("to", [{"runtime": "triton"}, {"storage_uri": "s3://models"}])
def test_triton_and_its_storage_belong_together(to: dict[str, Any], flowers: Callable[..., Path]) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(flowers(deploy=section({"type": "kserve", **to}, train=None)))
    assert "'storage_uri' belongs to 'runtime: triton'" in caught.value.problems[0].message


def test_argo_has_the_graph_of_the_plan(flowers: Callable[..., Path], tmp_path: Path) -> None:
    train = {"pod": POD, "retries": 3}
    spec = flowers(
        model={"type": "ensemble", "members": ["linear", {"type": "lightgbm", "rounds": 5}]},
        deploy=section("argo", serve=None, secrets=SECRET, train=train),
        **IRIS,
    )
    found = objects(spec)
    workflow = of_kind(found, "Workflow")
    assert faults(workflow) == []
    body = workflow["spec"]
    plan = make_plan(load_spec(spec))
    dag = {task["name"]: task for task in body["templates"][0]["dag"]["tasks"]}
    steps = {task["arguments"]["parameters"][0]["value"]: task for name, task in dag.items() if name != "run"}
    assert set(steps) == {step.id for step in plan.steps}
    names = {step: task["name"] for step, task in steps.items()}
    for step in plan.steps:
        wanted = {names[other] for other in step.inputs.values()}
        assert set(steps[step.id].get("dependencies", [])) == wanted
    assert dag["run"]["template"] == "run"
    arguments = [template["container"]["args"] for template in body["templates"][1:]]
    assert arguments[0][:3] == ["step", "/etc/dml/plan.json", "{{inputs.parameters.step}}"]
    assert arguments[1] == ["run", "/etc/dml/spec.yaml", "--collect", "--store", "/store"]
    assert body["templates"][1]["retryStrategy"]["limit"] == "3"
    assert body["podPriorityClassName"] == "high"
    assert json.loads(body["podSpecPatch"])["runtimeClassName"] == "gvisor"
    sent = of_kind(found, "ConfigMap")["data"]
    (tmp_path / "spec.yaml").write_text(sent["spec.yaml"])
    assert Plan.model_validate_json(sent["plan.json"]) == make_plan(load_spec(tmp_path / "spec.yaml"))
    rules = of_kind(found, "Role")["rules"]
    assert rules == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    ]
    check_restricted(workflow)


@pytest.mark.parametrize(
    ("version", "key"), [("4.1", "schedules"), ("3.6", "schedules"), ("3.5", "schedule")]
)
def test_argo_by_a_schedule(version: str, key: str, flowers: Callable[..., Path]) -> None:
    to = {"type": "argo", "version": version}
    train = {"schedule": "0 3 * * 1", "time_zone": "Europe/Oslo"}
    spec = flowers(deploy=section(to, serve=None, train=train), **IRIS)
    cron = of_kind(objects(spec), "CronWorkflow")
    assert cron["spec"][key] in ("0 3 * * 1", ["0 3 * * 1"]) and cron["spec"]["timezone"] == "Europe/Oslo"
    assert len(cron["metadata"]["name"]) <= 52
    if version == "4.1":
        assert faults(cron) == []


def test_a_target_that_cannot_run_it_is_refused(flowers: Callable[..., Path]) -> None:
    with pytest.raises(SpecError) as caught:
        objects(flowers(deploy=section("argo", train=None)))
    assert "argo does not run the service" in caught.value.problems[0].message
    with pytest.raises(UsageError, match="argo does not run the service"):
        objects(flowers(deploy=section("kubernetes", train=None)), to="argo", only="serve")


def test_names_of_tasks_are_unique() -> None:
    ids = ["a.b", "a-b", "run", "x" * 90 + "1", "x" * 90 + "2"]
    plan = Plan(
        name="p", spec_digest="", steps=tuple(Step(id=name, kind="acquire", title=name) for name in ids)
    )
    found = tasks(plan, longest=40)
    names = [task.name for task in found]
    assert len(set(names)) == len(ids) + 1 and all(len(name) <= 40 for name in names)
    assert names[-1] == "run" and set(found[-1].needs) == set(names[:-1])
    assert all("_" in task.name or task.name in ("run",) for task in tasks(plan, separator="_")[:2])
