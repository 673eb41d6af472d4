"""card.json: what a model card tells that stands in no other file of a bundle."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from declarative_ml.core.component import Section
from declarative_ml.formats.conversion import Conversion

FACTS = "card.json"
CARD = "MODEL_CARD.md"


class Check(Section):
    """A gate or a behavioural test, and how it ended."""

    name: str
    words: str = Field(default="", description="What it asks, and what was found")
    passed: bool


class Candidate(Section):
    """A model of the blend."""

    name: str
    weight: float


class CardFacts(Section):
    """The content of card.json. An empty field is left out of the card, and one of a later version too."""

    model_config = ConfigDict(extra="ignore")

    owner: str = ""
    source: tuple[str, ...] = Field(default=(), description="Where the rows come from, in words")
    split: dict[str, Any] = Field(default_factory=dict, description="The options of data.split")
    period: dict[str, tuple[str, str]] = Field(
        default_factory=dict, description="Date column -> first and last day in the training rows"
    )
    dropped: dict[str, str] = Field(default_factory=dict, description="Column -> why the model has it not")
    notes: tuple[str, ...] = ()
    members: tuple[Candidate, ...] = ()
    calibrated: bool = Field(default=False, description="Whether held-out rows corrected the probabilities")
    parity: float | None = Field(default=None, description="Largest difference of graph and training")
    gates: tuple[Check, ...] = ()
    tests: tuple[Check, ...] = ()
    faults: tuple[str, ...] = Field(default=(), description="What gates and tests hold against the model")
    conversions: tuple[Conversion, ...] = ()
    libraries: dict[str, str] = Field(default_factory=dict, description="Library -> version at training")
