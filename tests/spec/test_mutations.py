"""Valid specs, broken at random: each is refused with words and a place, or is still a valid spec."""

from __future__ import annotations

import copy
import json
import random
import re
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from declarative_ml.core.errors import SpecError
from declarative_ml.spec.codes import CODES
from declarative_ml.spec.diagnostics import render_problems
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.sarif import problems_as_sarif
from declarative_ml.spec.shapes import ABOVE
from declarative_ml.spec.yaml_reader import read_yaml

ROOT = Path(__file__).parents[2]
SECONDS = 2.0
_BASES = sorted([*ROOT.glob("examples/*/spec.yaml"), *Path(__file__).parent.glob("bases/*.yaml")])
_TEMPLATES = sorted(ROOT.glob("specs/*.yaml"))
_NAME_KEYED = ("features", "profiles", "params", "sources", "with", "slices", "gates", "tests", "given")
_VALUES = (
    None, True, False, 0, 1, -1, 17, 0.5, 1e308, 10**30, "", "text", "auto", "0.5", "20%", "yes", "é\u200b",
    "a: b", "${", "${env:DML_NEVER_SET}", "${file:none.txt}", "x" * 5000, [], ["a"], [1, 2], [[]], {},
    {"a": 1}, {"type": "file"}, {"type": "mlp", "layers": "x"}, [{"type": "linear"}], {"method": "time"},
)  # fmt: skip
_BITS = (
    "\t", " ", ":", ": ", "-", "'", '"', "{", "}", "[", "]", ",", "#", "&a", "*a", "!!str ", "|", ">", "%",
    "\u00a0", "\x00", "\x1b", "\ufeff", "---\n", "...\n", "<<: *a\n", "\n", "\r", "é", "$", "${x}", "\\",
)  # fmt: skip
_GIVEN = {"integer": 3, "number": 0.5, "boolean": True, "list": ["a"], "mapping": {"body": "text"}}
"""Values of templates' params, by their type; for a string the param's own name."""
_WITHOUT_HINT = re.compile(r"profiles.* must be a mapping|cannot extend|param")
"""Problems that give no way out so far."""


def base_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def parsed(text: str) -> Any:
    """The document as the product reads it."""
    node, problems = read_yaml(text, "base")
    assert node is not None
    assert not problems
    return copy.deepcopy(node.plain())


def write(folder: Path, text: str | bytes, base: Path) -> Path:
    """The spec to load: the text itself, or for a template a spec that extends it."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if base not in _TEMPLATES:
        (folder / "spec.yaml").write_bytes(content)
        return folder / "spec.yaml"
    (folder / "base.yaml").write_bytes(content)
    params = parsed(base_text(base)).get("params", {})
    given = {
        name: _GIVEN.get(param.get("type"), name) for name, param in params.items() if "default" not in param
    }
    spec = {"extends": {"use": "./base.yaml", "with": given}, "name": "extended"}
    (folder / "spec.yaml").write_text(json.dumps(spec))
    return folder / "spec.yaml"


def outcome(path: Path, seconds: float = SECONDS) -> SpecError | None:
    """The error that a spec ends in, checked; every other exception fails the test by itself."""
    started = time.perf_counter()
    try:
        load_spec(path)
    except SpecError as error:
        found = error
    else:
        found = None
    assert time.perf_counter() - started < seconds
    if found is not None:
        check(found)
    return found


def check(error: SpecError) -> None:
    """Each problem has words, a known code, a place and a way out, and can be shown."""
    assert error.problems
    assert any(problem.severity == "error" for problem in error.problems)
    for problem in error.problems:
        assert problem.message
        assert problem.code in CODES
        assert problem.hint or _WITHOUT_HINT.search(problem.message), problem
        assert problem.line >= 1, problem
        assert problem.column >= 1, problem
        assert problem.width >= 1, problem
    shown = render_problems(error.problems, texts=error.texts)
    assert shown.count("^") >= len(error.problems)
    assert "\x1b" not in shown
    assert problems_as_sarif(error.problems)


def mappings(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every mapping and list of a document with its path."""
    if isinstance(data, dict | list):
        yield path, data
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from mappings(value, (*path, key))


