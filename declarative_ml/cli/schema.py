"""`dml schema`."""

from __future__ import annotations

import click

from declarative_ml.cli.options import print_json


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of a spec, for editors and checks."""
    from declarative_ml.spec.schema import spec_schema

    print_json(spec_schema())
