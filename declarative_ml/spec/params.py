"""Typed parameters of a template: declared under `params`, given by `with`, put in as `${params.NAME}`.

A value that is exactly one reference becomes the given value, with the place where it was given; inside
a longer text a reference is text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from declarative_ml.core.errors import Problem
from declarative_ml.spec.positions import Node, Place

_REFERENCE = re.compile(r"\$\$\{|\$\{params\.([A-Za-z_][A-Za-z0-9_-]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_OPTIONS = ("type", "default", "choices", "pattern", "description", "required")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "mapping": (dict,),
}
_SAMPLES = {"string": "all", "integer": "40", "number": "0.25", "boolean": "true", "list": "[a, b]",
            "mapping": "{a: 1}"}  # fmt: skip
_EXAMPLE = "for example params: {segment: {type: string, default: all}}"
Params = dict[str, Node | None]
"""Declared name -> value; None where it is neither given nor has a default."""


def read_params(declared: Node | None, given: Node | None, problems: list[Problem], where: str) -> Params:
    """The values of the params that `declared` (the section `params`) describes, checked.

    `given` is the mapping under `with`, `where` names the template. What is wrong with either goes to
    `problems`, each at its own place.
    """
    if declared is not None and not declared.is_mapping:
        problems.append(_problem(declared, "params must map names to declarations", _EXAMPLE))
        declared = None
    declarations: dict[str, Node] = {} if declared is None else declared.value
    sound = {name: node for name, node in declarations.items() if _check_declaration(name, node, problems)}
    values: Mapping[str, Node] = _given(given, problems)
    for name, node in values.items():
        if name not in declarations:
            near = difflib.get_close_matches(name, declarations, n=1)
            known = f"it has {', '.join(declarations)}" if declarations else "it has no params"
            hint = f"did you mean '{near[0]}'?" if near else known
            problems.append(_problem(node, f"{where} has no param '{name}'", hint, at_key=True))
    found: Params = {}
    for name in declarations:
        value = values.get(name)
        if name in sound and value is not None:
            value = _checked(name, value, sound[name], problems)
        if value is None and name in sound:
            value = sound[name].value.get("default")
            if name not in values and _option(sound[name], "required") is True:
                problems.append(_missing(name, sound[name], given, where))
        found[name] = value
    return found


def _given(given: Node | None, problems: list[Problem]) -> Mapping[str, Node]:
    if given is None:
        return {}
    if not given.is_mapping:
        problems.append(_problem(given, "'with' must map names of params to values", "with: {rounds: 40}"))
        return {}
    values: Mapping[str, Node] = given.value
    return values


def _missing(name: str, declaration: Node, given: Node | None, where: str) -> Problem:
    about = _option(declaration, "description")
    hint = f"give it: with: {{{name}: …}}" + (f" ({about})" if about else "")
    return _problem(given or declaration, f"{where} needs the param '{name}'", hint, at_key=True)


def _check_declaration(name: str, node: Node, problems: list[Problem]) -> bool:
    """Whether the declaration holds."""
    before = len(problems)
    if not _NAME.fullmatch(name):
        hint = "use letters, digits, '_' and '-'"
        problems.append(_problem(node, f"'{name}' cannot be the name of a param", hint, at_key=True))
    if not node.is_mapping:
        problems.append(_problem(node, f"params.{name} must be a mapping", _EXAMPLE))
        return False
    for option, value in node.value.items():
        if option not in _OPTIONS:
            near = difflib.get_close_matches(option, _OPTIONS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(_OPTIONS)}"
            problems.append(_problem(value, f"unknown key '{option}' in params.{name}", hint, at_key=True))
    kind = _option(node, "type")
    if not isinstance(kind, str) or kind not in _TYPES:
        problems.append(_problem(node.value.get("type", node), f"params.{name} needs a type",
                                 f"one of {', '.join(_TYPES)}"))  # fmt: skip
        return False
    _check_limits(name, node, problems)
    default = node.value.get("default")
    if len(problems) == before and default is not None and default.value is not None:
        _checked(name, default, node, problems)
    return len(problems) == before


def _check_limits(name: str, node: Node, problems: list[Problem]) -> None:
    choices, pattern = node.value.get("choices"), node.value.get("pattern")
    if choices is not None and not (isinstance(choices.value, list) and choices.value):
        problems.append(
            _problem(choices, f"params.{name}: choices must be a list of values", "choices: [a, b]")
        )
    if pattern is not None and (not isinstance(pattern.value, str) or _matches(pattern.value, "") is None):
        hint = "a regular expression without look-around or back references, as RE2 and Rust read them"
        problems.append(_problem(pattern, f"params.{name}: this is not a pattern", hint))
    required = _option(node, "required")
    if required not in (None, True, False):
        problems.append(
            _problem(node.value["required"], f"params.{name}: required is true or false", "write true")
        )


def _checked(name: str, value: Node, declaration: Node, problems: list[Problem]) -> Node | None:
    """The value when it fits its declaration; a number given for a text is taken as written."""
    kind = str(_option(declaration, "type"))
    if isinstance(value.value, str) and "${" in value.value:
        return value  # looked up later, and checked by what the spec wants there
    if kind == "string" and value.text is not None and value.value is not None:
        value = replace(value, value=value.text, text=None)
    fits = isinstance(value.value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value.value, bool))
    if not fits:
        article = "an" if kind == "integer" else "a"
        about = _option(declaration, "description")
        hint = str(about) if about else f"for example {_SAMPLES[kind]}"
        problems.append(_problem(value, f"the param '{name}' must be {article} {kind}", hint))
        return None
    choices = declaration.value.get("choices")
    allowed = [] if choices is None else [str(item.text or item.value) for item in choices.value]
    if choices is not None and str(value.text or value.value) not in allowed:
        hint = f"one of {', '.join(allowed)}"
        problems.append(_problem(value, f"the param '{name}' cannot be {value.plain()!r}", hint))
        return None
    pattern = _option(declaration, "pattern")
    if isinstance(pattern, str) and not _matches(pattern, str(value.value)):
        hint = f"it must match {pattern}"
        problems.append(_problem(value, f"the param '{name}' cannot be {value.plain()!r}", hint))
        return None
    return value


def _matches(pattern: str, text: str) -> bool | None:
    """Whether the whole text matches; None for what is no pattern. Rust's engine: linear in the text."""
    from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

    try:
        validator = SchemaValidator(core_schema.str_schema(pattern=f"^(?:{pattern})$"))
    except SchemaError:
        return None
    try:
        validator.validate_python(text)
    except ValidationError:
        return False
    return True


