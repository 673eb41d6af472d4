"""`dml formats`."""

from __future__ import annotations

import click

from declarative_ml.cli.options import format_option, print_json


@click.command("formats")
@format_option("json")
def command(form: str) -> None:
    """List the formats that a model can be converted to, and what each needs."""
    from declarative_ml.api.convert import formats

    found = formats()
    if form == "json":
        return print_json([vars(item) for item in found])
    for item in found:
        needs = f"  (pip install 'declarative-ml[{item.extra}]')" if item.absent else ""
        click.echo(f"{'–' if item.absent else '✓'} {item.name:<12} {item.about}{needs}")
    return None
