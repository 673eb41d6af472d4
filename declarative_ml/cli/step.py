"""`dml step`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from declarative_ml.cli.options import quiet_option, store_option


@click.command("step")
@click.argument("plan", type=click.Path(exists=True, dir_okay=False))
@click.argument("step_id", metavar="ID")
@store_option
@quiet_option
def command(plan: str, step_id: str, store: str | None, quiet: bool) -> None:
    """Run the one step ID of a PLAN file, taking what it needs from the store.

    What it needs must be there: run the steps before it first, in any process that shares the store.
    """
    from declarative_ml.api.progress import Progress
    from declarative_ml.api.step import run_step

    with Progress(enabled=not quiet) as progress:
        status = run_step(
            Path(plan), step_id, store=store, threads=os.cpu_count() or 1, listener=progress.listen
        )
    click.echo(f"{step_id}: {status}")
