"""Pages from their templates. Whatever a template is given as text is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: Any) -> str:
    """The page made of `template`, a file of the folder templates, and its values."""
    return _environment().get_template(template).render(**values)


@cache
def chart_style() -> str:
    """The style sheet of the charts alone."""
    return (_folder() / "charts.css").read_text(encoding="utf-8")


def _folder() -> Path:
    return Path(__file__).parent / "templates"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_folder()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
