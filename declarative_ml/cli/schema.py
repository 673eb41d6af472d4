"""`dml schema`."""

from __future__ import annotations

from pathlib import Path

import click

NAMES = ("spec", "plan", "bundle")


@click.command("schema")
@click.argument("name", metavar="[spec|plan|bundle]", default="spec", type=click.Choice(NAMES))
@click.option("--docs", is_flag=True, help="The reference of a spec's keys as Markdown instead.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file."
)
def command(name: str, docs: bool, output: Path | None) -> None:
    """Print the JSON Schema of a spec, of a plan, or of a bundle's manifest.

    For editors, and for programs that read what dml writes.
    """
    text = _reference(name) if docs else _schema(name)
    if output is None:
        return click.echo(text, nl=False)
    from declarative_ml.core.atomic import write_text

    write_text(output, text)
    return click.echo(f"wrote {output}")


def _schema(name: str) -> str:
    from declarative_ml.spec.schema import schema_text

    return schema_text(name)


def _reference(name: str) -> str:
    if name != "spec":
        raise click.UsageError(f"--docs prints the reference of a spec; there is none of a {name}.")
    from declarative_ml.spec.reference import reference_page

    return reference_page()
