"""A SYNTHETIC table with a column of prose: messages to the help desk of a shop that never was.

The team depends on what the message is about, told by verbs in several forms, places and names; on the
tier and the channel where the message is vague; and one in twenty was sent to the wrong one.
"""

from __future__ import annotations

import random
from collections.abc import Callable

ROWS = 1_000
COLUMNS = ("message", "channel", "tier", "orders", "days", "team")

_OPENINGS = (
    "Hello,", "Good morning.", "Please help,", "I have waited since Monday.", "This is the second time.",
    "Nobody answered my last message.", "A question:", "",
)  # fmt: skip
_CLOSINGS = (
    "Thank you.", "Please call me.", "Kind regards, Anna", "I expect an answer today.",
    "What should I do now?", "Best wishes from {place}.", "",
)  # fmt: skip
_TOPICS = {
    "billing": (
        "I was charged twice for {item}.",
        "You are charging me {money} every month.",
        "The invoice of {money} shows a wrong address in {place}.",
        "My refund for {item} has not been paid.",
        "The bank refuses to pay your invoices.",
        "Why do you charge a fee of {money}?",
        "A payment of {money} to {company} was taken from my card.",
    ),
    "delivery": (
        "The parcel with {item} was sent to {place}, and I live elsewhere.",
        "{company} has not delivered {item}.",
        "Both parcels arrived damaged in {place}.",
        "The driver never arrives when I am at home.",
        "When will you be sending {item} to {place}?",
        "Tracking says that {company} is delivering since last week.",
        "The box was open and {item} missing.",
    ),
    "technical": (
        "The app crashes when I search for {item}.",
        "After the update {item} does not connect any more.",
        "I cannot log in, and passwords that I reset fail.",
        "The screen of {item} froze and shows an error.",
        "It keeps crashing on my phone from {company}.",
        "The website fails to load in {place}.",
        "Connecting {item} to the network failed three times.",
    ),
}
_VAGUE = (
    "Something went wrong with {item}.",
    "I am not happy with {item} at all.",
    "Can somebody look at my order from {place}?",
    "This does not work for me.",
)
_WORDS = {
    "item": ("the lamp", "my headphones", "a kettle", "the camera", "two chairs", "the speaker"),
    "place": ("Oslo", "Lisbon", "Berlin", "Chicago", "London", "Madrid"),
    "money": ("$12", "$49.90", "$250", "$7"),
    "company": ("FedEx", "DHL", "Samsung", "PayPal", "Microsoft"),
}
_CHANNELS = ("mail", "chat", "phone")
_TIERS = ("free", "plus", "business")
_TEAMS = tuple(_TOPICS)


def make_rows(rows: int = ROWS) -> list[list[str]]:
    """The table as text, row by row; the same on every machine and Python version."""
    # Only Random.random() is used: its stream is promised to stay the same between Python versions.
    draw = random.Random(20_261_101).random
    return [_row(draw) for _ in range(rows)]


def _row(draw: Callable[[], float]) -> list[str]:
    channel, tier, team = (_one_of(choices, draw) for choices in (_CHANNELS, _TIERS, _TEAMS))
    topic: tuple[str, ...] = _TOPICS[team]
    if draw() < 0.2:
        topic = _VAGUE
        team = "technical" if channel == "chat" else "billing" if tier == "business" else "delivery"
    message = " ".join(_one_of(part, draw) for part in (_OPENINGS, topic, _CLOSINGS)).strip()
    words = {name: _one_of(choices, draw) for name, choices in _WORDS.items()}
    if draw() < 0.05:
        team = _one_of(_TEAMS, draw)
    return [
        "" if draw() < 0.01 else message.format(**words),
        channel,
        tier,
        "" if draw() < 0.05 else str(1 + int(30 * draw() ** 3)),
        str(int(1_500 * draw())),
        team,
    ]


def _one_of(choices: tuple[str, ...], draw: Callable[[], float]) -> str:
    return choices[int(len(choices) * draw())]
