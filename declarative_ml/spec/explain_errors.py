"""Validation errors in plain words, at the place in the file where they were written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import ErrorDetails

from declarative_ml.core.component import Component
from declarative_ml.core.errors import Problem
from declarative_ml.core.secret import IN_CLEAR
from declarative_ml.sources.base import Source
from declarative_ml.spec.choices import choice_hint, choose, either, right_choice, special_tag
from declarative_ml.spec.findings import EXPECTED, Finding, Words
from declarative_ml.spec.format_version import version_fault
from declarative_ml.spec.hints import Wrong, about, hint_for
from declarative_ml.spec.letters import shortened
from declarative_ml.spec.planned import is_planned_value
from declarative_ml.spec.positions import Path, Place, Positions, dotted
from declarative_ml.spec.shapes import TAGS, keys_of, models_at, tag_of
from declarative_ml.spec.unknown_keys import what_type_was_meant, what_was_meant
from declarative_ml.spec.wrong_values import (
    RANGE,
    out_of_range,
    secret_in_clear,
    wrong_form,
    wrong_length,
    wrong_size,
)

_MOST_CHOICES = 6
"""With more of them a message gives their number only."""

_GUESSES = 200
"""With more problems than this the file is no spec: guesses at the rest would only take time."""


def real_path(location: tuple[int | str, ...], data: Any, kind: str) -> Path:
    """The path in the document behind a pydantic location, which also names branches of unions."""
    path: list[str | int] = []
    tagged = False
    for number, part in enumerate(location):
        # The name of the branch that `type` or `method` chose may be that of a key as well.
        tagged = not tagged and number + 1 < len(location) and _is_tag(data, part)
        if not tagged and _has(data, part):
            path.append(part)
            data = data[part]
        elif kind == "missing" and number == len(location) - 1:
            path.append(part)
    return tuple(path)


def explain_errors(errors: Iterable[ErrorDetails], data: Any, positions: Positions) -> list[Problem]:
    """One problem for each thing to repair; branches of a union that were not meant are left out."""
    groups = _meant(_findings(errors, data, positions))
    said = _without_consequences(
        [(group[0], _explain(group, data, guess=number < _GUESSES)) for number, group in enumerate(groups)]
    )
    return [_problem(finding, words, positions) for finding, words in said]


def faults(errors: Iterable[ErrorDetails], data: Any) -> list[tuple[Path, str]]:
    """Path and pydantic kind of the same faults that `explain_errors` speaks of."""
    return [(group[0].path, group[0].kind) for group in _meant(_findings(errors, data, Positions()))]


def _findings(errors: Iterable[ErrorDetails], data: Any, positions: Positions) -> list[Finding]:
    paths = [(error, real_path(error["loc"], data, error["type"])) for error in errors]
    nodes = positions.nodes
    return [Finding(error, path, _value_at(data, path), nodes.get(path)) for error, path in paths]


def _is_tag(data: Any, part: str | int) -> bool:
    """Whether `part` is what the mapping gives as its `type` or `method`."""
    return isinstance(data, dict) and any(part == data.get(tag) for tag in TAGS)


def _has(data: Any, part: str | int) -> bool:
    """Whether `data` is a mapping with this key or a list with this position."""
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int)


def _value_at(data: Any, path: Path) -> Any:
    for part in path:
        if not _has(data, part):
            return None
        data = data[part]
    return data


def _meant(findings: list[Finding]) -> list[list[Finding]]:
    """Findings that belong together: all that is wrong with one value, without foreign branches."""
    groups: dict[Path, list[Finding]] = {}
    for finding in findings:
        # Entries with faults of their own are not counted, so a list may look shorter than it is.
        if finding.kind != "too_short" or len(finding.value) < finding.context["min_length"]:
            groups.setdefault(finding.path, []).append(finding)
    above = {path[:length] for path in groups for length in range(len(path))}
    meant = []
    for path, group in groups.items():
        precise = [finding for finding in group if not finding.is_mismatch]
        if precise:
            meant += [[finding] for finding in precise]
        elif path not in above:
            meant.append(group)
    return meant


def _without_consequences(said: list[tuple[Finding, Words]]) -> list[tuple[Finding, Words]]:
    """Without the keys that are missing because they are misspelled, and what follows from a missing type."""
    meant = [words.meant.path for _, words in said if words.meant and words.meant.path]
    begun = {path[:length] for path in meant for length in range(1, len(path) + 1)}
    retyped = {path[:-1] for path in meant if path[-1] in ("type", "method")}

    def follows(finding: Finding, words: Words) -> bool:
        if finding.kind == "missing":
            return finding.path in begun
        return words.meant is not None and words.meant.by_type and finding.path[:-1] in retyped

    return [(finding, words) for finding, words in said if not follows(finding, words)]


def _problem(finding: Finding, words: Words, positions: Positions) -> Problem:
    path = finding.path if words.path is None else words.path
    place: Place = positions.key(path) if words.at_key else positions.value(path)
    # An argument that holds a secret is not repeated.
    file = place.file.partition("=")[0] if words.code == "DML026" and not place.line else place.file
    return Problem(
        words.code, shortened(words.message), file=file, line=place.line, column=place.column,
        width=place.width, path=dotted(path), hint=shortened(words.hint),
    )  # fmt: skip


def _explain(group: list[Finding], data: Any, *, guess: bool = True) -> Words:
    first = group[0]
    if first.is_mismatch:
        return _mismatch(group, data)
    if first.kind in RANGE:
        return out_of_range(first, data)
    special: dict[str, Callable[[Finding, Any], Words]] = {
        IN_CLEAR: secret_in_clear,
        "missing": _missing_key,
        "union_tag_not_found": _missing_tag,
        "union_tag_invalid": _unknown_tag,
        "string_pattern_mismatch": wrong_form,
        "string_too_short": wrong_size,
        "string_too_long": wrong_size,
        "too_short": wrong_length,
        "too_long": wrong_length,
        "spec_version": _wrong_version,
    }
    if first.kind == "extra_forbidden":
        return _unknown_key(first, data, guess=guess)
    if first.kind in special:
        return special[first.kind](first, data)
    message = re.sub(r"^(Value|Assertion) error, ", "", first.error["msg"])
    if first.kind not in ("value_error", "assertion_error"):
        message = f"{message[:1].lower()}{message[1:]}"
    where = f"{dotted(first.path)}: " if first.path else ""
    hint = _hint_of_rule(first, message, data)
    return Words("DML018", f"{where}{message}", hint, at_key=isinstance(first.value, dict))


def _hint_of_rule(finding: Finding, message: str, data: Any) -> str:
    """The way out of what a section's own check refused: of two keys that it names keep one."""
    names = quoted(message)
    if message.startswith("give either") and isinstance(finding.value, dict):
        there = [name for name in names if finding.value.get(name) is not None]
        return f"delete {either(there)}" if len(there) > 1 else about((*finding.path, names[0]), data)
    if needed := re.search(r"needs '(\w+)'$", message):
        return about((*finding.path, needed[1]), data)
    if names and message.startswith(f"'{names[0]}' has no effect"):
        return f"delete {names[0]}"
    if names and finding.path[:1] == ("data",) and "source" in finding.path[-1:]:
        return about((*finding.path, names[0]), data)
    if message.startswith("say what is expected"):
        return 'for example prediction: "Yes", or probability: {min: 0.8}'
    if "'sql'" in message:
        return "for example sql: SELECT * FROM customers JOIN orders USING (customer_id)"
    return about(finding.path, data)


