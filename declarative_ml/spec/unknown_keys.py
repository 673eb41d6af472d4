"""What was probably meant by a key that a spec does not have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from declarative_ml.sources.remote import REMOTE_PATH
from declarative_ml.spec.letters import odd_letter, plain
from declarative_ml.spec.positions import Path, dotted
from declarative_ml.spec.shapes import (
    ABOVE,
    TAGS,
    branches_at,
    keys_of,
    models_at,
    section_of,
    sections_of_keys,
    tag_of,
)
from declarative_ml.spec.synonyms import bare, caveat, known_names, note_on, places_of


@dataclass(frozen=True)
class Meant:
    """A guess at what a key should have been."""

    hint: str
    path: Path | None = None
    """Where the value belongs, when it has a place."""
    by_type: bool = False
    """Whether another `type` or `method` would have the key."""


@dataclass(frozen=True)
class _Key:
    """The unknown key, and the mapping that holds it."""

    name: str
    parent: Path
    data: Any
    """The whole document."""
    known: list[str]

    @property
    def section(self) -> str:
        return section_of(self.parent)

    @property
    def value(self) -> Any:
        return self.mapping.get(self.name)

    @property
    def mapping(self) -> dict[str, Any]:
        holder = self.data
        for part in self.parent:
            holder = holder[part]
        return holder if isinstance(holder, dict) else {}

    def here(self, name: str) -> Meant:
        place = f"{self.section}.{name}" if self.section else name
        return Meant(f"did you mean '{name}'?{caveat(self.name, place)}", (*self.parent, name))


def what_was_meant(name: str, parent: Path, data: Any, *, guess: bool = True) -> Meant:
    """The surest guess at what the key `name` of the mapping at `parent` should have been.

    Without `guess`, or when nothing is near, the hint is the keys that there are.
    """
    known = list(dict.fromkeys(key for model in models_at(data, parent) for key in keys_of(model)))
    key = _Key(name, parent, data, known if parent else [*known, *ABOVE])
    guesses = (
        _misplaced, _written, _spelled, _named_otherwise, _noted, _own_key, _of_other_type, _below_empty,
        _very_near, _elsewhere, _near, _near_synonym, _profile,
    )  # fmt: skip
    found = next((meant for find in guesses if guess and (meant := find(key))), None)
    return found or Meant(f"known keys: {', '.join(key.known)}")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """The one of `known` that is spelled most like `name`, or that `name` is an abbreviation of."""
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    if near:
        return by_lower[near[0]]
    longer = [each for lower, each in by_lower.items() if len(name) > 2 and lower.startswith(name.lower())]
    return longer[0] if len(longer) == 1 else None


# Guesses, the surest first.


def _misplaced(key: _Key) -> Meant | None:
    """A key that stands above a spec, met inside of it: in a profile, or by --set."""
    if key.parent or key.name not in ABOVE:
        return None
    return Meant(f"'{key.name}' stands at the top level of the file, in no profile and no --set")


def _spelled(key: _Key) -> Meant | None:
    """Capitals, hyphens, blanks, or characters that cannot be seen."""
    odd = odd_letter(key.name)
    same = {bare(each): each for each in key.known}.get(bare(plain(key.name)))
    if odd and (same or plain(key.name) in sections_of_keys()):
        return Meant(f"type it anew: it holds {odd}", (*key.parent, same) if same else None)
    return key.here(same) if same else None


def _written(key: _Key) -> Meant | None:
    """`key:value`, `key=value`, `key+` and `a.b`."""
    glued = re.fullmatch(r"([\w.-]+)([:=])(.+)", key.name)
    if glued and key.value is None:
        what = "put a space after the ':'" if glued[2] == ":" else "write ': ' for '='"
        path = (*key.parent, glued[1]) if glued[1] in key.known else None
        return Meant(f"{what}: {glued[1]}: {glued[3]}", path)
    if key.name.endswith("+") and key.name[:-1] in key.known:
        hint = f"in a profile or --set '{key.name}' appends a list: {key.name}: [VALUE]"
        return Meant(hint, (*key.parent, key.name[:-1]))
    indexed = re.fullmatch(r"(\w+)\[\d+\]", key.name)
    if indexed and indexed[1] in key.known:
        return Meant(f"a list is given as a whole: {indexed[1]}=[VALUE, VALUE]", (*key.parent, indexed[1]))
    first, dot, rest = key.name.partition(".")
    if dot and first in key.known:
        hint = f"only --set takes points: write {first}: {{{rest.replace('.', ': {')}: …}}"
        return Meant(hint + "}" * rest.count("."), (*key.parent, first))
    return None


def _named_otherwise(key: _Key) -> Meant | None:
    """A key of this section under the name that another tool gives it."""
    for place in places_of(key.name):
        section, _, name = place.rpartition(".")
        if section == key.section and name in key.known:
            return key.here(name)
    return None


def _noted(key: _Key) -> Meant | None:
    note = note_on(key.name, key.section)
    return Meant(note) if note else None


def _of_other_type(key: _Key) -> Meant | None:
    tags = [tag_of(model) for model in branches_at(key.data, key.parent) if key.name in keys_of(model)]
    names = [tag[1] for tag in tags if tag]
    if not names:
        return None
    tag = tags[0][0] if tags[0] else "type"
    return Meant(f"'{key.name}' is an option of {tag} {', '.join(names)}", by_type=True)


def _below_empty(key: _Key) -> Meant | None:
    """The section above stands empty, and has such a key: its lines are not indented."""
    empty = [] if key.parent else [name for name in key.known if name in key.data and key.data[name] is None]
    for section in empty:
        keys = [name for model in models_at({section: {}}, (section,)) for name in keys_of(model)]
        if key.name in keys:
            return Meant(f"indent it: '{key.name}' belongs under '{section}'", (section, key.name))
    return None


def _very_near(key: _Key) -> Meant | None:
    name = nearest(key.name, key.known, 0.83)
    return key.here(name) if name else None


def _elsewhere(key: _Key) -> Meant | None:
    """A key of another section, under this name or another."""
    if key.parent and key.name in (*keys_of(models_at(None, ())[0]), *ABOVE):
        return Meant(f"'{key.name}' belongs at the top level", (key.name,))
    section = sections_of_keys().get(key.name)
    if section and section != key.section:
        return Meant(f"'{key.name}' belongs under '{section}'", (*section.split("."), key.name))
    return _other_place(key, places_of(key.name))


def _other_place(key: _Key, places: Iterable[str]) -> Meant | None:
    for place in places:
        section, _, name = place.rpartition(".")
        if section == key.section:
            continue
        shown = section.replace("features.*", "features.COLUMN")
        where = f"under '{shown}'" if section else "at the top level"
        path = None if "*" in section else (*(section.split(".") if section else ()), name)
        return Meant(f"did you mean '{name}' {where}?", path)
    return None


def _near(key: _Key) -> Meant | None:
    name = nearest(key.name, key.known)
    return key.here(name) if name else None


def _near_synonym(key: _Key) -> Meant | None:
    """A typing error in the name that another tool uses."""
    near = difflib.get_close_matches(bare(key.name), known_names(), n=1, cutoff=0.82)
    if not near:
        return None
    again = _Key(near[0], key.parent, key.data, key.known)
    return _named_otherwise(again) or _noted(again) or _other_place(key, places_of(near[0]))


def _own_key(key: _Key) -> Meant | None:
    if not key.name.startswith(("x-", ".", "_")):
        return None
    hint = "a spec has no keys of your own: put an anchor where the value is used first, notes behind '#'"
    return Meant(hint)


def _profile(key: _Key) -> Meant | None:
    """A mapping at the top that looks like a variant of the spec."""
    if key.parent or not isinstance(key.value, dict) or not key.value:
        return None
    if all(name in key.known for name in key.value):
        hint = f"is it a variant of this spec? Then write profiles: {{{key.name}: …}}"
        return Meant(hint)
    return None


def what_type_was_meant(path: Path, data: Any) -> tuple[str, Path] | None:
    """For a mapping that lacks its `type`: the hint, and the place it is about."""
    mapping = data
    for part in path:
        mapping = mapping[part]
    tags = {tag_of(model): set(keys_of(model)) for model in branches_at(data, path)}
    names = {tag[1]: keys for tag, keys in tags.items() if tag}
    tag = next((tag[0] for tag in tags if tag), TAGS[0])
    for key, value in mapping.items():
        if found := re.fullmatch(rf"{tag} *([:=]) *(\S+)", key):
            what = "put a space after the ':'" if found[1] == ":" else "write ': ' for '='"
            return f"{what}: {tag}: {found[2]}", (*path, key)
        if isinstance(value, str) and value in names:
            return f"did you mean '{tag}: {value}'?", (*path, key)
        if key in names and (value is None or isinstance(value, dict)):
            return f"write '{tag}: {key}' and the options beside it, at the same depth", (*path, key)
    if section_of(path) == "data.source" and any("data.source.path" in places_of(key) for key in mapping):
        return f"write {dotted(path[-1:])}: FILE, or {{type: file, path: FILE}}", path
    fitting = [name for name, keys in names.items() if mapping and keys.issuperset(mapping)]
    if {"file", "remote"} <= set(fitting):
        fitting = ["remote" if REMOTE_PATH.match(str(mapping.get("path", ""))) else "file"]
    return (f"add '{tag}: {fitting[0]}'", path) if len(fitting) == 1 else None
