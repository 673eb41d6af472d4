"""Numbers over several workers: sums, workers that begin and end, and real ones that are killed."""

from __future__ import annotations

import logging
import os
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service_process import Running, serving, wait_for

from declarative_ml.serving.board import Board, meeting_place
from declarative_ml.serving.metrics import Metrics
from declarative_ml.store.bundle import Bundle


def worker(folder: Path | None, **gauges: float) -> tuple[Board, Metrics]:
    board, metrics = Board(folder), Metrics()
    board.add("metrics", metrics)
    board.show("here", lambda: gauges)
    return board, metrics


def test_one_worker_needs_no_folder() -> None:
    board, metrics = worker(None, here=1)
    metrics.count("/predict", 200, 0.003)
    assert board.total(metrics) == metrics
    assert board.total(metrics) is not metrics
    assert board.shown("here") == {0: {"here": 1}}
    board.close()


def test_sums_are_those_of_one_worker_that_did_all(tmp_path: Path) -> None:
    source = random.Random(1)
    workers, whole = [worker(tmp_path) for _ in range(3)], Metrics()
    for _ in range(300):
        event = source.choice(["/predict", "/explain"]), source.choice([200, 422]), source.expovariate(100)
        whole.count(*event)
        source.choice(workers)[1].count(*event)
        rows = source.randrange(9)
        whole.count_rows("churn", "1", rows)
        source.choice(workers)[1].count_rows("churn", "1", rows)
    for board, _ in workers:
        board.write()
    for board, metrics in workers:
        total = board.total(metrics)
        assert total.requests == whole.requests
        assert total.rows == whole.rows
        assert {route: times.counts for route, times in total.times.items()} == {
            route: times.counts for route, times in whole.times.items()
        }
        assert total.times["/predict"].total == pytest.approx(whole.times["/predict"].total)
    assert [board.place for board, _ in workers] == [0, 1, 2]


def test_what_was_told_once_never_shrinks(tmp_path: Path) -> None:
    """Workers begin, count, tell and end in any order; every sum that is told is at least the one before."""
    source, told, most = random.Random(2), 0, 0
    workers = [worker(tmp_path)]
    for _ in range(400):
        board, metrics = source.choice(workers)
        action = source.choice(["count", "count", "count", "tell", "begin", "end"])
        if action == "count":
            metrics.count_rows("churn", "1", source.randrange(1, 5))
        elif action == "tell":
            total = board.total(metrics).rows.get(("churn", "1"), 0)
            assert total >= told
            told = total
        elif action == "begin" and len(workers) < 4:
            workers.append(worker(tmp_path))
        elif action == "end" and len(workers) > 1:
            workers.remove((board, metrics))
            if source.random() < 0.5:
                board.close()
            else:
                os.close(board._lock or 0)  # as the system does for a process that is killed
        most = max(most, len(workers))
    assert told > 0
    assert len(list(tmp_path.glob("*.json"))) <= most == 4


def test_only_the_living_show_something(tmp_path: Path) -> None:
    (first, counted), (second, _) = worker(tmp_path, here=1), worker(tmp_path, here=2)
    second.write()
    assert first.shown("here") == {0: {"here": 1}, 1: {"here": 2}}
    second.close()
    assert first.shown("here") == {0: {"here": 1}}
    third, _ = worker(tmp_path, here=3)
    assert third.place == 1
    third.write()
    assert first.shown("here") == {0: {"here": 1}, 1: {"here": 3}}
    assert first.total(counted) == counted


def test_what_a_successor_does_not_count_is_kept(tmp_path: Path) -> None:
    board, metrics = worker(tmp_path)
    metrics.count_rows("churn", "1", 7)
    board.close()
    Board(tmp_path).close()
    board, metrics = worker(tmp_path)
    assert metrics.rows == {("churn", "1"): 7}


def test_a_folder_that_is_gone_is_told_and_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with meeting_place() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        board, metrics = worker(folder)
    assert not folder.exists()
    metrics.count_rows("churn", "1", 7)
    with caplog.at_level(logging.WARNING):
        assert board.total(metrics).rows == {("churn", "1"): 7}
    assert "other workers do not see what this one counts" in caplog.text
    board.close()


def counter(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    return float(found[1]) if found else 0.0


def text_of(running: Running) -> str:
    status, text = running.ask("GET", "/metrics")
    assert status == 200
    return text.decode()


ANSWERED = 'dml_requests_total{route="/predict",status="200"}'


@pytest.mark.slow
def test_three_workers_tell_one_truth(bundle_of: Callable[[str], Bundle], row: dict[str, Any]) -> None:
    with serving(bundle_of("stays").path, "--workers", "3") as running:
        wait_for(lambda: counter(text_of(running), "dml_workers") == 3, 60)
        for _ in range(60):
            assert running.ask("POST", "/predict", {"rows": [row, row]})[0] == 200
        wait_for(lambda: counter(text_of(running), ANSWERED) == 60)
        told = {text_of(running).count(f"{ANSWERED} 60.0") for _ in range(12)}
        assert told == {1}
        text = text_of(running)
        assert counter(text, 'dml_rows_total{model="guests-stays"}') == 120
        assert counter(text, 'dml_request_seconds_count{route="/predict"}') == 60
        digest = bundle_of("stays").manifest.model_digest
        assert re.search(rf'^dml_model_info{{digest="{digest}",model="guests-stays",.*}} 1.0$', text, re.M)
        for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
            assert all(counter(text, f'{name}{{worker="{place}"}}') > 0 for place in range(3)), name
        for victim in sorted(running.workers())[:2]:
            os.kill(victim, signal.SIGKILL)
        for _ in range(8):
            assert counter(text_of(running), ANSWERED) == 60
        wait_for(lambda: counter(text_of(running), "dml_workers") == 3, 60)
        for _ in range(6):
            assert counter(text_of(running), ANSWERED) == 60
        assert running.stop() == 0
        assert "do not see" not in running.log.read_text()
