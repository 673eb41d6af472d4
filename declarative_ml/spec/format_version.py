"""The version of the spec's format: which one this dml reads, and what is wrong with any other."""

from __future__ import annotations

import re
from typing import Any

FIRST = 1
"""What a spec has that says nothing."""

CURRENT = 1
"""The one version that this dml reads; `dml migrate` brings older ones up to it."""

_LATEST = {"latest", "current", "newest", "new", "stable", "auto", "default", "any"}
_KINDS = {dict: "a mapping", list: "a list", type(None): "nothing"}


def version_fault(value: Any, written: str | None = None, current: int = CURRENT) -> tuple[str, str] | None:
    """What is wrong with a spec's `version` and the way out; None when it is `current`.

    `written` is a number or truth value as it stands in the file. A version is a whole number and nothing
    else: neither 1.0, nor "1", nor true.
    """
    if type(value) is not int:
        found = f"the text '{value}'" if isinstance(value, str) else _KINDS.get(type(value), written)
        return f"version must be the whole number {current}, not {found or value}", _meant(value, current)
    if value == current:
        return None
    message = f"this dml reads version {current} of the spec's format; the spec says {value}"
    if value > current:
        hint = f"pip install -U declarative-ml; if it counts your own changes, write {current}"
        return f"{message}: it was written for a newer dml", hint
    if value < FIRST:
        return f"{message}: there is no such version", f"write {current}: versions begin with {FIRST}"
    return f"{message}: it was written for an older dml", "`dml migrate` rewrites it, and shows what changes"


def _meant(value: Any, current: int) -> str:
    """The way out for what is no whole number."""
    text = str(value)
    if text == str(current) and isinstance(value, str):
        return "remove the quotation marks"
    if text.lower() in _LATEST:
        return f"write {current}: the format that the spec is written in, so that a newer dml still knows it"
    if isinstance(value, float) and value == current:
        return f"write {current}: versions have no decimals"
    if re.search(r"\d\.\d", text):
        return f"write {current}: the version of the spec's format, not of dml or of your model"
    return f"write {current}"
