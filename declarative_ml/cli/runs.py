"""`dml runs`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import format_option, number, print_json, store_option


@click.command("runs")
@store_option
@format_option("json")
def command(store: str | None, form: str) -> None:
    """List the runs of this workspace, the newest first."""
    from declarative_ml.api.workspace import Workspace

    runs = list(Workspace.beside(Path("spec.yaml"), store).runs())
    if form == "json":
        return print_json(
            [{"run": run.id, **run.record.get("result", {}), "status": run.status} for run in runs]
        )
    if not runs:
        return click.echo("no runs yet: `dml run spec.yaml` makes one")
    for run in runs:
        result = run.record.get("result", {})
        primary = result.get("primary")
        scores = result.get("metrics", {}).get("test") or result.get("metrics", {}).get("validation") or {}
        shown = f"{primary} {number(scores.get(primary))}" if primary else ""
        digest = (result.get("model_digest") or "")[:8]
        click.echo(f"{run.id}  {run.status:<11}  {run.record.get('name', ''):<24}  {digest:<8}  {shown}")
    return None
