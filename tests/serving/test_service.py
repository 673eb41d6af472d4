from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from service_client import Client

from declarative_ml.scoring.scorer import Scorer
from declarative_ml.serving.exchange import Limits
from declarative_ml.serving.model import ServedModel
from declarative_ml.store.bundle import Bundle

ARROW = "application/vnd.apache.arrow.stream"


def stream_of(rows: list[dict[str, Any]], **options: Any) -> bytes:
    table = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("target", ["stays", "kind", "spent"])
def test_rows_get_what_the_scorer_says(
    client_of: Callable[..., Client],
    bundle_of: Callable[[str], Bundle],
    rows: list[dict[str, Any]],
    target: str,
) -> None:
    reply = client_of(target).post("/predict", {"rows": rows})
    assert reply.status == 200
    manifest = bundle_of(target).manifest
    assert reply.json["model"] == {"name": manifest.name, "version": manifest.model_digest[:12]}
    expected = Scorer(bundle_of(target)).predict_rows(rows)
    found = reply.json["predictions"]
    assert [item["prediction"] for item in found] == expected.prediction.tolist()
    if expected.probabilities is not None:
        assert [list(item["probabilities"].values()) for item in found] == expected.probabilities.tolist()
        assert list(found[0]["probabilities"]) == list(manifest.task.classes)
    else:
        assert expected.lower is not None
        assert [item["lower"] for item in found] == expected.lower.tolist()


def test_labels_are_what_the_table_held(client_of: Callable[..., Client], row: dict[str, Any]) -> None:
    assert client_of("kind").post("/predict", {"rows": [row]}).json["predictions"][0]["prediction"] in (
        1,
        2,
        3,
    )


