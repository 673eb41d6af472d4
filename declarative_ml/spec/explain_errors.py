"""Validation errors in plain words, at the place in the file where they were written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from declarative_ml.core.component import Component
from declarative_ml.core.errors import Problem
from declarative_ml.sources.base import Source
from declarative_ml.spec.planned import is_planned_key, is_planned_value
from declarative_ml.spec.positions import Path, Place, Positions, dotted
from declarative_ml.spec.shapes import keys_of, models_at, sections_of_keys

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_RANGE = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
_EXAMPLES = {
    "name": "name: churn-model",
    "data": "data: {source: table.csv}",
    "target": "target: COLUMN",
    "data.source": "source: table.csv",
    "data.split": "split: {method: random, test: 0.2}",
    "evaluate.threshold": "threshold: 0.5, or threshold: {maximize: f1}",
    "model": "model: lightgbm",
    "features": "features: auto, or a mapping from column to type",
    "explain": "explain: {method: shap}, or explain: false",
    "track": "track: {experiment: NAME}, or track: false",
}


@dataclass(frozen=True)
class _Finding:
    """One pydantic error with its real path, and the value that stands there."""

    error: ErrorDetails
    path: Path
    value: Any

    @property
    def kind(self) -> str:
        return self.error["type"]

    @property
    def context(self) -> dict[str, Any]:
        return self.error.get("ctx", {})

    @property
    def is_mismatch(self) -> bool:
        """Whether the value as a whole is not of the kind that one branch of a union wants."""
        return self.kind in _EXPECTED or self.kind == "literal_error"


@dataclass(frozen=True)
class _Words:
    """What is said about a finding."""

    code: str
    message: str
    hint: str | None = None
    at_key: bool = False
    path: Path | None = None


def real_path(location: tuple[int | str, ...], data: Any, kind: str) -> Path:
    """The path in the document behind a pydantic location, which also names branches of unions."""
    path: list[str | int] = []
    for number, part in enumerate(location):
        if _has(data, part):
            path.append(part)
            data = data[part]
        elif kind == "missing" and number == len(location) - 1:
            path.append(part)
    return tuple(path)


def explain_errors(errors: Iterable[ErrorDetails], data: Any, positions: Positions) -> list[Problem]:
    """One problem for each thing to repair; branches of a union that were not meant are left out."""
    return [_problem(group, data, positions) for group in _meant(_findings(errors, data))]


def faults(errors: Iterable[ErrorDetails], data: Any) -> list[tuple[Path, str]]:
    """Path and pydantic kind of the same faults that `explain_errors` speaks of."""
    return [(group[0].path, group[0].kind) for group in _meant(_findings(errors, data))]


def _findings(errors: Iterable[ErrorDetails], data: Any) -> list[_Finding]:
    paths = [(error, real_path(error["loc"], data, error["type"])) for error in errors]
    return [_Finding(error, path, _value_at(data, path)) for error, path in paths]


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


def _meant(findings: list[_Finding]) -> list[list[_Finding]]:
    """Findings that belong together: all that is wrong with one value, without foreign branches."""
    groups: dict[Path, list[_Finding]] = {}
    for finding in findings:
        # Entries with faults of their own are not counted, so a list may look shorter than it is.
        if finding.kind != "too_short" or len(finding.value) < finding.context["min_length"]:
            groups.setdefault(finding.path, []).append(finding)
    meant = []
    for path, group in groups.items():
        precise = [finding for finding in group if not finding.is_mismatch]
        if precise:
            meant += [[finding] for finding in precise]
        elif not any(len(other) > len(path) and other[: len(path)] == path for other in groups):
            meant.append(group)
    return meant


def _problem(group: list[_Finding], data: Any, positions: Positions) -> Problem:
    words = _explain(group, data)
    path = group[0].path if words.path is None else words.path
    place: Place = positions.key(path) if words.at_key else positions.value(path)
    return Problem(
        words.code, words.message, file=place.file, line=place.line, column=place.column,
        width=place.width, path=dotted(path), hint=words.hint,
    )  # fmt: skip


def _explain(group: list[_Finding], data: Any) -> _Words:
    first = group[0]
    if first.is_mismatch:
        return _mismatch(group, data)
    if first.kind in _RANGE:
        return _out_of_range(first)
    special: dict[str, Callable[[_Finding, Any], _Words]] = {
        "extra_forbidden": _unknown_key,
        "missing": _missing_key,
        "union_tag_not_found": _missing_tag,
        "union_tag_invalid": _unknown_tag,
        "string_pattern_mismatch": _wrong_form,
        "too_short": _wrong_length,
        "too_long": _wrong_length,
    }
    if first.kind in special:
        return special[first.kind](first, data)
    message = re.sub(r"^(Value|Assertion) error, ", "", first.error["msg"])
    if first.kind not in ("value_error", "assertion_error"):
        message = f"{message[:1].lower()}{message[1:]}"
    where = f"{dotted(first.path)}: " if first.path else ""
    return _Words("DML018", f"{where}{message}", at_key=isinstance(first.value, dict))


def _mismatch(group: list[_Finding], data: Any) -> _Words:
    path, value = group[0].path, group[0].value
    name = dotted(path) or "the spec"
    if value is None:
        hint = f"for example {_EXAMPLES[name]}" if name in _EXAMPLES else "give a value, or delete the line"
        return _Words("DML019", f"{name} has no value", hint, at_key=True)
    choices = [choice for finding in group for choice in quoted(finding.context.get("expected", ""))]
    kinds = list(dict.fromkeys(_EXPECTED[each.kind] for each in group if each.kind in _EXPECTED))
    if choices and isinstance(value, str):
        return _bad_choice(name, value, choices, kinds)
    short = [_short_form(path, data)] if "a mapping" in kinds and _short_form(path, data) else []
    wanted = _either([*(_plain(choice) for choice in choices), *short, *kinds])
    message = f"{name} must be {wanted}, not {described(value)}"
    return _Words("DML015", message, _type_hint(name, value, kinds))


def _short_form(path: Path, data: Any) -> str:
    """What may stand at `path` in place of a mapping, in words; "" when nothing may."""
    models = models_at(data, path)
    if any(issubclass(model, Source) for model in models):
        return "the path of a file"
    if any(issubclass(model, Component) for model in models):
        return "the name of a type"
    short = {"target": "a column", "evaluate.threshold": "a number", "data.split": "a method"}
    return short.get(dotted(path), "")


def _bad_choice(name: str, value: str, choices: list[str], kinds: list[str]) -> _Words:
    if is_planned_value(value):
        message = f"{name}: {value!r} is not available in this version"
        return _Words("DML013", message, _choose(choices, kinds))
    hint = _nearest(value, choices) or _choose(choices, kinds)
    if "true or false" in kinds and value.lower() in _TRUTH:
        hint = f"write {_TRUTH[value.lower()]}"
    return _Words("DML016", f"{name} cannot be {value!r}", hint)


def _choose(choices: list[str], kinds: list[str]) -> str:
    return f"choose {_either([*choices, *kinds])}"


def _plain(choice: str) -> str:
    return choice if choice.isdigit() else repr(choice)


_TRUTH = {"yes": "true", "on": "true", "y": "true", "true": "true",
          "no": "false", "off": "false", "n": "false", "false": "false"}  # fmt: skip


def _type_hint(name: str, value: Any, kinds: list[str]) -> str | None:
    """How the value was probably meant."""
    if isinstance(value, str):
        if "true or false" in kinds and value.lower() in _TRUTH:
            return f"write {_TRUTH[value.lower()]}"
        if _is_number(value) and {"a number", "a whole number"} & set(kinds):
            return "remove the quotation marks"
        percent = re.fullmatch(r"([0-9.]+) ?%", value)
        if percent and "a number" in kinds:
            return f"write {float(percent[1]) / 100:g}"
    if "a list" in kinds and not isinstance(value, dict | list):
        return f"write [{value}]"
    return f"for example {_EXAMPLES[name]}" if name in _EXAMPLES else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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


def _out_of_range(finding: _Finding) -> _Words:
    words, limit = _RANGE[finding.kind]
    bound = finding.context[limit]
    found = f"{finding.value:g}" if isinstance(finding.value, float) else finding.value
    message = f"{dotted(finding.path)} must be {words} {bound:g}, not {found}"
    share = limit in ("lt", "le") and bound == 1 and 2 <= finding.value <= 100
    return _Words("DML017", message, f"a share: write {finding.value / 100:g}" if share else None)


def _wrong_length(finding: _Finding, data: Any) -> _Words:
    least, most = finding.context.get("min_length"), finding.context.get("max_length")
    wanted = f"at least {least}" if finding.kind == "too_short" else f"at most {most}"
    found = finding.context.get("actual_length")
    name = dotted(finding.path)
    plural = "entry" if wanted.endswith(" 1") else "entries"
    return _Words("DML017", f"{name} needs {wanted} {plural}, found {found}", at_key=True)


def _wrong_form(finding: _Finding, data: Any) -> _Words:
    name, value = dotted(finding.path), str(finding.value)
    if finding.path != ("name",):
        return _Words("DML018", f"{name}: {value!r} does not have the form {finding.context['pattern']}")
    message = f"name {value!r} must be at most 63 lower-case letters, digits and inner hyphens"
    slug = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:63].rstrip("-")
    return _Words("DML018", message, f"for example {slug}" if slug else None)


def _missing_key(finding: _Finding, data: Any) -> _Words:
    *parents, key = finding.path
    parent = tuple(parents)
    name = dotted(finding.path)
    where = dotted(parent) or "the spec"
    hint = f"add {_EXAMPLES[name]}" if name in _EXAMPLES else f"add '{key}: ...'"
    return _Words("DML014", f"{where} needs the key '{key}'", hint, at_key=True, path=parent)


def _missing_tag(finding: _Finding, data: Any) -> _Words:
    tag = _tag(finding)
    name = dotted(finding.path)
    names = [name for model in models_at(data, finding.path) for name in _tag_values(model, tag)]
    hint = "add 'type: file'" if "path" in (finding.value or {}) else f"add '{tag}: ...': {_either(names)}"
    return _Words("DML014", f"{name} needs the key '{tag}'", hint, at_key=True)


def _tag(finding: _Finding) -> str:
    return str(finding.context["discriminator"]).strip("'")


def _tag_values(model: Any, tag: str) -> list[str]:
    field = model.model_fields.get(tag)
    return list(field.annotation.__args__) if field else []


def _unknown_tag(finding: _Finding, data: Any) -> _Words:
    tag, path = _tag(finding), finding.path
    value = str(finding.context["tag"])
    choices = quoted(finding.context["expected_tags"])
    where = dotted(path)
    if is_planned_value(value):
        message = f"{where}: {tag} {value!r} is not available in this version"
        return _Words("DML013", message, _choose(choices, []), path=(*path, tag))
    hint = _nearest(value, choices) or _choose(choices, [])
    return _Words("DML016", f"unknown {tag} {value!r} in {where}", hint, path=(*path, tag))


def _unknown_key(finding: _Finding, data: Any) -> _Words:
    *parents, last = finding.path
    parent, key = tuple(parents), str(last)
    where = f" in {dotted(parent)}" if parent else ""
    if is_planned_key(dotted(parent), key):
        return _Words("DML013", f"'{key}'{where} is not available in this version", "delete it", at_key=True)
    if key == "<<":
        hint = "YAML 1.2 has no merge keys: repeat the keys, or use profiles"
        return _Words("DML012", f"unknown key '<<'{where}", hint, at_key=True)
    kind = _value_at(data, parent).get("type")
    message = f"unknown key '{key}'{where}" + (f" (type {kind})" if isinstance(kind, str) and parent else "")
    known = [name for model in models_at(data, parent) for name in keys_of(model)]
    better = _nearest(key, known) or _other_section(key, parent)
    known_keys = f"known keys: {', '.join(dict.fromkeys(known))}"
    return _Words("DML012", message, better or known_keys, at_key=True)


def _other_section(key: str, parent: Path) -> str | None:
    """Where a key belongs that stands in the wrong section."""
    top = keys_of(models_at(None, ())[0])
    if parent and key in top:
        return f"'{key}' belongs at the top level"
    section = sections_of_keys().get(key)
    if section and (section,) != parent:
        return f"'{key}' belongs under '{section}'"
    return None if parent else _nearest(key, top)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean '{by_lower[near[0]]}'?" if near else None


def quoted(text: str) -> list[str]:
    """The choices in pydantic's "'a', 'b' or 3"."""
    return [single or number for single, number in re.findall(r"'([^']*)'|(\b\d+\b)", text)]


def _either(words: list[str]) -> str:
    words = list(dict.fromkeys(words))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
