"""`dml evaluate`."""

from __future__ import annotations

import click

from declarative_ml.cli.options import coverage_line, format_option, number, print_json, spec_options


@click.command("evaluate")
@click.argument("model", metavar="SPEC|BUNDLE")
@click.argument("data")
@click.option(
    "--slice", "slices", metavar="COLUMN", multiple=True, help="Also measure each value of this column."
)
@spec_options
@format_option("json")
def command(
    model: str,
    data: str,
    slices: tuple[str, ...],
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
) -> None:
    """Measure the latest good run of SPEC, or a BUNDLE, on the labelled rows of DATA."""
    from declarative_ml.api.evaluate import evaluate
    from declarative_ml.api.model import open_model

    result = evaluate(open_model(model, profile=profile, overrides=overrides, store=store), data, slices)
    if form == "json":
        return print_json(result)
    for name, value in result["metrics"].items():
        click.echo(f"{name:<24} {number(value)}")
    if "interval" in result:
        click.echo(coverage_line(result["interval"]))
    for item in result["slices"]:
        shown = "  ".join(f"{name} {number(value)}" for name, value in list(item["metrics"].items())[:3])
        click.echo(f"{item['slice']:<32} {item['rows']:>7,} rows  {shown}")
    click.echo(f"{result['rows']:,} rows")
    return None
