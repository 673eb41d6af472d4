"""Live progress: a bar for each running step, a line for each finished one. On stderr, or in a notebook."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from declarative_ml.core.optional import installed
from declarative_ml.report.wording import seconds

if TYPE_CHECKING:
    from declarative_ml.api.planning import StepState
    from declarative_ml.engines.events import Event
    from declarative_ml.graph.plan import Plan

_ENDS = {"run": "done", "skipped": "skipped", "failed": "failed"}


class Progress:
    """Listens to a run's events. Bars on a terminal and in notebooks that can draw them, plain lines
    elsewhere, nothing when disabled."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._live: Any = None
        self._tasks: dict[str, Any] = {}
        self._expected: dict[str, float] = {}
        self._total: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, plan: Plan, states: list[StepState]) -> None:
        """Called once, before the first step."""
        if not self.enabled:
            return
        running = sum(state.state in ("run", "unknown") for state in states)
        _say(f"{plan.name}: {running} of {len(states)} steps to run")
        if not _can_draw():
            return
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._live = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[message]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._live.start()

    def listen(self, event: Event) -> None:
        """Called from many threads."""
        if not self.enabled:
            return
        with self._lock:
            if event.kind == "start":
                self._start(event)
            elif event.kind == "waiting":
                self._print(f"… {event.step} waits: {event.message}")
            elif event.kind == "progress":
                self._update(event)
            elif event.kind in _ENDS:
                self._end(event)

    def _start(self, event: Event) -> None:
        if self._live is not None:
            self._tasks[event.step] = self._live.add_task(event.step, total=None, message=event.title)

    def _update(self, event: Event) -> None:
        task = self._tasks.get(event.step)
        if task is not None and 0.0 < event.fraction < 1.0:
            self._live.update(task, total=1.0, completed=event.fraction, message=event.message)

    def _end(self, event: Event) -> None:
        task = self._tasks.pop(event.step, None)
        if task is not None:
            self._live.remove_task(task)
        if event.kind == "skipped":
            return
        mark = {"run": "✓", "failed": "✗"}[event.kind]
        took = f" {seconds(event.seconds)}" if event.kind == "run" else ""
        self._print(f"{mark} {event.step}{took}  {event.title if event.kind == 'run' else event.message}")

    def _print(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, highlight=False, markup=False)
        else:
            _say(line)


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules


def _can_draw() -> bool:
    # Rich draws bars in a notebook by the widgets of this library.
    return sys.stderr.isatty() or (_in_notebook() and installed("ipywidgets"))


def _say(line: str) -> None:
    """One line; on stdout in a notebook, which shows stderr as an error."""
    print(line, file=sys.stdout if _in_notebook() else sys.stderr, flush=True)
