"""Problems of a spec at the places of the file where they are."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from declarative_ml.core.errors import Problem
from declarative_ml.spec.doubt import Doubt
from declarative_ml.spec.positions import Path, Place, Positions, dotted


@dataclass(frozen=True)
class Report:
    """Makes problems at the places of paths."""

    positions: Positions

    def value(self, code: str, path: Path, message: str, hint: str | None = None) -> Problem:
        """An error at the value of a path."""
        return self._at(self.positions.value(path), code, path, message, hint, "error")

    def key(self, code: str, path: Path, message: str, hint: str | None = None) -> Problem:
        """An error at the key of a path."""
        return self._at(self.positions.key(path), code, path, message, hint, "error")

    def warning(self, code: str, path: Path, message: str, hint: str | None = None) -> Problem:
        """A warning at the key of a path."""
        return self._at(self.positions.key(path), code, path, message, hint, "warning")

    def doubt(self, doubt: Doubt) -> Problem:
        """A warning that the first rows gave."""
        said = doubt.path in self.positions.nodes or not doubt.otherwise
        path = doubt.path if said else doubt.otherwise
        is_key = path[:1] == ("features",)
        place = self.positions.key(path) if is_key else self.positions.value(path)
        return self._at(place, doubt.code, path, doubt.message, doubt.hint, "warning")

    def column(self, path: Path, name: str, columns: list[str], where: str = "the data") -> Problem:
        """`name` is not among `columns`."""
        is_key = path[:1] == ("features",) or path[-1] == name
        place = self.positions.key(path) if is_key else self.positions.value(path)
        hint = near_column(name, columns)
        return self._at(place, "DML201", path, f"{where} has no column '{name}'", hint, "error")

    def _at(
        self, place: Place, code: str, path: Path, message: str, hint: str | None, severity: str
    ) -> Problem:
        return Problem(
            code, message, severity, place.file, place.line, place.column, place.width, dotted(path), hint
        )


def near_column(name: str, columns: list[str]) -> str:
    """A hint for a name that is not among the columns."""
    if "${" in name:
        return "references are looked up in values only, not in keys"
    plain = {_plain(column): column for column in reversed(columns)}
    near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.66)
    if near:
        return f"did you mean '{plain[near[0]]}'?"
    if len(columns) == 1 and re.search(r"[,;\t|]", columns[0]):
        return f"the header is one column, '{columns[0][:40]}…': is the delimiter another one?"
    more = f" and {len(columns) - 12} more" if len(columns) > 12 else ""
    return f"columns: {', '.join(columns[:12])}{more}"


def _plain(name: str) -> str:
    """A name without what people write differently: capitals, blanks, hyphens and underscores."""
    return re.sub(r"[\s_.-]+", "", name.lower()) or name
