"""`dml init`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from declarative_ml.cli.options import format_option, print_json, quiet_option


@click.command("init")
@click.argument("data")
@click.option("--target", required=True, metavar="COLUMN", help="The column to predict.")
@click.option(
    "-o", "--output", default="spec.yaml", type=click.Path(dir_okay=False), help="The spec to write."
)
@click.option("--name", help="Name of the model; default: from the file.")
@click.option("--force", is_flag=True, help="Overwrite the spec if it exists.")
@click.option("--checks", is_flag=True, help="Also write a data contract, inferred from the data.")
@format_option("json")
@quiet_option
def command(
    data: str,
    target: str,
    output: str,
    name: str | None,
    force: bool,
    checks: bool,
    form: str,
    quiet: bool,
) -> None:
    """Look at DATA and write a spec that runs as it is.

    DATA is a file, an address (https://, s3://, …), sample:NAME, or a source as a spec writes it.

    Ids, constants, names and columns that give the target away are found and left out.
    """
    from declarative_ml.api.init import init_spec

    show = not quiet and sys.stderr.isatty()

    def progress(message: str) -> None:
        if show:
            click.echo(f"\r\x1b[K{message}", err=True, nl=False)

    try:
        draft = init_spec(
            data, target, Path(output), name=name, force=force, checks=checks, progress=progress
        )
    finally:
        if show:
            click.echo("\r\x1b[K", err=True, nl=False)
    if form == "json":
        return print_json(
            {
                "spec": str(draft.path),
                "rows": draft.rows,
                "features": draft.features,
                "excluded": draft.excluded,
                "notes": draft.notes,
            }
        )
    if quiet:
        return None
    click.echo(f"{draft.rows:,} rows, {len(draft.features)} features, target {target}")
    for column, reason in draft.excluded.items():
        leak = reason.startswith("LEAK")
        click.secho(f"  left out  {column}: {reason}", fg="yellow" if leak else None)
    for note in draft.notes:
        click.echo(f"  note      {note}")
    click.echo(f"wrote {draft.path}; next: dml run {draft.path}")
    return None