def test_columns_csv_and_arrow_say_the_same(stays: Client, rows: list[dict[str, Any]]) -> None:
    rows = rows[:30]
    wanted = [
        item["probabilities"]["yes"] for item in stays.post("/predict", {"rows": rows}).json["predictions"]
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert stays.post("/predict", {"columns": columns}).json["columns"]["probability"] == wanted
    reply = stays.post("/predict", stream_of(rows), content_type=ARROW)
    assert reply.headers["content-type"] == ARROW
    assert pa.ipc.open_stream(reply.body).read_all()["probability"].to_pylist() == pytest.approx(wanted)
    lines = [
        ",".join(rows[0]),
        *(",".join("" if v is None else str(v) for v in row.values()) for row in rows),
    ]
    reply = stays.post("/predict", "\n".join(lines).encode(), content_type="text/csv; charset=utf-8")
    table = np.genfromtxt(io.BytesIO(reply.body), delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert table["probability"].tolist() == pytest.approx(wanted)


def test_requests_at_once_are_one_batch_and_get_their_own_answers(
    stays: Client, runner: asyncio.Runner, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    model: ServedModel = stays.application.service.first
    run = model.scorer.run
    monkeypatch.setattr(model.scorer, "run", lambda feed: sizes.append(len(feed["age"])) or run(feed))

    async def together() -> list[Any]:
        asked = [stays.send("POST", "/predict", {"rows": [row]}) for row in rows[:40]]
        return list(await asyncio.gather(*asked))

    replies = runner.run(together())
    assert sizes == [40]
    alone = [stays.post("/predict", {"rows": [row]}).json["predictions"][0] for row in rows[:40]]
    for reply, one in zip(replies, alone, strict=True):
        assert reply.json["predictions"][0]["probabilities"] == pytest.approx(one["probabilities"])


def test_a_bad_request_does_not_spoil_those_that_are_scored_with_it(
    stays: Client, runner: asyncio.Runner, rows: list[dict[str, Any]]
) -> None:
    few = [rows[place : place + 1 + place % 3] for place in range(12)]
    bodies: list[Any] = [{"rows": some} for some in few]
    bodies[3] = {"rows": [{**rows[3], "age": "old"}]}
    bodies[5] = {"rows": [{"age": 1}]}
    bodies[7] = {"columns": {name: [row[name] for row in few[7]] for name in rows[0]}}
    bodies[9] = {"rows": [[]]}

    async def together() -> list[Any]:
        return list(await asyncio.gather(*(stays.send("POST", "/predict", body) for body in bodies)))

    replies = runner.run(together())
    assert [reply.status for reply in replies] == [422 if place in (3, 5, 9) else 200 for place in range(12)]
    assert "column 'age', row 1: 'old'" in replies[3].json["error"]
    assert "row 1 lacks" in replies[5].json["error"]
    assert "row 1 is []" in replies[9].json["error"]
    for place, some in enumerate(few):
        if place not in (3, 5, 7, 9):
            wanted = stays.post("/predict", {"rows": some}).json["predictions"]
            for left, right in zip(replies[place].json["predictions"], wanted, strict=True):
                assert left["probabilities"] == pytest.approx(right["probabilities"], abs=1e-6)
    alone = stays.post("/predict", bodies[7]).json["columns"]["probability"]
    assert replies[7].json["columns"]["probability"] == pytest.approx(alone, abs=1e-6)


def test_many_rows_are_answered_aside_as_few_are(stays: Client, rows: list[dict[str, Any]]) -> None:
    many = stays.post("/predict", {"rows": rows * 4}).json["predictions"]
    few = stays.post("/predict", {"rows": rows[:3]}).json["predictions"]
    assert len(many) == 4 * len(rows)
    for left, right in zip(many, few, strict=False):
        assert left["probabilities"] == pytest.approx(right["probabilities"], abs=1e-6)


WRONG: dict[str, tuple[Any, int, str]] = {
    "no json": (b"{", 400, "the body is not JSON"),
    "nothing": (b"", 400, "the body is not JSON"),
    "a list": ([], 400, "not an object with 'rows' or 'columns'"),
    "both": ({"rows": [], "columns": {}}, 400, "not an object with 'rows' or 'columns'"),
    "no rows": ({"rows": []}, 422, "there are no rows"),
    "rows is null": ({"rows": None}, 400, "'rows' is not a list of objects"),
    "a row is a list": ({"rows": [[1, 2]]}, 422, "row 1 is [1, 2], not an object"),
    "a row is null": ({"rows": [None]}, 422, "row 1 is None, not an object"),
    "NaN": (b'{"rows": [{"age": NaN}]}', 400, "the body is not JSON"),
    "1e999": (b'{"rows": [{"age": 1e999}]}', 400, "the body is not JSON"),
    "too deep": (b'{"rows": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400, "the body is not JSON"),
    "half a character": (b'{"rows": [{"town": "\\ud800"}]}', 400, "the body is not JSON"),
    "no UTF-8": (b'{"rows": [{"town": "\xff"}]}', 400, "the body is not JSON"),
    "unequal columns": ({"columns": {"age": [1], "fare": []}}, 422, "unequal numbers of rows"),
    "columns of one value": ({"columns": {"age": 1}}, 400, "'columns' is not an object of lists"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_body_gets_a_reason(stays: Client, name: str) -> None:
    body, status, said = WRONG[name]
    reply = stays.post("/predict", body)
    assert reply.status == status
    assert said in reply.json["error"]


VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "a word for a number": ({"age": "old"}, "column 'age', row 1: 'old' is not a number"),
    "an object": ({"age": {}}, "column 'age', row 1: {} is not a number"),
    "a list for a text": ({"town": ["Oslo"]}, "column 'town', row 1: ['Oslo'] is not text"),
    "a huge whole number": ({"age": 10**400}, "column 'age', row 1: 1000000000"),
    "no date": ({"seen": "yesterday"}, "column 'seen', row 1: 'yesterday' is not a date"),
    "an unknown column": ({"agee": 3}, "columns that the model does not take: 'agee'"),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_does_not_fit_is_named(stays: Client, row: dict[str, Any], name: str) -> None:
    change, said = VALUES[name]
    reply = stays.post("/predict", {"rows": [{**row, **change}]})
    assert reply.status in (400, 422)
    assert said in reply.json["error"]


def test_a_column_that_lacks_is_named(stays: Client, row: dict[str, Any]) -> None:
    reply = stays.post("/predict", {"rows": [{name: value for name, value in row.items() if name != "age"}]})
    assert (reply.status, reply.json["error"]) == (422, "row 1 lacks the column(s) 'age'")


ODD: dict[str, dict[str, Any]] = {
    "a number in a text": {"age": " 41.5 "},
    "a truth value for a number": {"age": True},
    "a number for a text": {"town": 12},
    "an unseen town": {"town": "Atlantis"},
    "a control character": {"town": "a\u0000b"},
    "emoji": {"town": "🏝️"},
    "a spelling of missing": {"age": "NA", "town": "?"},
    "the largest float": {"age": 1.7e308},
    "nothing known": dict.fromkeys(["age", "fare", "town", "member", "seen"]),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_are_read_as_dml_predict_reads_them(
    stays: Client, bundle_of: Callable[[str], Bundle], row: dict[str, Any], name: str
) -> None:
    odd = {**row, **ODD[name]}
    reply = stays.post("/predict", {"rows": [odd]})
    assert reply.status == 200
    expected = Scorer(bundle_of("stays")).predict_rows([odd])
    assert expected.probabilities is not None
    found = list(reply.json["predictions"][0]["probabilities"].values())
    assert found == pytest.approx(expected.probabilities[0].tolist())


ARROWS: dict[str, tuple[Callable[[list[dict[str, Any]]], bytes], int, str]] = {
    "no stream": (lambda rows: b"hello", 400, "not an Arrow stream"),
    "cut off": (lambda rows: stream_of(rows)[:-200], 400, "not an Arrow stream"),
    "compressed": (lambda rows: stream_of(rows * 50, compression="zstd"), 415, "compressed buffers"),
    "no rows": (lambda rows: stream_of(rows)[: len(stream_of(rows[:1]))], 400, "not an Arrow stream"),
}


@pytest.mark.parametrize("name", ARROWS)
def test_a_wrong_stream_gets_a_reason(stays: Client, rows: list[dict[str, Any]], name: str) -> None:
    make, status, said = ARROWS[name]
    reply = stays.post("/predict", make(rows[:20]), content_type=ARROW)
    assert reply.status == status
    assert said in reply.json["error"]


def test_limits(client_of: Callable[..., Client], rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
    small = client_of("stays", limits=Limits(body_bytes=2048, rows=3, waiting=0))
    assert small.post("/predict", {"rows": [row]}).status == 503
    assert small.post("/predict", {"rows": [row]}).headers["retry-after"] == "1"
    assert small.get("/healthz").status == 200
    small.application.service.limits = Limits(body_bytes=2048, rows=3, waiting=1)
    assert small.post("/predict", {"rows": [row]}).status == 200
    assert small.post("/predict", {"rows": rows[:4]}).status == 413
    assert small.post("/predict", {"rows": rows}).status == 413
    part = json.dumps({"rows": rows}).encode()
    chunked = small.ask("POST", "/predict", parts=[part[:1000], part[1000:3000], part[3000:]])
    assert chunked.status == 413
    assert small.ask("POST", "/predict", headers={"content-length": "99999999999999"}).status == 413
    assert small.ask("POST", "/predict", headers={"content-length": "-1"}).status == 413
    assert small.post("/predict", b"\x1f\x8b", content_encoding="gzip").status == 415
    assert small.post("/predict", b"<xml/>", content_type="application/xml").status == 415


def test_long_bodies_share_the_memory(
    client_of: Callable[..., Client], runner: asyncio.Runner, rows: list[dict[str, Any]]
) -> None:
    client = client_of("stays", limits=Limits(held_bytes=50_000))
    body = json.dumps({"rows": rows}).encode()
    parts = [body[place : place + 4000] for place in range(0, len(body), 4000)]
    assert 15_000 < len(body) < 45_000

    async def together(count: int) -> list[Any]:
        asked = [client.send("POST", "/predict", parts=list(parts)) for _ in range(count)]
        return list(await asyncio.gather(*asked))

    replies = runner.run(together(8))
    found = {reply.status for reply in replies}
    assert found == {200, 503}
    assert all("retry-after" in reply.headers for reply in replies if reply.status == 503)
    assert client.application.service.held == 0
    assert [reply.status for reply in runner.run(together(1))] == [200]


TOKENS: dict[str, tuple[dict[str, str], int]] = {
    "none": ({}, 401),
    "wrong": ({"authorization": "Bearer no"}, 401),
    "not ASCII": ({"authorization": "Bearer gehéim"}, 401),
    "another kind": ({"authorization": "Basic c2VjcmV0"}, 401),
    "bearer": ({"authorization": "bearer  secret"}, 200),
    "key": ({"x-api-key": "secret"}, 200),
}


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_is_asked_for(client_of: Callable[..., Client], row: dict[str, Any], name: str) -> None:
    headers, status = TOKENS[name]
    client = client_of("stays", token="secret")
    reply = client.ask("POST", "/predict", {"rows": [row]}, headers)
    assert reply.status == status
    assert client.ask("GET", "/metrics", headers=headers).status == status
    assert client.ask("GET", "/openapi.json", headers=headers).status == status
    assert client.get("/healthz").status == client.get("/v2/health/live").status == 200


def test_a_service_that_stops_says_so(client_of: Callable[..., Client], row: dict[str, Any]) -> None:
    client = client_of("stays")
    assert client.get("/readyz").status == 200
    client.application.service.draining = True
    for path in ("/readyz", "/ping", "/v2/health/ready"):
        assert client.get(path).status == 503
    assert client.get("/healthz").status == 200
    reply = client.post("/predict", {"rows": [row]})
    assert (reply.status, reply.headers["connection"]) == (200, "close")


def test_unknown_paths_and_methods(stays: Client) -> None:
    assert stays.get("/nowhere").json == {"error": "Not Found"}
    assert stays.get("/predict").status == 405
    assert stays.ask("POST", "/%2e%2e/etc/passwd").status == 404


def test_clouds(stays: Client, row: dict[str, Any]) -> None:
    wanted = stays.post("/predict", {"rows": [row]}).json["predictions"]
    assert stays.get("/ping").status == 200
    assert stays.post("/invocations", {"rows": [row]}).json["predictions"] == wanted
    assert stays.post("/vertex/predict", {"instances": [row]}).json["predictions"] == wanted
    assert stays.post("/vertex/predict", {"instances": 3}).status == 400


def test_explanations_add_up(stays: Client, rows: list[dict[str, Any]]) -> None:
    found = stays.post("/explain", {"rows": rows[:3]}).json["rows"]
    for item in found:
        assert item["base"] + sum(item["values"].values()) == pytest.approx(item["prediction"], abs=1e-6)
    assert stays.post("/explain", {"rows": rows[:21]}).status == 413
    assert stays.post("/explain", {"row": 1}).status == 400


def test_metrics_count_requests_and_rows(
    client_of: Callable[..., Client], rows: list[dict[str, Any]]
) -> None:
    client = client_of("stays")
    client.post("/predict", {"rows": rows[:7]})
    client.post("/predict", b"{")
    text = client.get("/metrics").body.decode()
    assert 'dml_requests_total{route="/predict",status="200"} 1.0' in text
    assert 'dml_requests_total{route="/predict",status="400"} 1.0' in text
    assert 'dml_rows_total{model="guests-stays"} 7.0' in text


def test_several_models_have_paths_of_their_own(
    client_of: Callable[..., Client], row: dict[str, Any]
) -> None:
    client = client_of("stays", "spent")
    first = client.post("/predict", {"rows": [row]}).json
    assert first == client.post("/models/guests-stays/predict", {"rows": [row]}).json
    assert (
        client.post("/models/guests-spent/predict", {"rows": [row]}).json["model"]["name"] == "guests-spent"
    )
    assert {model["name"] for model in client.get("/readyz").json["models"]} == {
        "guests-stays",
        "guests-spent",
    }


def test_a_fault_of_ours_tells_the_client_nothing(
    client_of: Callable[..., Client], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of("stays")

    def fail(columns: Any) -> Any:
        raise ValueError("a secret inside")

    monkeypatch.setattr(client.application.service.first.scorer, "run", fail)
    reply = client.post("/predict", {"rows": [row]})
    assert (reply.status, reply.json) == (500, {"error": "the service failed; its log says why"})


def test_the_document_shows_the_real_columns(stays: Client) -> None:
    document = stays.get("/openapi.json").json
    schema = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    properties = schema["anyOf"][0]["properties"]["rows"]["items"]["properties"]
    assert sorted(properties) == ["age", "fare", "member", "seen", "town"]
    assert "known: " in properties["town"]["description"]
    assert document["info"]["title"] == "guests-stays"