def substitute(node: Node, values: Params, problems: list[Problem]) -> Node:
    """The node with every `${params.NAME}` replaced; one without a value stays, in case it is overridden."""
    if isinstance(node.value, dict):
        children = {name: substitute(child, values, problems) for name, child in node.value.items()}
        # A param whose value is null leaves its key out.
        kept = {name: child for name, child in children.items() if child.value is not None or not child.via}
        left_out = {name: child for name, child in children.items() if name not in kept}
        return replace(node, value=kept, unset={**node.unset, **left_out})
    if isinstance(node.value, list):
        return replace(node, value=[substitute(child, values, problems) for child in node.value])
    if not isinstance(node.value, str) or "${params." not in node.value:
        return node
    whole = _REFERENCE.fullmatch(node.value)
    if whole is not None and whole[1] is not None:
        value = _value(whole[1], values, node, problems)
        return node if value is None else replace(value, key=node.key, via=(*node.via, _mention(node)))

    def text(match: re.Match[str]) -> str:
        value = _value(match[1], values, node, problems) if match[1] else None
        if value is None or isinstance(value.value, dict | list):
            return match[0]
        return str(value.value if value.text is None else value.text)

    return replace(node, value=_REFERENCE.sub(text, node.value), via=(*node.via, _mention(node)))


def _mention(node: Node) -> str:
    return f"{node.value} at {node.place.file}:{node.place.line}"


def _value(name: str, values: Params, node: Node, problems: list[Problem]) -> Node | None:
    if name not in values:
        near = difflib.get_close_matches(name, values, n=1)
        hint = f"did you mean ${{params.{near[0]}}}?" if near else "declare it under 'params' in this file"
        problems.append(_problem(node, f"${{params.{name}}} is not declared", hint))
        return Node("", node.place)
    return values[name]


def _option(declaration: Node, name: str) -> Any:
    node = declaration.value.get(name) if declaration.is_mapping else None
    return None if node is None else node.value


def _problem(node: Node, message: str, hint: str | None = None, *, at_key: bool = False) -> Problem:
    place: Place = node.key if at_key and node.key is not None else node.place
    return Problem(
        "DML023", message, file=place.file, line=place.line, column=place.column, width=place.width, hint=hint
    )
