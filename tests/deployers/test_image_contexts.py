from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.package import package, plan_libraries
from declarative_ml.api.planning import make_plan
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.core.errors import SpecError, UsageError
from declarative_ml.deployers.contexts.lock import lock_text, pins, serving_roots, training_roots
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.service import Serve

BASE = "registry.example.com/python:3.11@sha256:" + "a" * 64


@pytest.fixture(scope="module")
def trained(write_flowers: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    write_flowers(folder / "flowers.csv")
    sections = {
        "name": "flowers",
        "description": "Which kind of\nflower costs $5",
        "owner": "garden",
        "data": {"source": "flowers.csv"},
        "target": "kind",
        "model": "linear",
        "explain": False,
        "track": False,
        "serve": {"port": 9000},
    }
    (folder / "spec.yaml").write_text(json.dumps(sections))
    run_spec(load_spec(folder / "spec.yaml", data=True), RunOptions(listener=lambda event: None))
    return folder / "spec.yaml"


def listing(folder: Path) -> dict[str, tuple[bytes, float, int]]:
    """Name -> content, time and mode of every file."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mtime,
            path.stat().st_mode,
        )
        for path in folder.rglob("*")
    }


def test_contexts_hold_all_that_a_build_needs_and_equal_inputs_give_equal_bytes(
    trained: Path, tmp_path: Path
) -> None:
    first = package(str(trained), tmp_path / "one", base=BASE)
    old = os.umask(0o077)
    try:
        package(str(trained), tmp_path / "two", base=BASE)
    finally:
        os.umask(old)
    assert [context.path for context in first] == [tmp_path / "one/serve", tmp_path / "one/train"]
    assert listing(tmp_path / "one") == listing(tmp_path / "two")
    names = {path.name for path in (tmp_path / "one/serve").iterdir()}
    assert names == {".dockerignore", "Dockerfile", "model", "requirements.lock", "serve.json", "wheels"}
    names = {path.name for path in (tmp_path / "one/train").iterdir()}
    assert names == {".dockerignore", "Dockerfile", "requirements.lock", "spec.yaml", "wheels"}
    assert load_spec(tmp_path / "one/train/spec.yaml").spec.name == "flowers"


def test_the_serve_image_is_small_unprivileged_and_labelled(trained: Path, tmp_path: Path) -> None:
    package(str(trained), tmp_path / "image", images=["serve"], base=BASE)
    text = (tmp_path / "image/serve/Dockerfile").read_text()
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("FROM")] == [f"FROM {BASE} AS build", f"FROM {BASE}"]
    assert "USER 10001:10001" in lines and "STOPSIGNAL SIGTERM" in lines and "EXPOSE 9000" in lines
    assert "127.0.0.1:9000/readyz" in text and "COPY model /model" in lines
    assert lines[-2:] == ['ENTRYPOINT ["dml"]', 'CMD ["serve"]'] and "ENV DML_SERVE_MODEL=/model" in lines
    assert not {"gcc", "apt-get", "build-essential"} & set(text.split())
    assert 'LABEL "org.opencontainers.image.base.digest"="sha256:' + "a" * 64 in text
    assert 'image.description"="Which kind of flower costs \\$5"' in text
    assert 'image.authors"="garden"' in text and 'LABEL "declarative-ml.model-digest"="' in text
    options = Serve.model_validate_json((tmp_path / "image/serve/serve.json").read_bytes())
    assert options.port == 9000


def test_without_model_nothing_has_to_be_trained(flowers: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no finished run yet"):
        package(str(flowers()), tmp_path / "image")
    assert not (tmp_path / "image").exists()
    package(str(flowers()), tmp_path / "image", with_model=False)
    assert "VOLUME /model" in (tmp_path / "image/serve/Dockerfile").read_text()
    with pytest.raises(UsageError, match="exists already"):
        package(str(flowers()), tmp_path / "image", with_model=False)


def test_an_image_that_follows_the_registry(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: flowers\ndata: {source: {type: sample, name: iris}}\ntarget: species\n"
        "track: {register: flowers, uri: 'https://mlflow.example.com'}\nserve: {model: registry@champion}\n"
        "monitor: {apm: {url: 'https://apm.example.com'}, log: /log}\n"
    )
    package(str(spec), tmp_path / "image", images=["serve"], with_model=False)
    text = (tmp_path / "image/serve/Dockerfile").read_text()
    for line in (
        "DML_SERVE_MODEL=registry:flowers@champion", "DML_SERVE_WAIT=1",
        "MLFLOW_TRACKING_URI=https://mlflow.example.com",
    ):  # fmt: skip
        assert f"ENV {line}\n" in text
    options = json.loads((tmp_path / "image/serve/serve.json").read_text())
    assert options["monitor"]["apm"]["url"] == "https://apm.example.com"
    assert options["monitor"]["log"] is None  # an image has no place for it
    assert "elastic-apm==" in (tmp_path / "image/serve/requirements.lock").read_text()


def test_of_a_bundle_only_the_serve_image(trained: Path, tmp_path: Path) -> None:
    bundle = next(trained.parent.glob(".dml/runs/*/bundle"))
    (context,) = package(str(bundle), tmp_path / "image", base=BASE)
    assert context.image == "serve"
    assert (tmp_path / "image/serve/model/bundle.json").read_bytes() == (bundle / "bundle.json").read_bytes()


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("python", "has no tag"),
        ("registry:5000/python", "has no tag"),
        ("python:latest", "has the tag latest"),
        ("python@sha256:12", "is no name of an image"),
    ],
)
def test_a_base_has_to_say_which_version(base: str, message: str, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        package(str(trained), tmp_path / "image", base=base)
    with pytest.raises(SpecError) as caught:
        load_spec(trained, overrides=["deploy.image=r.example.com/flowers:1", f"deploy.base={base}"])
    (problem,) = caught.value.problems
    assert message in problem.message and problem.path == "deploy.base"


def test_the_base_of_the_spec_counts_and_deploy_stays_out_of_the_image(trained: Path, tmp_path: Path) -> None:
    overrides = ["deploy.image=r.example.com/flowers:1", f"deploy.base={BASE}"]
    package(str(trained), tmp_path / "image", images=["train"], overrides=overrides)
    assert (tmp_path / "image/train/Dockerfile").read_text().startswith(f"FROM {BASE} AS build")
    assert "deploy" not in (tmp_path / "image/train/spec.yaml").read_text()


def test_the_verb_prints_how_to_build(
    flowers: Callable[..., Path], dml: Callable[..., Any], tmp_path: Path
) -> None:
    spec, target = flowers(), tmp_path / "image"
    done = dml("package", spec, "-o", target, "--without-model", "--with", "pyarrow", "--base", BASE)
    assert done.code == 0 and f"docker build --tag NAME:serve {target}/serve" in done.out
    assert "pyarrow==" in (target / "serve/requirements.lock").read_text()
    done = dml("package", spec, "-o", tmp_path / "b", "--only", "train", "--format", "json")
    (found,) = json.loads(done.out)
    assert found["image"] == "train" and "lightgbm" in found["distributions"]
    assert found["base"].startswith(f"docker.io/library/python:3.{sys.version_info[1]}-slim")


def test_the_lock_for_training_has_what_the_plan_uses(flowers: Callable[..., Path]) -> None:
    def names(spec: Path) -> set[str]:
        return {pin.name for pin in pins(training_roots(plan_libraries(make_plan(load_spec(spec)))))}

    plain = names(flowers("a"))
    assert {"lightgbm", "pyarrow", "duckdb", "scipy"} <= plain
    assert not {"torch", "mlflow", "shap", "fastapi", "declarative-ml"} & plain
    full = names(flowers("b", model="mlp", track={}, explain={"method": "shap"}))
    assert {"torch", "mlflow", "shap", "matplotlib"} <= full


def test_the_lock_for_serving_has_no_library_of_training() -> None:
    names = {pin.name for pin in pins(serving_roots())}
    assert {"onnxruntime", "fastapi", "uvicorn", "uvloop"} <= names
    trainers = {"torch", "lightgbm", "scipy", "duckdb", "pyarrow", "onnx", "mlflow", "shap", "pandas"}
    assert not trainers & names
    assert "onnxruntime==" in lock_text(pins(["onnxruntime"]))
    with pytest.raises(UsageError, match="no-such-thing is not installed here"):
        pins(["no-such-thing"])


def test_what_a_package_does_without_here_is_not_in_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onnx-tf, which names requirements that nobody can install any more."""
    folder = tmp_path / "old_converter-1.10.0.dist-info"
    folder.mkdir()
    needs = "Requires-Dist: gone-for-good>=1\nRequires-Dist: packaging\n"
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: old-converter\nVersion: 1.10.0\n{needs}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [pin.name for pin in pins(["old-converter"])] == ["old-converter", "packaging"]


ONLY_LOCKED = """
import json, os, signal, sys, threading, time, urllib.request
from importlib.metadata import packages_distributions
bundle, port, locked, row = sys.argv[1], sys.argv[2], set(json.loads(sys.argv[3])), sys.argv[4]
owners = packages_distributions()

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        names = {owner.lower().replace("_", "-").replace(".", "-") for owner in owners.get(top, [])}
        if names and not names & (locked | {"declarative-ml", "setuptools"}):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())

def ask():
    address = f"http://127.0.0.1:{port}"
    for _ in range(200):
        time.sleep(0.1)
        try:
            urllib.request.urlopen(f"{address}/readyz").close()
            break
        except OSError:
            pass
    for path in ("predict", "explain"):
        request = urllib.request.Request(f"{address}/{path}", data=row.encode())
        request.add_header("content-type", "application/json")
        print(urllib.request.urlopen(request).read().decode())
    signal.raise_signal(signal.SIGTERM)

threading.Thread(target=ask, daemon=True).start()
from declarative_ml.cli import main
os.environ["DML_SERVE_MODEL"] = bundle  # as in the image
sys.argv = ["dml", "serve", "--port", port]
main()
"""


def test_a_bundle_is_served_with_the_locked_distributions_alone(trained: Path, tmp_path: Path) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bundle = next(trained.parent.glob(".dml/runs/*/bundle"))
    row = {"length": 1.0, "width": 0.5, "colour": "red", "seen": "2024-02-01", "wild": "yes"}
    locked = json.dumps([pin.name for pin in pins(serving_roots())])
    arguments = [str(bundle), str(port), locked, json.dumps({"rows": [row]})]
    done = subprocess.run(
        [sys.executable, "-c", ONLY_LOCKED, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    predicted, explained = map(json.loads, done.stdout.splitlines())
    assert predicted["predictions"][0]["prediction"] in ("a", "b", "c")
    assert "values" in explained["rows"][0]


@pytest.mark.slow
def test_the_wheel_installs_and_runs_without_a_compiler(flowers: Callable[..., Path], tmp_path: Path) -> None:
    package(str(flowers()), tmp_path / "image", with_model=False)
    (slim,) = (tmp_path / "image/serve/wheels").iterdir()
    assert slim.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(slim).namelist() if name.endswith((".so", ".pyx", ".c"))]
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile", "--quiet"]
    subprocess.run([*install, "--target", str(target), str(slim)], check=True, timeout=120)
    done = subprocess.run(
        [sys.executable, "-m", "declarative_ml", "template", "list"],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "tabular-binary" in done.stdout, done.stderr
    assert (target / "bin/dml").is_file()
