"""`dml promote`."""

from __future__ import annotations

import click

from declarative_ml.cli.options import format_option, model_argument, print_json, registry_options


@click.command("promote")
@model_argument
@registry_options
@format_option("json")
@click.option("--version", type=click.IntRange(1), help="This version; default: the challenger.")
@click.option("--run", metavar="RUN", help="The version that this run registered.")
@click.option("--to", "alias", metavar="ALIAS", default="champion", show_default=True, help="The new role.")
@click.option("--force", is_flag=True, help="Although its gates failed or are unknown.")
def command(
    model: str | None,
    tracking_uri: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
    version: int | None,
    run: str | None,
    alias: str,
    force: bool,
) -> None:
    """Make a version of MODEL (a name in the registry, or a spec that registers it) the champion.

    Without --version and --run it is the challenger: the newest version. `dml rollback` takes it back.
    """
    from declarative_ml.api import models as api

    if version is not None and run is not None:
        raise click.UsageError("give --version or --run, not both")
    registry = api.open_registry(
        model, tracking_uri=tracking_uri, profile=profile, overrides=overrides, store=store
    )
    move = api.promote(registry, version=version, run=run, alias=alias, force=force)
    if form == "json":
        return print_json(move.as_dict())
    return click.echo(move.sentence)
