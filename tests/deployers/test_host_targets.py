from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from releases import files, section

from declarative_ml.deployers.image import CONFIG, USER

SECRET = {"TOKEN": {"secret": "flowers", "key": "token"}}
TRAIN = {"schedule": "0 3 1 * 1-5", "resources": {"memory": "2Gi", "limits": {"cpu": "1500m"}}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_compose_runs_both_images_without_privileges(flowers: Callable[..., Path]) -> None:
    deploy = section(
        {"type": "docker-compose", "port": 9000},
        secrets=SECRET,
        serve={"env": {"PRICE": "5$"}, "drain": "20s"},
        train=TRAIN,
    )
    spec = flowers(deploy=deploy, serve={"token": "${env:TOKEN}"})
    rendered = files(spec)
    assert set(rendered) == {"compose.yaml", "serve.json", "spec.yaml"}
    document = yaml.safe_load(rendered["compose.yaml"])
    serve, train = document["services"]["serve"], document["services"]["train"]
    for service in (serve, train):
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["tmpfs"]
        assert service["user"] == f"{USER}:{USER}" and service["security_opt"] == ["no-new-privileges:true"]
    assert serve["ports"] == ["127.0.0.1:9000:8080"] and serve["stop_grace_period"] == "36s"
    assert serve["environment"] == {"PRICE": "5$$", "TOKEN": "${TOKEN:?set it in .env}"}
    assert "TOKEN" not in train.get("environment", {})
    assert train["image"].endswith(":1.4.0-train") and train["profiles"] == ["train"]
    data = spec.parent / "flowers.csv"
    assert f"{data}:{data}:ro" in train["volumes"] and "store:/store" in train["volumes"]
    assert train["deploy"]["resources"]["limits"] == {"memory": str(2 * 2**30), "cpus": "1.5"}
    options = json.loads(rendered["serve.json"])
    assert (options["host"], options["port"], options["token"]) == ("0.0.0.0", 8080, "${env:TOKEN}")


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_compose_reads_the_file(flowers: Callable[..., Path], tmp_path: Path) -> None:
    deploy = section(
        "docker-compose",
        secrets=SECRET,
        serve={"model": "store", "volumes": {"more": {"claim": "there", "at": "/more"}}},
        train=TRAIN,
    )
    for name, text in files(flowers(deploy=deploy)).items():
        # The first version of docker-compose, in Python, knows all of the specification but the name.
        (tmp_path / name).write_text(text.removeprefix("name: flowers\n"))
    done = subprocess.run(
        ["docker-compose", "--profile", "train", "config"],
        env={**os.environ, "TOKEN": "x", "PYTHONWARNINGS": "ignore"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)
    assert set(read["services"]) == {"serve", "train"} and set(read["volumes"]) == {"store", "more"}
    assert read["services"]["serve"]["environment"]["TOKEN"] == "x"


def units(spec: Path, root: Path) -> dict[str, Path]:
    found = {}
    for name, text in files(spec).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        found[path.name] = path
    return found


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units(flowers: Callable[..., Path], tmp_path: Path) -> None:
    to = {"type": "systemd", "executable": sys.executable}
    serve = {"env": {"ODD": 'a "b" $c %h \\'}}
    spec = flowers(deploy=section(to, secrets=SECRET, serve=serve, train=TRAIN))
    found = units(spec, tmp_path)
    names = {"flowers.service", "flowers-train.service", "flowers-train.timer", "serve.json", "spec.yaml"}
    assert set(found) == names
    for name in sorted(names):
        if name.startswith("flowers"):
            done = subprocess.run(
                ["systemd-analyze", "verify", "--man=no", str(found[name])],
                env={**os.environ, "SYSTEMD_UNIT_PATH": f"{found[name].parent}:"},
                capture_output=True,
                text=True,
                check=False,
            )
            ours = [line for line in done.stderr.splitlines() if "flowers" in line]
            assert done.returncode == 0 and not ours, done.stderr
    service = found["flowers.service"].read_text()
    assert 'Environment="ODD=a \\"b\\" $c %%h \\\\"' in service
    assert "EnvironmentFile=/etc/dml/flowers/env" in service and "CapabilityBoundingSet=\n" in service
    training = found["flowers-train.service"].read_text()
    assert f"MemoryMax={2 * 2**30}" in training and "CPUQuota=150%" in training
    assert found["flowers-train.timer"].read_text().count("OnCalendar=") == 2


def answers(command: list[str], port: int, environment: dict[str, str]) -> dict[str, Any]:
    """What the service that a command starts says to one row; SIGTERM ends it well."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).close()
                break
            except OSError:
                time.sleep(0.2)
        row = {"length": 1.0, "width": 0.5, "colour": "red", "seen": "2024-02-01", "wild": "yes"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/predict", json.dumps({"rows": [row]}).encode()
        )
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        return found
    finally:
        process.kill()
        process.communicate()


def test_both_start_the_same_service(
    flowers: Callable[..., Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    """Their commands and environments as they are rendered, with the paths of this machine in place of
    theirs. Of the environment of the tests nothing reaches them."""
    port = free_port()
    program = tmp_path / "dml"
    found_by = shlex.quote(os.environ.get("PYTHONPATH", ""))
    program.write_text(
        f'#!/bin/sh\nexport PYTHONPATH={found_by}\nexec {sys.executable} -m declarative_ml "$@"\n'
    )
    program.chmod(0o755)
    to = {"type": "systemd", "executable": str(program), "model": str(tmp_path / "model")}
    asked = section(to, train=None, serve={"env": {"ODD": 'a "b"'}})
    spec = flowers(deploy=asked, serve={"port": port})
    report = run(spec)
    (tmp_path / "model").symlink_to(report.result["bundle"])
    found = units(spec, tmp_path)
    lines = [line.partition("=") for line in found["flowers.service"].read_text().splitlines()]
    (there,) = [
        text.replace("/etc/dml", f"{tmp_path}/etc/dml") for name, _, text in lines if name == "ExecStart"
    ]
    words = [word for name, _, text in lines if name == "Environment" for word in shlex.split(text)]
    environment = dict(word.split("=", 1) for word in words)
    assert environment == {"HOME": "/tmp", "ODD": 'a "b"'}
    by_systemd = answers(shlex.split(there), port, environment)

    compose = files(spec, to="docker-compose")
    (tmp_path / "serve.json").write_text(compose["serve.json"])
    service = yaml.safe_load(compose["compose.yaml"])["services"]["serve"]
    places = {"dml": str(program), "/model": str(tmp_path / "model")}
    here = [places.get(word, word).replace(CONFIG, str(tmp_path)) for word in service["entrypoint"]]
    # What a container has to itself, the test shares with the machine: the address comes from the options.
    by_compose = answers([*here, "--host", "127.0.0.1", "--port", str(port)], port, service["environment"])
    assert by_compose == by_systemd and by_compose["predictions"][0]["prediction"] in ("a", "b", "c")
