"""`dml gc`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import store_option


@click.command("gc")
@store_option
@click.option(
    "--keep", default=5, type=click.IntRange(0), show_default=True, help="Runs to keep, the newest."
)
def command(store: str | None, keep: int) -> None:
    """Delete from the store what the newest runs do not need. Bundles and reports of all runs stay."""
    from declarative_ml.api.gc import collect_garbage
    from declarative_ml.api.workspace import Workspace

    dropped, freed = collect_garbage(Workspace.beside(Path("spec.yaml"), store), keep)
    click.echo(f"{dropped} artifacts deleted, {freed / 1e6:.1f} MB freed")
