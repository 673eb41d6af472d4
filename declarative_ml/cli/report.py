"""`dml report`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import store_option


@click.command("report")
@click.argument("run", default="latest")
@store_option
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def command(run: str, store: str | None, show: bool) -> None:
    """Print the path of the report of RUN (an id, the start of one, or `latest`)."""
    from declarative_ml.api.workspace import Workspace
    from declarative_ml.core.errors import UsageError

    workspace = Workspace.beside(Path("spec.yaml"), store)
    page = workspace.run(run).folder / "report.html"
    if not page.exists():
        raise UsageError(f"run {run} has no report", hint="it did not get that far; `dml runs` lists all")
    click.echo(page)
    if show:
        click.launch(page.resolve().as_uri())
