"""`dml deploy --render DIR --helm`: a chart that gives the rendered objects, with a few values to change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import targets
import yaml
from click.testing import CliRunner
from deployed import SPECS, folder_of, of_kind, render

from declarative_ml.cli import dml
from declarative_ml.core.errors import UsageError

TEXTS = {
    **{name: SPECS[name] for name in ("minimal", "full", "every", "triton")},
    "argo": targets.text_of("argo"),
}


def chart(folder: Path, text: str) -> Path:
    spec = folder_of(text) / "spec.yaml"
    arguments = ["deploy", str(spec), "--render", str(folder / "chart"), "--helm", "--quiet"]
    assert CliRunner().invoke(dml, arguments, catch_exceptions=False).exit_code == 0
    return folder / "chart"


def by_helm(folder: Path, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What Helm makes of it."""
    library = pytest.importorskip("helm_python.chart", reason="helm-python-sdk is not installed")
    with library.Chart.load(folder) as loaded:
        found = loaded.render(values, name="release", namespace="elsewhere")
    return [yaml.safe_load(text) for text in found.values()]


def in_a_row(objects: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in objects)


@pytest.mark.parametrize("name", TEXTS)
def test_with_its_own_values_it_gives_the_objects(name: str, tmp_path: Path) -> None:
    folder = chart(tmp_path, TEXTS[name])
    assert in_a_row(by_helm(folder)) == in_a_row(render(TEXTS[name]))
    library = pytest.importorskip("helm_python.chart")
    said = [each["error"] for each in library.lint(folder, strict=True)["messages"]]
    assert said == ["icon is recommended"]


def test_values_reach_the_objects(tmp_path: Path) -> None:
    resources = {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    values = {
        "image": "registry.example.com/other:2.0",
        "replicas": {"min": 3, "max": 7},
        "resources": resources,
        "host": "other.example.com",
    }
    found = by_helm(chart(tmp_path, SPECS["full"]), values)
    (deployment,) = of_kind(found, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == values["image"]
    for part, wanted in resources.items():
        assert container["resources"][part] == {"ephemeral-storage": "1Gi", **wanted}
    (scaler,) = of_kind(found, "HorizontalPodAutoscaler")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (3, 7)
    (ingress,) = of_kind(found, "Ingress")
    assert ingress["spec"]["rules"][0]["host"] == "other.example.com"
    assert ingress["spec"]["tls"][0]["hosts"] == ["other.example.com"]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("minimal", {"image", "replicas", "resources"}),
        ("full", {"image", "replicas", "resources", "host"}),
        ("argo", set()),
    ],
)
def test_its_files(name: str, keys: set[str], tmp_path: Path) -> None:
    folder = chart(tmp_path, TEXTS[name])
    head, values = (yaml.safe_load((folder / each).read_text()) for each in ("Chart.yaml", "values.yaml"))
    assert head["apiVersion"] == "v2" and head["version"].startswith("0.0.0-spec-")
    assert head["appVersion"] and set(values) == keys
    texts = {path.name: path.read_text() for path in (folder / "templates").iterdir()}
    assert len(texts) == len(render(TEXTS[name]))
    assert {key for key in keys if f".Values.{key}" in "".join(texts.values())} == keys
    assert "value-of-the-chart" not in "".join(texts.values())
    # What is an expression of Argo is none of Helm's.
    if name == "argo":
        workflow = next(text for file, text in texts.items() if file.startswith("workflow-"))
        assert '{{ "{{" }}inputs.parameters.step}}' in workflow


def test_it_says_what_render_writes(tmp_path: Path) -> None:
    spec = str(folder_of(SPECS["minimal"]) / "spec.yaml")
    done = CliRunner().invoke(dml, ["deploy", spec, "--helm"])
    assert isinstance(done.exception, UsageError) and "add --render DIR" in str(done.exception.hint)
    arguments = ["deploy", spec, "--to", "systemd", "--render", str(tmp_path), "--helm"]
    done = CliRunner().invoke(dml, arguments)
    assert isinstance(done.exception, UsageError) and "no object" in str(done.exception)
