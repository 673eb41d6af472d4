"""`dml models`."""

from __future__ import annotations

from typing import Any

import click

from declarative_ml.cli.options import (
    format_option,
    model_argument,
    number,
    print_json,
    registry_options,
    table_lines,
)


@click.command("models")
@model_argument
@registry_options
@format_option("json")
@click.option("--history", is_flag=True, help="What was promoted and rolled back, when and by whom.")
def command(
    model: str | None,
    tracking_uri: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
    history: bool,
) -> None:
    """List the versions of MODEL (a name in the registry, or a spec that registers it), or of all models.

    The registry is the one that the spec (or ./spec.yaml) tracks to.
    """
    from declarative_ml.api import models as api

    registry = api.open_registry(
        model, tracking_uri=tracking_uri, profile=profile, overrides=overrides, store=store
    )
    found = api.history(registry) if history else api.models(registry)
    if form == "json":
        return print_json(found)
    if not found:
        return click.echo("nothing was promoted yet" if history else f"no models yet: {api.HOW}")
    for line in table_lines(*(_moves(found) if history else _versions(found))):
        click.echo(line)
    return None


def _versions(found: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    header = ["model", "version", "aliases", "metric", "score", "gates", "created", "digest"]
    return header, [
        [
            item["name"],
            str(item["version"]),
            ", ".join(item["aliases"]),
            item["metric"] or "–",
            number(item["score"]),
            item["gates"],
            item["created"],
            (item["model_digest"] or "–")[:8],
        ]
        for item in found
    ]


def _moves(found: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    header = ["when", "what", "alias", "version", "before", "who", "note"]
    return header, [
        [
            item["when"],
            item["kind"],
            item["alias"],
            str(item["version"]),
            "–" if item["before"] is None else str(item["before"]),
            item["who"],
            _note(item),
        ]
        for item in found
    ]


def _note(item: dict[str, Any]) -> str:
    notes = ["forced"] if item["forced"] else []
    if not item["effective"]:
        notes.append("did not last: interrupted, overtaken or changed by hand")
    return "; ".join(notes)
