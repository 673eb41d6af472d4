"""Columns that are not what they were for the champion."""

from __future__ import annotations

import pytest

from declarative_ml.core.schema import ColumnRule
from declarative_ml.spec.champion_columns import changes_between

TEXT, NUMBER, WHOLE, DATE = (
    ColumnRule.model_validate({"type": kind}) for kind in ("text", "number", "integer", "date")
)
CASES: list[tuple[dict[str, ColumnRule], dict[str, ColumnRule], list[tuple[str, str]]]] = [
    ({"a": TEXT}, {"a": TEXT}, []),
    ({"a": NUMBER}, {"a": WHOLE}, []),
    ({"a": WHOLE}, {"a": NUMBER}, []),
    ({"a": NUMBER}, {"a": TEXT}, [("a", "retyped")]),
    ({"a": DATE}, {"a": WHOLE}, [("a", "retyped")]),
    ({"amount": NUMBER}, {}, [("amount", "missing")]),
    ({}, {"amount": NUMBER}, [("amount", "new")]),
    ({}, {"id": TEXT}, []),
    ({"unit_price": NUMBER}, {"UnitPrice": NUMBER}, [("unit_price", "renamed")]),
    ({"unit_price": NUMBER}, {"unit_prices": WHOLE}, [("unit_price", "renamed")]),
    ({"unit_price": NUMBER}, {"unitprice": TEXT}, [("unit_price", "missing"), ("unitprice", "new")]),
    ({"age": NUMBER}, {"postcode": NUMBER}, [("age", "missing"), ("postcode", "new")]),
    (
        {"price": NUMBER, "prices": NUMBER},
        {"Price": NUMBER},
        [("price", "renamed"), ("prices", "missing")],
    ),
]


@pytest.mark.parametrize(("before", "now", "changes"), CASES)
def test_changes(
    before: dict[str, ColumnRule], now: dict[str, ColumnRule], changes: list[tuple[str, str]]
) -> None:
    assert [(item.column, item.change) for item in changes_between(before, now, unused=["id"])] == changes
