"""Batch scoring: what is rendered of `deploy.predict`, and that the rendered command scores rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployed import Object, containers, jobs, of_kind, render
from fleet_models import promote, register, write_model

from declarative_ml.api.deploy import files_of, load, parts_of
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.manifests.lint import lint

SPEC = """
name: guests
data: {source: {type: sample, name: iris}}
target: species
model: linear
track: {register: guests}
deploy:
  image: registry.example.com/guests:1.4.0
  secrets:
    NEW: {secret: db, key: new}
    SCORED: {secret: db, key: scored}
    MLFLOW_TRACKING_TOKEN: {secret: mlflow, key: token}
  predict:
    to: %s
    model: %s
    schedule: "0 4 * * *"
    time_zone: Europe/Oslo
    keep_columns: [id]
    source: {type: sql, url: "${env:NEW}", query: SELECT * FROM guests}
    output: {type: sql, url: "${env:SCORED}", table: scored, mode: replace}
"""
SOURCE = '{"query": "SELECT * FROM guests", "type": "sql", "url": "${env:NEW}"}'
SINK = '{"mode": "replace", "table": "scored", "type": "sql", "url": "${env:SCORED}"}'
TAIL = [SOURCE, "--output", SINK, "--keep", "id"]


def spec(model: str, to: str = "kubernetes", uri: str | None = None) -> str:
    text = SPEC % (to, model)
    return text if uri is None else text.replace("register: guests", f'register: guests, uri: "{uri}"')


@pytest.mark.parametrize(
    ("model", "uri", "image", "before", "after", "store"),
    [
        ("image", None, "", ["/model"], [], False),
        ("store", None, "-train", ["/etc/dml/spec.yaml"], ["--store", "/store"], True),
        ("registry@champion", None, "-train", ["registry:guests@champion"], ["--store", "/store"], True),
        (
            "registry/2",
            "https://mlflow.example.com",
            "-train",
            ["registry:guests/2"],
            ["--tracking-uri", "https://mlflow.example.com"],
            False,
        ),
    ],
)
def test_a_cron_job(
    model: str, uri: str | None, image: str, before: list[str], after: list[str], store: bool
) -> None:
    objects = render(spec(model, uri=uri))
    assert lint(objects) == []
    (cron,) = of_kind(objects, "CronJob")
    assert cron["metadata"]["name"] == "guests-predict"
    assert (cron["spec"]["schedule"], cron["spec"]["timeZone"]) == ("0 4 * * *", "Europe/Oslo")
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    ((pod, container),) = containers(objects)
    assert container["image"] == f"registry.example.com/guests:1.4.0{image}"
    assert container["args"] == ["predict", *before, *TAIL, *after, "--quiet"]
    assert ("/store" in [each["mountPath"] for each in container["volumeMounts"]]) == store
    names = {each["name"] for each in container["env"] if "valueFrom" in each}
    assert names == {"NEW", "SCORED"} | ({"MLFLOW_TRACKING_TOKEN"} if uri else set())
    assert pod["serviceAccountName"] == "guests-predict" and pod["restartPolicy"] == "Never"
    (job,) = jobs(objects)
    assert job["podFailurePolicy"]["rules"][1]["onExitCodes"]["containerName"] == "predict"
    assert {each["kind"] for each in objects} == {
        "ServiceAccount", "NetworkPolicy", "CronJob",
        *(["PersistentVolumeClaim"] if store else []), *(["ConfigMap"] if model == "store" else []),
    }  # fmt: skip


def test_once_is_a_job_with_the_model_of_the_service() -> None:
    text = spec("store").replace('    schedule: "0 4 * * *"\n', "").replace("    model: store\n", "")
    text = text.replace("  predict:\n", "  serve: {model: store}\n  predict:\n")
    objects = render(text)
    (job,) = of_kind(objects, "Job")
    assert job["metadata"]["name"].startswith("guests-predict-")
    container = next(each for _, each in containers(objects) if each["name"] == "predict")
    assert container["args"][1] == "/etc/dml/spec.yaml"
    # Neither workload gets what only the other needs.
    serve = next(each for _, each in containers(objects) if each["name"] == "serve")
    assert [each["name"] for each in serve["env"] if "valueFrom" in each] == []


def rendered_files(folder: Path, to: str) -> dict[str, str]:
    (folder / "spec.yaml").write_text(spec("registry@champion", to))
    return files_of(parts_of(load(folder / "spec.yaml")))


def test_compose_runs_it_on_demand(tmp_path: Path) -> None:
    files = rendered_files(tmp_path, "docker-compose")
    found: Object = yaml.safe_load(files["compose.yaml"])["services"]["predict"]
    assert found["profiles"] == ["predict"]
    words = [word.replace("$$", "$") for word in found["entrypoint"]]
    assert words == ["dml", "predict", "registry:guests@champion", *TAIL, "--store", "/store", "--quiet"]
    assert found["environment"] == {name: f"${{{name}:?set it in .env}}" for name in ("NEW", "SCORED")}


def test_systemd_has_a_timer(tmp_path: Path) -> None:
    files = rendered_files(tmp_path, "systemd")
    unit = files["etc/systemd/system/guests-predict.service"]
    assert "--store /var/lib/dml/guests --quiet" in unit and "registry:guests@champion" in unit
    assert "$${env:NEW}" in unit  # systemd takes ${…} for a variable of its own
    assert "# It sets NEW, SCORED" in unit
    assert "OnCalendar=*-*-* 04:00:00 Europe/Oslo" in files["etc/systemd/system/guests-predict.timer"]


def test_targets_that_do_not_score(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(spec("image"))
    with pytest.raises(UsageError, match="argo does not run batch scoring") as caught:
        parts_of(load(tmp_path / "spec.yaml"), to="argo")
    assert caught.value.hint == "targets that do: kubernetes, docker-compose, systemd"


@pytest.mark.slow
def test_the_rendered_command_scores_rows(tmp_path: Path) -> None:
    """With the store elsewhere: rows in a file, the champion of the registry, predictions in a file."""
    pytest.importorskip("mlflow")
    data = "    volumes: {data: {claim: d, at: /data, read_only: false}}\n"
    text = (
        spec("registry@champion").split("    source:")[0].replace("keep_columns: [id]", "keep_columns: [age]")
    )
    text += f"{data}    source: /data/new.csv\n    output: /data/scored.jsonl\n"
    ((_, container),) = containers(render(text))
    (tmp_path / "new.csv").write_text("age,fare\n2,7\n-2,7\n")
    store = tmp_path / "store"
    store.mkdir()
    register(store, write_model(tmp_path / "model", 0.5))
    promote(store, 1)
    moved = {"/store": str(store)}
    words = [moved.get(word, word).replace("/data/", f"{tmp_path}/") for word in container["args"]]
    done = subprocess.run(
        [sys.executable, "-m", "declarative_ml", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    scored: list[Any] = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert [(int(row["age"]), row["prediction"]) for row in scored] == [(2, "yes"), (-2, "no")]
