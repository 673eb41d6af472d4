"""The volume of the store, and how many pods of a service read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from deployed import of_kind, render

from declarative_ml.core.errors import SpecError
from declarative_ml.spec.load import load_spec

SPEC = """
name: guests
data: {source: {type: sample, name: iris}}
target: species
track: {register: guests}
deploy:
  image: registry.example.com/guests:1.4.0
  store: {size: 20Gi}
  serve: {model: store, replicas: 2}
"""


@pytest.mark.parametrize(
    ("before", "after", "access"),
    [
        ("", "", "ReadWriteMany"),
        ("replicas: 2", "replicas: {min: 1, max: 3}", "ReadWriteMany"),
        ("model: store", "model: registry@champion", "ReadWriteMany"),
        ("replicas: 2", "replicas: 1", "ReadWriteOnce"),
        ("20Gi", "20Gi, access: ReadOnlyMany", "ReadOnlyMany"),
    ],
)
def test_several_pods_read_it_from_several_nodes(before: str, after: str, access: str) -> None:
    (volume,) = of_kind(render(SPEC.replace(before, after)), "PersistentVolumeClaim")
    assert volume["spec"]["accessModes"] == [access]


def faults(text: str, folder: Path) -> list[tuple[str, str, str]]:
    (folder / "spec.yaml").write_text(text)
    try:
        found = load_spec(folder / "spec.yaml").problems
    except SpecError as error:
        found = error.problems
    return [(each.severity, each.code, each.path) for each in found]


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        ("", "", True),
        ("replicas: 2", "replicas: {min: 1, max: 3}", True),
        ("model: store", "model: registry@champion", True),  # without track.uri it lies in the store
        ("replicas: 2", "replicas: 1", False),
        ("model: store", "model: image", False),
        ("model: store", "to: docker-compose, model: store", False),
    ],
)
def test_a_volume_for_one_node(before: str, after: str, refused: bool, tmp_path: Path) -> None:
    text = SPEC.replace("size: 20Gi", "claim: guests, access: ReadWriteOnce").replace(before, after)
    fault = ("error", "DML162", "deploy.store.access")
    assert (fault in faults(text, tmp_path)) == refused


def test_the_ways_out_are_ways_out(tmp_path: Path) -> None:
    text = SPEC.replace("20Gi", "20Gi, access: ReadWriteOnce")
    assert faults(text, tmp_path) == [("error", "DML162", "deploy.store.access")]
    assert faults(text.replace("ReadWriteOnce", "ReadWriteMany"), tmp_path) == []
    registry = text.replace("register: guests", "register: guests, uri: https://mlflow.example.com")
    assert faults(registry.replace("model: store", "model: registry@champion"), tmp_path) == []
