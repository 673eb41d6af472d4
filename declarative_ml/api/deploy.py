"""Deploy a spec: render it for a target, and carry that out where the target has an API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from declarative_ml.api.planning import make_plan
from declarative_ml.core.atomic import write_text
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers import DEPLOYERS
from declarative_ml.deployers.base import Deployer, Object, Release, Rendered
from declarative_ml.deployers.manifests.chart import chart_files
from declarative_ml.deployers.manifests.lint import lint
from declarative_ml.deployers.manifests.order import in_order
from declarative_ml.deployers.manifests.overlays import base_files, overlay_files
from declarative_ml.deployers.manifests.patching import patched
from declarative_ml.deployers.manifests.text import as_documents
from declarative_ml.spec.deploy import WORK
from declarative_ml.spec.dump import spec_digest
from declarative_ml.spec.load import LoadedSpec, load_spec
from declarative_ml.spec.release import release_of

WORKLOADS = ("serve", "train", "predict")


@dataclass(frozen=True)
class Part:
    """One workload, or both, at one target."""

    deployer: Deployer
    release: Release

    @property
    def rendered(self) -> Rendered:
        """Its objects or files."""
        return self.deployer.render(self.release)


def parts_of(loaded: LoadedSpec, *, to: str | None = None, only: str | None = None) -> list[Part]:
    """What goes where. `to` names a target for all workloads that it can run; `only` names one workload.

    Raises UsageError for a target that cannot run what is asked for.
    """
    release = release_of(loaded.spec)
    wanted = {
        name: _deployer(getattr(release, name).to, to)
        for name in WORKLOADS
        if getattr(release, name) is not None and only in (None, name)
    }
    if not wanted:
        if only is None:
            raise UsageError("deploy names no image", hint="add deploy: {image: HOST/NAME:TAG}")
        raise UsageError(f"the spec has no deploy.{only}", hint=f"add deploy: {{{only}: {{to: kubernetes}}}}")
    able = {name: each for name, each in wanted.items() if getattr(each, f"{name}s")}
    if to is None or only is not None or not able:
        _refuse_unable(wanted, able)
    deployers = {each.model_dump_json(): each for each in able.values()}
    found = []
    for each in deployers.values():
        mine = release.only(**{name: able.get(name) == each for name in WORKLOADS})
        if each.needs_plan(mine):
            mine = replace(mine, plan=make_plan(_where_it_trains(loaded)))
        found.append(Part(each, mine))
    return found


def _where_it_trains(loaded: LoadedSpec) -> LoadedSpec:
    """The spec as targets are handed it: a run of it there has the steps of this plan, with their keys."""
    spec = loaded.spec.model_copy(update={"deploy": None})
    return replace(loaded, spec=spec, digest=spec_digest(spec))


def _deployer(chosen: Deployer, to: str | None) -> Deployer:
    """The target of the spec, or the one that was named: with the spec's options where it is the same."""
    if to is None or to == chosen.type:
        return chosen
    if to not in DEPLOYERS:
        raise UsageError(f"there is no target '{to}'", hint=f"targets: {', '.join(DEPLOYERS)}")
    return DEPLOYERS.parse(to)


def _refuse_unable(wanted: dict[str, Deployer], able: dict[str, Deployer]) -> None:
    for name, deployer in wanted.items():
        if name not in able:
            can = [each for each in DEPLOYERS if getattr(DEPLOYERS.load(each), f"{name}s")]
            work = WORK[name]
            raise UsageError(
                f"{deployer.type} does not run {work}", hint=f"targets that do: {', '.join(can)}"
            )


def load(path: str | Path, *, profile: str | None = None, overrides: Sequence[str] = ()) -> LoadedSpec:
    """The spec at `path`; data is not looked at."""
    return load_spec(path, profile=profile, overrides=overrides)


def objects_of(parts: Sequence[Part]) -> list[Object]:
    """The objects of all parts in the order in which they are applied, patched and looked at once more.

    Raises UsageError for a patch that fits nothing, or that leaves what a server would refuse.
    """
    found = in_order(each for part in parts for each in part.rendered.objects)
    found = patched(found, parts[0].release.patches) if found else found
    refused = [finding for finding in lint(found) if finding.refused]
    if refused:
        raise UsageError(str(refused[0]), hint=refused[0].hint)
    return found


def files_of(parts: Sequence[Part]) -> dict[str, str]:
    """The files of all parts: relative name -> text."""
    return {name: text for part in parts for name, text in part.rendered.files.items()}


def as_text(parts: Sequence[Part]) -> str:
    """Everything as it is printed: objects as the documents of one file, then files, each below its name."""
    objects, files = objects_of(parts), files_of(parts)
    shown = [as_documents(objects)] if objects else []
    if len(files) == 1 and not shown:
        return next(iter(files.values()))
    return "".join([*shown, *(f"# --- {name}\n{text}" for name, text in files.items())])


def write(
    folder: Path,
    loaded: LoadedSpec,
    parts: Sequence[Part],
    *,
    to: str | None = None,
    only: str | None = None,
    helm: bool = False,
) -> list[Path]:
    """Write what is rendered below `folder`, and return the paths.

    Objects become a base for kustomize in `base/`, and each profile of the spec that changes them a variant
    in `overlays/PROFILE/`; with a profile chosen there is one folder only, because that is what was asked
    for. With `helm` they become a chart instead. Other files stand below `folder` by their own names. What
    lies there under other names stays.
    """
    objects, texts = objects_of(parts), files_of(parts)
    if helm:
        if not objects:
            raise UsageError("a chart holds objects, and no object is rendered", hint="leave out --helm")
        texts |= chart_files(parts[0].release, objects)
    elif objects:
        texts |= {f"base/{name}": text for name, text in base_files(objects).items()}
        if loaded.profile is None:
            texts |= _overlays(loaded, objects, to=to, only=only)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _overlays(
    loaded: LoadedSpec, base: Sequence[Object], *, to: str | None, only: str | None
) -> dict[str, str]:
    texts: dict[str, str] = {}
    for profile in loaded.profiles:
        other = load(loaded.path, profile=profile, overrides=loaded.overrides)
        objects = objects_of(parts_of(other, to=to, only=only))
        if objects != base:
            files = overlay_files(base, objects, "../../base")
            texts |= {f"overlays/{profile}/{name}": text for name, text in files.items()}
    return texts
