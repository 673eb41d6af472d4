"""The models that serve at one moment.

A change makes a new fleet, aside, which then takes the old one's place; models of both are opened once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from declarative_ml.core.errors import UsageError
from declarative_ml.serving.compatible import why_not
from declarative_ml.serving.line import ALL_COLUMNS, Canary, Line
from declarative_ml.serving.lineup import Entry, Lineup, Role
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.shadow import Shadow
from declarative_ml.serving.watch import Watch, watch_models
from declarative_ml.spec.monitor import Monitor
from declarative_ml.store.bundle import Bundle, Manifest


@dataclass(frozen=True)
class Fleet:
    """All lines; the first answers where no model is named, and it alone has a canary and a shadow."""

    lines: tuple[Line, ...]
    entries: Mapping[ServedModel, Entry] = field(default_factory=dict)

    @classmethod
    def of(cls, models: Sequence[ServedModel]) -> Self:
        """A fleet of models that are there by themselves."""
        return cls(tuple(Line(model) for model in models))

    @property
    def models(self) -> list[ServedModel]:
        """Those that answer by themselves."""
        return [line.model for line in self.lines]

    @property
    def shadow(self) -> Shadow | None:
        """What is asked aside."""
        return self.lines[0].shadow

    def members(self) -> Iterator[tuple[ServedModel, Role]]:
        """Every model with its role."""
        for line in self.lines:
            yield line.model, "serving"
        if (canary := self.lines[0].canary) is not None:
            yield canary.model, "canary"
        if (shadow := self.shadow) is not None:
            yield shadow.model, "shadow"

    def by_version(self) -> dict[tuple[str, str], ServedModel]:
        """The models that can be asked by name and version."""
        found: dict[tuple[str, str], ServedModel] = {}
        for model, _ in self.members():
            found.setdefault((model.name, model.version), model)
        return found

    def versions(self, name: str) -> list[str]:
        """The versions of a name, the default first."""
        return [version for known, version in self.by_version() if known == name]

    def close(self, keep: Fleet | None = None) -> None:
        """Let threads end, but for those of models that `keep` has too."""
        kept = set(keep.by_bundle().values()) if keep else set()
        if self.shadow is not None and (keep is None or keep.shadow is not self.shadow):
            self.shadow.close()
        for model in {model for model, _ in self.members()} - kept:
            model.close()

    def flush(self) -> None:
        """Hand all that was seen to the models' threads. Call it on the event loop, before `close`."""
        for watch in self.watched():
            watch.flush()

    def watched(self) -> list[Watch]:
        """The watches, each once."""
        models = dict.fromkeys(model for model, _ in self.members())
        return [model.watch for model in models if model.watch is not None]

    def by_bundle(self) -> dict[Path, ServedModel]:
        """The models by where their bundles are."""
        return {model.bundle.path: model for model, _ in self.members()}


def open_fleet(
    lineup: Lineup, threads: int = 1, before: Fleet | None = None, monitor: Monitor | None = None
) -> Fleet:
    """Open and warm what `lineup` says; models of the fleet `before` that it says again are taken over, with
    their watches. New ones are watched as `monitor` says.

    Raises DataError for a damaged bundle, UsageError for models that cannot serve together, or that do not
    take what `monitor` names.
    """
    require_fit(lineup, {entry.bundle: Bundle.open(entry.bundle).manifest for entry in lineup.entries})
    known = before.by_bundle() if before else {}
    fresh: dict[Path, ServedModel] = {}
    try:
        for entry in lineup.entries:
            if entry.bundle not in known and entry.bundle not in fresh:
                fresh[entry.bundle] = ServedModel(Bundle.open(entry.bundle), threads)
        models = {**known, **fresh}
        if monitor is not None:
            watch_models([models[path] for path in {entry.bundle for entry in lineup.entries}], monitor)
        return _fleet(lineup, models, before)
    except BaseException:
        for model in fresh.values():
            model.close()
        raise


def _fleet(lineup: Lineup, models: Mapping[Path, ServedModel], before: Fleet | None) -> Fleet:
    lines = [Line(models[entry.bundle]) for entry in lineup.serving()]
    canary, shadow = lineup.aside("canary"), lineup.aside("shadow")
    if canary is not None:
        lines[0].canary = Canary(models[canary.bundle], canary.share, canary.by)
    if shadow is not None:
        lines[0].shadow = _shadow(lines[0].model, models[shadow.bundle], shadow.share, before)
    return Fleet(tuple(lines), {models[entry.bundle]: entry for entry in reversed(lineup.entries)})


def _shadow(first: ServedModel, model: ServedModel, share: float, before: Fleet | None) -> Shadow:
    """The shadow of before goes on where nothing that it compares has changed."""
    if before is not None and before.shadow is not None and before.lines[0].model is first:
        known = before.shadow
        if known.model is model and known.share == share:
            return known
    return Shadow(model, share)


def require_fit(lineup: Lineup, manifests: Mapping[Path, Manifest]) -> None:
    """Raise UsageError for two bundles that are one version, or a canary or shadow that cannot take the first
    model's requests."""
    versions: dict[tuple[str, str], Entry] = {}
    for entry in lineup.serving():
        manifest = manifests[entry.bundle]
        key = manifest.name, manifest.model_digest
        if key in versions:
            raise UsageError(
                f"{entry.origin or entry.bundle} and {versions[key].origin or versions[key].bundle} "
                f"are the same version of {manifest.name}",
                hint="name it once",
            )
        versions[key] = entry
    first = manifests[lineup.serving()[0].bundle]
    for entry in lineup.entries:
        if entry.role != "serving" and (reason := side_fault(first, manifests[entry.bundle], entry)):
            raise UsageError(reason, hint="train it on the same columns, or leave it out")


def side_fault(first: Manifest, other: Manifest, entry: Entry) -> str | None:
    """Why the canary or shadow cannot stand beside the first model."""
    if told := why_not(first, other):
        return f"{entry.origin or entry.bundle} cannot be a {entry.role} of {first.name}: {told}"
    names = [column.name for column in first.inputs]
    if entry.by is not None and entry.by != ALL_COLUMNS and entry.by not in names:
        return f"the canary goes by the column {entry.by!r}, which {first.name} does not take"
    return None
