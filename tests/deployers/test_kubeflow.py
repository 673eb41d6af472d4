from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from local_kfp import KFP, run_by_kfp
from releases import IRIS, section

from declarative_ml.api.deploy import load, parts_of
from declarative_ml.api.planning import make_plan
from declarative_ml.api.workspace import Workspace
from declarative_ml.deployers.base import Rendered
from declarative_ml.graph.plan import Plan
from declarative_ml.spec.load import load_spec


def rendered(spec: Path) -> Rendered:
    (part,) = parts_of(load(spec))
    assert part.rendered == part.deployer.render(part.release)
    return part.rendered


def test_the_pipeline_has_the_graph_of_the_plan(flowers: Callable[..., Path], tmp_path: Path) -> None:
    train = {"retries": 1, "env": {"A": "b"}, "volumes": {"data": {"claim": "tables", "at": "/data"}}}
    deploy = section(
        "kubeflow", serve=None, train=train, secrets={"TOKEN": {"secret": "flowers", "key": "token"}}
    )
    spec = flowers(deploy=deploy, **IRIS)
    found = rendered(spec)
    pipeline, platform = yaml.safe_load_all(found.files["pipeline.yaml"])
    plan = make_plan(load_spec(spec))
    executors = pipeline["deploymentSpec"]["executors"]
    dag = pipeline["root"]["dag"]["tasks"]
    steps = {executors[f"exec-{name}"]["container"]["args"][2]: name for name in dag if name != "run"}
    assert set(steps) == {step.id for step in plan.steps}
    for step in plan.steps:
        wanted = {steps[other] for other in step.inputs.values()}
        assert set(dag[steps[step.id]].get("dependentTasks", [])) == wanted
    assert executors["exec-run"]["container"]["args"][::2] == ["run", "--collect", "/store"]
    behind = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(behind) == set(executors)
    mounts = {each["constant"]: each["mountPath"] for each in behind["exec-run"]["pvcMount"]}
    assert mounts == {"flowers-store": "/store", "tables": "/data"}
    assert behind["exec-run"]["securityContext"]["runAsNonRoot"] is True
    assert [each["kind"] for each in found.objects] == ["ConfigMap", "PersistentVolumeClaim"]
    (tmp_path / "spec.yaml").write_text(found.objects[0]["data"]["spec.yaml"])
    there = make_plan(load_spec(tmp_path / "spec.yaml"))
    sent = Plan.model_validate_json(found.objects[0]["data"]["plan.json"])
    assert sent == there, "the last task finds what the steps have made"
    config = behind["exec-run"]["configMapAsVolume"][0]["configMapName"]
    assert found.objects[0]["metadata"]["name"] == config


@pytest.mark.slow
@pytest.mark.skipif(not KFP, reason="DML_KFP_PYTHON does not name a Python with kfp and kfp-kubernetes")
def test_kfp_reads_and_runs_it(flowers: Callable[..., Path], tmp_path: Path) -> None:
    found = rendered(flowers(deploy=section("kubeflow", serve=None), **IRIS))
    said = run_by_kfp(found.files["pipeline.yaml"], found.objects[0]["data"], tmp_path / "kfp")
    assert "loaded flowers" in said and said.rstrip().endswith("run")
    (run,) = Workspace(tmp_path / "kfp" / "store").runs()
    assert run.status == "ok"
    status = {step["id"]: step["status"] for step in run.record["result"]["steps"]}
    assert set(status.values()) == {"cached"}, "the tasks before it have made all"
