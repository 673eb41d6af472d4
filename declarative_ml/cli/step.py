"""`dml step`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import quiet_option, store_option
from declarative_ml.core.errors import UsageError


@click.command("step")
@click.argument("plan", type=click.Path(exists=True, dir_okay=False))
@click.argument("step_id", metavar="ID")
@click.option(
    "--wait",
    metavar="DURATION",
    help="For the steps before it, such as 6h: other processes that share the store run them.",
)
@store_option
@quiet_option
def command(plan: str, step_id: str, wait: str | None, store: str | None, quiet: bool) -> None:
    """Run the one step ID of a PLAN file, taking what it needs from the store.

    What it needs must be there: run the steps before it first, in any process that shares the store. With
    --wait they may still be at work.
    """
    from declarative_ml.api.progress import Progress
    from declarative_ml.api.step import run_step

    with Progress(enabled=not quiet) as progress:
        status = run_step(
            Path(plan),
            step_id,
            store=store,
            listener=progress.listen,
            wait=_seconds(wait),
        )
    click.echo(f"{step_id}: {status}")


def _seconds(wait: str | None) -> int:
    from declarative_ml.core.duration import seconds_of

    try:
        return 0 if wait is None else seconds_of(wait)
    except ValueError as error:
        raise UsageError(f"--wait: {error}", hint="such as 6h") from error
