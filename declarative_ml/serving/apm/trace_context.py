"""The trace that a request belongs to, as its caller says it: W3C Trace Context (https://www.w3.org/TR/trace-context/).

Headers come from anybody: what does not fit is as if it were not there, so that no odd identifier gets into
events that the APM server would then refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_RATE = re.compile(rb"(?:^|[,\s])es=(?:[^,]*;)?s:([01](?:\.\d{1,4})?)(?:[;,\s]|$)")
_FORBIDDEN, _OURS = b"ff", b"00"


@dataclass(frozen=True, slots=True)
class Parent:
    """The caller's place in its trace."""

    header: str
    """`traceparent`, well formed."""
    recorded: bool
    """Whether the caller records this trace."""
    rate: float
    """Share of the traces that are recorded, as Elastic's agents tell each other; 1.0 where nobody says."""


def parent_of(headers: Iterable[tuple[bytes, bytes]]) -> Parent | None:
    """The trace that the headers, names in lower case, belong to; None for none, or one that is malformed."""
    given = [value for name, value in headers if name == b"traceparent"]
    if len(given) != 1:
        return None
    found = _PARENT.fullmatch(given[0].strip(b" \t"))
    if found is None or not _is_legal(*found.groups()):
        return None
    state = b",".join(value for name, value in headers if name == b"tracestate")
    header = b"-".join(found.groups()[:4]).decode()
    return Parent(header, bool(int(found[4], 16) & 1), _rate(state))


def _is_legal(version: bytes, trace: bytes, span: bytes, flags: bytes, more: bytes | None) -> bool:
    if version == _FORBIDDEN or (version == _OURS and more is not None):
        return False
    return bool(trace.strip(b"0")) and bool(span.strip(b"0"))


def _rate(state: bytes) -> float:
    found = _RATE.search(state)
    rate = float(found[1]) if found else 1.0
    return rate if 0.0 < rate <= 1.0 else 1.0
