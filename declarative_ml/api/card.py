"""The model card of a bundle, as Markdown or as a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from declarative_ml.api.workspace import RUN_FILE
from declarative_ml.core.atomic import read_json, write_text
from declarative_ml.core.errors import UsageError
from declarative_ml.report.card import card_markdown, card_page
from declarative_ml.report.card_facts import CARD
from declarative_ml.steps.card import read_card
from declarative_ml.store.bundle import Bundle

PAGE = "card.html"
Form = Literal["markdown", "html"]


def model_card(bundle: Bundle, form: Form = "markdown") -> str:
    """The card as text. Raises DataError for a damaged bundle."""
    card = replace(read_card(bundle), made=_made(bundle.path))
    return card_markdown(card) if form == "markdown" else card_page(card)


def write_card(bundle: Bundle, target: Path) -> None:
    """Write the card to a `.md` or `.html` file, atomically. Raises UsageError for any other name."""
    if target.suffix not in (".md", ".html"):
        raise UsageError(f"{target}: a model card is Markdown or a page", hint="name it .md or .html")
    write_text(target, model_card(bundle, "markdown" if target.suffix == ".md" else "html"))


def write_cards(folder: Path) -> None:
    """Both forms beside the report, from the bundle in the run's folder."""
    bundle = Bundle.open(folder / "bundle")
    for name in (CARD, PAGE):
        write_card(bundle, folder / name)


def _made(bundle: Path) -> str:
    """When the run was, for a bundle that lies in the folder of its run."""
    record = bundle.resolve().parent / RUN_FILE
    return str(read_json(record).get("created", "")) if record.is_file() else ""
