"""`dml predict`."""

from __future__ import annotations

import sys

import click

from declarative_ml.cli.options import quiet_option, spec_options


@click.command("predict")
@click.argument("model", metavar="SPEC|BUNDLE")
@click.argument("data")
@click.option(
    "-o", "--output", default="-", help="csv, tsv, parquet, jsonl or arrow by extension; - for CSV on stdout."
)
@click.option("--keep", metavar="COLUMN", multiple=True, help="Copy this column of DATA to the output.")
@spec_options
@quiet_option
def command(
    model: str,
    data: str,
    output: str,
    keep: tuple[str, ...],
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    quiet: bool,
) -> None:
    """Score the rows of DATA with the latest good run of SPEC, or with a BUNDLE.

    The order of the rows is kept. DATA may be - for CSV on stdin.
    """
    from declarative_ml.api.model import open_model
    from declarative_ml.api.predict import predict

    bundle = open_model(model, profile=profile, overrides=overrides, store=store)
    live = not quiet and sys.stderr.isatty() and output != "-"

    def progress(rows: int) -> None:
        if live:
            click.echo(f"\r{rows:,} rows", err=True, nl=False)

    rows = predict(bundle, data, output, keep=keep, progress=progress)
    if not quiet and output != "-":
        click.echo((chr(13) if live else "") + f"{rows:,} rows scored -> {output}", err=True)
