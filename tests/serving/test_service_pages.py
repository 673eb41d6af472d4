"""What the service sends to browsers, and what /models tells; not how that looks."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service_client import Client

import declarative_ml.report
import declarative_ml.serving
from declarative_ml.store.bundle import Bundle


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_allows_itself_and_nothing_else(stays: Client, path: str) -> None:
    reply = stays.get(path)
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(item.split(" ", 1) for item in reply.headers["content-security-policy"].split("; "))
    text = reply.body.decode()
    for kind in ("style", "script"):
        [inside] = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert policy[f"{kind}-src"] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert set(re.findall(r"https?://[^\s'\"<>)]+", text)) == {"http://www.w3.org/2000/svg"}
    assert " style=" not in text and " onclick" not in text and "{{" not in text
    assert "innerHTML" not in text and "eval(" not in text


def test_with_a_token_the_pages_are_open_and_empty(client_of: Callable[..., Client]) -> None:
    client = client_of("stays", token="hush")
    for path in ("/", "/docs"):
        reply = client.get(path)
        assert reply.status == 200
        assert b'data-token="required"' in reply.body
        assert b"guests" not in reply.body and b"town" not in reply.body and b"hush" not in reply.body
    assert client.get("/models").status == 401
    assert client.get("/models", authorization="Bearer hush").status == 200


def test_what_a_model_tells_of_itself(stays: Client, bundle_of: Callable[[str], Bundle]) -> None:
    [model] = stays.get("/models").json["models"]
    manifest = bundle_of("stays").manifest
    assert (model["name"], model["target"], model["classes"]) == ("guests-stays", "stays", ["no", "yes"])
    assert (model["digest"], model["paths"]["predict"]) == (manifest.model_digest, "predict")
    assert model["data"]["rows"] == bundle_of("stays").reference()["columns"]["age"]["rows"]
    assert model["data"]["source"] == ["guests.csv"]
    part = model["part"]
    assert {score["name"]: score["value"] for score in model["metrics"]} == manifest.metrics[part]
    assert [score["primary"] for score in model["metrics"]][:2] == [True, False]
    fields = {field["name"]: field for field in model["inputs"]}
    assert {name: field["kind"] for name, field in fields.items()} == {
        "age": "number", "fare": "number", "town": "choice", "member": "choice", "seen": "date",
    }  # fmt: skip
    assert sorted(fields["town"]["levels"]) == ["Köln", "Oslo", "Rome"]
    assert len(fields["age"]["edges"]) == len(fields["age"]["counts"]) + 1


def test_values_to_begin_with_are_typical_and_accepted(client_of: Callable[..., Client]) -> None:
    client = client_of("stays", "kind", "spent")
    for model in client.get("/models").json["models"]:
        example = model["example"]
        assert client.post(f"/{model['paths']['predict']}", {"rows": [example]}).status == 200
        town = next(field for field in model["inputs"] if field["name"] == "town")
        assert example["town"] == town["levels"][town["counts"].index(max(town["counts"]))]
        assert model["paths"]["explain"] == f"models/{model['name']}/explain"


def test_no_row_of_the_training_data_is_told(stays: Client, bundle_of: Callable[[str], Bundle]) -> None:
    background = bundle_of("stays").reference()["background"]
    assert len(background["age"]) > 20
    text = stays.get("/models").body.decode()
    edges = {
        edge
        for column in bundle_of("stays").reference()["columns"].values()
        for edge in column.get("edges", [])
    }
    told = set(map(float, re.findall(r"-?\d+(?:\.\d+)?", text)))
    fares = {round(float(value), 2) for value in background["fare"]} - {round(edge, 2) for edge in edges}
    assert len(fares & {round(value, 2) for value in told}) < 0.2 * len(fares)


def test_a_bundle_without_reference_and_metrics_still_has_a_page(
    client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of("stays")
    model = client.application.service.first
    few = model.manifest.model_copy(update={"metrics": {}, "files": {"model.onnx": ""}})
    monkeypatch.setattr(model, "manifest", few)
    monkeypatch.setattr(model, "bundle", Bundle(model.bundle.path, few))
    [found] = client.get("/models").json["models"]
    assert (found["metrics"], found["part"], found["data"]["rows"]) == ([], None, None)
    assert {field["kind"] for field in found["inputs"]} == {"number", "choice", "date"}


def test_the_document_describes_its_routes_in_words_for_clients(stays: Client) -> None:
    document = stays.get("/openapi.json").json
    assert {"/models", "/metrics", "/predict"} <= document["paths"].keys()
    assert not {"/", "/docs", "/openapi.json"} & document["paths"].keys()
    assert "$ref" not in json.dumps(document), "the page at /docs follows no references"
    assert all(
        operation["summary"] and "description" not in operation and "parameters" not in operation
        for methods in document["paths"].values()
        for operation in methods.values()
    )


def colours(style: Path) -> list[str]:
    return re.findall(r"--[\w-]+: #\w+", style.read_text(encoding="utf-8"))


def test_report_and_service_have_the_same_colours() -> None:
    report = Path(declarative_ml.report.__file__).parent / "templates" / "style.css"
    service = Path(declarative_ml.serving.__file__).parent / "pages" / "style.css"
    assert colours(report) == colours(service)
    assert len(colours(service)) == 24


def test_every_part_of_the_pages_is_used(stays: Client) -> None:
    sent = stays.get("/").body.decode() + stays.get("/docs").body.decode()
    folder = Path(declarative_ml.serving.__file__).parent / "pages"
    parts: list[Any] = [path for path in folder.iterdir() if path.suffix in (".js", ".css")]
    assert len(parts) == 8
    assert all(path.read_text(encoding="utf-8") in sent for path in parts)
