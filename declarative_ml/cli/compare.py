"""`dml compare`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import format_option, number, print_json, store_option


@click.command("compare")
@click.argument("first")
@click.argument("second", default="latest")
@store_option
@format_option("json")
def command(first: str, second: str, store: str | None, form: str) -> None:
    """Compare run FIRST with run SECOND (ids, starts of ids, or `latest`)."""
    from declarative_ml.api.compare import compare_runs
    from declarative_ml.api.workspace import Workspace

    workspace = Workspace.beside(Path("spec.yaml"), store)
    found = compare_runs(workspace.run(first), workspace.run(second))
    if form == "json":
        return print_json(found)
    click.echo(f"{'':<34}{found['runs'][0]:>24}{found['runs'][1]:>24}{'difference':>14}")
    for part, metrics in found["metrics"].items():
        for name, (before, after, change) in metrics.items():
            shown = "" if change is None else f"{change:+.4g}"
            click.echo(f"{part + ' ' + name:<34}{number(before):>24}{number(after):>24}{shown:>14}")
    for name, (before, after) in found["options"].items():
        click.echo(f"{name}: {before} -> {after}")
    if found["same_model"]:
        click.echo("the models are the same, byte for byte")
    return None
