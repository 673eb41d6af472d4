"""Which of the possible values was probably meant by one that is none of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from declarative_ml.spec.hints import TRUTH, Wrong, hint_for, number_in
from declarative_ml.spec.letters import odd_letter, plain
from declarative_ml.spec.positions import Path
from declarative_ml.spec.shapes import models_at, place_of, tag_of
from declarative_ml.spec.synonyms import advice_on, bare, choice_of
from declarative_ml.spec.unknown_keys import nearest

_FORMATS = ("csv", "tsv", "jsonl", "parquet", "arrow")


def either(words: Iterable[str]) -> str:
    """ "a, b or c"."""
    words = list(dict.fromkeys(words))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def choose(choices: Iterable[str]) -> str:
    """The way out when nobody knows what was meant."""
    choices = list(choices)
    return f"{'choose' if len(choices) > 1 else 'write'} {either(choices)}"


def right_choice(value: str, choices: Iterable[str]) -> str | None:
    """The one of `choices` that `value` stands for, as a hint."""
    choices = list(choices)
    same = {bare(each): each for each in choices}.get(bare(plain(value)))
    odd = odd_letter(value)
    if same:
        return f"write {same}: here stands {odd}" if odd else f"did you mean '{same}'?"
    if advice := advice_on(value, choices):
        return advice
    if known := choice_of(value, choices):
        return f"did you mean '{known[0]}'?" if known[1] else f"the nearest here is '{known[0]}'"
    near = nearest(value, choices, 0.62)
    return f"did you mean '{near}'?" if near else None


def choice_hint(wrong: Wrong) -> str:
    """The way out for a text that is none of the choices, where other kinds of values may stand as well."""
    value = str(wrong.value)
    if place_of(wrong.path) == "explain.method" and value.lower() in TRUTH:
        return f"write explain: {TRUTH[value.lower()]}"
    number = number_in(value, wrong.kinds) if wrong.is_number or value in wrong.choices else None
    if number is not None:
        return "remove the quotation marks" if wrong.quoted else f"write {number}"
    hint = right_choice(value, wrong.choices)
    if hint is None and "true or false" in wrong.kinds:
        hint = hint_for(wrong)
    return hint or choose([*wrong.choices, *wrong.kinds])


def special_tag(path: Path, value: str, data: Any) -> str | None:
    """A format given as the type of a source, and shares of rows as the method of a split."""
    types = [tag[1] for model in models_at({}, path) if (tag := tag_of(model))]
    if path[:1] == ("data",) and "file" in types:
        known = choice_of(value, _FORMATS)
        written = known[0] if known else value.lower()
        return f"write type: file, format: {written}" if written in _FORMATS else None
    shares = re.fullmatch(r"(\d+)[/:](\d+)(?:[/:](\d+))?", value)
    if path == ("data", "split") and shares:
        numbers = [float(share) for share in shares.groups() if share]
        return hint_for(Wrong(numbers, path, data, ["a mapping"]))
    return None
