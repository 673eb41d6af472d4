"""A SYNTHETIC table with the quirks of real ones: orders of a shop that never was, sent back or not.

Blanks and several spellings of missing, units, thousands, day-first dates, an id, a constant, codes
with leading zeros, a column of numbers with a few words in it, and a leak: `refund` is known only
after the order came back. The chance of `returned` depends on price, rating, category and weight.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

ROWS = 2_000
COLUMNS = (
    "order_id", "ordered", "price", "weight", "discount", "quantity", "rating", "category", "gift",
    "postcode", "shop", "delivery_days", "comment", "refund", "returned",
)  # fmt: skip

_CATEGORIES = (("shoes", 0.9), ("books", -1.0), ("garden", 0.0), ("toys", -0.2), ("lamps", 0.4))
_WORDS = (
    "good", "late", "too small", "as shown", "broken box", "nice colour", "fast", "wrong size", "a gift",
    "again", "never again", "fine",
)  # fmt: skip


def make_rows(rows: int = ROWS) -> list[list[str]]:
    """The table as text, row by row; the same on every machine and Python version."""
    # Only Random.random() is used: its stream is promised to stay the same between Python versions.
    draw = random.Random(20_240_229).random
    return [_row(number, draw) for number in range(1, rows + 1)]


def _row(number: int, draw: Callable[[], float]) -> list[str]:
    category, leaning = _CATEGORIES[int(draw() * draw() * len(_CATEGORIES))]
    price = round(math.exp(2.5 + 5.0 * draw()), 2)
    rating = 1 + int(5 * draw())
    weight = round(0.2 + 20.0 * draw() ** 2, 1)
    returned = draw() < 1.0 / (1.0 + math.exp(3.2 - leaning - 0.5 * math.log(price) + 0.6 * (rating - 3)))
    rare = draw()
    return [
        f"A-{number:06d}",
        f"{1 + int(28 * draw()):02d}/{1 + int(12 * draw()):02d}/2023",
        f"${price:,.2f}",
        f"{weight}kg",
        "N/A" if draw() < 0.1 else f"{5 * int(6 * draw())}%",
        "" if draw() < 0.05 else str(1 + int(9 * draw() ** 3)),
        "?" if draw() < 0.15 else str(rating),
        " " if draw() < 0.03 else category if rare > 0.01 else f"special {int(1e4 * rare)}",
        "TRUE" if draw() < 0.2 else "false",
        f"{int(100_000 * draw()):05d}",
        "north",
        "n.d." if draw() < 0.01 else str(1 + int(14 * draw())),
        " ".join(_WORDS[int(len(_WORDS) * draw())] for _ in range(int(4 * draw()))),
        f"{price:.2f}" if returned else "0",
        "yes" if returned else "no",
    ]
