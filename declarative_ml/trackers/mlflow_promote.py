"""Moves of an alias in MLflow's registry: a record first, then the alias, which MLflow switches atomically.

An embedded store is locked meanwhile. A server has no lock to offer: of two moves at the same moment both are
recorded, under names of their own, and the alias ends where the last of the records says.
"""

from __future__ import annotations

import re
import time
from typing import Any

from declarative_ml.core.errors import DmlError, UsageError
from declarative_ml.core.faults import fault_point
from declarative_ml.trackers.promotions import Promotion, line, next_key, read_history

_ATTEMPTS = 20
_ALIAS = re.compile(r"(?!(?:latest|v\d+)$)[\w-]{1,255}", re.IGNORECASE)
"""What MLflow takes as an alias: asked before a record is written."""


def promote(client: Any, name: str, version: int, alias: str, *, who: str, forced: bool) -> Promotion | None:
    """Point the alias to the version; None: it points there already. Raises DmlError when overtaken."""
    if not _ALIAS.fullmatch(alias):
        raise UsageError(
            f"{alias!r} cannot be an alias",
            hint="letters, digits and hyphens; neither 'latest' nor 'v' and a number",
        )
    model = client.get_registered_model(name)
    before = _actual(model, alias)
    if before == version:
        return None
    client.get_model_version(name, str(version))  # MLflow's own error where it is not there
    record = Promotion(alias=alias, version=version, before=before, who=who, when=_now(), forced=forced)
    return _move(client, model, record)


def rollback(client: Any, name: str, versions: set[int], alias: str, *, who: str) -> Promotion:
    """Point the alias to the last of its earlier `versions` that still exist. Raises UsageError for none."""
    model = client.get_registered_model(name)
    actual = _actual(model, alias)
    earlier = line(read_history(model.tags), alias, actual)
    if actual is not None:
        earlier = earlier[:-1]
    target = next((version for version in reversed(earlier) if version in versions), None)
    if target is None:
        raise UsageError(
            f"there is nothing to roll back: {name} had no {alias} before"
            + ("" if actual is None else f" version {actual}"),
            hint=f"dml models {name} --history shows what was promoted",
        )
    record = Promotion(kind="rollback", alias=alias, version=target, before=actual, who=who, when=_now())
    return _move(client, model, record)


def _actual(model: Any, alias: str) -> int | None:
    found = model.aliases.get(alias)
    return None if found is None else int(found)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _move(client: Any, model: Any, promotion: Promotion) -> Promotion:
    fault_point("promote:record")
    client.set_registered_model_tag(model.name, next_key(model.tags), promotion.model_dump_json())
    fault_point("promote:alias")
    client.set_registered_model_alias(model.name, promotion.alias, str(promotion.version))
    fault_point("promote:end")
    settled = _settle(client, model.name, promotion.alias)
    if settled != promotion.version:
        raise DmlError(
            f"version {settled} of {model.name} became {promotion.alias} at the same moment as "
            f"version {promotion.version}, and stays it",
            hint=f"dml models {model.name} --history shows who did that",
        )
    return promotion


def _settle(client: Any, name: str, alias: str) -> int:
    """Let the alias follow the last record, which another process may have written meanwhile.

    Whoever moves an alias looks again afterwards: when all are done, the alias and the record agree.
    """
    for _ in range(_ATTEMPTS):
        model = client.get_registered_model(name)
        last = [record for record in read_history(model.tags) if record.alias == alias][-1]
        if _actual(model, alias) == last.version:
            return last.version
        client.set_registered_model_alias(name, alias, str(last.version))
    raise DmlError(
        f"the alias {alias} of {name} does not settle: others move it all the time", hint="try again later"
    )
