from __future__ import annotations

import re

import pytest

from benchmarks.automl.entries import DEFAULT, Entry, matched, parse_entry
from benchmarks.automl.recipes import RECIPES
from declarative_ml.core.errors import UsageError


@pytest.mark.parametrize("entry", DEFAULT, ids=lambda entry: entry.label)
def test_labels_read_back(entry: Entry) -> None:
    assert parse_entry(entry.label) == entry


def test_every_peer_has_a_recipe() -> None:
    assert {entry.contender for entry in DEFAULT} == {"dml", *RECIPES}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tpot@60", "no contender is written 'tpot@60'"),
        ("dml@0", "no contender is written 'dml@0'"),
        ("dml", "dml needs its seconds"),
        ("catboost@60", "catboost has no clock"),
        ("autogluon@60", "autogluon has no preset ''"),
        ("dml-best@60", "dml has no preset 'best'"),
    ],
)
def test_entries_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_entry(text)


@pytest.mark.parametrize(
    ("peer", "ours"),
    [("autogluon-best@120", "dml@120"), ("h2o@60", "dml@60"), ("catboost", "dml@60"), ("flaml@40", "dml@30")],
)
def test_ours_is_held_against_a_peer_with_the_same_time(peer: str, ours: str) -> None:
    assert matched(parse_entry(peer), DEFAULT) == parse_entry(ours)


def test_nobody_is_held_against_a_peer_when_ours_is_not_there() -> None:
    assert matched(parse_entry("h2o@60"), [parse_entry("catboost")]) is None


def test_late_leaves_time_to_start() -> None:
    assert parse_entry("dml@60").latest == 90
    assert parse_entry("dml@60").killed > 90
