"""From a YAML file to a checked, frozen Spec, with every problem reported at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from declarative_ml.core.errors import DmlError, Problem, SpecError
from declarative_ml.spec.checks import check_spec
from declarative_ml.spec.data_checks import check_data, unreadable
from declarative_ml.spec.document import Spec
from declarative_ml.spec.dump import resolve_sources, spec_digest, spec_options
from declarative_ml.spec.homes import LocalHome
from declarative_ml.spec.lock import commits, drift, lock_path, read_lock
from declarative_ml.spec.merge import merge, read_override
from declarative_ml.spec.normalize import complete, expand_shorthands, rebase
from declarative_ml.spec.positions import Node, Positions
from declarative_ml.spec.references import References
from declarative_ml.spec.secrets import secret_paths
from declarative_ml.spec.templates import Templates, Used
from declarative_ml.spec.validate import validate
from declarative_ml.spec.yaml_reader import MAX_BYTES, read_yaml

Lock = Literal["use", "require", "ignore"]


@dataclass(frozen=True)
class LoadedSpec:
    """A valid spec with what is worth knowing beside it."""

    spec: Spec
    """Sources hold absolute paths."""
    path: Path
    positions: Positions
    text: str
    digest: str
    """Of the meaning, not of the text: the same for the same spec in another folder."""
    problems: tuple[Problem, ...] = ()
    """Warnings."""
    templates: tuple[Used, ...] = ()
    """What the spec extends, and what that extends."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """The texts of templates that are not on this machine under the name that problems give them."""
    written: Mapping[str, Any] = field(default_factory=dict)
    """The whole spec as plain options, paths as the spec has them: what `digest` is of."""
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    """The names of all profiles that the spec has."""


def load_spec(
    path: str | Path,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    data: bool = False,
    remote: bool = False,
    lock: Lock = "use",
) -> LoadedSpec:
    """Read and check the spec at `path`, with one profile and `a.b=value` overrides laid over it.

    `data` also reads the header of local data, so that unknown columns are found, and with `remote` the
    columns of databases. Raises SpecError
    holding all problems, warnings included, when any of them is an error; with `data`, DataError when
    unreadable data is all that is wrong. Git templates come at the commits of the spec's lock; `require`
    makes any other difference from the lock a problem, `ignore` reads no lock.
    """
    path = Path(path)
    text, problems = _read_text(path)
    if text is None:
        raise SpecError(problems)
    locked = None if lock == "ignore" else read_lock(lock_path(path), problems)
    templates = Templates(commits(locked))
    node = _read_document(text, path, profile, overrides, templates)
    problems += templates.problems
    if lock == "require":
        problems += drift(locked, templates.used, lock_path(path))
    if node is None:
        raise SpecError(problems, texts=templates.texts)
    positions = Positions.of(node)
    validated = validate(node, positions, problems)
    problems += validated.problems
    folder = path.resolve().parent
    if validated.sound is not None:
        problems += _check(
            resolve_sources(validated.sound, folder), positions, problems, data=data, remote=remote
        )
    if any(problem.code == "DML022" for problem in problems):
        # What is missing may be what the template would have brought.
        problems = [problem for problem in problems if problem.code != "DML014"]
    if validated.spec is None or _has_errors(problems):
        raise SpecError(_in_order(problems), texts=templates.texts)
    spec, digest = resolve_sources(validated.spec, folder), spec_digest(validated.spec)
    return LoadedSpec(
        spec,
        path,
        positions,
        text,
        digest,
        tuple(_in_order(problems)),
        tuple(templates.used),
        templates.texts,
        spec_options(validated.spec),
        profile,
        tuple(overrides),
        tuple(templates.profiles),
    )


_NEEDS_ALL = ("DML105", "DML106", "DML109")
"""What is missing may only be missing because it was faulty: not said about the rest of a bad spec."""


def _check(
    spec: Spec, positions: Positions, found: Sequence[Problem], *, data: bool, remote: bool
) -> list[Problem]:
    problems = check_spec(spec, positions)
    if data:
        problems += _check_data(spec, positions, [*found, *problems], remote=remote)
    if _has_errors(found):
        problems = [problem for problem in problems if problem.code not in _NEEDS_ALL]
    return problems


def _check_data(
    spec: Spec, positions: Positions, problems: Sequence[Problem], *, remote: bool
) -> list[Problem]:
    """Beside other errors, unreadable data is one problem more; alone it keeps its own kind of error."""
    try:
        return check_data(spec, positions, remote=remote)
    except DmlError as error:
        if _has_errors(problems):
            return [unreadable(error, positions)]
        raise


def _has_errors(problems: Sequence[Problem]) -> bool:
    return any(problem.severity == "error" for problem in problems)


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line, problem.column))


def _read_text(path: Path) -> tuple[str | None, list[Problem]]:
    """The file as text without a byte order mark, or the problem that keeps it from being read."""
    file = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror).lower()
        return None, [Problem("DML001", f"cannot read the spec: {reason}", file=file, hint=_near_file(path))]
    if len(content) > MAX_BYTES:
        message = f"the spec is larger than {MAX_BYTES:,} bytes"
        hint = "a spec is short: is this the data file?"
        return None, [Problem("DML007", message, file=file, hint=hint)]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        message = f"byte 0x{content[error.start]:02x} is not UTF-8"
        hint = "save the file as UTF-8"
        line = before.count(b"\n") + 1
        return None, [Problem("DML002", message, file=file, line=line, column=column, hint=hint)]


def _near_file(path: Path) -> str | None:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml")]
    except OSError:
        return f"the folder {path.parent} does not exist"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / near[0]}?" if near else "`dml init DATA --target COLUMN` writes one"


def _read_document(
    text: str, path: Path, profile: str | None, overrides: Sequence[str], templates: Templates
) -> Node | None:
    """The whole document with templates, overlays and references resolved; None when it is no mapping.

    What is wrong is in `templates.problems`.
    """
    root, problems = read_yaml(text, str(path))
    templates.problems = problems
    if root is None and problems:
        return None
    if root is None or not root.is_mapping:
        problems.append(_not_a_mapping(root, str(path)))
        return None
    home = LocalHome(str(path), None, path.resolve())
    document = templates.assemble(root, home)
    for name, overlays in templates.profiles.items():
        if name != profile:
            for overlay in overlays:
                problems += _check_profile(document, overlay)
    for overlay in (*_chosen_profile(profile, templates), *_read_all(overrides, problems)):
        document = merge(document, expand_shorthands(overlay), problems)
    secrets = secret_paths(expand_shorthands(document))
    document = References(templates.homes, home, os.environ, problems, secrets).resolve(document)
    return rebase(complete(expand_shorthands(document)), templates.homes, home.folder)


def _not_a_mapping(root: Node | None, file: str) -> Problem:
    if root is None or root.value is None:
        hint = "`dml init DATA --target COLUMN` writes a spec to start from"
        return Problem("DML008", "the spec is empty", file=file, line=1, column=1, hint=hint)
    kind = "a list" if isinstance(root.value, list) else "a single value"
    hint = "begin with lines such as 'name: my-model' and 'data:'"
    place = root.place
    message = f"a spec is a mapping of keys to values, but this is {kind}"
    return Problem("DML008", message, file=file, line=place.line, column=place.column, hint=hint)


def _check_profile(document: Node, overlay: Node) -> list[Problem]:
    """What is wrong inside a profile that is not chosen now; its references stay unresolved."""
    problems: list[Problem] = []
    merged = complete(expand_shorthands(merge(document, expand_shorthands(overlay), problems)))
    waiting = [node for _, node in merged.walk() if isinstance(node.value, str) and "${" in node.value]
    known = [Problem("", "", file=n.place.file, line=n.place.line, column=n.place.column) for n in waiting]
    problems += validate(merged, Positions.of(merged), known).problems
    places = [place for _, node in overlay.walk() for place in (node.place, node.key) if place]
    inside = {(place.file, place.line, place.column) for place in places}
    return [problem for problem in problems if (problem.file, problem.line, problem.column) in inside]


def _chosen_profile(name: str | None, templates: Templates) -> list[Node]:
    if name is None:
        return []
    if name in templates.profiles:
        return [_in_layer(overlay, f"profile {name}") for overlay in templates.profiles[name]]
    known = ", ".join(templates.profiles)
    hint = f"the spec has {known}" if known else "the spec has no 'profiles'"
    templates.problems.append(
        Problem("DML010", f"unknown profile {name!r}", file=f"--profile {name}", hint=hint)
    )
    return []


def _in_layer(node: Node, layer: str) -> Node:
    value = node.value
    if isinstance(value, dict):
        value = {name: _in_layer(child, layer) for name, child in value.items()}
    elif isinstance(value, list):
        value = [_in_layer(child, layer) for child in value]
    return replace(node, value=value, place=replace(node.place, layer=layer))


def _read_all(overrides: Sequence[str], problems: list[Problem]) -> list[Node]:
    overlays = []
    for argument in overrides:
        overlay, found = read_override(argument)
        problems += found
        if overlay is not None:
            overlays.append(overlay)
    return overlays
