"""`dml test`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import format_option, print_json, seconds, spec_options


@click.command("test")
@click.argument("model", metavar="SPEC|BUNDLE", default="spec.yaml")
@click.argument("data", required=False)
@click.option("--spec", metavar="FILE", help="Of a BUNDLE: take the tests of this spec, not those it keeps.")
@click.option("--junit", metavar="FILE", help="Also write the outcomes as JUnit XML.")
@spec_options
@format_option("json")
def command(
    model: str,
    data: str | None,
    spec: str | None,
    junit: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
) -> None:
    """Put the behavioural tests of SPEC to its latest good run, or those of a BUNDLE to it.

    The rows are the run's own test rows, or those of DATA. Nothing is trained. Ends with 4 when a test
    fails.
    """
    from declarative_ml.api.test import run_tests
    from declarative_ml.cli.outcomes import outcome_report

    tested = run_tests(model, data, spec=spec, profile=profile, overrides=overrides, store=store)
    if junit is not None:
        from declarative_ml.api.junit import write_junit

        write_junit(tested, Path(junit))
    found = tested.as_dict()
    if form == "json":
        print_json(found)
    else:
        for line in outcome_report(found["tests"]):
            click.echo(line)
        said = f"{found['passed']} passed, {found['failed']} failed, {seconds(sum(tested.seconds))}"
        click.echo(f"\n{said} · {found['bundle']}")
    if tested.error is not None:
        raise tested.error
