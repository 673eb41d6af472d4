"""The Ray engine: the steps of a plan as tasks of a Ray cluster, over a store that all its nodes see.

Which step is next, what is cached and how much time each has is decided here, by the code of the local
engine; a task is `dml step` in spirit. https://docs.ray.io/
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, redirect_stdout
from dataclasses import astuple
from typing import Any, Literal

from pydantic import Field

from declarative_ml.core.errors import DmlError, StepFailed, UsageError
from declarative_ml.core.optional import require
from declarative_ml.engines.base import Engine, Job, RunResult
from declarative_ml.engines.events import Event
from declarative_ml.engines.local import GRACE, Interrupted, Runner, stamp
from declarative_ml.engines.ray_worker import Board, do_step, error_of, seen
from declarative_ml.graph.plan import Step
from declarative_ml.planner.keys import key_document
from declarative_ml.steps.context import Finished
from declarative_ml.store.store import Action

_OBJECTS = 100_000_000
"""Bytes of shared memory for a Ray that is started here: artifacts go through the store, not through it."""
_POLL_SECONDS = 0.3
_ANSWER_SECONDS = 5.0
_LONG_WAIT = 20.0
"""Seconds after which a person is told that a step still waits for room."""
_WIDE = frozenset({"train", "trial"})
"""Steps that use all threads of the run; others need one processor."""


class Ray(Engine):
    """Tasks of a Ray cluster, or of a Ray that is started here for the run."""

    type: Literal["ray"] = "ray"
    address: str | None = Field(
        default=None, description="HOST:PORT of the cluster, auto, or local; absent: RAY_ADDRESS, else local"
    )

    @property
    def cluster(self) -> str:
        """Where the cluster is; `local` for one that is started here."""
        return self.address or os.environ.get("RAY_ADDRESS") or "local"

    def require(self) -> None:
        """Ray is an extra, and the process of the run has to be where the store is."""
        require("ray", "ray")
        if self.cluster.startswith("ray://"):
            raise UsageError(
                f"{self.cluster}: Ray Client sees no store",
                hint="run on a node of the cluster (ray job submit), or give --address HOST:PORT",
            )

    def run(self, job: Job, *, only: Set[str] | None = None, fresh: Set[str] = frozenset()) -> RunResult:
        """Run the plan on the cluster; effects on the world outside happen in this process.

        Raises UsageError for a job with a ceiling of memory, which is one of a machine.
        """
        if job.memory is not None:
            raise UsageError(
                "resources.memory is the ceiling of a run on one machine, which a cluster does not keep",
                hint="leave it out with --set resources.memory=null, or use --engine local",
            )
        with _connected(self.cluster):
            return RayRunner(job).run(only=only, fresh=fresh)


class RayRunner(Runner):
    """Hands each step to the cluster, and waits for it in a thread."""

    def __init__(self, job: Job) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._processors, room = _room(job.threads)
        super().__init__(job, jobs=job.jobs or room)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        board = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Board)
        self._board: Any = board.options(scheduling_strategy=here).remote()
        self._task: Any = ray.remote(retry_exceptions=False)(do_step)
        self._plan = ray.put(job.plan.model_dump_json())

    def do(
        self, step: Step, key: str, inputs: dict[str, str], done: dict[str, Finished], fresh: bool
    ) -> tuple[Action, str]:
        """Take a step's result from the store, or have it done."""
        if step.effect:
            return super().do(step, key, inputs, done, fresh)
        action = self.find(step, key, fresh=fresh)
        if action is not None:
            return self.report_hit(step, action)
        watch = _Watch(self, step)
        order = self._order(step, inputs, done, fresh) | {"left": watch.left(), "spared": self._spared(step)}
        calling = self._task.options(
            name=f"dml:{step.id}", num_cpus=self._processors if step.kind in _WIDE else 1
        )
        reply = self._reply(calling.remote(self._plan, step.id, order, self._board), step, watch)
        watch.pass_on(reply["events"])
        if "error" in reply:
            raise error_of(reply["error"])
        action = Action(**reply["action"])
        self._require_seen(step, action)
        if self.timer is not None:
            self.timer.end(step, action.seconds, skipped=reply["status"] == "skipped")
        return action, reply["status"]

    def _order(
        self, step: Step, inputs: dict[str, str], done: dict[str, Finished], fresh: bool
    ) -> dict[str, Any]:
        job = self.job
        files = {name: {"digest": job.file_digests[name], "stamp": stamp(name)} for name in step.files}
        return {
            "store": str(job.store.root.resolve()),
            "workspace": str(job.workspace.resolve()),
            "threads": job.threads,
            "document": key_document(step, inputs, job.file_digests, job.threads),
            "files": {name: {**file, "stamp": list(file["stamp"] or ())} for name, file in files.items()},
            "inputs": inputs,
            "done": {name: list(astuple(each)) for name, each in done.items()},
            "fresh": fresh,
            "seconds": None if job.budget is None else job.budget.seconds,
            "pinned": dict(job.pinned.get(step.id, {})),
        }

    def _reply(self, task: Any, step: Step, watch: _Watch) -> dict[str, Any]:
        """What the task returned; until then its news goes to the listener."""
        import ray

        try:
            while not ray.wait([task], timeout=_POLL_SECONDS)[0]:
                if self.stop.is_set():
                    _cancel(task)
                    raise Interrupted
                watch.look(self._board)
            reply: dict[str, Any] = ray.get(task)
        except ray.exceptions.TaskCancelledError as error:
            if self.stop.is_set():
                raise Interrupted from error
            raise self._lost(step, "it was cancelled", "finished steps are kept") from error
        except ray.exceptions.RayTaskError as error:
            why = f"{type(error.cause).__name__}: {error.cause}"
            raise self._lost(step, why, "declarative-ml must be installed on all nodes") from error
        except ray.exceptions.RayError as error:
            why = f"its worker was lost again and again: {str(error).strip().splitlines()[0]}"
            hint = "workers that are short of memory are killed: --jobs 1 starts one at a time"
            raise self._lost(step, why, hint) from error
        watch.look(self._board)
        return reply

    def _spared(self, step: Step) -> str | None:
        return None if self.timer is None else self.timer.spares(step)

    def _lost(self, step: Step, why: str, hint: str) -> DmlError:
        self.listener(Event(step.id, "failed", step.title, message=why))
        return StepFailed(f"step {step.id} failed: {why}", hint=hint)

    def _require_seen(self, step: Step, action: Action) -> None:
        path = self.store.path(action.digest)
        if not seen(path):
            raise StepFailed(
                f"step {step.id} failed: its result is not in {self.store.root.resolve()}",
                hint="all nodes must see the store under the same path: --store /a/shared/folder",
            )


