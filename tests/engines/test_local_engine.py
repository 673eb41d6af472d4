from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.engines.events import Event
from declarative_ml.spec.load import load_spec
from declarative_ml.store.store import Store


def _places(events: list[Event], kind: str) -> dict[str, int]:
    return {event.step: place for place, event in enumerate(events) if event.kind == kind}


@pytest.mark.parametrize("jobs", [1, 4])
def test_events_come_in_order(jobs: int, flowers: Any, run: Any) -> None:
    events: list[Event] = []
    report = run(flowers(model={"type": "lightgbm", "rounds": 3}), events, jobs=jobs)
    starts, ends = _places(events, "start"), _places(events, "run")
    plan = {state.step.id: state.step for state in report.states}
    assert set(starts) == set(ends) == set(plan)
    for step in plan.values():
        assert starts[step.id] < ends[step.id]
        for needed in step.inputs.values():
            assert ends[needed] < starts[step.id]


def test_every_step_passes_its_middle(flowers: Any, run: Any) -> None:
    events: list[Event] = []
    report = run(
        flowers(model={"type": "lightgbm", "rounds": 3}, explain={"rows": 3, "background": 3}), events
    )
    assert report.error is None
    passed = {event.step for event in events if event.kind == "progress" and event.fraction >= 0.5}
    assert passed == {state.step.id for state in report.states}


def test_independent_steps_run_side_by_side(flowers: Any, run: Any) -> None:
    events: list[Event] = []
    split = {"method": "random", "folds": 3}
    run(flowers(data={"source": "flowers.csv", "split": split}), events, jobs=3)
    starts, ends = _places(events, "start"), _places(events, "run")
    folds = [f"train.linear.fold{fold}" for fold in range(3)]
    assert max(starts[fold] for fold in folds) < min(ends[fold] for fold in folds)


def test_jobs_do_not_change_the_model(flowers: Any, run: Any) -> None:
    digests = {
        run(flowers(), jobs=jobs, store=str(flowers().parent / f"jobs{jobs}")).result["model_digest"]
        for jobs in (1, 3)
    }
    assert len(digests) == 1


def test_a_failure_keeps_what_the_others_did(flowers: Any, run: Any) -> None:
    failed = run(flowers(evaluate={"slices": ["colour"], "metric": "rmse"}))
    assert isinstance(failed.error, DataError)
    assert "'rmse' does not apply to the multiclass target 'kind'" in failed.error.message
    status = {step["id"]: step["status"] for step in failed.result["steps"]}
    assert (failed.result["status"], status["evaluate"], status["assemble"]) == ("failed", "failed", "run")
    assert "package" not in status
    mended = run(flowers(evaluate={"slices": ["colour"]}))
    assert {step["id"] for step in mended.result["steps"] if step["status"] == "run"} == {
        "evaluate",
        "segments",
        "package",
        "verify",
        "report",
    }


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("split", {"split"}),
        ("train", {"train.linear.fold0", "train.linear.final"}),
        ("evaluate", {"evaluate"}),
    ],
)
def test_until_runs_what_is_needed_and_no_more(until: str, last: set[str], flowers: Any, run: Any) -> None:
    report = run(flowers(), until=until)
    steps = [state.step for state in report.states]
    ran = {step["id"] for step in report.result["steps"]}
    assert last <= ran
    assert not [step.id for step in steps if step.id in ran and not set(step.inputs.values()) <= ran]
    assert (report.result["status"], report.result["bundle"]) == ("partial", None)
    assert "report" not in ran


def test_until_an_unknown_step(flowers: Any, run: Any) -> None:
    with pytest.raises(UsageError, match="the plan has no step 'trian'"):
        run(flowers(), until="trian")


