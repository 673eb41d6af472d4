"""`${env:NAME}`, `${env:NAME:-default}` and `${file:path}`: looked up, never evaluated.

A scalar that is exactly one reference takes the YAML type of what it finds; inside a longer text a
reference is text. `$${` is a plain `${`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from declarative_ml.core.errors import Problem
from declarative_ml.spec.homes import Home, TemplateError
from declarative_ml.spec.positions import Node, Path
from declarative_ml.spec.yaml_reader import MAX_SCALAR, resolve_scalar

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


@dataclass
class References:
    """Replaces references below a node, and collects the ones that lead nowhere."""

    homes: Mapping[str, Home]
    """Label -> home of the files that the document was read from."""
    main: Home
    """The spec's own, for values from the command line."""
    environment: Mapping[str, str]
    problems: list[Problem]
    secrets: Set[Path] = frozenset()
    """The paths of values that stay references."""

    def resolve(self, node: Node, path: Path = ()) -> Node:
        """The node with every reference in its values (not its keys) replaced."""
        value = node.value
        if isinstance(value, dict):
            resolved = {name: self.resolve(child, (*path, name)) for name, child in value.items()}
            return replace(node, value=resolved)
        if isinstance(value, list):
            return replace(node, value=[self.resolve(child, (*path, n)) for n, child in enumerate(value)])
        if isinstance(value, str) and "${" in value:
            return self._keep_secret(node) if path in self.secrets else self._resolve_text(node)
        return node

    def _keep_secret(self, node: Node) -> Node:
        """The node as it is, where its template may name what it names; a file's path as the spec says it."""
        whole = _REFERENCE.fullmatch(node.value)
        if whole is None or whole[1] is None or whole[1].startswith("params."):
            return node if "${params." not in node.value else self._resolve_text(node)
        home = self.homes.get(node.place.file, self.main)
        wanted = whole[1].partition(":-")[0] if whole[1].startswith("env:") else whole[1]
        if home.allowed is not None and wanted not in home.allowed:
            self._refuse(wanted, home, node)
        here, there = self.main.folder, home.folder
        if wanted.startswith("file:") and here is not None and there is not None and here != there:
            path = os.path.relpath(there / wanted.removeprefix("file:"), here)
            return replace(node, value=f"${{file:{path}}}")
        return node

    def _resolve_text(self, node: Node) -> Node:
        text = node.value
        whole = _REFERENCE.fullmatch(text)
        if whole is not None and whole[1] is not None:
            found = self._find(whole[1], node)
            typed = self._typed(found, node, is_file=whole[1].startswith("file:"))
            return replace(typed, via=(*node.via, text))
        if "${" in _REFERENCE.sub("", text):
            return self._refuse_open(node)
        found = _REFERENCE.sub(lambda match: "${" if match[1] is None else self._find(match[1], node), text)
        return replace(node, value=found, via=(*node.via, text) if _is_looked_up(text) else node.via)

    def _refuse_open(self, node: Node) -> Node:
        if re.search(r"\$\{[^{}]*\$\{", node.value):
            self._fail("a reference inside a reference", "a reference names one thing in plain text", node)
        else:
            self._fail("'${' without its '}'", "end it with }, or write $${ for a plain ${", node)
        return node

    def _typed(self, found: str, node: Node, *, is_file: bool) -> Node:
        if is_file:
            return replace(node, value=found, text=None)
        value: Any = resolve_scalar(found)
        if isinstance(value, float) and not math.isfinite(value):
            value = found
        return replace(node, value=value, text=None if isinstance(value, str) else found)

    def _find(self, reference: str, node: Node) -> str:
        """The text behind a reference; "" with a problem where there is none."""
        home = self.homes.get(node.place.file, self.main)
        variable = _ENVIRONMENT.fullmatch(reference)
        if variable is not None or reference.startswith("file:"):
            wanted = f"env:{variable[1]}" if variable else reference
            if home.allowed is not None and wanted not in home.allowed:
                return self._refuse(wanted, home, node)
        if variable is not None:
            return self._variable(variable[1], variable[2], node)
        if reference.startswith("file:"):
            return self._file(reference.removeprefix("file:"), home, node)
        if reference.startswith("params."):
            return self._param(reference.removeprefix("params."), home, node)
        hint = "known: ${env:NAME}, ${env:NAME:-default}, ${file:path}; write $${ for a plain ${"
        if reference.isidentifier():
            hint = f"did you mean ${{env:{reference}}}?"
        return self._fail(f"unknown reference ${{{reference}}}", hint, node)

    def _variable(self, name: str, default: str | None, node: Node) -> str:
        value = self.environment.get(name)
        if value or (value is not None and default is None):
            return value
        if default is not None:
            return default
        hint = f"set it, or give a default: ${{env:{name}:-value}}"
        return self._fail(f"the environment variable {name} is not set", hint, node)

    def _param(self, name: str, home: Home, node: Node) -> str:
        """A param that was neither given nor overridden: said once for each template."""
        message = f"the param '{name}' of {home.label} has no value"
        if any(problem.message == message for problem in self.problems):
            return ""
        hint = f"give it: extends: {{use: …, with: {{{name}: …}}}}"
        return self._fail(message, hint, node, code="DML023")

    def _refuse(self, wanted: str, home: Home, node: Node) -> str:
        message = f"the template {home.label} may not use {wanted}"
        hint = f"where you trust it: extends: {{use: …, allow: ['{wanted}']}}"
        return self._fail(message, hint, node, code="DML024")

    def _file(self, name: str, home: Home, node: Node) -> str:
        try:
            content = home.beside(name).content(MAX_SCALAR)
            text = content.decode("utf-8-sig")
        except TemplateError as error:
            hint = "paths are relative to the file that says them"
            return self._fail(f"cannot read {name}: {error.message}", hint, node)
        except UnicodeDecodeError:
            return self._fail(f"{name} is not UTF-8 text", "save it as UTF-8", node)
        if len(content) > MAX_SCALAR:
            return self._fail(f"{name} is larger than {MAX_SCALAR:,} bytes", None, node)
        return text.removesuffix("\n").removesuffix("\r")

    def _fail(self, message: str, hint: str | None, node: Node, code: str = "DML009") -> str:
        place = node.place
        self.problems.append(
            Problem(
                code, message, file=place.file, line=place.line, column=place.column,
                width=place.width, hint=hint,
            )
        )  # fmt: skip
        return ""


def _is_looked_up(text: str) -> bool:
    return any(match[1] is not None for match in _REFERENCE.finditer(text))
