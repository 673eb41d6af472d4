"""`${env:NAME}`, `${env:NAME:-default}` and `${file:path}`: looked up, never evaluated.

A scalar that is exactly one reference takes the YAML type of what it finds; inside a longer text a
reference is text. `$${` is a plain `${`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from declarative_ml.core.errors import Problem
from declarative_ml.spec.positions import Node
from declarative_ml.spec.yaml_reader import MAX_SCALAR, resolve_scalar

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


@dataclass
class References:
    """Replaces references below a node, and collects the ones that lead nowhere."""

    folder: FilePath
    environment: Mapping[str, str]
    problems: list[Problem]

    def resolve(self, node: Node) -> Node:
        """The node with every reference in its values (not its keys) replaced."""
        if isinstance(node.value, dict):
            return replace(node, value={name: self.resolve(child) for name, child in node.value.items()})
        if isinstance(node.value, list):
            return replace(node, value=[self.resolve(child) for child in node.value])
        if isinstance(node.value, str) and "${" in node.value:
            return self._resolve_text(node)
        return node

    def _resolve_text(self, node: Node) -> Node:
        text = node.value
        whole = _REFERENCE.fullmatch(text)
        if whole is not None and whole[1] is not None:
            found = self._find(whole[1], node)
            return self._typed(found, node, is_file=whole[1].startswith("file:"))
        found = _REFERENCE.sub(lambda match: "${" if match[1] is None else self._find(match[1], node), text)
        return replace(node, value=found)

    def _typed(self, found: str, node: Node, *, is_file: bool) -> Node:
        if is_file:
            return replace(node, value=found, text=None)
        value: Any = resolve_scalar(found)
        if isinstance(value, float) and not math.isfinite(value):
            value = found
        return replace(node, value=value, text=None if isinstance(value, str) else found)

    def _find(self, reference: str, node: Node) -> str:
        """The text behind a reference; "" with a problem where there is none."""
        variable = _ENVIRONMENT.fullmatch(reference)
        if variable is not None:
            return self._variable(variable[1], variable[2], node)
        if reference.startswith("file:"):
            return self._file(reference.removeprefix("file:"), node)
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

    def _file(self, name: str, node: Node) -> str:
        path = self.folder / name
        try:
            with path.open("rb") as stream:
                content = stream.read(MAX_SCALAR + 1)
            text = content.decode("utf-8-sig")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return self._fail(f"cannot read {name}: {reason}", "paths are relative to the spec", node)
        except UnicodeDecodeError:
            return self._fail(f"{name} is not UTF-8 text", "save it as UTF-8", node)
        if len(content) > MAX_SCALAR:
            return self._fail(f"{name} is larger than {MAX_SCALAR:,} bytes", None, node)
        return text.removesuffix("\n").removesuffix("\r")

    def _fail(self, message: str, hint: str | None, node: Node) -> str:
        place = node.place
        self.problems.append(
            Problem(
                "DML009", message, file=place.file, line=place.line, column=place.column,
                width=place.width, hint=hint,
            )
        )  # fmt: skip
        return ""
