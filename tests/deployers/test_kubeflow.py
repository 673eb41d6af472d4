from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from releases import IRIS, section

from declarative_ml.api.deploy import load, parts_of
from declarative_ml.api.planning import make_plan
from declarative_ml.api.workspace import Workspace
from declarative_ml.deployers.base import Rendered
from declarative_ml.spec.load import load_spec

KFP = os.environ.get("DML_KFP_PYTHON", "")
"""The Python of an environment with kfp and kfp-kubernetes: they do not go along with ours."""

PROGRAM = """
import sys
from google.protobuf import json_format
from kfp import components, local
from kfp.kubernetes import kubernetes_executor_config_pb2 as platform
from kfp.pipeline_spec import pipeline_spec_pb2 as ir
import yaml
spec, behind = yaml.safe_load_all(open(sys.argv[1]))
json_format.ParseDict(spec, ir.PipelineSpec())
for executor in behind["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
    json_format.ParseDict(executor, platform.KubernetesExecutorConfig())
loaded = components.load_component_from_file(sys.argv[1])
print("loaded", loaded.name, flush=True)
if len(sys.argv) > 2:
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2])
    components.load_component_from_file(sys.argv[3])()
    print("run", flush=True)
"""


def rendered(spec: Path) -> Rendered:
    (part,) = parts_of(load(spec))
    assert part.rendered == part.deployer.render(part.release)
    return part.rendered


def test_the_pipeline_has_the_graph_of_the_plan(flowers: Callable[..., Path]) -> None:
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
    assert executors["exec-run"]["container"]["args"][0] == "run"
    behind = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(behind) == set(executors)
    mounts = {each["constant"]: each["mountPath"] for each in behind["exec-run"]["pvcMount"]}
    assert mounts == {"flowers-store": "/store", "tables": "/data"}
    assert behind["exec-run"]["securityContext"]["runAsNonRoot"] is True
    assert [each["kind"] for each in found.objects] == ["ConfigMap", "PersistentVolumeClaim"]
    config = behind["exec-run"]["configMapAsVolume"][0]["configMapName"]
    assert found.objects[0]["metadata"]["name"] == config


@pytest.mark.slow
@pytest.mark.skipif(not KFP, reason="DML_KFP_PYTHON does not name a Python with kfp and kfp-kubernetes")
def test_kfp_reads_and_runs_it(flowers: Callable[..., Path], tmp_path: Path) -> None:
    """By kfp's own runner of local processes. It starts components of Python only: each command is handed to
    it behind a word by which it knows them, with the paths of this machine in place of the container's."""
    spec = flowers(deploy=section("kubeflow", serve=None), **IRIS)
    found = rendered(spec)
    text = found.files["pipeline.yaml"]
    (tmp_path / "pipeline.yaml").write_text(text)
    (tmp_path / "config").mkdir()
    for name, content in found.objects[0]["data"].items():
        (tmp_path / "config" / name).write_text(content)
    program = tmp_path / "dml"
    program.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{os.environ.get("PYTHONPATH", "")}"\n'
        f'exec {os.sys.executable} -m declarative_ml "$@"\n'
    )
    program.chmod(0o755)
    pipeline, _ = yaml.safe_load_all(text)
    places = {"/store": str(tmp_path / "store"), "/etc/dml/": f"{tmp_path}/config/"}
    for executor in pipeline["deploymentSpec"]["executors"].values():
        container: dict[str, Any] = executor["container"]
        container["image"] = "python"
        container["args"] = [_placed(word, places) for word in container["args"]] + ["--quiet"]
        container["command"] = ["sh", "-c", f'shift; exec {program} "$@"', "sh", "kfp.dsl.executor_main"]
    (tmp_path / "local.yaml").write_text(yaml.safe_dump(pipeline))
    arguments = [str(tmp_path / "pipeline.yaml"), str(tmp_path / "root"), str(tmp_path / "local.yaml")]
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [KFP, "-c", PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "loaded flowers" in done.stdout and done.stdout.rstrip().endswith("run")
    runs = list(Workspace(tmp_path / "store").runs())
    assert [run.status for run in runs] == ["ok"]
    events = [json.loads(line) for line in (runs[0].folder / "events.jsonl").read_text().splitlines()]
    assert events


def _placed(word: str, places: dict[str, str]) -> str:
    for prefix, there in places.items():
        if word.startswith(prefix):
            return word.replace(prefix, there, 1)
    return word
