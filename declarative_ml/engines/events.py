"""What happens during a run, as plain events: progress displays, logs and tests listen to these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

EventKind = Literal["cached", "waiting", "start", "progress", "run", "skipped", "failed"]


@dataclass(frozen=True)
class Event:
    """One thing that happened to one step. `seconds` is the step's own duration when it ended."""

    step: str
    kind: EventKind
    title: str = ""
    fraction: float = 0.0
    message: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The line of events.jsonl."""
        return asdict(self)


Listener = Callable[[Event], None]
"""Called from the threads that run the steps: keep it quick and thread-safe."""


def silent(event: Event) -> None:
    """Listen to nothing."""
