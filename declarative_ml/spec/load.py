"""From a YAML file to a checked, frozen Spec, with every problem reported at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from declarative_ml.core.errors import DmlError, Problem, SpecError
from declarative_ml.spec.checks import check_data, check_spec, unreadable
from declarative_ml.spec.document import Spec
from declarative_ml.spec.dump import resolve_sources, spec_digest
from declarative_ml.spec.merge import merge, read_override
from declarative_ml.spec.normalize import complete, expand_shorthands
from declarative_ml.spec.positions import Node, Place, Positions, dotted
from declarative_ml.spec.references import References
from declarative_ml.spec.validate import validate
from declarative_ml.spec.yaml_reader import MAX_BYTES, read_yaml


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


def load_spec(
    path: str | Path, *, profile: str | None = None, overrides: Sequence[str] = (), data: bool = False
) -> LoadedSpec:
    """Read and check the spec at `path`, with one profile and `a.b=value` overrides laid over it.

    `data` also reads the header of local data, so that unknown columns are found. Raises SpecError
    holding all problems, warnings included, when any of them is an error; with `data`, DataError when
    unreadable data is all that is wrong.
    """
    path = Path(path)
    text, found = _read_text(path)
    node, problems = (None, found) if text is None else _read_document(text, path, profile, overrides)
    if text is None or node is None:
        raise SpecError(problems)
    positions = Positions.of(node)
    validated = validate(node, positions, problems)
    problems += validated.problems
    folder = path.resolve().parent
    if validated.sound is not None:
        problems += _check(resolve_sources(validated.sound, folder), positions, problems, data=data)
    if validated.spec is None or _has_errors(problems):
        raise SpecError(_in_order(problems))
    spec, digest = resolve_sources(validated.spec, folder), spec_digest(validated.spec)
    return LoadedSpec(spec, path, positions, text, digest, tuple(_in_order(problems)))


_NEEDS_ALL = ("DML105", "DML106", "DML109")
"""What is missing may only be missing because it was faulty: not said about the rest of a bad spec."""


def _check(spec: Spec, positions: Positions, found: Sequence[Problem], *, data: bool) -> list[Problem]:
    problems = check_spec(spec, positions)
    if data:
        problems += _check_data(spec, positions, [*found, *problems])
    if _has_errors(found):
        problems = [problem for problem in problems if problem.code not in _NEEDS_ALL]
    return problems


def _check_data(spec: Spec, positions: Positions, problems: Sequence[Problem]) -> list[Problem]:
    """Beside other errors, unreadable data is one problem more; alone it keeps its own kind of error."""
    try:
        return check_data(spec, positions)
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
    text: str, path: Path, profile: str | None, overrides: Sequence[str]
) -> tuple[Node | None, list[Problem]]:
    """The whole document with overlays and references resolved; None when it is no mapping at all."""
    root, problems = read_yaml(text, str(path))
    if root is None and problems:
        return None, problems
    if root is None or not root.is_mapping:
        return None, [*problems, _not_a_mapping(root, str(path))]
    base, profiles = _split_profiles(root, problems)
    document = expand_shorthands(base)
    for name, overlay in profiles.items():
        if name != profile:
            problems += _check_profile(document, overlay)
    for overlay in (*_chosen_profile(profile, profiles, path, problems), *_read_all(overrides, problems)):
        document = merge(document, expand_shorthands(overlay), problems)
    references = References(path.resolve().parent, os.environ, problems)
    document = references.resolve(document)
    return complete(expand_shorthands(document)), problems


def _not_a_mapping(root: Node | None, file: str) -> Problem:
    if root is None or root.value is None:
        hint = "`dml init DATA --target COLUMN` writes a spec to start from"
        return Problem("DML008", "the spec is empty", file=file, line=1, column=1, hint=hint)
    kind = "a list" if isinstance(root.value, list) else "a single value"
    hint = "begin with lines such as 'name: my-model' and 'data:'"
    place = root.place
    message = f"a spec is a mapping of keys to values, but this is {kind}"
    return Problem("DML008", message, file=file, line=place.line, column=place.column, hint=hint)


def _split_profiles(root: Node, problems: list[Problem]) -> tuple[Node, dict[str, Node]]:
    """The document without `profiles`, and the profiles by name."""
    node = root.value.get("profiles")
    base = replace(root, value={name: child for name, child in root.value.items() if name != "profiles"})
    if node is None:
        return base, {}
    profiles = node.value if node.is_mapping else {"profiles": node}
    for name, profile in profiles.items():
        if not profile.is_mapping:
            where = profile.key or profile.place
            path = dotted(("profiles", name) if node.is_mapping else ("profiles",))
            problems.append(_problem_at(where, "DML015", f"{path} must be a mapping of keys", path))
    return base, {name: profile for name, profile in profiles.items() if profile.is_mapping}


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


def _problem_at(place: Place, code: str, message: str, path: str, hint: str | None = None) -> Problem:
    return Problem(
        code, message, file=place.file, line=place.line, column=place.column, width=place.width,
        path=path, hint=hint,
    )  # fmt: skip


def _chosen_profile(
    name: str | None, profiles: dict[str, Node], path: Path, problems: list[Problem]
) -> list[Node]:
    if name is None:
        return []
    if name in profiles:
        return [profiles[name]]
    known = ", ".join(profiles)
    hint = f"the spec has {known}" if known else "the spec has no 'profiles'"
    problems.append(Problem("DML010", f"unknown profile {name!r}", file=str(path), hint=hint))
    return []


def _read_all(overrides: Sequence[str], problems: list[Problem]) -> list[Node]:
    overlays = []
    for argument in overrides:
        overlay, found = read_override(argument)
        problems += found
        if overlay is not None:
            overlays.append(overlay)
    return overlays
