"""Who takes part: a contender, its preset, and the seconds that it is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from declarative_ml.core.errors import UsageError

OURS = "dml"
PRESETS: dict[str, tuple[str, ...]] = {
    "dml": ("", "capped"),
    "autogluon": ("medium", "best"),
    "h2o": ("",),
    "flaml": ("",),
    "lightgbm": ("",),
    "catboost": ("",),
}
UNTIMED = frozenset({"lightgbm", "catboost"})
"""These run with their defaults, to the end."""

_FORM = re.compile(r"(?P<contender>[a-z0-9]+)(-(?P<preset>[a-z]+))?(@(?P<seconds>[1-9]\d*))?")
_UNTIMED_SECONDS = 900


@dataclass(frozen=True)
class Entry:
    """One column of the report. `seconds` is 0 for those that have no clock."""

    contender: str
    preset: str = ""
    seconds: int = 0

    @property
    def label(self) -> str:
        """How it is written: `autogluon-best@120`."""
        clock = f"@{self.seconds}" if self.seconds else ""
        return f"{self.contender}-{self.preset}{clock}" if self.preset else f"{self.contender}{clock}"

    @property
    def ours(self) -> bool:
        """Whether it is the tool of this repository."""
        return self.contender == OURS

    @property
    def latest(self) -> float:
        """Seconds from the start of its process to the saved model, beyond which it counts as late.

        A quarter more than it was given, and 15 s to start: libraries and servers load before the clock runs.
        """
        return 1.25 * self.seconds + 15 if self.seconds else _UNTIMED_SECONDS

    @property
    def killed(self) -> float:
        """Seconds after which the process is ended, with what it does after fitting."""
        return 2 * self.latest + 180


def parse_entry(text: str) -> Entry:
    """`dml@30`, `autogluon-best@120`, `catboost`. Raises UsageError."""
    match = _FORM.fullmatch(text)
    contender = match["contender"] if match else ""
    if match is None or contender not in PRESETS:
        raise UsageError(
            f"no contender is written {text!r}", hint=f"Known: {', '.join(PRESETS)}; such as dml@60."
        )
    preset = match["preset"] or ""
    if preset not in PRESETS[contender]:
        forms = (f"{contender}-{name}".rstrip("-") for name in PRESETS[contender])
        raise UsageError(f"{contender} has no preset {preset!r}", hint=f"Write {' or '.join(forms)}.")
    seconds = int(match["seconds"] or 0)
    if (seconds == 0) != (contender in UNTIMED):
        raise UsageError(
            f"{text!r}: {contender} {'has no clock' if seconds else 'needs its seconds'}",
            hint=f"Write {contender if seconds else f'{text}@60'}.",
        )
    return Entry(contender, preset, seconds)


DEFAULT: tuple[Entry, ...] = tuple(
    parse_entry(text)
    for text in (
        "dml@30",
        "dml@60",
        "dml@120",
        "autogluon-medium@60",
        "autogluon-best@120",
        "h2o@60",
        "flaml@60",
        "lightgbm",
        "catboost",
    )
)


def matched(peer: Entry, entries: Sequence[Entry]) -> Entry | None:
    """Ours to hold against the peer: the same seconds, else the nearest; 60 where the peer has no clock."""
    wanted = peer.seconds or 60
    ours = [entry for entry in entries if entry.ours]
    return min(ours, key=lambda entry: (abs(entry.seconds - wanted), entry.seconds), default=None)
