"""`dml deploy --render DIR`: a base and variants that kubectl's kustomize reads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from deployed import DATA, IMAGE, Object

from declarative_ml.api.deploy import load, objects_of, parts_of
from declarative_ml.cli import dml

SPEC = f"""
name: churn
{DATA}
target: Churn
deploy:
  image: {IMAGE}
  namespace: ml
  serve: {{replicas: 2}}
profiles:
  small: {{deploy: {{serve: {{replicas: 1, pod: {{nodeSelector: {{disk: ssd}}}}}}}}}}
  prod:
    serve: {{max_rows: 5}}
    deploy: {{namespace: ml-prod, image: "{IMAGE}-prod", serve: {{replicas: {{min: 2, max: 9}}}}}}
  other: {{seed: 7}}
"""


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    arguments = ["deploy", str(tmp_path / "spec.yaml"), "--render", str(tmp_path / "out"), "--quiet"]
    assert CliRunner().invoke(dml, arguments, catch_exceptions=False).exit_code == 0
    return tmp_path


def test_a_base_and_what_differs(rendered: Path) -> None:
    base = rendered / "out" / "base"
    listed = yaml.safe_load((base / "kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(path.name for path in base.iterdir())
    assert "deployment-churn.yaml" in listed
    small = (rendered / "out" / "overlays" / "small" / "kustomization.yaml").read_text()
    assert "path: /spec/replicas" in small and "$patch" in small  # the budget of a single pod goes


def test_rendering_again_gives_the_same_bytes(rendered: Path) -> None:
    before = {path: path.read_bytes() for path in (rendered / "out").rglob("*.yaml")}
    arguments = ["deploy", str(rendered / "spec.yaml"), "--render", str(rendered / "out"), "--quiet"]
    CliRunner().invoke(dml, arguments, catch_exceptions=False)
    assert before == {path: path.read_bytes() for path in (rendered / "out").rglob("*.yaml")}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("profile", [None, "small", "prod"])
def test_kustomize_makes_what_dml_renders(rendered: Path, profile: str | None) -> None:
    folder = rendered / "out" / ("base" if profile is None else f"overlays/{profile}")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = objects_of(parts_of(load(rendered / "spec.yaml", profile=profile)))
    assert by_name([*yaml.safe_load_all(done.stdout)]) == by_name(wanted)


def by_name(objects: list[Object]) -> list[Object]:
    return sorted(objects, key=lambda each: (each["kind"], each["metadata"]["name"]))
