"""How the columns of the data differ from those that the champion was made of: told, not judged."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import Problem
from declarative_ml.core.schema import ColumnRule
from declarative_ml.sources.base import Source
from declarative_ml.spec.champion_columns import ColumnChange, change_problems, changes_between
from declarative_ml.spec.document import Spec
from declarative_ml.spec.gate_faults import champion_of
from declarative_ml.spec.load import LoadedSpec
from declarative_ml.store.bundle import Bundle, Manifest, is_bundle
from declarative_ml.trackers import TRACKERS
from declarative_ml.trackers.base import CHAMPION

SAMPLE_ROWS = 10_000
"""Rows that `dml validate --data` takes types from."""


def column_changes(
    spec: Spec, workspace: Workspace, now: Mapping[str, ColumnRule]
) -> tuple[ColumnChange, ...]:
    """What the champion of the spec knows otherwise than `now`; nothing without a champion.

    Raises DataError for a champion that cannot be opened.
    """
    manifest = _champion(spec, workspace)
    if manifest is None:
        return ()
    before, whole = _columns_of(manifest)
    return tuple(changes_between(before, now, unused=() if whole else _unused(spec, manifest)))


def column_problems(loaded: LoadedSpec, store: str | None = None) -> list[Problem]:
    """The same as warnings of `dml validate --data`, with types from the first rows."""
    source = loaded.spec.data.source
    if source is None or champion_of(loaded.spec) is None:
        return []
    found = column_changes(
        loaded.spec, Workspace.beside(loaded.path, store), _first_types(loaded.spec, source)
    )
    return change_problems(found, loaded.positions)


def _champion(spec: Spec, workspace: Workspace) -> Manifest | None:
    wanted = champion_of(spec)
    if wanted is None:
        return None
    if wanted.path is not None:
        return Bundle.open(wanted.path).manifest if is_bundle(wanted.path) else None
    assert wanted.registry is not None
    tracker = TRACKERS.parse({"type": "mlflow", "uri": spec.track.uri})
    registered = tracker.registered(workspace.root, wanted.registry, wanted.alias or CHAMPION)
    if registered is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "bundle"
        tracker.fetch(workspace.root, registered, target)
        return Bundle.open(target).manifest


def _columns_of(manifest: Manifest) -> tuple[dict[str, ColumnRule], bool]:
    """The columns that the champion reads, and whether these are all that its data had."""
    if manifest.sql is not None:
        return {
            name: rule for table in manifest.sources.values() for name, rule in table.columns.items()
        }, True
    return {item.name: item.rule for item in manifest.inputs}, False


def _unused(spec: Spec, manifest: Manifest) -> list[str]:
    """Columns with another role than that of a feature."""
    split = getattr(spec.data.split, "column", None)
    named = (manifest.task.target, spec.target.column, spec.weight, spec.data.key, split, *spec.exclude)
    return [name for name in named if name is not None]


def _first_types(spec: Spec, source: Source) -> dict[str, ColumnRule]:
    from declarative_ml.sources.inference import RuleInference

    inference = RuleInference(spec.data.missing)
    for batch in source.batches():
        inference.update(batch.slice(0, SAMPLE_ROWS - inference.rows))
        if inference.rows >= SAMPLE_ROWS:
            break
    return dict(inference.schema().columns)
