"""A rendered pipeline of Kubeflow, carried out for real by kfp's own runner of local processes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

KFP = os.environ.get("DML_KFP_PYTHON", "")
"""The Python of an environment with kfp and kfp-kubernetes: they do not go along with ours."""

_PROGRAM = """
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
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2])
components.load_component_from_file(sys.argv[3])()
print("run", flush=True)
"""


def run_by_kfp(pipeline: str, config: Mapping[str, str], folder: Path) -> str:
    """Have kfp read a pipeline as it is, and run it with `folder`/store as its volume. Returns what it said.

    The runner starts components of Python only: each command is handed to it behind a word by which it
    knows them, with the paths of this machine in place of the container's. `config` are the files of the
    ConfigMap.
    """
    (folder / "config").mkdir(parents=True)
    for name, content in config.items():
        (folder / "config" / name).write_text(content)
    whole, local = folder / "pipeline.yaml", folder / "local.yaml"
    whole.write_text(pipeline)
    local.write_text(yaml.safe_dump(_for_this_machine(pipeline, folder)))
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [KFP, "-c", _PROGRAM, str(whole), str(folder / "root"), str(local)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def _for_this_machine(pipeline: str, folder: Path) -> object:
    document, _ = yaml.safe_load_all(pipeline)
    program = folder / "dml"
    program.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(os.environ.get('PYTHONPATH', ''))}\n"
        f'exec {sys.executable} -m declarative_ml "$@"\n'
    )
    program.chmod(0o755)
    places = {"/store": str(folder / "store"), "/etc/dml/": f"{folder}/config/"}
    for executor in document["deploymentSpec"]["executors"].values():
        container = executor["container"]
        container["image"] = "python"
        container["args"] = [_placed(word, places) for word in container["args"]] + ["--quiet"]
        container["command"] = ["sh", "-c", f'shift; exec {program} "$@"', "sh", "kfp.dsl.executor_main"]
    return document


def _placed(word: str, places: Mapping[str, str]) -> str:
    for prefix, there in places.items():
        if word.startswith(prefix):
            return word.replace(prefix, there, 1)
    return word