def _mismatch(group: list[Finding], data: Any) -> Words:
    path, value = group[0].path, group[0].value
    name = dotted(path) or "the spec"
    if value is None:
        return Words("DML019", f"{name} has no value", _fill(group[0], data), at_key=True)
    choices = [choice for finding in group for choice in quoted(finding.context.get("expected", ""))]
    kinds = list(dict.fromkeys(EXPECTED[each.kind] for each in group if each.kind in EXPECTED))
    node = group[0].node
    width = node.place.width if node is not None and node.place.line else 0
    length = len(value) if isinstance(value, str) else 0
    wrong = Wrong(value, path, data, kinds, choices, width > length > 0, 0 < width < length)
    if choices and isinstance(value, str):
        return _bad_choice(name, wrong)
    short = [_short_form(path, data)] if "a mapping" in kinds and _short_form(path, data) else []
    named = [f"one of {len(choices)} names"] if len(choices) > _MOST_CHOICES else map(_plain, choices)
    wanted = either([*named, *short, *kinds])
    hint = hint_for(wrong)
    if choices and not kinds:
        known = right_choice(str(value).lower(), choices) if isinstance(value, bool) else None
        hint = known or (hint if isinstance(value, list) else choose(choices))
    return Words("DML015", f"{name} must be {wanted}, not {described(value)}", hint)


