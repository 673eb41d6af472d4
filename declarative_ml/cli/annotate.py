"""`dml annotate`."""

from __future__ import annotations

import click

from declarative_ml.cli.options import quiet_option, spec_options


@click.command("annotate")
@click.argument("model", metavar="SPEC|BUNDLE")
@click.argument("data")
@click.option("-o", "--output", default="tasks.json", show_default=True, help="The tasks; .xml beside it.")
@click.option(
    "--least-confident",
    metavar="N",
    type=click.IntRange(min=1),
    help="Only the N rows of which the model is least sure; default: all.",
)
@click.option("--labelled", is_flag=True, help="Also rows that have a label.")
@spec_options
@quiet_option
def command(
    model: str,
    data: str,
    output: str,
    least_confident: int | None,
    labelled: bool,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    quiet: bool,
) -> None:
    """Write the rows of DATA without a label as tasks of Label Studio, with the answers of the latest good
    run of SPEC, or of a BUNDLE, as pre-annotations; and the labelling interface beside them.

    DATA is a file, an address, a source as a spec writes it, or - for CSV on stdin. What people then say is
    read by the source label-studio.
    """
    from declarative_ml.api.annotate import annotate
    from declarative_ml.api.model import open_model

    bundle = open_model(model, profile=profile, overrides=overrides, store=store)
    made = annotate(bundle, data, output, least_confident=least_confident, labelled=labelled)
    if quiet:
        return
    click.echo(f"{made.rows:,} tasks -> {made.tasks}")
    click.echo(f"labelling interface -> {made.interface}")
    if made.hidden:
        click.echo(f"in the tasks, but not shown, since their names are no words: {', '.join(made.hidden)}")
