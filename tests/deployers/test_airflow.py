from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from releases import section

from declarative_ml.api.deploy import load, parts_of, write
from declarative_ml.api.planning import make_plan
from declarative_ml.api.workspace import Workspace
from declarative_ml.graph.plan import Plan
from declarative_ml.spec.load import load_spec

AIRFLOW = os.environ.get("DML_AIRFLOW_PYTHON", "")
"""The Python of an environment with Airflow 3 and its providers standard and cncf.kubernetes."""
absent = pytest.mark.skipif(not AIRFLOW, reason="DML_AIRFLOW_PYTHON does not name a Python with Airflow")

BAG = """
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
for dag in bag.dags.values():
    for task in sorted(dag.tasks, key=lambda task: task.task_id):
        print(dag.dag_id, task.task_id, ",".join(sorted(task.upstream_task_ids)))
"""


def render(spec: Path, folder: Path) -> str:
    """Everything below a folder; returns the text of the DAG."""
    loaded = load(spec)
    parts = parts_of(loaded)
    assert [part.rendered for part in parts] == [part.deployer.render(part.release) for part in parts]
    write(folder, loaded, parts)
    return (folder / "flowers.py").read_text()


def calls(text: str) -> dict[str, list[Any]]:
    """Name of each task -> the arguments of its command."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "task":
            name, *words = [ast.literal_eval(argument) for argument in node.args]
            found[name] = words
    return found


@pytest.mark.parametrize("operator", ["bash", "kubernetes"])
def test_the_dag_has_every_step(operator: str, flowers: Callable[..., Path], tmp_path: Path) -> None:
    to = {"type": "airflow", "operator": operator}
    train = {"schedule": "0 3 * * 1", "time_zone": "Europe/Oslo", "env": {"ODD": "a'\"\\$"}}
    spec = flowers(deploy=section(to, serve=None, train=train))
    text = render(spec, tmp_path / "dags")
    found = calls(text)
    steps = [step.id for step in make_plan(load_spec(spec)).steps]
    assert sorted(words[2] for words in found.values() if words[0] == "step") == sorted(steps)
    assert found["run"] == ["run", "spec.yaml", "--collect"]
    assert 'schedule="0 3 * * 1"' in text and 'tz="Europe/Oslo"' in text
    names = {path.name for path in (tmp_path / "dags").iterdir()}
    if operator == "bash":
        assert names == {"flowers.py", "flowers"}
        own = tmp_path / "dags" / "flowers"
        assert {path.name for path in own.iterdir()} == {"plan.json", "spec.yaml"}
        sent = Plan.model_validate_json((own / "plan.json").read_text())
        assert sent == make_plan(load_spec(own / "spec.yaml")), "the last task finds what the steps have made"
    else:
        assert names > {"flowers.py"}


def airflow(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command of Airflow, with everything of its own below `home`."""
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "DML_PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [AIRFLOW, *command], env={**kept, **own}, capture_output=True, text=True, timeout=1500, check=False
    )


@pytest.mark.slow
@absent
@pytest.mark.parametrize("operator", ["bash", "kubernetes"])
def test_airflow_loads_it(operator: str, flowers: Callable[..., Path], tmp_path: Path) -> None:
    spec = flowers(deploy=section({"type": "airflow", "operator": operator}, serve=None))
    render(spec, tmp_path / "dags")
    assert airflow(tmp_path, "-m", "airflow", "db", "migrate").returncode == 0
    done = airflow(tmp_path, "-c", BAG, str(tmp_path / "dags"))
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split(" ") for line in done.stdout.splitlines() if line.startswith("flowers ")]
    needs = {name: set(filter(None, upstream.split(","))) for _, name, upstream in lines}
    plan = make_plan(load_spec(spec))
    assert len(needs) == len(plan.steps) + 1 and needs["prepare"] >= {"split", "acquire-source"}


@pytest.mark.slow
@absent
def test_airflow_runs_it_by_bash(flowers: Callable[..., Path], tmp_path: Path) -> None:
    program = tmp_path / "dml"
    program.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="$DML_PYTHONPATH"\nexec {sys.executable} -m declarative_ml "$@"\n'
    )
    program.chmod(0o755)
    to = {"type": "airflow", "operator": "bash", "executable": str(program), "store": str(tmp_path / "store")}
    spec = flowers(deploy=section(to, serve=None, train={"retries": 0}))
    render(spec, tmp_path / "dags")
    assert airflow(tmp_path, "-m", "airflow", "db", "migrate").returncode == 0
    done = airflow(tmp_path, "-m", "airflow", "dags", "test", "flowers")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    (run,) = Workspace(tmp_path / "store").runs()
    assert run.status == "ok" and (run.folder / "bundle/model.onnx").is_file()
    assert {step["status"] for step in run.record["result"]["steps"]} == {"cached"}
