"""`dml import`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import format_option, print_json, quiet_option


@click.command("import")
@click.argument("tool", type=click.Choice(["ludwig", "igel"]))
@click.argument("config", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--data", metavar="DATA", help="The table to learn from: a file, or sample:NAME.")
@click.option(
    "-o", "--output", default="spec.yaml", type=click.Path(dir_okay=False, path_type=Path),
    help="The spec to write.",
)  # fmt: skip
@click.option("--name", help="Name of the model; default: from the data's file.")
@click.option("--force", is_flag=True, help="Overwrite the spec if it exists.")
@format_option("json")
@quiet_option
def command(
    tool: str,
    config: Path,
    data: str | None,
    output: Path,
    name: str | None,
    force: bool,
    form: str,
    quiet: bool,
) -> None:
    """Write a spec from FILE, a config of another tool, and report what became of each of its keys.

    Carried over, changed, or left out: the last two with the reason, here and in the spec.
    """
    from declarative_ml.api.import_igel import import_igel
    from declarative_ml.api.import_ludwig import import_ludwig
    from declarative_ml.api.import_report import report_text

    convert = {"ludwig": import_ludwig, "igel": import_igel}[tool]
    imported = convert(config, output, data=data, name=name, force=force)
    if form == "json":
        return print_json(imported.as_dict())
    if not quiet:
        click.echo(report_text(imported))
    return None