def at(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


@cache
def known_keys() -> frozenset[str]:
    """Every key that a spec knows anywhere."""
    schema = json.loads((ROOT / "schemas/spec.v1.json").read_text())
    options = {key for _, each in mappings(schema) if isinstance(each, dict) for key in properties(each)}
    return frozenset({*options, *ABOVE})


def properties(schema: dict[str, Any]) -> Iterable[str]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else ()


def misspelled(key: str, source: random.Random) -> str:
    """The key with a typing error; never a key of a spec."""
    known = known_keys()
    while True:
        place = source.randrange(len(key))
        letter = source.choice("abcdefghijklmnopqrstuvwxyz_")
        name = source.choice(
            [
                key[:place] + key[place + 1 :],
                key[:place] + letter + key[place:],
                key[:place] + letter + key[place + 1 :],
                key[:place] + key[place : place + 2][::-1] + key[place + 2 :],
                key.upper(),
                f"{key}s",
                f"my_{key}",
                "".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=6)),
            ]
        )
        if re.fullmatch(r"[a-zA-Z_]{3,}", name) and name not in known and not name.isspace():
            return name


def rename(data: Any, source: random.Random) -> str | None:
    """Misspell a key that a section wants. Returns the new key."""
    places = [
        (path, key)
        for path, holder in mappings(data)
        if isinstance(holder, dict) and not (path and path[-1] in _NAME_KEYED) and not _in_slice(path)
        for key in holder
    ]
    path, key = source.choice(places)
    name = misspelled(key.rstrip("+"), source)
    holder = at(data, path)
    entries = [(name if each == key else each, value) for each, value in holder.items()]
    holder.clear()
    holder.update(entries)
    return name


def _in_slice(path: tuple[str | int, ...]) -> bool:
    return "slices" in path or "with" in path


def full(data: Any, source: random.Random) -> Any:
    """A mapping or list that holds something, outside of the declarations of params."""
    return source.choice([each for path, each in mappings(data) if each and path[:1] != ("params",)])


def replace(data: Any, source: random.Random) -> None:
    holder = full(data, source)
    key = source.choice(list(holder)) if isinstance(holder, dict) else source.randrange(len(holder))
    holder[key] = copy.deepcopy(source.choice(_VALUES))


def move(data: Any, source: random.Random) -> None:
    """Take something from one place to another."""
    holder = full(data, source)
    key = source.choice(list(holder)) if isinstance(holder, dict) else source.randrange(len(holder))
    value = holder.pop(key)
    there = source.choice([each for path, each in mappings(data) if path[:1] != ("params",)])
    if isinstance(there, dict):
        there[str(key)] = value
    else:
        there.insert(source.randint(0, len(there)), value)


def delete(data: Any, source: random.Random) -> None:
    holder = full(data, source)
    holder.pop(source.choice(list(holder)) if isinstance(holder, dict) else source.randrange(len(holder)))


def scratch(text: str, source: random.Random) -> str | bytes:
    """Break the text: bits put in, letters and lines taken away, doubled or moved, bytes flipped."""
    kind = source.randrange(8)
    place = source.randrange(len(text))
    lines = text.split("\n")
    line = source.randrange(len(lines))
    if kind == 0:
        return text[:place] + source.choice(_BITS) + text[place:]
    if kind == 1:
        return text[:place] + text[place + source.randint(1, 4) :]
    if kind == 2:
        lines.insert(source.randrange(len(lines)), lines[line])
    elif kind == 3:
        lines.pop(line)
    elif kind == 4:
        lines[line] = source.choice([" ", "  ", "\t", "    ", "- "]) + lines[line]
    elif kind == 5:
        lines[line] = lines[line].lstrip() if source.random() < 0.5 else lines[line][1:]
    elif kind == 6:
        other = source.randrange(len(lines))
        lines[line], lines[other] = lines[other], lines[line]
    else:
        content = bytearray(text.encode())
        content[source.randrange(len(content))] ^= 1 << source.randrange(8)
        return bytes(content)
    return "\n".join(lines)


