from __future__ import annotations

import pytest

from declarative_ml.core.errors import DmlError
from declarative_ml.trackers.promotions import Promotion, line, next_key, read_history, took_effect


def promoted(version: int, before: int | None, alias: str = "champion") -> Promotion:
    return Promotion(alias=alias, version=version, before=before, when="2026-01-01T00:00:00Z")


def rolled(version: int, before: int | None) -> Promotion:
    return promoted(version, before).model_copy(update={"kind": "rollback"})


FIRST, SECOND, THIRD = promoted(1, None), promoted(2, 1), promoted(3, 2)


@pytest.mark.parametrize(
    ("history", "actual", "expected"),
    [
        pytest.param([], None, [], id="nothing"),
        pytest.param([], 4, [4], id="made champion by hand"),
        pytest.param([FIRST, SECOND, THIRD], 3, [1, 2, 3], id="one after the other"),
        pytest.param([FIRST, SECOND, THIRD, rolled(2, 3)], 2, [1, 2], id="one step back"),
        pytest.param([FIRST, SECOND, THIRD, rolled(2, 3), rolled(1, 2)], 1, [1], id="two steps back"),
        pytest.param([FIRST, SECOND, rolled(1, 2), promoted(3, 1)], 3, [1, 3], id="back and on"),
        pytest.param([FIRST, SECOND, promoted(1, 2)], 1, [1, 2, 1], id="an old one again"),
        pytest.param([FIRST, SECOND], 1, [1], id="killed before the alias moved"),
        pytest.param([FIRST, SECOND, promoted(3, 1)], 3, [1, 3], id="killed, then another"),
        pytest.param([FIRST, SECOND, rolled(1, 2)], 2, [1, 2], id="a rollback killed"),
        pytest.param(
            [FIRST, SECOND, rolled(1, 2), rolled(1, 2)], 1, [1], id="a rollback killed and repeated"
        ),
        pytest.param([FIRST, SECOND], 7, [1, 2, 7], id="moved by hand"),
        pytest.param([FIRST, promoted(3, 7)], 3, [1, 7, 3], id="moved by hand between"),
        pytest.param([FIRST, SECOND], None, [1, 2], id="the alias was deleted"),
        pytest.param([FIRST, promoted(9, None, "shadow")], 1, [1], id="another alias"),
        pytest.param([FIRST, promoted(2, 1), promoted(3, 1)], 3, [1, 3], id="two at the same moment"),
    ],
)
def test_the_line_ends_where_the_alias_is(
    history: list[Promotion], actual: int | None, expected: list[int]
) -> None:
    assert line(history, "champion", actual) == expected


@pytest.mark.parametrize(
    ("history", "aliases", "expected"),
    [
        ([FIRST, SECOND, THIRD], {"champion": 3}, [True, True, True]),
        ([FIRST, SECOND], {"champion": 1}, [True, False]),
        ([FIRST, SECOND, promoted(3, 1)], {"champion": 3}, [True, False, True]),
        ([FIRST, promoted(2, None, "shadow")], {"champion": 1}, [True, False]),
        ([FIRST], {}, [False]),
    ],
)
def test_what_took_effect(history: list[Promotion], aliases: dict[str, int], expected: list[bool]) -> None:
    assert took_effect(history, aliases) == expected


def test_records_keep_their_order_beyond_nine_and_never_share_a_name() -> None:
    tags = {"owner": "growth"}
    for version in range(1, 13):
        tags[next_key(tags)] = promoted(version, version - 1).model_dump_json()
    assert [record.version for record in read_history(tags)] == list(range(1, 13))
    assert next_key(tags) != next_key(tags)
    assert next_key(tags).startswith("dml.promotion.000013.")


def test_a_damaged_record_is_named() -> None:
    with pytest.raises(DmlError, match=r"the tag dml.promotion.000001.a of .* is damaged") as caught:
        read_history({"dml.promotion.000001.a": "{"})
    assert caught.value.hint is not None and "delete the tag" in caught.value.hint
