"""`dml run`."""

from __future__ import annotations

from typing import Any

import click

from declarative_ml.cli import STARTED
from declarative_ml.cli.options import (
    conversion_lines,
    coverage_line,
    format_option,
    gate_lines,
    locked_option,
    number,
    print_json,
    quiet_option,
    seconds,
    show_warnings,
    spec_argument,
    spec_options,
)
from declarative_ml.cli.outcomes import broken_checks, outcome_lines, suspicion_lines
from declarative_ml.engines import ENGINES


@click.command("run")
@spec_argument
@spec_options
@locked_option
@format_option("json")
@quiet_option
@click.option("--until", metavar="STEP", help="Stop when this step (id, kind, or start of an id) is done.")
@click.option(
    "--fresh",
    "fresh",
    metavar="STEP",
    multiple=True,
    is_flag=False,
    flag_value="*",
    help="Run again although cached: everything, or only STEP.",
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Steps at a time.")
@click.option("--engine", type=click.Choice([*ENGINES]), default="local", help="Where the steps run.")
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Of a Ray cluster: HOST:PORT, or auto; default: RAY_ADDRESS, else a Ray for this run alone.",
)
def command(
    spec: str,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    locked: bool,
    form: str,
    quiet: bool,
    until: str | None,
    fresh: tuple[str, ...],
    jobs: int | None,
    engine: str,
    address: str | None,
) -> None:
    """Run SPEC: acquire, prepare, train, evaluate, gate, explain, package, report, track.

    What is cached is not run again; a killed run resumes with the same command.
    """
    from declarative_ml.api.progress import Progress
    from declarative_ml.api.run import RunOptions, engine_of, run_spec
    from declarative_ml.spec.load import load_spec

    where = engine_of({"type": engine} | ({} if address is None else {"address": address}))
    loaded = load_spec(
        spec, profile=profile, overrides=overrides, data=True, lock="require" if locked else "use"
    )
    show_warnings(loaded.problems, quiet=quiet)
    again = None if not fresh else [name for name in fresh if name != "*"]
    with Progress(enabled=not quiet) as progress:
        report = run_spec(
            loaded,
            RunOptions(
                store=store,
                until=until,
                fresh=again,
                jobs=jobs,
                engine=where,
                listener=progress.listen,
                on_plan=progress.begin,
                started=STARTED,
            ),
        )
    if form == "json":
        print_json(report.result)
    elif report.result["status"] != "failed":
        _summary(report.result, unchanged=report.unchanged)
    if report.error is not None:
        raise report.error


def _summary(result: dict[str, Any], *, unchanged: bool) -> None:
    if unchanged:
        click.echo(f"Nothing to do: nothing has changed since run {result['run']}.")
    _metrics(result)
    if result.get("interval"):
        click.echo(f"{coverage_line(result['interval'])}\n")
    for line in suspicion_lines(result.get("suspicions", [])):
        click.echo(line)
    for line in broken_checks(result.get("checks", [])):
        click.echo(line)
    for line in gate_lines(result.get("gates", [])):
        click.echo(line)
    for line in outcome_lines(result.get("tests", [])):
        click.echo(line)
    for line in conversion_lines(result.get("conversions", [])):
        click.echo(line)
    for name in ("bundle", "report", "card"):
        if result[name]:
            click.echo(f"{name:<8} {result[name]}")
    if "tensorboard" in result:
        click.echo(f"curves   {result['tensorboard']} · `tensorboard --logdir` shows them")
    if result["mlflow_run_id"]:
        click.echo(f"mlflow   run {result['mlflow_run_id']} · `dml ui` shows it")
    if "registered" in result:
        click.echo(f"registry {_registered(result['registered'])}")
    ran = sum(step["status"] == "run" for step in result["steps"])
    click.echo(
        f"{ran} steps run, {len(result['steps']) - ran} cached or skipped, {seconds(result['seconds'])}"
    )


def _registered(made: dict[str, Any]) -> str:
    told = f"{made['name']} version {made['version']}"
    if made.get("promoted"):
        return f"{told} became the champion · `dml models` lists all"
    return f"{told} · `dml promote` makes it the champion"


def _metrics(result: dict[str, Any]) -> None:
    parts = result["metrics"]
    if not parts:
        return
    baselines = result.get("baselines", {}).get("test", {})
    intervals = result.get("intervals", {}).get("test", {})
    header = ["metric", *parts, *(["95 % interval"] if intervals else []), *baselines]
    rows = []
    for name in next(iter(parts.values())):
        row = [name, *(number(scores.get(name)) for scores in parts.values())]
        if intervals:
            bounds = intervals.get(name)
            row.append(f"{number(bounds[0])} … {number(bounds[1])}" if bounds else "–")
        rows.append([*row, *(number(scores.get(name)) for scores in baselines.values())])
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    for row in [header, *rows]:
        cells = [
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells))
    click.echo()
