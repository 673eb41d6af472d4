"""Values as YAML in one line."""

from __future__ import annotations

import json
import re
from typing import Any

from declarative_ml.spec.yaml_reader import resolve_scalar

_BARE = re.compile(r"[A-Za-z_][\w./-]*\+?")
_OTHER_WORDS = {"yes", "no", "on", "off", "y", "n"}
"""What YAML 1.1, and with it many an editor, reads as truth values."""


def flow(value: Any) -> str:
    """A value that YAML reads back as itself: bare words where that is safe, else in quotation marks."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(str(name))}: {flow(child)}" for name, child in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value, allow_nan=False)
    bare = _BARE.fullmatch(value) and isinstance(resolve_scalar(value), str)
    if bare and value.isascii() and value.lower() not in _OTHER_WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)
