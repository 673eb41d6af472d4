"""Values of the right kind that are not possible, in plain words."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from declarative_ml.behaviour.amount import PERCENT, SIGNED_PERCENT
from declarative_ml.core.duration import LATENCY_PATTERN as LATENCY
from declarative_ml.core.duration import PATTERN as DURATION
from declarative_ml.core.size import MEMORY_PATTERN as MEMORY
from declarative_ml.core.size import PATTERN as SIZE
from declarative_ml.spec.findings import Finding, Words
from declarative_ml.spec.hints import about
from declarative_ml.spec.positions import dotted

_FORMS = {
    DURATION: ("span of time", "90s, 5m or 1h30m"),
    LATENCY: ("latency", "100us or 1ms"),
    SIZE: ("size", "500kB or 1MB"),
    MEMORY: ("amount of memory", "512Mi or 2Gi"),
    PERCENT: ("number or percentage", "0.05 or 5%"),
    SIGNED_PERCENT: ("number or percentage", "12 or -5%"),
}
"""Pattern -> what it is the form of, and examples."""
_BYTES = {"k": "kB", "m": "MB", "g": "GB", "ki": "KiB", "mi": "MiB", "gi": "GiB"}
_SPANS = {"s": ("sec", "secs", "second", "seconds"), "m": ("min", "mins", "minute", "minutes"),
          "h": ("hr", "hrs", "hour", "hours")}  # fmt: skip
_UNITS = {
    **{spelling: unit for stem, unit in _BYTES.items() for spelling in (stem, f"{stem}b")},
    **{spelling: unit for unit, spellings in _SPANS.items() for spelling in spellings},
    "\N{MICRO SIGN}s": "us", "\N{GREEK SMALL LETTER MU}s": "us", "usec": "us", "msec": "ms",
}  # fmt: skip
"""How else people write a unit, in lower case -> how it is written here."""
RANGE = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def out_of_range(finding: Finding, data: Any) -> Words:
    """A number above or below what is possible."""
    words, limit = RANGE[finding.kind]
    bound = finding.context[limit]
    found = f"{finding.value:g}" if isinstance(finding.value, float) else finding.value
    message = f"{dotted(finding.path)} must be {words} {bound:,.15g}, not {found}"
    share = limit in ("lt", "le") and bound == 1 and 2 <= finding.value <= 100
    hint = f"a share: write {finding.value / 100:g}" if share else about(finding.path, data)
    return Words("DML017", message, hint)


def wrong_length(finding: Finding, data: Any) -> Words:
    """A list with too few or too many entries."""
    least, most = finding.context.get("min_length"), finding.context.get("max_length")
    wanted = f"at least {least}" if finding.kind == "too_short" else f"at most {most}"
    found = finding.context.get("actual_length")
    name = dotted(finding.path)
    plural = "entry" if wanted.endswith(" 1") else "entries"
    hint = about(finding.path, data)
    return Words("DML017", f"{name} needs {wanted} {plural}, found {found}", hint, at_key=True)


def secret_in_clear(finding: Finding, data: Any) -> Words:
    """A secret that stands in the spec; the words are without it."""
    name = dotted(finding.path)
    hint = "write where it is kept: ${env:NAME} or ${file:path}"
    if finding.value is None:
        return Words("DML019", f"{name} has no value", hint, at_key=True)
    return Words("DML026", f"{name} is a secret, and is given in clear", hint)


_DELIMITERS = {"tab": r"\t", r"\t": r"\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


def wrong_size(finding: Finding, data: Any) -> Words:
    """A text that is empty, or longer than it may be."""
    name, most = dotted(finding.path), finding.context.get("max_length")
    if finding.kind == "string_too_short":
        return Words("DML018", f"{name} must not be empty", about(finding.path, data))
    limit = "one character" if most == 1 else f"at most {most} characters"
    meant = _DELIMITERS.get(str(finding.value).lower()) if finding.path[-1] == "delimiter" else None
    hint = f'write "{meant}"' if meant else about(finding.path, data)
    return Words("DML018", f"{name} must be {limit}, not {finding.value!r}", hint)


def wrong_form(finding: Finding, data: Any) -> Words:
    """A text that does not look as it must."""
    name, value = dotted(finding.path), str(finding.value)
    if finding.context["pattern"] in _FORMS:
        what, examples = _FORMS[finding.context["pattern"]]
        meant = _as_meant(value, finding.context["pattern"])
        hint = f"write {meant}" if meant else f"write it so: {examples}"
        return Words("DML018", f"{name}: {value!r} is no {what}", hint)
    if finding.path != ("name",):
        message = f"{name}: {value!r} does not have the form {finding.context['pattern']}"
        return Words("DML018", message, about(finding.path, data))
    message = f"name {value!r} must be at most 63 lower-case letters, digits and inner hyphens"
    ascii_only = unicodedata.normalize("NFKD", value.lower()).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:63].rstrip("-")
    return Words("DML018", message, f"for example {slug or 'churn-model'}")


def _as_meant(value: str, pattern: str) -> str | None:
    """The same amount in the wanted form, where only its unit or a space is spelt otherwise."""
    parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([^\W\d]+)\s*", value)
    if parts is None:
        return None
    number, unit = parts[1], parts[2]
    if unit.lower() in ("d", "day", "days"):
        number, unit = f"{24 * float(number):g}", "h"
    spellings = (unit, unit.lower(), _UNITS.get(unit.lower(), unit))
    return next((number + text for text in spellings if re.fullmatch(pattern, number + text)), None)
