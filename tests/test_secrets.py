"""A value behind a Secret field is nowhere to be found after everything that dml does with a spec."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.spec.document import Spec
from declarative_ml.spec.secrets import _secrets_of
from declarative_ml.spec.shapes import branches_below

VALUE = "kingfisher"


@pytest.fixture
def database(tmp_path: Path, write_flowers: Callable[..., Path]) -> Path:
    """A database whose path holds the value, apart from the folder that is searched afterwards."""
    import csv

    folder = tmp_path / f"secret-{VALUE}-folder"
    folder.mkdir()
    table = write_flowers(folder / "flowers.csv")
    with sqlite3.connect(folder / "flowers.db") as connection, table.open() as stream:
        header, *lines = csv.reader(stream)
        connection.execute(f"CREATE TABLE flowers ({', '.join(header)})")
        connection.executemany("INSERT INTO flowers VALUES (?, ?, ?, ?, ?, ?)", lines)
    connection.close()
    return folder / "flowers.db"


def found_in(folder: Path) -> list[Path]:
    needles = (VALUE.encode(), VALUE.encode("utf-16-le"))
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [
        path
        for path in files
        if VALUE in str(path.relative_to(folder)) or any(n in path.read_bytes() for n in needles)
    ]


def test_every_secret_of_the_spec_is_known_here() -> None:
    """A new Secret field belongs into the test below."""
    secrets = {(model.__name__, name) for model in branches_below(Spec) for name in _secrets_of(model)}
    assert secrets == {
        ("SqlSource", "url"),
        ("RemoteSource", "token"),
        ("KafkaSource", "password"),
        ("IcebergSource", "token"),
        ("IcebergSource", "uri"),
        ("LabelStudioSource", "token"),
        ("SparkSource", "url"),
        ("SqlSink", "url"),
        ("KafkaSink", "password"),
        ("Webhook", "url"),
        ("Webhook", "secret"),
        ("Serve", "token"),
        ("Serve", "registry_token"),
        ("Apm", "token"),
        ("Apm", "api_key"),
    }


@pytest.mark.parametrize("reference", ["${env:DML_TEST_URL}", "${file:../vault/url}"])
def test_a_secret_is_nowhere(
    reference: str,
    database: Path,
    tmp_path: Path,
    dml: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work, vault = tmp_path / "work", tmp_path / "vault"
    work.mkdir()
    vault.mkdir()
    url = f"sqlite:///{database}"
    (vault / "url").write_text(f"{url}\n")
    if reference.startswith("${env:"):
        monkeypatch.setenv("DML_TEST_URL", url)
    monkeypatch.chdir(work)
    source = {"type": "sql", "url": reference, "query": "SELECT * FROM flowers"}
    spec: dict[str, Any] = {
        "name": "flowers",
        "data": {"source": source},
        "target": "kind",
        "model": "linear",
        "serve": {"token": "${env:DML_TEST_TOKEN}", "registry_token": "${env:DML_TEST_REGISTRY_TOKEN}"},
        "monitor": {
            "apm": {"url": "https://apm.example.com", "api_key": "${env:DML_TEST_TOKEN}"},
            "drift": {"webhook": {"url": "${env:DML_TEST_HOOK}", "secret": "${env:DML_TEST_TOKEN}"}},
        },
    }
    monkeypatch.setenv("DML_TEST_TOKEN", f"token-{VALUE}")
    monkeypatch.setenv("DML_TEST_HOOK", f"https://hooks.example.com/{VALUE}")
    monkeypatch.setenv("DML_TEST_REGISTRY_TOKEN", f"registry-{VALUE}")
    spec["explain"] = {"rows": 5, "background": 5}
    Path("spec.yaml").write_text(json.dumps(spec))
    Path("other.yaml").write_text(json.dumps({**spec, "seed": 7}))
    rows = database.with_name("flowers.csv")
    said = []

    def call(*argv: object, code: int = 0) -> None:
        outcome = dml(*argv)
        assert outcome.code == code, outcome.err
        said.append(outcome.out + outcome.err)

    call("validate", "spec.yaml", "--data")
    call("validate", "spec.yaml", "--data", "--format", "sarif")
    call("plan", "spec.yaml")
    call("plan", "spec.yaml", "-o", "plan.json")
    call("run", "spec.yaml")
    call("run", "spec.yaml", "--format", "json")
    for form in ("text", "json"):
        call("explain", "spec.yaml", "--origin", "--format", form)
        call("explain", "spec.yaml", "--format", form)
        call("runs", "--format", form)
        call("diff", "spec.yaml", "other.yaml", "--format", form, code=8)
    call("evaluate", "spec.yaml", rows)
    call("predict", "spec.yaml", rows, "-o", "predictions.csv")
    call("why", "acquire.source")
    call("doctor")
    call("run", "spec.yaml", "--set", "data.source.query=SELECT nope FROM flowers", code=5)
    call("validate", "spec.yaml", "--data", "--set", "target=nope", code=3)
    (vault / "url").write_text(f"sqlite:///{database}-{VALUE}-gone")
    monkeypatch.setenv("DML_TEST_URL", f"sqlite:///{database}-{VALUE}-gone")
    call("run", "spec.yaml", code=5)
    call("validate", "spec.yaml", f"--set=data.source.url={url}", code=3)
    outputs = "\n".join(said).replace(str(rows), "")
    assert VALUE not in outputs, [line for line in outputs.splitlines() if VALUE in line]
    assert found_in(work) == []
    assert any(path.name == "mlflow.db" for path in work.rglob("*"))


def test_the_search_itself_finds_the_value(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x00" + VALUE.encode())
    (tmp_path / "b").write_text("nothing")
    assert found_in(tmp_path) == [tmp_path / "a"]


def test_a_secret_in_clear_is_refused_and_not_shown(dml: Callable[..., Any], tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: a\ntarget: b\ndata:\n"
        f"  source: {{typ: sql, type: sql, url: 'postgresql://me:{VALUE}@db/x', quer: y}}\n"
    )
    outcome = dml("validate", spec)
    assert outcome.code == 3
    assert "data.source.url is a secret, and is given in clear" in outcome.out
    assert "DML026" in outcome.out
    assert "unknown key 'quer'" in outcome.out
    assert VALUE not in outcome.out + outcome.err


def test_what_a_template_gave_in_clear_is_not_shown(dml: Callable[..., Any], tmp_path: Path) -> None:
    source = {"type": "sql", "url": f"postgresql://me:{VALUE}@db/x", "query": "SELECT 1"}
    (tmp_path / "base.yaml").write_text(json.dumps({"data": {"source": source}, "target": "y"}))
    mine = {"extends": "./base.yaml", "name": "a", "data": {"source": {"url": "${env:DML_TEST_URL}"}}}
    (tmp_path / "spec.yaml").write_text(json.dumps(mine))
    for form in ("text", "json"):
        outcome = dml("explain", tmp_path / "spec.yaml", "--origin", "--format", form)
        assert outcome.code == 0, outcome.err
        assert "***" in outcome.out
        assert VALUE not in outcome.out + outcome.err
