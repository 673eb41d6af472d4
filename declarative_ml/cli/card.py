"""`dml card`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import spec_options


@click.command("card")
@click.argument("model", metavar="SPEC|BUNDLE", default="spec.yaml")
@click.option("-o", "--output", metavar="FILE", help="Write it there: .md or .html.")
@click.option(
    "--format", "form", type=click.Choice(["markdown", "html"]), default="markdown", help="Form on stdout."
)
@click.option("--open", "show", is_flag=True, help="Open the file in the browser.")
@spec_options
def command(
    model: str,
    output: str | None,
    form: str,
    show: bool,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
) -> None:
    """The model card of a bundle, or of the latest good run of SPEC."""
    from declarative_ml.api.card import model_card, write_card
    from declarative_ml.api.model import open_model
    from declarative_ml.core.errors import UsageError

    if show and output is None:
        raise UsageError("--open needs a file to open", hint="name it with -o card.html")
    bundle = open_model(model, profile=profile, overrides=overrides, store=store)
    if output is None:
        return click.echo(model_card(bundle, "html" if form == "html" else "markdown"), nl=False)
    write_card(bundle, Path(output))
    click.echo(output)
    if show:
        click.launch(Path(output).resolve().as_uri())
    return None
