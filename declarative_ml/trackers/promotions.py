"""The history of an alias, as records that are written once and never changed.

Each move of an alias leaves one tag on the registered model: `dml.promotion.000007.3f9c` → JSON. The record
comes first and the alias, whose move is atomic, second. A process that is killed between the two leaves a
record of what never happened; so does one that another overtakes. Every record therefore says where the alias
pointed when it was written, and `line` reads them so that the alias is always right.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field, ValidationError

from declarative_ml.core.component import Section
from declarative_ml.core.errors import DmlError

PREFIX = "dml.promotion."


class Promotion(Section):
    """One move of an alias."""

    kind: Literal["promote", "rollback"] = "promote"
    alias: str
    version: int = Field(description="Where the alias points from then on")
    before: int | None = Field(description="Where it pointed; null: nowhere")
    who: str = ""
    when: str = Field(description="UTC, for example 2026-03-01T09:30:00Z")
    forced: bool = Field(default=False, description="Promoted although its gates failed or are unknown")


def next_key(tags: Mapping[str, str]) -> str:
    """A tag's name behind all those in `tags`; no other process makes the same."""
    numbers = [int(number) for number in (name.split(".")[2] for name in _keys(tags)) if number.isdigit()]
    return f"{PREFIX}{max(numbers, default=0) + 1:06d}.{secrets.token_hex(4)}"


def read_history(tags: Mapping[str, str]) -> list[Promotion]:
    """The records among a registered model's tags, oldest first. Raises DmlError for one that is damaged."""
    return [_parsed(name, tags[name]) for name in _keys(tags)]


def _keys(tags: Iterable[str]) -> list[str]:
    return sorted(name for name in tags if name.startswith(PREFIX))


def _parsed(name: str, text: str) -> Promotion:
    try:
        return Promotion.model_validate_json(text)
    except ValidationError as error:
        raise DmlError(
            f"the tag {name} of the registered model is damaged: {error.errors()[0]['msg']}",
            hint="delete the tag in MLflow: the history then does without that record",
        ) from error


def line(history: Iterable[Promotion], alias: str, actual: int | None) -> list[int]:
    """The versions that the alias would come to by going back again and again; the last is `actual`.

    With `actual` None the last is the one that it pointed to before it was taken away.
    """
    found: list[int] = []
    for record in history:
        if record.alias == alias:
            _agree(found, record.before)
            if record.kind == "promote":
                found.append(record.version)
            else:
                _agree(found, record.version)
    _agree(found, actual)
    return found


def _agree(found: list[int], actual: int | None) -> None:
    """Let the line end where the alias really pointed: moves that never happened drop out, moves made by
    hand come in."""
    if actual is None:
        return
    if actual in found:
        while found[-1] != actual:
            found.pop()
    else:
        found.append(actual)


def took_effect(history: Sequence[Promotion], aliases: Mapping[str, int]) -> list[bool]:
    """Of each record, whether the alias moved, as its next record shows, or `aliases`: where they point."""
    after = dict(aliases)
    moved = []
    for record in reversed(history):
        moved.append(after.get(record.alias) == record.version)
        if record.before is not None:
            after[record.alias] = record.before
        else:
            after.pop(record.alias, None)
    return moved[::-1]
