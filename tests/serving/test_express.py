"""The express way answers as the ordinary way does, byte by byte, and leaves to it what it should."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire import House, Wire

from declarative_ml.serving.app import Application
from declarative_ml.serving.connection import Connection
from declarative_ml.serving.exchange import Limits
from declarative_ml.serving.express_connection import ExpressConnection
from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service
from declarative_ml.serving.watch import watch_models
from declarative_ml.spec.monitor import Monitor
from declarative_ml.store.bundle import Bundle


@pytest.fixture(scope="module")
def service(bundle_of: Callable[[str], Bundle]) -> Iterator[Service]:
    model = ServedModel(bundle_of("stays"))
    found = Service(Fleet.of([model]), Limits(rows=100, body_bytes=40_000), token=b"secret")
    yield found
    found.close()


@pytest.fixture
def application(service: Service) -> Application:
    service.draining = False
    return Application(service)


def request(body: bytes, *headers: str, path: str = "/predict", version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "host: x", "authorization: Bearer secret", *headers]
    if not any(line.startswith("transfer-encoding") for line in headers):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def asking(rows: Sequence[Any], *headers: str, path: str = "/predict", version: str = "1.1") -> bytes:
    return request(json.dumps({"rows": rows}).encode(), *headers, path=path, version=version)


def answers(app: Application, kind: type[Connection], reads: Sequence[bytes]) -> tuple[bytes, bool]:
    """What a connection writes when it is sent these reads one by one, and whether it then closes."""

    async def go() -> tuple[bytes, bool]:
        house = House(app, kind)
        link, wire = house.connect()
        for read in reads:
            link.data_received(read)
            await house.turn()
        await house.rest()
        house.leave()
        return b"".join(wire.written), wire.closed

    return asyncio.run(go())


def scored_apart(monkeypatch: pytest.MonkeyPatch, service: Service) -> list[int]:
    """How many rows each run of the graph has, from now on."""
    sizes: list[int] = []
    scorer = service.first.scorer
    run = scorer.run

    def counted(feed: Any) -> Any:
        sizes.append(len(feed["age"]))
        return run(feed)

    monkeypatch.setattr(scorer, "run", counted)
    return sizes


def test_one_client_is_answered_before_the_loop_goes_on(
    application: Application, row: dict[str, Any]
) -> None:
    async def go() -> None:
        house = House(application, ExpressConnection)
        link, wire = house.connect()
        link.data_received(asking([row]))
        assert len(wire.written) == 1
        assert not house.state.tasks
        assert wire.written[0].startswith(b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: application/json")
        house.leave()

    asyncio.run(go())


def test_what_one_turn_reads_is_one_batch(
    application: Application,
    service: Service,
    rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = [answers(application, Connection, [asking([one])])[0] for one in rows[:30]]
    sizes = scored_apart(monkeypatch, service)
    counted = dict(service.metrics.requests)

    async def go() -> list[Wire]:
        house = House(application, ExpressConnection)
        ends = [house.connect() for _ in rows[:30]]
        for (link, _), one in zip(ends, rows, strict=False):
            link.data_received(asking([one]))
        await house.rest()
        assert house.state.total_requests == 30
        house.leave()
        return [wire for _, wire in ends]

    found = [b"".join(wire.written) for wire in asyncio.run(go())]
    assert sizes == [30]
    assert service.metrics.requests["/predict", 200] - counted["/predict", 200] == 30
    for ours, theirs in zip(found, wanted, strict=True):
        assert _predictions(ours) == pytest.approx(_predictions(theirs), abs=1e-6)


def _predictions(answer: bytes) -> list[float]:
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    return [share for item in body["predictions"] for share in item["probabilities"].values()]


ROW = {"age": 41.5, "fare": 12, "town": "Oslo", "member": "yes", "seen": "2024-05-04"}
FINE = json.dumps({"rows": [ROW]}).encode()
CHUNKS = b"5\r\n" + FINE[:5] + b"\r\n" + b"%x\r\n" % len(FINE[5:]) + FINE[5:] + b"\r\n0\r\n\r\n"
REQUESTS: dict[str, bytes] = {
    "a row": asking([ROW]),
    "three rows": asking([ROW] * 3),
    "columns": request(json.dumps({"columns": {name: [value] for name, value in ROW.items()}}).encode()),
    "an instance": request(json.dumps({"instances": [ROW]}).encode(), path="/vertex/predict"),
    "csv": request(b"age,fare,town,member,seen\n1,2,Oslo,yes,2024-05-04\n", "content-type: text/csv"),
    "chunks": request(CHUNKS, "transfer-encoding: chunked"),
    "a broken chunk": request(b"ZZ\r\n", "transfer-encoding: chunked"),
    "a broken chunk and a wrong token": request(b"ZZ\r\n", "transfer-encoding: chunked", "x-api-key: no"),
    "the last of a connection": asking([ROW], "connection: close"),
    "an older version": asking([ROW], version="1.0"),
    "an expectation": asking([ROW], "expect: 100-continue"),
    "another protocol": asking([ROW], "connection: upgrade", "upgrade: h2c"),
    "a query": asking([ROW], path="/predict?x=1"),
    "an unknown path": asking([ROW], path="/predicts"),
    "an escaped path": asking([ROW], path="/pr%65dict"),
    "a body that is packed": asking([ROW], "content-encoding: gzip"),
    "an unknown type": asking([ROW], "content-type: text/plain"),
    "a wrong token": asking([ROW], "x-api-key: wrong"),
    "no rows": asking([]),
    "a misfit": asking([ROW | {"age": "old"}]),
    "a column too few": asking([{"age": 1}]),
    "no json": request(b"{"),
    "no body": request(b""),
    "more rows than go express": asking([ROW] * 65),
    "too many rows": asking([ROW] * 101),
    "a long body": request(FINE + b" " * 9000),
    "too long a body": request(b" " * 41_000),
    "long headers": asking([ROW], "x: " + "y" * 70_000),
    "words": b"words\r\n\r\n",
    "an explanation": request(b'{"rows": 1}', path="/explain"),
    "a probe": b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    "HEAD": b"HEAD /readyz HTTP/1.1\r\nhost: x\r\n\r\n",
}


BROKEN = {"words", "a broken chunk", "a broken chunk and a wrong token"}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_write_the_same(application: Application, name: str) -> None:
    assert answers(application, ExpressConnection, [REQUESTS[name]]) == answers(
        application, Connection, [REQUESTS[name]]
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(REQUESTS.keys() - BROKEN)), min_size=1, max_size=4), st.data())
def test_however_the_requests_are_cut(
    application: Application, names: list[str], data: st.DataObject
) -> None:
    stream = b"".join(REQUESTS[name] for name in names)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    reads = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    reads = [read for read in reads if read]
    assert answers(application, ExpressConnection, reads) == answers(application, Connection, reads)


def test_words_behind_a_request_do_not_take_its_answer(application: Application) -> None:
    written, _ = answers(application, ExpressConnection, [REQUESTS["a row"] + REQUESTS["words"]])
    assert written.startswith(b"HTTP/1.1 200 ")
    assert written.count(b"HTTP/1.1 400 ") == 1


@pytest.mark.parametrize("name", ["a row", "a misfit", "no body", "words"])
def test_a_service_that_stops_says_so_either_way(
    application: Application, service: Service, name: str
) -> None:
    service.draining = True
    ours, theirs = (answers(application, kind, [REQUESTS[name]]) for kind in (ExpressConnection, Connection))
    assert ours == theirs
    assert b"connection: close\r\n" in ours[0]


def test_a_client_that_left_is_not_answered(
    application: Application, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = scored_apart(monkeypatch, service)

    async def go() -> list[Wire]:
        house = House(application, ExpressConnection)
        (left, gone), (stayed, kept) = house.connect(), house.connect()
        left.data_received(REQUESTS["a row"])
        stayed.data_received(REQUESTS["a row"])
        left.connection_lost(ConnectionResetError())
        await house.rest()
        house.leave()
        return [gone, kept]

    gone, kept = asyncio.run(go())
    assert (gone.written, len(kept.written), sizes) == ([], 1, [1])


def test_the_end_of_the_server_answers_what_waits(application: Application) -> None:
    async def go() -> Wire:
        house = House(application, ExpressConnection)
        (link, wire), _ = house.connect(), house.connect()
        link.data_received(REQUESTS["a row"])
        assert not wire.written
        link.shutdown()
        house.leave()
        return wire

    wire = asyncio.run(go())
    assert wire.written[0].startswith(b"HTTP/1.1 200 ")
    assert wire.closed


def test_more_than_may_be_inside_at_once(
    bundle_of: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(Fleet.of([ServedModel(bundle_of("stays"))]), Limits(waiting=2), token=b"secret")
    sizes = scored_apart(monkeypatch, service)

    async def go() -> list[bytes]:
        house = House(Application(service), ExpressConnection)
        ends = [house.connect() for _ in range(10)]
        for link, _ in ends:
            link.data_received(REQUESTS["a row"])
        await house.rest()
        house.leave()
        return [wire.written[0][9:12] for _, wire in ends]

    found = asyncio.run(go())
    assert sorted(set(found)) == [b"200", b"503"]
    assert found[:2] == [b"200", b"200"]
    assert max(sizes) <= 2
    service.close()


def test_what_fails_within_is_told_once_by_the_ordinary_way(
    application: Application,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(feed: Any) -> None:
        raise RuntimeError("the graph is gone")

    monkeypatch.setattr(service.first.scorer, "run", fail)
    written, _ = answers(application, ExpressConnection, [REQUESTS["a row"]])
    assert written.startswith(b"HTTP/1.1 500 ")
    assert written.count(b"HTTP/1.1") == 1
    assert len([record for record in caplog.records if "failed" in record.message]) == 1


def test_what_cannot_be_handed_over_costs_the_others_nothing(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> list[Wire]:
        house = House(application, ExpressConnection)
        ends = [house.connect() for _ in range(3)]
        for (link, _), name in zip(ends, ("a misfit", "a row", "a misfit"), strict=True):
            link.data_received(REQUESTS[name])
        monkeypatch.setattr(ends[0][0], "_begin_ordinary", lambda: 1 / 0)
        await house.rest()
        house.leave()
        return [wire for _, wire in ends]

    lost, fine, misfit = asyncio.run(go())
    assert not lost.written
    assert fine.written[0].startswith(b"HTTP/1.1 200 ")
    assert misfit.written[0].startswith(b"HTTP/1.1 422 ")


def test_rows_that_cannot_be_watched_are_answered_and_counted_once(
    bundle_of: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = ServedModel(bundle_of("stays"))
    watch_models([model], Monitor())
    service = Service(Fleet.of([model]), token=b"secret")
    monkeypatch.setattr(model.watch, "observe", lambda *_: 1 / 0)
    written, _ = answers(Application(service), ExpressConnection, [REQUESTS["three rows"]])
    assert written.startswith(b"HTTP/1.1 200 ")
    assert service.metrics.rows == {(model.name, model.version): 3}
    assert "could not be watched" in caplog.text
    service.close()


def test_a_long_pipeline_does_not_hold_the_loop(application: Application) -> None:
    async def go() -> tuple[int, Wire]:
        house = House(application, ExpressConnection)
        link, wire = house.connect()
        link.data_received(REQUESTS["a row"] * 40)
        at_once = len(wire.written)
        await house.rest()
        house.leave()
        return at_once, wire

    at_once, wire = asyncio.run(go())
    assert (at_once, len(wire.written)) == (8, 40)


@pytest.mark.parametrize("kind", [Connection, ExpressConnection])
@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("behind", [b"", b"\r\n"])
def test_a_connection_always_has_an_end(
    application: Application, kind: type[Connection], pieces: int, behind: bytes
) -> None:
    """A refusal that leaves before the whole request came does not leave the connection without a timer."""
    sent = REQUESTS["a wrong token"]
    head = sent.index(b"\r\n\r\n") + 5
    cuts = [head, head + 20, head + 40][:pieces]

    async def go() -> bool:
        house = House(application, kind, idle_seconds=1)
        link, wire = house.connect()
        for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            link.data_received(sent[start:end])
            await house.turn()
        if behind:
            link.data_received(behind)
        await asyncio.sleep(1.3)
        house.leave()
        return wire.closed

    assert asyncio.run(go())


def test_rows_are_watched(bundle_of: Callable[[str], Bundle]) -> None:
    model = ServedModel(bundle_of("stays"))
    watch_models([model], Monitor())
    service = Service(Fleet.of([model]), token=b"secret")
    assert model.watch is not None
    answers(Application(service), ExpressConnection, [REQUESTS["three rows"], REQUESTS["a row"]])
    model.watch.flush()
    assert model.watch.windows is not None
    assert model.watch.windows.current.counts.rows == 4
    service.close()


def test_an_idle_connection_ends_and_a_busy_one_does_not(application: Application) -> None:
    async def go() -> tuple[bool, bool, float]:
        house = House(application, ExpressConnection, idle_seconds=1)
        (link, busy), (_, _) = house.connect(), house.connect()
        for _ in range(8):
            link.data_received(REQUESTS["a row"])
            await asyncio.sleep(0.2)
        was_closed, began = busy.closed, time.monotonic()
        while not busy.closed and time.monotonic() < began + 10:
            await asyncio.sleep(0.02)
        house.leave()
        return was_closed, busy.closed, time.monotonic() - began

    was_closed, is_closed, seconds = asyncio.run(go())
    assert (was_closed, is_closed) == (False, True)
    assert seconds > 0.5
