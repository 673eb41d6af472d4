"""`dml compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from declarative_ml.cli.options import format_option, latency, number, print_json, size, store_option

if TYPE_CHECKING:
    from declarative_ml.report.comparison import Comparison


@click.command("compare")
@click.argument("first", metavar="RUN|BUNDLE")
@click.argument("second", metavar="[RUN|BUNDLE]", default="latest")
@click.option(
    "-o", "--output", metavar="FILE", help="Write the whole comparison as a page, such as compare.html."
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@store_option
@format_option("json")
def command(first: str, second: str, output: str | None, show: bool, store: str | None, form: str) -> None:
    """Compare two models: runs (ids, starts of ids, `latest`) or bundles (paths).

    Where both were tested on the same rows, differences have intervals by a paired bootstrap.
    """
    from declarative_ml.api.compare import as_json, compare
    from declarative_ml.api.workspace import Workspace

    workspace = Workspace.beside(Path("spec.yaml"), store)
    found = compare(first, second, workspace)
    page = Path(output) if output is not None else workspace.root / "compare.html" if show else None
    if page is not None:
        _write(found, page)
    if form == "json":
        print_json(as_json(found))
    else:
        _print(found)
        if page is not None:
            click.echo(f"page  {page}")
    if show and page is not None:
        click.launch(page.resolve().as_uri())


def _write(found: Comparison, page: Path) -> None:
    from declarative_ml.core.atomic import write_text
    from declarative_ml.report.compare import render_comparison

    write_text(page, render_comparison(found))


def _print(found: Comparison) -> None:
    from declarative_ml.api.compare import as_json
    from declarative_ml.report.compare import finding

    told = as_json(found)
    width = max(24, *(len(label) + 2 for label in told["runs"]))
    labels = "".join(f"{label:>{width}}" for label in told["runs"])
    click.echo(f"{'':<34}{labels}{'difference':>14}   95 % interval")
    for part, metrics in told["metrics"].items():
        for name, (before, after, change) in metrics.items():
            paired = told["paired"].get(name) if part == "test" else None
            if paired is not None:
                change = paired["difference"]
            shown = "" if change is None else f"{change:+.4g}"
            line = f"{part + ' ' + name:<34}{number(before):>{width}}{number(after):>{width}}{shown:>14}"
            click.echo(f"{line}   {_interval(paired)}".rstrip())
    verdict = finding(found)
    click.echo(f"\n{verdict.sentence} {verdict.comparison}".replace("\u00a0", " "))
    if told["agreement"]:
        click.echo(f"They answer differently on {told['agreement']['other_label']:,} of these rows.")
    click.echo()
    for title, tell in (("seconds", number), ("bytes", size), ("latency", _latency)):
        before, after = (None if value is None else tell(value) for value in told[title])
        click.echo(f"{title}: {before or '–'} -> {after or '–'}")
    for name, (kind, other) in {**(told["options"] or {}), **told["columns"]}.items():
        click.echo(f"{name}: {kind} -> {other}")


def _latency(seconds: float) -> str:
    return latency(1e6 * seconds)


def _interval(paired: dict[str, float | None] | None) -> str:
    if paired is None or paired["low"] is None or paired["high"] is None:
        return ""
    return f"{paired['low']:+.4g} … {paired['high']:+.4g}"
