"""What is asked of MLflow's sqlite file often, read without MLflow: its import takes seconds."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from declarative_ml.trackers.base import KEY_TAG, Registered
from declarative_ml.trackers.mlflow_entities import registered_version
from declarative_ml.trackers.mlflow_store import BUSY_SECONDS, unreadable

_FIND = """
    SELECT runs.run_uuid FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
    WHERE tags.key = ? AND tags.value = ? AND runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'
    ORDER BY runs.start_time, runs.run_uuid LIMIT 1
"""
_VERSIONS = """
    SELECT name, version, run_id, creation_time FROM model_versions
    WHERE current_stage <> 'Deleted_Internal' AND (? IS NULL OR name = ?)
"""  # a deleted version stays in the table
_VERSION_TAGS = "SELECT name, version, key, value FROM model_version_tags WHERE ? IS NULL OR name = ?"
_ALIASES = "SELECT name, version, alias FROM registered_model_aliases WHERE ? IS NULL OR name = ?"
_PLACES = """
    SELECT runs.artifact_uri, COALESCE(versions.storage_location, versions.source)
    FROM model_versions AS versions JOIN runs ON runs.run_uuid = versions.run_id
    WHERE versions.name = ? AND versions.version = ?
"""
_MODEL_TAGS = "SELECT key, value FROM registered_model_tags WHERE name = ?"


def find_in_sqlite(database: Path, key: str) -> str | None:
    """The id of the finished run with this key. Raises DmlError for a damaged file."""
    [found] = _query(database, (_FIND, (KEY_TAG, key)))
    return str(found[0][0]) if found else None


def versions_in_sqlite(database: Path, name: str | None) -> list[Registered]:
    """The registered versions of a model, or of all, in no order. Raises DmlError for a damaged file."""
    wanted = (name, name)
    versions, tags, aliases = _query(
        database, (_VERSIONS, wanted), (_VERSION_TAGS, wanted), (_ALIASES, wanted)
    )
    tags_of: dict[Any, dict[str, str]] = defaultdict(dict)
    for model, version, key, value in tags:
        tags_of[model, version][key] = value or ""
    aliases_of: dict[Any, list[str]] = defaultdict(list)
    for model, version, alias in aliases:
        aliases_of[model, version].append(alias)
    return [
        registered_version(
            model, version, run_id, created, tags=tags_of[model, version], aliases=aliases_of[model, version]
        )
        for model, version, run_id, created in versions
    ]


def model_tags_in_sqlite(database: Path, name: str) -> dict[str, str]:
    """The tags of a registered model. Raises DmlError for a damaged file."""
    [found] = _query(database, (_MODEL_TAGS, (name,)))
    return {key: value or "" for key, value in found}


def places_in_sqlite(database: Path, registered: Registered) -> tuple[str, str] | None:
    """The URIs of the artifacts of a version's run and of its model's files; None where its run is gone.

    Raises DmlError for a damaged file.
    """
    [found] = _query(database, (_PLACES, (registered.name, registered.version)))
    return (str(found[0][0]), str(found[0][1])) if found else None


def _query(database: Path, *queries: tuple[str, Sequence[object]]) -> list[list[Any]]:
    """The rows of each query, all of one moment; none where there is no file or no such table yet."""
    nothing: list[list[Any]] = [[] for _ in queries]
    if not database.is_file():
        return nothing
    try:
        with closing(
            sqlite3.connect(
                f"{database.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None
            )
        ) as connection:
            connection.execute("BEGIN")
            return [connection.execute(query, values).fetchall() for query, values in queries]
    except sqlite3.OperationalError as error:
        if "no such table" in str(error) or "no such column" in str(error):
            return nothing
        raise unreadable(database, error) from error
    except sqlite3.DatabaseError as error:
        raise unreadable(database, error) from error
