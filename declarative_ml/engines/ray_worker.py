"""What runs inside of a Ray cluster: one step of a plan, and the board over which it talks to the run.

Only plain data goes over the wire: the plan as JSON, the id of a step, and an order of JSON values.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from declarative_ml.core.digest import digest_file
from declarative_ml.core.errors import (
    DataError,
    DmlError,
    GateFailed,
    MissingDependency,
    StepFailed,
    UsageError,
)
from declarative_ml.engines.base import Job
from declarative_ml.engines.clock import Budget
from declarative_ml.engines.events import Event
from declarative_ml.engines.local import Runner, stamp
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.planner.keys import differences, key_document, step_key
from declarative_ml.steps.context import Finished
from declarative_ml.store.store import Action, Store

SEEN_WITHIN = 60.0
"""Seconds until a file that one machine wrote is seen by another: network file systems remember for a
while what was not there."""
_TALK_SECONDS = 0.3
_ERRORS = {
    each.exit_code: each for each in (UsageError, GateFailed, DataError, StepFailed, MissingDependency)
}


class Board:
    """Where steps leave their events and find the time that they have left; an actor of the run.

    Its own clock counts while a step waits for room: those of two machines have nothing in common.
    """

    def __init__(self) -> None:
        self._events: dict[str, list[dict[str, Any]]] = {}
        self._ends: dict[str, float] = {}

    def tell(self, step: str, events: list[dict[str, Any]]) -> float | None:
        """Called by a step: its news. Returns the seconds it has left; None: as many as it likes."""
        self._events.setdefault(step, []).extend(events)
        return self._ends[step] - time.monotonic() if step in self._ends else None

    def hear(self, step: str, left: float | None) -> list[dict[str, Any]]:
        """Called by the run: the seconds that the step has left. Returns the step's news."""
        if left is not None:
            self._ends[step] = time.monotonic() + left
        return self._events.pop(step, [])


Tell = Callable[[list[dict[str, Any]]], float | None]
"""`Board.tell` of one step."""


class Link:
    """The worker's end: a listener and a timer that talk to the run over the board."""

    def __init__(self, tell: Tell, left: float | None, spared: str | None = None) -> None:
        self._tell = tell
        self._spared = spared
        self._deadline = time.monotonic() + (left or 0.0)
        self._events: list[dict[str, Any]] = []
        self._lock, self._talking, self._over = threading.Lock(), threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._talk, daemon=True, name="dml-link")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def listen(self, event: Event) -> None:
        """Of progress only the latest counts."""
        with self._lock:
            if event.kind == "progress" and self._events and self._events[-1]["kind"] == "progress":
                self._events.pop()
            self._events.append(event.as_dict())
        if event.kind == "start":
            self._exchange()  # at once: a worker that is lost later is known to have begun

    def begin(self, step: Step) -> Callable[[], float]:
        """The deadline as the run last said it."""
        return lambda: self._deadline

    def end(self, step: Step, seconds: float, *, skipped: bool = False) -> None:
        """The run keeps the time of the steps."""

    def spares(self, step: Step) -> str | None:
        """What the run said of it."""
        return self._spared

    def rest(self) -> list[dict[str, Any]]:
        """What the run has not heard."""
        with self._lock:
            found, self._events = self._events, []
        return found

    def _talk(self) -> None:
        while not self._over.wait(_TALK_SECONDS):
            self._exchange()

    def _exchange(self) -> None:
        with self._talking:
            left = self._tell(self.rest())
            if left is not None:
                self._deadline = time.monotonic() + left


def do_step(plan: str, step_id: str, order: Mapping[str, Any], board: Any) -> dict[str, Any]:
    """The task: `perform` with a board that is an actor."""

    def tell(events: list[dict[str, Any]]) -> float | None:
        import ray

        try:
            left: float | None = ray.get(board.tell.remote(step_id, events), timeout=10)
        except ray.exceptions.RayError:
            return None  # a board that is being started anew: what it knew was for the eye
        return left

    return perform(plan, step_id, order, tell)


def perform(plan: str, step_id: str, order: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Do one step of a plan and return its action, or its error; an error of a step is no failure of Ray's,
    which would try again."""
    link = Link(tell, order["left"], order["spared"])
    step = Plan.model_validate_json(plan)[step_id]
    try:
        with link:
            _require_same(step, order)
            action, status = _do(step, order, link)
    except DmlError as error:
        fields = {"code": error.exit_code, "message": error.message, "hint": error.hint}
        return {"error": fields, "events": link.rest()}
    return {"action": vars(action), "status": status, "events": link.rest()}


def error_of(fields: Mapping[str, Any]) -> DmlError:
    """The error that a worker met, as it would have been raised here."""
    kind = _ERRORS.get(fields["code"], StepFailed)
    error = kind.__new__(kind)
    DmlError.__init__(error, fields["message"], hint=fields["hint"])
    return error


def seen(path: Path, *, within: float = SEEN_WITHIN) -> bool:
    """Whether a path of the store is there, or comes into sight within some seconds."""
    until = time.monotonic() + within
    while not path.exists():
        if time.monotonic() >= until:
            return False
        time.sleep(min(1.0, within / 10))
    return True


def _do(step: Step, order: Mapping[str, Any], link: Link) -> tuple[Action, str]:
    seconds = order["seconds"]
    job = Job(
        Plan(name="", spec_digest="", steps=(step,)),
        Store(Path(order["store"])),
        Path(order["workspace"]),
        threads=order["threads"],
        file_digests={name: file["digest"] for name, file in order["files"].items()},
        listener=link.listen,
        budget=None if seconds is None else Budget(seconds, time.monotonic()),
        pinned={step.id: order["pinned"]},
    )
    runner = Runner(job, jobs=1)
    runner.timer = None if order["left"] is None else link
    done = {name: Finished(*fields) for name, fields in order["done"].items()}
    return runner.do(step, step_key(order["document"]), order["inputs"], done, order["fresh"])


def _require_same(step: Step, order: Mapping[str, Any]) -> None:
    """Refuse to make something else under the key of the run: other code, other libraries, other files."""
    host, store = socket.gethostname(), Store(Path(order["store"]))
    absent = [store.path(digest) for digest in order["inputs"].values() if not seen(store.path(digest))]
    if absent:
        raise StepFailed(
            f"step {step.id} failed: the node {host} does not see {absent[0]}",
            hint="all nodes must see the store under the same path: --store /a/shared/folder",
        )
    for name, file in order["files"].items():
        _require_file(name, file, host)
    digests = {name: file["digest"] for name, file in order["files"].items()}
    own = key_document(step, order["inputs"], digests, order["threads"])
    if own != order["document"]:
        raise StepFailed(
            f"step {step.id} failed: the node {host} is not like the machine of the run: "
            + "; ".join(differences(order["document"], own)),
            hint="install the same versions of declarative-ml and of its libraries on all nodes",
        )


def _require_file(name: str, file: Mapping[str, Any], host: str) -> None:
    now = stamp(name)
    if now is None:
        raise DataError(
            f"the node {host} does not see {name}", hint="all nodes must see the data under the same path"
        )
    if list(now) != file["stamp"] and digest_file(Path(name)) != file["digest"]:
        raise DataError(
            f"{name} is another file on the node {host}",
            hint="run again when nobody writes to it, with the same file on all nodes",
        )
