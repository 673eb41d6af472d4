"""The local engine: runs a Plan on this machine, in threads, over a content-addressed store."""

from __future__ import annotations

import graphlib
import threading
import time
from collections.abc import Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from declarative_ml.core.atomic import empty_folder, write_json
from declarative_ml.core.digest import digest_json
from declarative_ml.core.disk import FULL_HINT, is_full
from declarative_ml.core.errors import DataError, DmlError, StepFailed
from declarative_ml.core.faults import fault_point
from declarative_ml.engines.apart import run_apart
from declarative_ml.engines.base import Engine, Job, RunResult
from declarative_ml.engines.clock import Budget, Clock, Timer
from declarative_ml.engines.events import Event
from declarative_ml.graph.plan import Step
from declarative_ml.planner.keys import key_document, step_key
from declarative_ml.steps import STEPS
from declarative_ml.steps.context import SKIPPED, Finished, StepContext, skip_reason
from declarative_ml.store.store import Action, Store

_ATTEMPTS = 3
_CROSSED = ("recursion depth mismatch", "dictionary changed size during iteration")
"""What errors say that two threads were in each other's way."""
_JOBS = 4
"""Steps side by side where nobody says how many: training steps share the threads."""
SKIPPED_FOR = "skipped"
"""In what is pinned of a step: why the clock or an error left it out as a whole."""
GRACE = 5.0
"""Seconds that running steps get to stop by themselves. After that the process may simply end: the
store stands a kill at any moment."""


class Interrupted(BaseException):
    """Raised inside a running step when the run is being stopped; not an Exception on purpose."""


class Local(Engine):
    """Threads of this process."""

    type: Literal["local"] = "local"

    def run(self, job: Job, *, only: Set[str] | None = None, fresh: Set[str] = frozenset()) -> RunResult:
        """Run the plan here."""
        return Runner(job, jobs=job.jobs or min(job.threads, _JOBS)).run(only=only, fresh=fresh)