def test_a_second_run_waits_for_the_first_and_takes_its_result(flowers: Any) -> None:
    path = flowers()
    loaded = load_spec(path, data=True)
    store = Store(path.parent / ".dml" / "store")
    heard: list[Event] = []
    planned: list[str] = []
    first = run_spec(
        loaded, RunOptions(until="split", on_plan=lambda plan, states: planned.append(states[0].key))
    )
    assert first.error is None
    key = planned[0]
    record = store.find(key)
    assert record is not None
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with store.lock(key):
            holding.set()
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait(20)

    def listen(event: Event) -> None:
        heard.append(event)
        if event.kind == "waiting":
            release.set()

    report = run_spec(loaded, RunOptions(until="acquire", fresh=["acquire"], listener=listen))
    holder.join()
    assert report.error is None
    assert [event.kind for event in heard if event.kind in ("waiting", "run")] == ["waiting", "run"]


def test_data_that_changes_while_it_is_read_is_refused(flowers: Any, run: Any) -> None:
    path = flowers()
    data = path.parent / "flowers.csv"
    before = data.read_text()

    class Meddler(list[Event]):
        def append(self, event: Event) -> None:
            if (event.step, event.kind) == ("acquire.source", "start"):
                data.write_text(before + before.splitlines()[-1] + "\n")

    report = run(path, Meddler())
    assert isinstance(report.error, DataError)
    assert "changed while it was being read" in report.error.message
    data.write_text(before)
    assert run(path).error is None


def test_the_sweep_keeps_away_from_a_run(flowers: Any, run: Any) -> None:
    path = flowers()
    store = Store(path.parent / ".dml" / "store")
    refused: list[UsageError] = []

    class Sweeper(list[Event]):
        def append(self, event: Event) -> None:
            if (event.step, event.kind) == ("assemble", "start"):
                with pytest.raises(UsageError, match="a run is using") as caught:
                    store.sweep(set())
                refused.append(caught.value)

    assert run(path, Sweeper()).error is None
    assert len(refused) == 1
    store.sweep(set(), older_than=-1.0)
    assert list(store.actions()) == []
    assert run(path, fresh=[]).error is None


def test_what_a_killed_run_made_survives_the_sweep(flowers: Any, run: Any) -> None:
    path = flowers()
    store = Store(path.parent / ".dml" / "store")
    started = time.time()
    run(path, until="prepare")
    store.sweep(set(), older_than=-1.0, keep_since=started - 1.0)
    assert {action.step for action in store.actions()} == {"acquire.source", "split", "profile", "prepare"}


def test_a_step_that_breaks_is_named(flowers: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from declarative_ml.steps import package

    def broken(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(package, "write_bundle", broken)
    report = run(flowers())
    assert report.error is not None
    assert report.error.exit_code == 6
    assert "step package failed: RuntimeError: the disk is full" in report.error.message
    assert not list(Path(report.folder).glob("bundle*"))
    monkeypatch.undo()
    assert run(flowers()).result["status"] == "ok"


def test_a_step_deep_in_a_library_does_not_hold_up_an_interrupt(
    flowers: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from declarative_ml.engines import local
    from declarative_ml.steps import package

    release = threading.Event()

    def deaf(*_: Any) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        release.wait(30)
        raise RuntimeError("nobody listens any more")

    monkeypatch.setattr(local, "GRACE", 0.1)
    monkeypatch.setattr(package, "write_bundle", deaf)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(flowers())
    assert time.monotonic() - began < 20
    release.set()
    monkeypatch.undo()
    assert run(flowers()).result["status"] == "ok"


@pytest.mark.parametrize(
    "fault",
    [
        SystemError("AST constructor recursion depth mismatch (before=54, after=45)"),
        RuntimeError("dictionary changed size during iteration"),
    ],
    ids=["syntax trees", "modules"],
)
def test_threads_in_each_others_way_try_again(
    flowers: Any, run: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    from declarative_ml.steps import evaluate

    whole, calls = evaluate.run, []

    def stumbles(context: Any) -> None:
        calls.append(context.step.id)
        if len(calls) == 1:
            (context.out / "half.json").write_text("{")
            raise fault
        assert not list(context.out.iterdir())
        whole(context)

    monkeypatch.setattr(evaluate, "run", stumbles)
    assert run(flowers()).error is None
    assert calls == ["evaluate", "evaluate"]
