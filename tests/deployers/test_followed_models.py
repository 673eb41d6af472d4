"""A deployed service whose model comes from the registry or the store: what is rendered, and its work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from deployed import Object, containers, of_kind, render
from fleet_models import positive, promote, register, write_model

from declarative_ml.api.deploy import files_of, load, parts_of
from declarative_ml.deployers.manifests.lint import lint

IMAGE = "registry.example.com/guests:1.4.0"
BASE = f"""
name: guests
data: {{source: {{type: sample, name: iris}}}}
target: species
model: linear
track: {{register: guests%s}}
serve: {{poll: 1s, registry_token: "${{env:READ}}"}}
deploy:
  image: {IMAGE}
  secrets:
    READ: {{secret: mlflow, key: read}}
    MLFLOW_TRACKING_USERNAME: {{secret: mlflow, key: user}}
  serve: {{model: %s}}
  train: {{schedule: "0 3 * * 1"}}
"""
SERVER = ', uri: "https://mlflow.example.com"'


def spec(model: str, server: str = "") -> str:
    return BASE % (server, model)


def container(objects: list[Object], name: str) -> Object:
    return next(each for _, each in containers(objects) if each["name"] == name)


def variables(objects: list[Object], name: str) -> set[str]:
    return {each["name"] for each in container(objects, name)["env"]} - {
        "HOME",
        "TMPDIR",
        "PYTHONDONTWRITEBYTECODE",
    }


@pytest.mark.parametrize(
    ("model", "server", "words", "with_store", "secret"),
    [
        ("image", SERVER, ["/model"], False, set()),
        ("store", SERVER, ["/etc/dml/spec.yaml", "--store", "/store", "--wait"], True, set()),
        ("registry@champion", "", ["registry:guests@champion", "--store", "/store", "--wait"], True, set()),
        (
            "registry/3",
            SERVER,
            ["registry:guests/3", "--tracking-uri", "https://mlflow.example.com", "--wait"],
            False,
            {"READ", "MLFLOW_TRACKING_USERNAME"},
        ),
    ],
)
def test_where_the_model_comes_from(
    model: str, server: str, words: list[str], with_store: bool, secret: set[str]
) -> None:
    objects = render(spec(model, server))
    assert lint(objects) == []
    served = container(objects, "serve")
    assert served["args"] == ["serve", *words, "--options", "/etc/dml/serve.json", "--quiet"]
    assert ("/store" in [each["mountPath"] for each in served["volumeMounts"]]) == with_store
    # The credentials of the registry go where it is asked over the network, and the training writes to it.
    assert variables(objects, "serve") == secret
    assert variables(objects, "train") == {"MLFLOW_TRACKING_USERNAME"}
    waits = "--wait" in words
    assert served["startupProbe"]["httpGet"]["path"] == ("/healthz" if waits else "/readyz")
    assert served["readinessProbe"]["httpGet"]["path"] == "/readyz"
    options = next(each for each in of_kind(objects, "ConfigMap") if "serve.json" in each["data"])
    held = json.loads(options["data"]["serve.json"])
    assert ("poll" in held, "registry_token" in held) == (model.startswith("registry"), bool(secret))


def test_what_the_spec_serves_is_what_is_deployed() -> None:
    text = spec("image").replace("serve: {poll", "serve: {model: registry@champion, poll")
    assert container(render(text), "serve")["args"][1] == "/model"
    text = text.replace("  serve: {model: image}\n", "  serve: {}\n")
    assert container(render(text), "serve")["args"][1] == "registry:guests@champion"


@pytest.mark.parametrize(
    ("uri", "egress"),
    [
        ("https://mlflow.example.com", {"ports": [{"protocol": "TCP", "port": 443}]}),
        ("http://mlflow:5000", {"to": [{"podSelector": {}}]}),
        (
            "http://mlflow.tracking.svc.cluster.local:5000",
            {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tracking"}}}]},
        ),
        (
            "http://10.1.2.3:5000",
            {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 5000}]},
        ),
    ],
)
def test_the_way_to_the_registry_is_open(uri: str, egress: Object) -> None:
    def out(text: str) -> list[Object]:
        policies = {each["metadata"]["name"]: each for each in of_kind(render(text), "NetworkPolicy")}
        found: list[Object] = policies["guests-serve"]["spec"]["egress"]
        return found

    text = spec("registry@champion", SERVER).replace("https://mlflow.example.com", uri)
    assert out(text)[1:] == [egress]
    assert len(out(text.replace("model: registry@champion", "model: image"))) == 1
    named = text.replace(
        "model: registry@champion", "model: registry@champion, network: {egress: [10.0.0.0/8]}"
    )
    assert {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]} in out(named)
    assert (egress in out(named)) == ("to" in egress)  # a name outside: the person has said the addresses


def test_what_is_watched_reaches_the_pods() -> None:
    text = spec("image") + (
        'monitor: {log: /log/guests, drift: {alert: 0.3}, apm: {url: "https://apm.obs.svc:8200",'
        ' token: "${env:APM}"}}\n'
    )
    text = text.replace("  secrets:\n", "  secrets:\n    APM: {secret: apm, key: token}\n")
    text = text.replace("{model: image}", "{volumes: {log: {claim: log, at: /log, read_only: false}}}")
    objects = render(text)
    held = json.loads(of_kind(objects, "ConfigMap")[0]["data"]["serve.json"])["monitor"]
    assert held["drift"]["alert"] == 0.3 and held["log"]["path"] == "/log/guests"
    assert held["apm"]["token"] == "${env:APM}"
    assert variables(objects, "serve") == {"APM"} and "APM" not in variables(objects, "train")


@pytest.mark.parametrize("target", ["docker-compose", "systemd"])
def test_machines_follow_too(target: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(spec("registry@champion"))
    files = files_of(parts_of(load(tmp_path / "spec.yaml"), to=target, only="serve"))
    text = "".join(files.values())
    store = "/store" if target == "docker-compose" else "/var/lib/dml/guests"
    found = re.findall(r"registry:guests@champion\W+--store[\s\"-]+(/\S+?)\"?\W+--wait", text)
    assert found == [store]


@pytest.mark.slow
def test_from_before_the_first_model_to_the_second(tmp_path: Path) -> None:
    """The rendered command, with its folders elsewhere: the pod waits, serves the champion, and the next."""
    pytest.importorskip("mlflow")
    objects = render(spec("registry@champion"))
    store = tmp_path / "store"
    store.mkdir()
    data = next(each["data"] for each in of_kind(objects, "ConfigMap") if "serve.json" in each["data"])
    options = json.loads(data["serve.json"]) | {"host": "127.0.0.1", "poll": "1s"}
    (tmp_path / "serve.json").write_text(json.dumps(options))
    moved = {"/store": str(store), "/etc/dml/serve.json": str(tmp_path / "serve.json")}
    words = [moved.get(word, word) for word in container(objects, "serve")["args"]]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "declarative_ml", *words, "--port", "0"], stderr=log, cwd=tmp_path
        )
    try:
        wait_for(lambda: "waiting at" in (tmp_path / "log.txt").read_text())
        found = re.search(r"waiting at http://127.0.0.1:(\d+)", (tmp_path / "log.txt").read_text())
        assert found is not None
        port = int(found[1])
        assert ask(port, "GET", "/healthz")[0] == 200
        status, body = ask(port, "GET", "/readyz")
        assert status == 503 and "has no model 'guests'" in body["trouble"]["first model"]
        assert ask(port, "POST", "/predict")[0] == 503
        for number, slope in enumerate((0.5, -0.25), 1):
            register(store, write_model(tmp_path / str(slope), slope))
            promote(store, number)
            wait_for(lambda wanted=slope: answers(port, positive(wanted, 2.0)))
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_service_that_waits_can_be_stopped(tmp_path: Path) -> None:
    arguments = ["serve", "registry:nobody@champion", "--store", str(tmp_path), "--port", "0", "--wait"]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "declarative_ml", *arguments], stderr=log, cwd=tmp_path
        )
    try:
        wait_for(lambda: "waiting at" in (tmp_path / "log.txt").read_text())
        time.sleep(0.1)
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def answers(port: int, share: float) -> bool:
    status, body = ask(port, "POST", "/predict", {"rows": [{"age": 2.0, "fare": 7.0}]})
    return status == 200 and abs(body["predictions"][0]["probabilities"]["yes"] - share) < 1e-5


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    link = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request(method, path, json.dumps(body), {"content-type": "application/json"})
        reply = link.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        link.close()


def wait_for(done: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)
