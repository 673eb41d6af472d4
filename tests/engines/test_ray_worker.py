"""What a Ray task does with its order, without Ray: the board is a plain object here."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.planning import make_plan, source_files
from declarative_ml.api.run import engine_of
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import DataError, DmlError, MissingDependency, StepFailed, UsageError
from declarative_ml.core.optional import installed
from declarative_ml.engines import ENGINES
from declarative_ml.engines.local import stamp
from declarative_ml.engines.ray_worker import Board, error_of, perform, seen
from declarative_ml.planner.keys import key_document
from declarative_ml.spec.load import load_spec

STEP = "acquire.source"


@pytest.fixture
def order(flowers: Any) -> tuple[str, dict[str, Any]]:
    """The plan of flowers as JSON, and the order for its first step."""
    loaded = load_spec(flowers(), data=True)
    plan, workspace = make_plan(loaded), Workspace.beside(loaded.path)
    digests = workspace.digests(source_files(plan))
    step = plan[STEP]
    return plan.model_dump_json(), {
        "store": str(workspace.store.root),
        "workspace": str(workspace.root),
        "threads": 1,
        "document": key_document(step, {}, digests, 1),
        "files": {name: {"digest": digests[name], "stamp": list(stamp(name) or ())} for name in digests},
        "inputs": {},
        "done": {},
        "fresh": False,
        "seconds": 30.0,
        "left": 20.0,
        "spared": None,
        "pinned": {},
    }


def _perform(plan: str, order: dict[str, Any], board: Board) -> dict[str, Any]:
    return perform(plan, STEP, json.loads(json.dumps(order)), lambda events: board.tell(STEP, events))


def test_a_step_is_done_once_and_the_run_hears_of_it(order: tuple[str, dict[str, Any]]) -> None:
    board = Board()
    board.hear(STEP, 15.0)
    reply = json.loads(json.dumps(_perform(*order, board)))
    assert (reply["status"], reply["action"]["step"]) == ("run", STEP)
    assert (Path(order[1]["store"]) / "artifacts" / reply["action"]["digest"][:2]).is_dir()
    events = [*board.hear(STEP, 10.0), *reply["events"]]
    kinds = [event["kind"] for event in events if event["kind"] != "progress"]
    assert kinds == ["start", "run"]
    assert board.hear(STEP, None) == []
    left = board.tell(STEP, [])
    assert left is not None and 9.0 < left <= 10.0
    again = _perform(*order, board)
    assert (again["status"], again["action"]) == ("cached", reply["action"])
    assert board.tell("another", []) is None


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"document": {"libraries": {"pyarrow": "0.1"}}}, 6, "is not like the machine of the run: "),
        ({"inputs": {"table": "0" * 64}}, 6, "does not see "),
    ],
)
def test_a_node_that_is_not_like_the_others_does_nothing(
    change: dict[str, Any],
    code: int,
    words: str,
    order: tuple[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("declarative_ml.engines.ray_worker.seen", lambda path: path.exists())
    plan, wanted = order
    changed = copy.deepcopy(wanted)
    for name, value in change.items():
        changed[name] |= value
    reply = _perform(plan, changed, Board())
    assert reply["error"]["code"] == code
    assert words in reply["error"]["message"]
    assert "all nodes" in reply["error"]["hint"]


def test_a_file_is_the_same_by_its_content(order: tuple[str, dict[str, Any]]) -> None:
    plan, wanted = order
    (name,) = wanted["files"]
    os.utime(name, (1, 1))
    assert _perform(plan, wanted, Board())["status"] == "run"
    Path(name).write_text(Path(name).read_text() + "1,1,red,2024-01-01,yes,a\n")
    assert f"{name} is another file on the node" in _perform(plan, wanted, Board())["error"]["message"]
    Path(name).unlink()
    error = _perform(plan, wanted, Board())["error"]
    assert (error["code"], f"does not see {name}" in error["message"]) == (5, True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DataError("rows", hint="look"), DataError),
        (MissingDependency("torch", "torch"), MissingDependency),
        (DmlError("what"), StepFailed),
    ],
)
def test_errors_cross_the_wire(error: DmlError, kind: type[DmlError]) -> None:
    fields = {"code": error.exit_code, "message": error.message, "hint": error.hint}
    there = error_of(json.loads(json.dumps(fields)))
    assert (type(there), there.message, there.hint) == (kind, error.message, error.hint)


def test_what_is_not_there_is_waited_for(tmp_path: Path) -> None:
    assert seen(tmp_path, within=0.0)
    assert not seen(tmp_path / "gone", within=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("spark", "there is no engine 'spark'"),
        ({"type": "local", "address": "auto"}, "the engine local has no option 'address'"),
        ({"type": "ray", "address": 7}, "the engine ray: address: Input should be a valid string"),
    ],
)
def test_engines_that_cannot_be(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        engine_of(options)


def test_the_shelf_of_engines() -> None:
    assert [engine_of(name).type for name in ENGINES] == ["local", "ray"]


@pytest.mark.skipif(installed("ray"), reason="ray is installed")
def test_without_the_extra(flowers: Any, dml: Any) -> None:
    path = flowers()
    end = dml("run", path, "--engine", "ray")
    assert (end.code, "ray is not installed" in end.err, "declarative-ml[ray]" in end.err) == (7, True, True)
    assert not list(path.parent.glob(".dml/runs/*"))
