"""`dml rollback`."""

from __future__ import annotations

import click

from declarative_ml.cli.options import format_option, model_argument, print_json, registry_options


@click.command("rollback")
@model_argument
@registry_options
@format_option("json")
@click.option("--alias", default="champion", show_default=True, help="What goes back.")
def command(
    model: str | None,
    tracking_uri: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
    alias: str,
) -> None:
    """Make the version that was champion of MODEL before this one the champion again.

    Repeated, it goes one step further back each time.
    """
    from declarative_ml.api import models as api

    registry = api.open_registry(
        model, tracking_uri=tracking_uri, profile=profile, overrides=overrides, store=store
    )
    move = api.rollback(registry, alias=alias)
    if form == "json":
        return print_json(move.as_dict())
    return click.echo(move.sentence)
