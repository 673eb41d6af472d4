"""A moment as an option: with its time zone, so that it means the same everywhere."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator


def _moment(value: Any) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise ValueError("write a moment with its zone, such as 2024-01-01T00:00:00Z")
    return moment


Moment = Annotated[datetime, BeforeValidator(_moment)]
