"""What to look at before a model is believed: leaks, columns that say the same, columns that say little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.learning.leak_search import find_leaks

if TYPE_CHECKING:
    import pyarrow as pa

    from declarative_ml.learning.relations import Relations, TargetRelation
    from declarative_ml.learning.statistics import ColumnProfile

STRONG = 0.98
"""A column that goes with the target this closely may be the target in other words."""
ALONE = 0.99
"""ROC AUC of a column alone that hardly any honest column reaches."""
TELLING = 0.5
"""From here on it is suspicious that a column is missing where the target is what it is."""
MOSTLY = 0.5
NEARLY_ALL = 0.99
MOST_PAIRS = 10

Kind = Literal["leak", "strong", "missing", "same", "sparse", "single"]


class Suspicion(Section):
    """A finding about one or more columns."""

    kind: Kind = Field(
        description="leak: tells the target; strong: nearly tells it; missing: where it is missing tells it; "
        "same: says what another says; sparse: mostly missing; single: nearly always one value"
    )
    columns: tuple[str, ...]
    reason: str = Field(
        description="What is so, with the columns as subject of the sentence where it has none"
    )

    @property
    def is_grave(self) -> bool:
        """Whether the numbers of the model are not to be trusted before it is settled."""
        return self.kind in ("leak", "strong", "missing")


def find_suspicions(
    table: pa.Table, relations: Relations, profiles: Sequence[ColumnProfile], target: str
) -> list[Suspicion]:
    """The findings on the columns of `relations`, the gravest first; `table` has the sampled rows."""
    names = [item.column for item in relations.target]
    leaks = [
        Suspicion(kind="leak", columns=leak.columns, reason=leak.reason)
        for leak in find_leaks(table, target, [name for name in table.column_names if name in names])
    ]
    told = {name for leak in leaks for name in leak.columns}
    by_name = {profile.name: profile for profile in profiles if profile.name in names}
    return [
        *leaks,
        *_strong(relations.target, told, target),
        *_missing(relations.target, told, target),
        *_same(relations),
        *_quiet(by_name),
    ]


def _strong(found: Sequence[TargetRelation], told: set[str], target: str) -> Iterator[Suspicion]:
    for item in found:
        if item.column in told:
            continue
        what = "its length" if item.is_length else "it"
        if item.auc is not None and max(item.auc, 1.0 - item.auc) >= ALONE:
            said = f"a ROC AUC of {max(item.auc, 1.0 - item.auc):.3f}"
        elif item.value is not None and abs(item.value) >= STRONG:
            said = f"a {item.measure} of {item.value:.3f}"
        else:
            continue
        yield Suspicion(
            kind="strong",
            columns=(item.column,),
            reason=f"{what} alone nearly tells the target '{target}': {said}",
        )


def _missing(found: Sequence[TargetRelation], told: set[str], target: str) -> Iterator[Suspicion]:
    for item in found:
        if item.column not in told and item.missing is not None and abs(item.missing) >= TELLING:
            reason = f"where it is missing tells much of the target '{target}' ({abs(item.missing):.2f} of 1)"
            yield Suspicion(kind="missing", columns=(item.column,), reason=reason)


def _same(relations: Relations) -> Iterator[Suspicion]:
    for pair in relations.pairs[:MOST_PAIRS]:
        reason = f"{' and '.join(pair.columns)} say the same ({pair.value:.3f} of 1)"
        yield Suspicion(kind="same", columns=pair.columns, reason=reason)


def _quiet(profiles: Mapping[str, ColumnProfile]) -> Iterator[Suspicion]:
    for name, profile in profiles.items():
        if profile.missing >= MOSTLY * profile.rows > 0:
            share = 100 * profile.missing / profile.rows
            yield Suspicion(
                kind="sparse", columns=(name,), reason=f"it is missing in {share:.1f} % of the rows"
            )
        elif profile.top and profile.top[0][1] >= NEARLY_ALL * profile.present > 0:
            value, rows = profile.top[0]
            share = 100 * rows / profile.present
            yield Suspicion(
                kind="single", columns=(name,), reason=f"it is {value} in {share:.1f} % of the rows"
            )
