from __future__ import annotations

from typing import Any

import pytest

from declarative_ml.graph.plan import Step
from declarative_ml.planner.keys import differences, key_document, step_key


def _step(**fields: Any) -> Step:
    whole = {
        "id": "split",
        "kind": "split",
        "title": "Divide",
        "params": {"seed": 1},
        "inputs": {"table": "acquire.source"},
        "libraries": ("numpy",),
        "files": ("/data/a.csv",),
    }
    return Step(**{**whole, **fields})


def _key(step: Step, *, table: str = "t", file: str = "f", threads: int = 2) -> str:
    return step_key(key_document(step, {"table": table}, dict.fromkeys(step.files, file), threads))


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "split2"},
        {"title": "Other words"},
        {"outside": {"path": "/elsewhere"}},
        {"files": ("/elsewhere/b.csv",)},
        {"inputs": {"table": "sql"}},
        {"effect": True},
        {"long": True},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_names_words_and_places_do_not_enter_the_key(fields: dict[str, Any]) -> None:
    assert _key(_step(**fields)) == _key(_step())


@pytest.mark.parametrize(
    "other",
    [
        _key(_step(params={"seed": 2})),
        _key(_step(kind="profile")),
        _key(_step(libraries=("numpy", "pyarrow"))),
        _key(_step(components=("declarative_ml.models.linear",))),
        _key(_step(), table="u"),
        _key(_step(), file="g"),
        _key(_step(kind="train"), threads=2),
    ],
)
def test_what_decides_the_result_enters_the_key(other: str) -> None:
    assert other != _key(_step())


@pytest.mark.parametrize(("kind", "matters"), [("train", True), ("split", False), ("assemble", False)])
def test_threads_matter_to_training_only(kind: str, matters: bool) -> None:
    assert (_key(_step(kind=kind), threads=3) != _key(_step(kind=kind))) is matters


def test_the_order_of_mappings_does_not_matter() -> None:
    one = _step(params={"a": 1, "b": {"c": 2, "d": 3}})
    two = _step(params={"b": {"d": 3, "c": 2}, "a": 1})
    assert _key(one) == _key(two)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({"params": {"rounds": 100}}, {"params": {"rounds": 200}}, ["params.rounds: 100 -> 200"]),
        ({"inputs": {"table": "a"}}, {"inputs": {"table": "b"}}, ["input table changed"]),
        ({"files": ["a"]}, {"files": ["b"]}, ["the data files changed"]),
        ({"code": {"x": "1"}}, {"code": {"x": "2"}}, ["code of x changed"]),
        ({"libraries": {"numpy": "1"}}, {"libraries": {"numpy": "2"}}, ["libraries.numpy: 1 -> 2"]),
        ({"threads": 2}, {"threads": 4}, ["threads: 2 -> 4"]),
        ({"a": 1}, {"a": 1}, []),
    ],
)
def test_differences_in_words(old: dict[str, Any], new: dict[str, Any], words: list[str]) -> None:
    assert differences(old, new) == words