def mutate(base: Path, seed: int) -> tuple[str | bytes, str | None]:
    """A broken text, and the unknown key in it where there is one for certain."""
    source = random.Random(f"{base.parent.name}/{base.name}/{seed}")
    text = base_text(base)
    kind = source.randrange(6)
    if kind == 5:
        for _ in range(source.choice([1, 1, 1, 2, 3])):
            broken = scratch(text, source)
            if isinstance(broken, bytes):
                return broken, None
            text = broken or "\n"
        return text, None
    data = parsed(text)
    if kind <= 1:
        name = rename(data, source)
    else:
        name = None
        for _ in range(source.choice([1, 1, 2])):
            (replace, move, delete)[kind - 2](data, source)
    dumped = yaml.safe_dump(
        data, allow_unicode=True, sort_keys=False, default_flow_style=source.choice([None, False])
    )
    return dumped if source.random() < 0.7 else json.dumps(data, ensure_ascii=False), name


def run(seeds: range, folder: Path) -> None:
    bases = [*_BASES, *_TEMPLATES]
    for seed in seeds:
        base = bases[seed % len(bases)]
        text, name = mutate(base, seed)
        try:
            error = outcome(write(folder, text, base))
            if name is not None:
                assert error is not None, f"'{name}' is accepted"
                said = [(problem.message, problem.hint, problem.path) for problem in error.problems]
                assert any(name in str(words) for words in said), f"'{name}' is not named by {said}"
        except BaseException:
            shown = text if isinstance(text, str) else repr(text)
            print(f"seed {seed}, {base}:\n{shown}")
            raise


@pytest.mark.parametrize("base", [*_BASES, *_TEMPLATES], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_bases_are_valid(base: Path, tmp_path: Path) -> None:
    assert outcome(write(tmp_path, base_text(base), base)) is None
    data = parsed(base_text(base))
    assert outcome(write(tmp_path, json.dumps(data), base)) is None


_VALID = "name: a\ndata: {source: a.csv}\ntarget: b\n"
_HOPELESS = {
    "unknown keys": _VALID + "".join(f"key{n}: 1\n" for n in range(3000)),
    "empty section above": "model:\n" + _VALID + "".join(f"key{n}: 1\n" for n in range(3000)),
    "unknown types": _VALID + "features:\n" + "".join(f"  k{n}: nmber\n" for n in range(3000)),
    "wrong entries": _VALID + "exclude:\n" + "  - [a]\n" * 3000,
    "a long word in braces": f"model: {{type: {'a' * 190_000} b epochs: 3}}\n",
    "a long key": f"{_VALID}? {'k' * 190_000}\n: 1\n",
    "a long value": f"{_VALID}model: {'m' * 190_000}\n",
    "a long list in a text": f"{_VALID}exclude: {'-a ' * 60_000}\n",
    "numbers and commas": f"{_VALID}seed: {'1,' * 90_000}\n",
    "quotation marks": "a: {" + "'" * 900_001,
    "blank lines": "\n" * 900_000 + "x y\nz: 1\n",
    "spaces before a tab": f"a:{' ' * 900_000}\tb: c\n",
    "comments in braces": "{a: b\n" + "# x\n" * 200_000 + "c: d}\n",
}


@pytest.mark.parametrize("text", _HOPELESS.values(), ids=_HOPELESS)
def test_what_is_no_spec_at_all_is_refused_in_time(text: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    error = outcome(tmp_path / "spec.yaml", seconds=10.0)
    assert error is not None
    assert all(len(problem.message) < 1000 and len(str(problem.hint)) < 1000 for problem in error.problems)


@pytest.mark.parametrize("part", range(5))
def test_mutations_are_refused_or_valid(part: int, tmp_path: Path) -> None:
    run(range(part * 100, part * 100 + 100), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_mutations_are_refused_or_valid(part: int, tmp_path: Path) -> None:
    run(range(1000 + part * 1000, 2000 + part * 1000), tmp_path)