class Runner:
    """Runs steps as soon as what they need is there; independent steps side by side."""

    def __init__(self, job: Job, *, jobs: int) -> None:
        self.job = job
        self.store = job.store
        self.jobs = jobs if job.memory is None else 1
        self.listener = job.listener
        self.timer: Timer | None = None
        self.stop = threading.Event()
        self._peaks: dict[str, int] = {}
        self._running: dict[Future[tuple[Action, str]], str] = {}
        self._stamps = {name: stamp(name) for name in job.file_digests}

    def run(self, *, only: Set[str] | None = None, fresh: Set[str] = frozenset()) -> RunResult:
        """Run the plan, or of it the steps in `only`; those in `fresh` run although cached.

        Finished steps stay in the store whatever happens. On an interrupt the running steps are told to
        stop, are waited for up to GRACE seconds, and the interrupt goes on up.
        """
        steps = {step.id: step for step in self.job.plan.steps if only is None or step.id in only}
        sorter = graphlib.TopologicalSorter({step.id: step.needs for step in steps.values()})
        sorter.prepare()
        if self.job.budget is not None:
            # Where others do the other steps, theirs is a part of the time all the same.
            sharing = self.job.plan.steps if self.job.settled else steps.values()
            sparing = not self.job.settled  # several processes would not agree
            self.timer = Clock(sharing, self.job.budget, jobs=self.jobs, sparing=sparing)
        result = RunResult()
        pool = ThreadPoolExecutor(self.jobs, thread_name_prefix="dml")
        try:
            self._drive(steps, sorter, pool, result, fresh)
        except BaseException:
            self.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            # Those that were still in the queue never end: a wait for them would last its full time.
            wait([task for task in self._running if not task.cancelled()], timeout=GRACE)
            raise
        pool.shutdown()
        return result

    def _drive(
        self,
        steps: dict[str, Step],
        sorter: graphlib.TopologicalSorter[str],
        pool: ThreadPoolExecutor,
        result: RunResult,
        fresh: Set[str],
    ) -> None:
        running = self._running
        position = {step_id: number for number, step_id in enumerate(steps)}
        while sorter.is_active() and (running or result.error is None):
            ready = sorted(sorter.get_ready(), key=position.__getitem__) if result.error is None else []
            for step_id in ready:
                step = steps[step_id]
                inputs = {role: result.actions[needed].digest for role, needed in step.inputs.items()}
                document = key_document(step, inputs, self.job.file_digests, self.job.threads)
                result.documents[step_id] = document
                done = {
                    name: Finished(result.status[name], item.seconds, item.peak_bytes)
                    for name, item in result.actions.items()
                }
                task = pool.submit(self.do, step, step_key(document), inputs, done, step_id in fresh)
                running[task] = step_id
            if not running:
                continue
            # The timeout lets a Ctrl-C through that arrived a moment before the wait began.
            for task in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
                step_id = running.pop(task)
                self._collect(task, step_id, result)
                if step_id in result.actions:
                    sorter.done(step_id)

    def _collect(self, task: Future[tuple[Action, str]], step_id: str, result: RunResult) -> None:
        try:
            action, status = task.result()
        except DmlError as error:
            result.status[step_id] = "failed"
            result.error = result.error or error
            self.stop.set()
        except Interrupted:
            pass
        else:
            result.actions[step_id] = action
            result.status[step_id] = status

    def do(
        self, step: Step, key: str, inputs: dict[str, str], done: dict[str, Finished], fresh: bool
    ) -> tuple[Action, str]:
        """Take a step's result from the store, or do it; `inputs` are digests by role. Returns its action
        and its status in this run."""
        action = self.find(step, key, fresh=fresh)
        if action is not None:
            return self.report_hit(step, action)
        with self.store.lock(key, poll=lambda attempt: self._wait_for_other(step, attempt)):
            action = self.find(step, key, fresh=fresh)
            if action is not None:
                return self.report_hit(step, action)
            return self._execute(step, key, inputs, done)

    def find(self, step: Step, key: str, *, fresh: bool) -> Action | None:
        """The step's action in the store, where it may be taken from there."""
        if fresh or step.effect or (step.always and not self.job.settled):
            return None
        return find_action(self.store, step, key, self.job.budget, settled=self.job.settled)

    def _wait_for_other(self, step: Step, attempt: int) -> None:
        if self.stop.is_set():
            raise Interrupted
        if not attempt:
            self.listener(Event(step.id, "waiting", step.title, message="another run is doing this step"))

    def report_hit(self, step: Step, action: Action) -> tuple[Action, str]:
        """Say that there is nothing to do, and return what `do` returns."""
        status = "skipped" if action.status == "skipped" else "cached"
        if self.timer is not None:
            self.timer.end(step, action.seconds, skipped=status == "skipped")
        self.listener(Event(step.id, "cached", step.title, 1.0, action.detail, action.seconds))
        return action, status

    def _execute(
        self, step: Step, key: str, inputs: dict[str, str], done: dict[str, Finished]
    ) -> tuple[Action, str]:
        def progress(fraction: float, message: str) -> None:
            if self.stop.is_set():
                raise Interrupted
            self.listener(Event(step.id, "progress", step.title, fraction, message))
            if fraction >= 0.5:
                fault_point(f"{step.id}:middle")

        progress(0.0, "")
        self.listener(Event(step.id, "start", step.title))
        fault_point(f"{step.id}:start")
        started = time.perf_counter()
        deadline = None if self.timer is None else self.timer.begin(step)
        cut = threading.Event()
        pinned: dict[str, Any] = {}
        with self.store.building() as out:
            context = StepContext(
                step=step,
                inputs={role: self.store.path(digest) for role, digest in inputs.items()},
                out=out,
                scratch=self.store.scratch(key),
                workspace=self.job.workspace,
                key=key,
                threads=self.job.threads,
                finished=done,
                progress=progress,
                deadline=deadline,
                cut_short=cut.set,
                pin=pinned.update,
                pinned=self.job.pinned.get(step.id, {}),
            )
            passing = self._attempt(step, context)
            self._require_unchanged(step)
            reason = skip_reason(out)
            status = "run" if reason is None else "skipped"
            if reason is not None and (passing or cut.is_set()):
                pinned = {SKIPPED_FOR: reason}
            took = time.perf_counter() - started
            within = self.job.budget if cut.is_set() else None
            kept = _failed_under(key) if passing else _kept_under(key, within)
            fields = {"key": kept, "step": step.id, "seconds": took, "status": status, "detail": reason or ""}
            fields["peak_bytes"] = self._peaks.get(step.id, 0)
            action = self.store.publish(out, {**fields, "pinned": pinned})
        if self.timer is not None:
            self.timer.end(step, took, skipped=status == "skipped")
        self.listener(
            Event(step.id, "skipped" if reason else "run", step.title, 1.0, reason or "", action.seconds)
        )
        return action, status

    def _attempt(self, step: Step, context: StepContext) -> bool:
        """Do the step, or leave the reason why an optional one is left out. Returns whether that is a
        matter of this run alone, which another one may try again."""
        if SKIPPED_FOR in context.pinned:
            write_json(context.out / SKIPPED, {"reason": context.pinned[SKIPPED_FOR]})
            return False
        spared = None if self.timer is None else self.timer.spares(step)
        if spared is None and step.optional and context.is_late:
            spared = "the time is up"
        if spared is not None:
            write_json(context.out / SKIPPED, {"reason": spared})
            context.cut_short()
            return False
        try:
            self._call(step, context)
        except DmlError as error:
            if not step.optional:
                raise
            empty_folder(context.out)
            write_json(context.out / SKIPPED, {"reason": f"failed: {error.message}"})
            return True
        return False

    def _call(self, step: Step, context: StepContext) -> None:
        try:
            self._run(step, context)
        except DmlError as error:
            self._require_unchanged(step)  # of a file that is half rewritten there is nothing else to say
            self.listener(Event(step.id, "failed", step.title, message=error.message))
            raise
        except MemoryError as error:
            raise self._failed(step, error) from error
        except Exception as error:
            raise self._failed(step, error) from error

    def _run(self, step: Step, context: StepContext) -> None:
        """Run the step's module, again where two threads were in each other's way.

        Python 3.11 and 3.12 count the depth of syntax trees once for all threads, and numpy reads the headers
        of its files as such trees: when two steps do so at once, one may see the other's depth. And libraries
        walk over the loaded modules while another step loads some.
        """
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                if self.job.memory is None:
                    import_module(STEPS[step.kind]).run(context)
                else:
                    self._peaks[step.id] = run_apart(context, self.job.memory)
                return
            except (SystemError, RuntimeError) as error:
                if not attempts_left or not any(words in str(error) for words in _CROSSED):
                    raise
                empty_folder(context.out)

    def _require_unchanged(self, step: Step) -> None:
        """What was read must be what the key says: a file that changed meanwhile would poison the cache."""
        changed = [name for name in step.files if stamp(name) != self._stamps[name]]
        if changed:
            error = DataError(
                f"{changed[0]} changed while it was being read", hint="run again when nobody writes to it"
            )
            self.listener(Event(step.id, "failed", step.title, message=error.message))
            raise error

    def _failed(self, step: Step, error: BaseException) -> StepFailed:
        self.listener(Event(step.id, "failed", step.title, message=str(error)))
        if is_full(error):
            return StepFailed(f"step {step.id} failed: there is no room left on the disk", hint=FULL_HINT)
        return StepFailed(
            f"step {step.id} failed: {type(error).__name__}: {error}",
            hint="finished steps are kept; DML_DEBUG=1 shows the traceback",
        )


def find_action(
    store: Store, step: Step, key: str, budget: Budget | None, *, settled: bool = False
) -> Action | None:
    """The finished action of a step: whole, or as far as it came in as much time as `budget` gives.

    `settled`: the steps of one run are done by several processes, so that an optional one's failure is its
    result too, until it is done again. Any other run tries it anew.
    """
    action = store.find(key)
    if action is None and budget is not None:
        action = store.find(_kept_under(key, budget))
    if action is None and settled and step.optional:
        action = store.find(_failed_under(key))
    return action


def _kept_under(key: str, budget: Budget | None) -> str:
    """The key for a result: a run with other means must not take it for the whole one."""
    return key if budget is None else digest_json([key, "seconds", budget.seconds])


def _failed_under(key: str) -> str:
    """The key for the failure of an optional step."""
    return digest_json([key, "failed"])


def stamp(name: str) -> tuple[int, int, int] | None:
    """What changes when a file is written; None for one that cannot be looked at."""
    try:
        status = Path(name).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
