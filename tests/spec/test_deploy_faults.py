"""What a target does not run or does not take is said."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pytest

from declarative_ml.api.deploy import parts_of
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.base import Deployer, Release, Rendered
from declarative_ml.spec.deploy_faults import deploy_faults
from declarative_ml.spec.document import Spec
from declarative_ml.spec.load import load_spec

SPEC = """
name: a
data: {source: /data/a.csv}
target: y
deploy:
  image: a.io/b:1
  serve: {replicas: 2, ingress: {host: a.b, ingress_class: nginx, tls_secret: t}}
  train: {volumes: {data: {claim: d, at: /data}}}
"""


class Shed(Deployer):
    """A target that runs the service without a way in from outside."""

    type: Literal["kubernetes"] = "kubernetes"
    serves: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = frozenset({"replicas", "volumes"})

    def render(self, release: Release) -> Rendered:
        """Nothing."""
        return Rendered()


def at_the_shed(path: Path) -> Spec:
    path.write_text(SPEC)
    spec = load_spec(path).spec
    deploy = spec.deploy
    assert deploy is not None and deploy.serve is not None and deploy.train is not None
    workloads = {name: getattr(deploy, name).model_copy(update={"to": Shed()}) for name in ("serve", "train")}
    return spec.model_copy(update={"deploy": deploy.model_copy(update=workloads)})


def test_what_a_target_does_not_have(tmp_path: Path) -> None:
    found = {fault.code: fault for fault in deploy_faults(at_the_shed(tmp_path / "spec.yaml"))}
    assert set(found) == {"DML161", "DML164"}
    assert found["DML161"].message == "deploy.serve.ingress has no effect: kubernetes has no such thing"
    assert found["DML161"].warning
    assert found["DML164"].message == "kubernetes does not run the training"


def test_a_section_for_images_alone(tmp_path: Path) -> None:
    """`dml package` builds on `deploy.base`; nothing is deployed, so no image has to be named."""
    (tmp_path / "spec.yaml").write_text(
        "name: a\ndata: {source: {type: sample, name: iris}}\ntarget: species\n"
        'deploy: {base: "docker.io/library/python:3.11-slim-bookworm"}\n'
    )
    loaded = load_spec(tmp_path / "spec.yaml")
    assert list(loaded.problems) == []
    with pytest.raises(UsageError, match="deploy names no image"):
        parts_of(loaded)