def _fill(finding: Finding, data: Any) -> str:
    """What to do about a key with nothing behind it."""
    path = finding.path
    if finding.node is not None and finding.node.text and isinstance(path[-1], int):
        return f'to mean the text, write "{finding.node.text}"'
    models = models_at({**data, str(path[0]): {}}, path) if len(path) == 1 else []
    keys = {key for model in models for key in keys_of(model)}
    known = set(keys_of(models_at(None, ())[0]))
    below = [key for key in data if key in keys and key not in known]
    if below:
        return f"indent the lines that belong to it: {', '.join(below)}"
    hint = about(path, data)
    give = hint if hint.startswith("for example") else "give a value"
    return f"{give}; or delete the line"


def _short_form(path: Path, data: Any) -> str:
    """What may stand at `path` in place of a mapping, in words; "" when nothing may."""
    models = models_at(data, path)
    if any(issubclass(model, Source) for model in models):
        return "the path of a file"
    if any(issubclass(model, Component) for model in models):
        return "the name of a type"
    short = {"target": "a column", "evaluate.threshold": "a number", "data.split": "a method"}
    return short.get(dotted(path), "")


def _bad_choice(name: str, wrong: Wrong) -> Words:
    if is_planned_value(str(wrong.value)):
        message = f"{name}: {wrong.value!r} is not available in this version"
        return Words("DML013", message, choose([*wrong.choices, *wrong.kinds]))
    return Words("DML016", f"{name} cannot be {wrong.value!r}", choice_hint(wrong))


def _plain(choice: str) -> str:
    return choice if choice.isdigit() else repr(choice)


def described(value: Any) -> str:
    """A value in words: "the text 'abc'", "the number 5", "a list"."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value:g}" if isinstance(value, float) else f"the number {value}"
        case str():
            short = value if len(value) <= 40 else f"{value[:37]}..."
            return f"the text {short!r}"
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return "nothing"


def _wrong_version(finding: Finding, data: Any) -> Words:
    written = finding.node.text if finding.node is not None else None
    message, hint = version_fault(finding.value, written) or (finding.error["msg"], about(finding.path, data))
    return Words("DML030", message, hint)


def _missing_key(finding: Finding, data: Any) -> Words:
    *parents, key = finding.path
    parent = tuple(parents)
    where = dotted(parent) or "the spec"
    example = about(finding.path, data)
    hint = f"add {example.removeprefix('for example ')}" if example.startswith("for") else f"add '{key}: …'"
    return Words("DML014", f"{where} needs the key '{key}'", hint, at_key=True, path=parent)


def _missing_tag(finding: Finding, data: Any) -> Words:
    tag = _tag(finding)
    message = f"{dotted(finding.path)} needs the key '{tag}'"
    meant = what_type_was_meant(finding.path, data)
    if meant:
        return Words("DML014", message, meant[0], at_key=True, path=meant[1])
    tags = [tag_of(model) for model in models_at(data, finding.path)]
    names = either([each[1] for each in tags if each])
    return Words("DML014", message, f"add '{tag}: …': {names}", at_key=True)


def _tag(finding: Finding) -> str:
    return str(finding.context["discriminator"]).strip("'")


def _unknown_tag(finding: Finding, data: Any) -> Words:
    tag, path = _tag(finding), finding.path
    value = str(finding.context["tag"])
    choices = quoted(finding.context["expected_tags"])
    where = dotted(path)
    if is_planned_value(value):
        message = f"{where}: {tag} {value!r} is not available in this version"
        return Words("DML013", message, choose(choices), path=(*path, tag))
    hint = right_choice(value, choices) or special_tag(path, value, data) or choose(choices)
    return Words("DML016", f"unknown {tag} {value!r} in {where}", hint, path=(*path, tag))


def _unknown_key(finding: Finding, data: Any, *, guess: bool) -> Words:
    *parents, last = finding.path
    parent, key = tuple(parents), str(last)
    where = f" in {dotted(parent)}" if parent else ""
    if key == "<<":
        hint = "YAML 1.2 has no merge keys: repeat the keys, or use profiles"
        return Words("DML012", f"unknown key '<<'{where}", hint, at_key=True)
    tags = [tag for model in models_at(data, parent) if (tag := tag_of(model))]
    chosen = tags[0] if len(tags) == 1 and parent else None
    message = f"unknown key '{key}'{where}" + (f" ({chosen[0]} {chosen[1]})" if chosen else "")
    meant = what_was_meant(key, parent, data, guess=guess)
    return Words("DML012", message, meant.hint, at_key=True, meant=meant)


def quoted(text: str) -> list[str]:
    """The choices in pydantic's "'a', 'b' or 3"."""
    return [single or number for single, number in re.findall(r"'([^']*)'|(\b\d+\b)", text)]
