"""Versions in the registry, read as a service reads them: without MLflow."""

from __future__ import annotations

import http.server
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fleet_models import promote, register, write_model

from declarative_ml.core.errors import DataError, DmlError, UsageError
from declarative_ml.core.secret import Secret
from declarative_ml.store.bundle import Bundle
from declarative_ml.trackers.registry_name import RegistryName, read_registry_name
from declarative_ml.trackers.registry_reading import RegistryPlace, fetch

pytest.importorskip("mlflow")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("registry:churn@champion", RegistryName("churn", "champion")),
        ("registry:churn", RegistryName("churn", "champion")),
        ("registry:churn/3", RegistryName("churn", None, 3)),
        ("registry@challenger", RegistryName(None, "challenger")),
        ("registry/12", RegistryName(None, None, 12)),
        ("registry", None),
        ("registry.bundle", None),
        ("registry:churn/0", None),
        ("registry:churn/three", None),
        ("registry:a/b@c", None),
        ("models/registry:churn", None),
    ],
)
def test_how_a_version_is_written(text: str, found: RegistryName | None) -> None:
    assert read_registry_name(text) == found
    if found is not None:
        assert read_registry_name(str(found)) == found


@dataclass
class Shelf:
    place: RegistryPlace
    bundles: list[Bundle]
    artifacts: Path
    cache: Path
    uri: str | None = None
    name: str = "guests"

    def champion(self) -> RegistryName:
        return RegistryName(self.name)

    def fetched(self) -> Bundle:
        registry = self.place.open()
        return fetch(registry, registry.find(self.champion()), self.cache)

    def artifact(self, name: str, bundle: Bundle) -> Path:
        """A file of a bundle where the registry keeps it."""
        content = (bundle.path / name).read_bytes()
        return next(path for path in self.artifacts.rglob(name) if path.read_bytes() == content)


@pytest.fixture(params=["sqlite", pytest.param("server", marks=pytest.mark.slow)])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    workspace = tmp_path / ".dml"
    uri, artifacts = None, workspace
    if request.param == "server":
        uri = request.getfixturevalue("mlflow_server")
        artifacts = next(request.getfixturevalue("tmp_path_factory").getbasetemp().glob("server*"))
    name = "guests-" + re.sub(r"\W+", "-", request.node.name)
    bundles = [write_model(tmp_path / str(slope), slope, name=name) for slope in (0.5, -0.25)]
    for bundle in bundles:
        register(workspace, bundle, uri=uri, name=name)
    promote(workspace, 1, uri=uri, name=name)
    return Shelf(RegistryPlace(workspace, uri), bundles, artifacts, tmp_path / "cache", uri, name)


def test_the_champion_comes_byte_for_byte(shelf: Shelf) -> None:
    found = shelf.fetched()
    assert found.manifest == shelf.bundles[0].manifest
    for name in found.manifest.files:
        assert found.read(name) == shelf.bundles[0].read(name)
    promote(shelf.place.workspace, 2, uri=shelf.uri, name=shelf.name)
    assert shelf.fetched().manifest.model_digest == shelf.bundles[1].manifest.model_digest
    registry = shelf.place.open()
    first = registry.find(RegistryName(shelf.name, None, 1))
    assert (first.version, first.model_digest) == (1, shelf.bundles[0].manifest.model_digest)
    assert fetch(registry, first, shelf.cache).path == found.path
    assert sorted(path.name for path in shelf.cache.iterdir() if path.name.startswith(".")) == []


def test_what_is_not_there_is_told(shelf: Shelf) -> None:
    registry = shelf.place.open()
    with pytest.raises(UsageError, match=f"has no model '{shelf.name}' with alias 'production'"):
        registry.find(RegistryName(shelf.name, "production"))
    with pytest.raises(UsageError, match=f"has no model '{shelf.name}' with version 9"):
        registry.find(RegistryName(shelf.name, None, 9))
    with pytest.raises(UsageError, match="has no model 'nobody'"):
        registry.find(RegistryName("nobody"))


@pytest.mark.parametrize("name", ["model.onnx", "reference.json"])
def test_changed_artifacts_are_refused(shelf: Shelf, name: str) -> None:
    place = shelf.artifact(name, shelf.bundles[0])
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with pytest.raises(DataError, match=f"version 1 of {shelf.name}: {name} does not match its digest"):
        shelf.fetched()
    place.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"{name} does not match its digest"):
        shelf.fetched()
    assert list(shelf.cache.iterdir()) == []


def test_another_bundle_behind_a_version_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", 3.0, name=shelf.name)
    wrong = {"dml.model_digest": "0" * 64}
    version = register(shelf.place.workspace, other, uri=shelf.uri, name=shelf.name, **wrong).version
    promote(shelf.place.workspace, version, uri=shelf.uri, name=shelf.name)
    with pytest.raises(DataError, match=f"version {version} of {shelf.name} has the model digest 0000"):
        shelf.fetched()


def test_a_damaged_copy_is_fetched_again(shelf: Shelf) -> None:
    found = shelf.fetched()
    (found.path / "model.onnx").write_bytes(b"nonsense")
    assert shelf.fetched().read("model.onnx") == shelf.bundles[0].read("model.onnx")


def test_a_version_without_a_bundle(shelf: Shelf) -> None:
    shelf.artifact("bundle.json", shelf.bundles[0]).unlink()
    with pytest.raises(DataError, match=f"version 1 of {shelf.name} holds no bundle"):
        shelf.fetched()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://ada:hush-hush@127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(DmlError, match="does not answer") as error:
            RegistryPlace(tmp_path, uri).open().find(RegistryName("guests"))
    assert "hush" not in str(error.value)


def test_other_stores_need_mlflow(tmp_path: Path) -> None:
    with pytest.raises(DmlError, match=r"cannot read the registry postgresql://ada:\*\*\*@db/mlflow"):
        RegistryPlace(tmp_path, "postgresql://ada:hush@db/mlflow").open()


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[str | None]]]:
    """A server that wants a token, and sends whoever has one elsewhere."""
    seen: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("authorization")
            seen.append(given)
            self.send_response(302 if given == "Bearer hush-hush" else 401)
            self.send_header("location", f"http://localhost:{self.server.server_address[1]}/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_token_goes_to_the_server_alone(
    gateway: tuple[str, list[str | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, seen = gateway
    monkeypatch.setenv("THE_TOKEN", "hush-hush")
    place = RegistryPlace(tmp_path, uri, Secret("${env:THE_TOKEN}"))
    with pytest.raises(DmlError, match="answers 302") as error:
        place.open().find(RegistryName("guests"))
    assert seen == ["Bearer hush-hush"]
    assert "hush" not in str(error.value)
    assert "hush" not in repr(place)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(DmlError, match=r"refuses the credentials \(401\)"):
        RegistryPlace(tmp_path, uri).open().find(RegistryName("guests"))
    assert seen[1] == "Basic YWRhOndyb25n"
