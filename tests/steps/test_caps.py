"""Which candidates there is room for, by made-up costs; and whole runs under caps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.core.duration import microseconds_of
from declarative_ml.core.errors import StepFailed
from declarative_ml.core.size import bytes_of
from declarative_ml.steps.caps import Caps, check_size, leave_out
from declarative_ml.steps.cost import Cost

COSTS = {"linear": Cost(10_000, 10.0), "trees": Cost(300_000, 20.0), "network": Cost(500_000, 90.0)}
LOSSES = {
    ("linear",): 0.50, ("trees",): 0.40, ("network",): 0.35,
    ("linear", "trees"): 0.39, ("linear", "network"): 0.36, ("network", "trees"): 0.30,
    ("linear", "network", "trees"): 0.31,
}  # fmt: skip


def together(names: list[str]) -> Cost:
    costs = [COSTS[name] for name in names]
    return Cost(sum(cost.bytes for cost in costs), sum(cost.microseconds for cost in costs))


def chosen(caps: Caps) -> tuple[list[str], dict[str, str]]:
    entries: list[dict[str, Any]] = [{"name": name, "reason": None} for name in COSTS]
    leave_out(entries, caps, together, lambda names: LOSSES[tuple(sorted(names))])
    reasons = {entry["name"]: entry["reason"] for entry in entries}
    return [name for name, reason in reasons.items() if reason is None], reasons


@pytest.mark.parametrize(
    ("caps", "expected"),
    [
        (Caps(), ["trees", "network"]),
        (Caps(bytes=1e6), ["trees", "network"]),
        (Caps(bytes=0.9e6), ["network"]),  # there is room for linear, which would make it worse
        (Caps(microseconds=60.0), ["linear", "trees"]),
        (Caps(microseconds=25.0), ["trees"]),
        (Caps(bytes=20_000, microseconds=60.0), ["linear"]),
    ],
    ids=repr,
)
def test_the_best_that_there_is_room_for(caps: Caps, expected: list[str]) -> None:
    assert chosen(caps)[0] == expected


def test_every_other_candidate_has_its_reason() -> None:
    reasons = chosen(Caps(microseconds=25.0))[1]
    assert reasons["network"] == "it takes 90 us a row, and max_latency is 25 us"
    assert reasons["linear"] == "beside trees it would be 30 us a row, and max_latency is 25 us"
    assert chosen(Caps())[1]["linear"] == "it adds next to nothing to the blend"
    assert chosen(Caps(bytes=400_000))[1]["network"] == "it takes 500 kB, and max_size is 400 kB"


def test_no_candidate_fits() -> None:
    with pytest.raises(StepFailed, match="linear: 10 us a row, and max_latency is 5 us") as caught:
        chosen(Caps(microseconds=5.0))
    assert caught.value.hint == "raise the cap"


def test_a_graph_above_its_cap() -> None:
    check_size(b"x" * 1_000, Caps(bytes=1_000))
    with pytest.raises(StepFailed, match="takes 2 kB, and max_size is 1 kB"):
        check_size(b"x" * 2_000, Caps(bytes=1_000))


@pytest.mark.parametrize(("text", "count"), [("500kB", 500_000), ("1.5MiB", 1_572_864), ("2MB", 2_000_000)])
def test_sizes(text: str, count: int) -> None:
    assert bytes_of(text) == count


@pytest.mark.parametrize(("text", "span"), [("100us", 100.0), ("1.5ms", 1500.0)])
def test_latencies(text: str, span: float) -> None:
    assert microseconds_of(text) == span


def test_words_that_are_no_caps() -> None:
    for read in (bytes_of, microseconds_of):
        with pytest.raises(ValueError, match=r"write 500kB or 1MB|write 100us or 1ms"):
            read("10")


@pytest.mark.slow
def test_a_run_stays_within_its_caps(flowers: Callable[..., Path], run: Callable[..., Any]) -> None:
    sizes = {}
    for cap in ("30kB", "5MB"):
        model = {"type": "auto", "quality": "fast", "max_size": cap}
        report = run(flowers(cap, model=model))
        assert report.error is None, report.error
        sizes[cap] = (Path(report.result["bundle"]) / "model.onnx").stat().st_size
        assert sizes[cap] <= bytes_of(cap)
    assert sizes["30kB"] < sizes["5MB"]


def test_a_cap_that_nothing_keeps(flowers: Callable[..., Path], run: Callable[..., Any]) -> None:
    report = run(flowers(model={"type": "auto", "quality": "fast", "max_size": "1kB"}))
    assert isinstance(report.error, StepFailed)
    assert "no candidate is small and quick enough (linear: " in report.error.message


def test_caps_are_in_the_plan_of_auto_alone(flowers: Callable[..., Path], dml: Callable[..., Any]) -> None:
    path = flowers(model={"type": "auto", "max_latency": "1ms"})
    plan = json.loads(dml("plan", path, "--format", "json").out)
    steps = {step["id"]: step for step in plan["steps"]}
    assert steps["ensemble"]["params"]["caps"] == {"microseconds": 1000.0}
    assert "train.lightgbm-small.fold0" in steps
    free = json.loads(dml("plan", flowers("free", model="auto"), "--format", "json").out)
    assert not any("caps" in step["params"] or "small" in step["id"] for step in free["steps"])
