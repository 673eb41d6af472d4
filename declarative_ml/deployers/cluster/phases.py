"""How far what runs once is, in the words of its controller: jobs, workflows, Ray jobs, training jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from declarative_ml.deployers.base import Object

Status = Mapping[str, Any]


def _of_conditions(status: Status) -> str:
    ends = [each["type"] for each in status.get("conditions") or [] if each.get("status") == "True"]
    return str(ends[-1]) if ends else ""


WORKING: Mapping[str, Callable[[Status], str]] = {
    "Job": _of_conditions,
    "Workflow": lambda status: str(status.get("phase") or ""),
    "RayJob": lambda status: str(status.get("jobDeploymentStatus") or ""),
    "TrainJob": _of_conditions,
}
"""Kinds that come to an end, and where their controllers write the word for it."""
_ENDED = frozenset(
    {"complete", "succeeded", "successcriteriamet", "failed", "failuretarget", "error", "validationfailed"}
)


def phase(live: Object) -> str:
    """What has become of it, or that it is at work."""
    status = live.get("status") or {}
    if word := WORKING[live["kind"]](status).lower():
        return word
    return f"{status.get('active') or 0} pods at work" if live["kind"] == "Job" else "not begun"


def is_at_work(live: Object) -> bool:
    """Whether it has begun, or will at once, and has not ended: to remove it would lose what it does."""
    if live["kind"] not in WORKING or live["spec"].get("suspend"):
        return False
    status = live.get("status") or {}
    if live["kind"] == "Job":
        return bool(status.get("active"))
    return WORKING[live["kind"]](status).lower() not in _ENDED
