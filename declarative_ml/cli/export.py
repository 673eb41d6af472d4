"""`dml export`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import quiet_option, spec_options


@click.group("export")
def command() -> None:
    """Write what dml knows in a form for another tool: a Jupyter notebook."""


@command.command("notebook")
@click.argument("about", metavar="SPEC|RUN|BUNDLE", default="spec.yaml")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
    help="The notebook to write; default: NAME.ipynb.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the notebook if it exists.")
@spec_options
@quiet_option
def notebook(
    about: str,
    output: Path | None,
    force: bool,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    quiet: bool,
) -> None:
    """Write a notebook that loads a SPEC, a RUN (an id, or `latest`) or a BUNDLE and shows it from all sides.

    It runs as it is, in its own folder; that of a SPEC trains the model when nothing is cached.
    """
    from declarative_ml.api.notebook import export_notebook

    written = export_notebook(about, output, profile=profile, overrides=overrides, store=store, force=force)
    if not quiet:
        click.echo(f"wrote {written}; next: jupyter lab {written}")
