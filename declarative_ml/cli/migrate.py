"""`dml migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from declarative_ml.cli.options import format_option, print_json

if TYPE_CHECKING:
    from declarative_ml.api.migrate import MigratedSpec


@click.command("migrate")
@click.argument("specs", nargs=-1, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the one SPEC here instead of in its place.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; exit code 8 when something would change.")
@format_option("json")
@click.pass_context
def command(ctx: click.Context, specs: tuple[Path, ...], output: Path | None, check: bool, form: str) -> None:
    """Bring SPECS (default: spec.yaml) to the current version of the spec's format, and show the changes.

    Comments and untouched lines stay as they are. Nothing is written unless all can be.
    """
    from declarative_ml.api.migrate import migrate_specs, write_migrated

    specs = specs or (Path("spec.yaml"),)
    if output is not None and (check or len(specs) > 1):
        raise click.UsageError("-o takes one SPEC, and does not go with --check.")
    found = migrate_specs(list(dict.fromkeys(specs)))
    if form == "text":
        for spec in found:
            _show(spec)
    for spec in found if not check else []:
        if spec.changes or output is not None:
            written = write_migrated(spec, output)
            click.echo(f"wrote {written}", err=form == "json")
    if form == "json":
        print_json({"specs": [spec.as_dict() for spec in found]})
    ctx.exit(8 if check and any(spec.changes for spec in found) else 0)


def _show(spec: MigratedSpec) -> None:
    result = spec.result
    if spec.changes:
        click.echo(f"{spec.path}: version {result.found} becomes {result.current}")
        for step in result.steps:
            click.echo(f"  {step}")
        click.echo(spec.diff())
    else:
        click.echo(f"{spec.path} is already version {result.current}, the current one")
    for template in spec.templates:
        version = "of an unknown version" if template.version is None else f"version {template.version}"
        way = f"dml migrate {template.label}" if template.is_local else "it is migrated where it is kept"
        click.echo(f"  it extends {template.label}, {version}, with a migration of its own: {way}")
