from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from declarative_ml.core.errors import DataError, StepFailed
from declarative_ml.scoring import served
from declarative_ml.scoring.answering import answer
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle

ROW = {"age": 50, "visits": 1, "city": "Rome"}


def test_an_answer_has_labels_and_probabilities(binary_bundle: Bundle) -> None:
    scorer = Scorer(binary_bundle)
    (found,) = answer(scorer, json.dumps({"rows": [ROW]}).encode())["predictions"]
    assert found["prediction"] == "yes"
    assert list(found["probabilities"]) == list(scorer.task.classes)
    assert sum(found["probabilities"].values()) == pytest.approx(1.0)


def test_a_number_has_its_interval(make_scorer: Callable[..., Scorer]) -> None:
    body = json.dumps({"rows": [ROW, ROW]}).encode()
    found = answer(make_scorer("number", interval=0.9), body)["predictions"]
    assert found == [{"prediction": 4.0, "lower": 2.0, "upper": 8.0}] * 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"rows": [', "the request is not JSON"),
        (b"[" * 100_000, "the request is not JSON"),
        (b"\xff", "the request is not JSON"),
        (b"[]", "the request has no list of rows"),
        (b'{"rows": {}}', "the request has no list of rows"),
        (b'{"rows": []}', "the request has no row"),
        (b'{"rows": [1]}', "row 1 is 1, not an object of column: value"),
        (b'{"rows": [{"age": 1}]}', "row 1 lacks the column(s) 'visits', 'city'"),
        (json.dumps({"rows": [{**ROW, "age": [1]}]}).encode(), "column 'age', row 1: [1] is not a number"),
    ],
)
def test_what_cannot_be_answered_is_said(body: bytes, message: str, binary_bundle: Bundle) -> None:
    found = answer(Scorer(binary_bundle), body)
    assert list(found) == ["error"]
    assert message in found["error"]["message"]


def test_a_served_bundle_answers_as_the_scorer_does(binary_bundle: Bundle, tmp_path: Path) -> None:
    with served.serve(binary_bundle.path, tmp_path / "scratch") as service:
        here = answer(Scorer(binary_bundle), json.dumps({"rows": [ROW]}).encode())
        assert service.ask({"rows": [ROW]}) == here
        assert "error" in service.ask(b"nonsense")
        assert service.ask({"rows": [ROW]}) == here
        assert service.model_digest == binary_bundle.manifest.model_digest
    assert service.process.returncode is not None


def test_a_bundle_that_does_not_open_is_refused_with_the_reason(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="does not exist"),
        served.serve(tmp_path / "nothing", tmp_path / "scratch"),
    ):
        pass


def test_a_silent_service_is_given_up(
    binary_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "START_SECONDS", -1.0)
    with (
        pytest.raises(StepFailed, match="the served bundle said nothing for"),
        served.serve(binary_bundle.path, tmp_path / "scratch"),
    ):
        pass


def test_a_service_that_ends_is_told_by_its_last_words(
    binary_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So little memory that Python itself cannot begin its work."""
    monkeypatch.setattr(served, "MOST_BYTES", 1 << 20)
    with (
        pytest.raises(StepFailed, match="the process that serves the bundle ended with s"),
        served.serve(binary_bundle.path, tmp_path / "scratch"),
    ):
        pass
