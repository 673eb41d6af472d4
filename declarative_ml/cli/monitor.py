"""`dml monitor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from declarative_ml.cli.options import format_option, number, print_json, spec_options, table_lines

if TYPE_CHECKING:
    from declarative_ml.report.monitored import Monitored

_SHOWN = 3


@click.command("monitor")
@click.argument("model", metavar="SPEC|BUNDLE", default="spec.yaml")
@click.option("--log", metavar="PATH", help="Folder or pattern of the log; default: monitor.log of SPEC.")
@click.option("--labels", metavar="FILE", help="Rows with the target that came later.")
@click.option(
    "--key", metavar="COLUMN", default="id", help="Column of the labels that names the row; default: id."
)
@click.option("--every", metavar="SPAN", default="1d", help="Length of a period, such as 1d or 6h.")
@click.option("-o", "--output", metavar="FILE", help="Write a page, such as monitor.html.")
@spec_options
@format_option("json")
def command(
    model: str,
    log: str | None,
    labels: str | None,
    key: str,
    every: str,
    output: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
) -> None:
    """What became of a model in service: drift of its prediction log, and quality by labels that came later.

    MODEL is a BUNDLE, or the latest good run of SPEC. Ends with 4 when, in the last period that can tell,
    columns moved away from the training rows, or the model is clearly worse than on its test rows.
    """
    from declarative_ml.api.monitor import alarm_of, monitor

    found = monitor(
        model,
        log,
        labels=labels,
        key=key,
        every=every,
        profile=profile,
        overrides=overrides,
        store=store,
    )
    if output is not None:
        from declarative_ml.core.atomic import write_text
        from declarative_ml.report.monitor import render_monitored

        write_text(Path(output), render_monitored(found))
    if form == "json":
        print_json(found.as_dict())
    else:
        _print(found)
        if output is not None:
            click.echo(f"page  {output}")
    if (alarm := alarm_of(found)) is not None:
        raise alarm


def _print(found: Monitored) -> None:
    header = ["from", "rows", "drift"] + ([f"labelled rows, {found.primary}"] if found.labels else [])
    rows = []
    for period in found.periods:
        moved = [f"{item.column} ({item.reasons[0]})" for item in period.drift.moved[:_SHOWN]]
        more = len(period.drift.moved) - len(moved)
        told = ", ".join(moved) + (f" and {more} more" if more > 0 else "")
        cells = [f"{period.began:%Y-%m-%d %H:%M}", f"{period.drift.rows:,}", told or period.drift.word]
        if found.labels:
            cells.append("")
            if (quality := period.quality) is not None:
                worse = "  worse" if found.is_worse(period) else ""
                cells[-1] = f"{quality.rows:,}, {number(quality.metrics.get(found.primary))}{worse}"
        rows.append(cells)
    for line in table_lines(header, rows):
        click.echo(line)
    click.echo(f"\n{found.log['rows']:,} rows in {found.log['files']:,} files")
    if found.log["other_rows"]:
        click.echo(f"{found.log['other_rows']:,} rows of other models or versions are left out")
    if found.labels:
        joined = f"{found.labels['joined']:,} of {found.labels['labels']:,} labels belong to logged rows"
        click.echo(
            f"{joined}; {found.primary} on the test rows {number(found.tested.metrics.get(found.primary))}"
        )
