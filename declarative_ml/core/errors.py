"""Every error a person can meet, and the exit code it ends in.

    DmlError                1  internal error
    ├── UsageError          2  the command line is wrong
    ├── SpecError           3  the spec is invalid; carries every Problem found
    ├── GateFailed          4  a gate or behavioural test failed
    ├── DataError           5  data unreadable, or the data contract violated
    ├── StepFailed          6  a step of the run failed
    ├── MissingDependency   7  an optional library is absent; names the extra
    └── DifferenceFound     8  a comparison found a difference

`hint` is the way out, in one sentence. The command line catches `DmlError` once and prints it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MOST_SAID = 300
"""Characters of another program's words that a message repeats."""


def one_line(said: object) -> str:
    """What another program said, as one line that is not too long."""
    return " ".join(str(said).split())[:MOST_SAID]


class DmlError(Exception):
    """The base of every error that is shown to a person without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class DmlWarning(UserWarning):
    """What a person should know although nothing stops for it; the command line prints its text alone."""


class UsageError(DmlError):
    """The command line asks for something that cannot be."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One finding in a spec, with its place. `line` and `column` count from 1; 0 means unknown."""

    code: str
    message: str
    severity: str = "error"
    file: str = ""
    line: int = 0
    column: int = 0
    width: int = 1
    path: str = ""
    hint: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The JSON form that `dml validate --format json` prints."""
        fields = asdict(self)
        fields.pop("width")
        return fields


class SpecError(DmlError):
    """The spec is invalid. Holds all the problems found, not just the first."""

    exit_code = 3

    def __init__(
        self, problems: Sequence[Problem], *, hint: str | None = None, texts: Mapping[str, str] | None = None
    ) -> None:
        self.problems = tuple(problems)
        self.texts = dict(texts or {})
        """The texts of files that are not on this machine under the name that problems give them."""
        errors = [problem for problem in self.problems if problem.severity == "error"]
        super().__init__(f"{len(errors)} problem(s) in the spec", hint=hint)


class GateFailed(DmlError):
    """The model did not pass a gate."""

    exit_code = 4


class DataError(DmlError):
    """The data cannot be read, or is not what the spec needs."""

    exit_code = 5


class StepFailed(DmlError):
    """A step of the run failed; finished steps stay cached."""

    exit_code = 6


class MissingDependency(DmlError):
    """An optional library is not installed."""

    exit_code = 7

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"{library} is not installed",
            hint=f"pip install 'declarative-ml[{extra}]'",
        )


class DifferenceFound(DmlError):
    """A comparison that had to come out equal did not."""

    exit_code = 8