class _Watch:
    """What the run knows of one task: whether it has begun, and how much time it has."""

    def __init__(self, runner: RayRunner, step: Step) -> None:
        self._runner = runner
        self._step = step
        self._deadline: Callable[[], float] | None = None
        self._began = False
        self._told = time.monotonic() + _LONG_WAIT

    def left(self) -> float | None:
        """The seconds that the step has left, or would have if it began now."""
        if self._runner.timer is None:
            return None
        deadline = self._deadline or self._runner.timer.begin(self._step)
        return deadline() - time.monotonic()

    def look(self, board: Any) -> None:
        """Pass on what the step has said, and tell it its time."""
        import ray

        try:
            events = ray.get(board.hear.remote(self._step.id, self.left()), timeout=10)
        except ray.exceptions.RayError:
            events = []
        self.pass_on(events)
        if not self._began and time.monotonic() > self._told:
            self._told = float("inf")
            self._say("waiting", "no node has room for it yet")

    def pass_on(self, events: list[dict[str, Any]]) -> None:
        """Tell the listener, and begin to count when the step does."""
        for fields in events:
            event = Event(**fields)
            if event.kind != "start":
                self._runner.listener(event)
                continue
            if self._runner.timer is not None:
                self._deadline = self._runner.timer.begin(self._step)
            if self._began:
                self._say("waiting", "its worker was lost, another one does it")
            else:
                self._runner.listener(event)
            self._began = True

    def _say(self, kind: Literal["waiting"], message: str) -> None:
        self._runner.listener(Event(self._step.id, kind, self._step.title, message=message))


def _cancel(task: Any) -> None:
    """Interrupt a task, and end its worker where it cannot be interrupted."""
    import ray

    ray.cancel(task)
    if not ray.wait([task], timeout=GRACE - 1.0)[0]:
        ray.cancel(task, force=True)


def _room(threads: int) -> tuple[int, int]:
    """Processors for a training step, and how many of those find room at once.

    A step asks for no more than the largest node has: it would wait for ever.
    """
    import ray

    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    processors = max(1, min(threads, max(nodes, default=1)))
    return processors, max(1, sum(count // processors for count in nodes))


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """A connection for the time of the run; one that the process has already is used and left alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the future default; else it warns
    with _own_signals():
        import ray

        if ray.is_initialized():
            yield
            return
        _require_answer(address)
        here: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OBJECTS}
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level="error",
                **(here if address == "local" else {}),
            )
        except (OSError, RuntimeError, ValueError) as error:
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UsageError(
                f"no Ray at {address}: {told}", hint="give --address HOST:PORT on a machine of the cluster"
            ) from error
    try:
        with redirect_stdout(sys.stderr):  # Ray prints there when a worker is lost; ours is for results
            yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raise UsageError for a HOST:PORT where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise UsageError(
            f"no Ray at {address}: {error.strerror or error}",
            hint="give --address HOST:PORT as `ray start --head` tells it",
        ) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray sets a handler of its own for SIGTERM; the command line's is the one that people know."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
