"""What is known of one code of problems."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One kind of problem. `wrong` and `right` are lines of a spec, or a command line."""

    code: str
    title: str
    meaning: str
    wrong: str
    right: str

    @property
    def is_command(self) -> bool:
        """Whether the example is a command line."""
        return self.wrong.startswith("dml ")
