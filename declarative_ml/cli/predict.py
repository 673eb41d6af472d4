"""`dml predict`."""

from __future__ import annotations

import sys

import click

from declarative_ml.cli.options import quiet_option, spec_options


@click.command("predict")
@click.argument("model", metavar="SPEC|BUNDLE|registry:NAME@ALIAS")
@click.argument("data")
@click.option(
    "-o",
    "--output",
    default="-",
    help="csv, tsv, parquet, jsonl or arrow by extension, also at s3://…; {type: sql, …}, or type delta or "
    "kafka; - for CSV on stdout.",
)
@click.option("--keep", metavar="COLUMN", multiple=True, help="Copy this column of DATA to the output.")
@click.option("--tracking-uri", metavar="URI", help="Of the registry; $MLFLOW_TRACKING_URI when absent.")
@spec_options
@quiet_option
def command(
    model: str,
    data: str,
    output: str,
    keep: tuple[str, ...],
    tracking_uri: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    quiet: bool,
) -> None:
    """Score the rows of DATA with the latest good run of SPEC, a BUNDLE, or what a registry names.

    The order of the rows is kept. DATA is a file, an address, a source as a spec writes it, or - for CSV
    on stdin.
    """
    from declarative_ml.api.model import open_model
    from declarative_ml.api.predict import predict

    bundle = open_model(model, profile=profile, overrides=overrides, store=store, tracking_uri=tracking_uri)
    live = not quiet and sys.stderr.isatty() and output != "-"

    def progress(rows: int) -> None:
        if live:
            click.echo(f"\r{rows:,} rows", err=True, nl=False)

    rows = predict(bundle, data, output, keep=keep, progress=progress)
    if not quiet and output != "-":
        click.echo((chr(13) if live else "") + f"{rows:,} rows scored -> {output}", err=True)
