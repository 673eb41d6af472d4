"""`dml check`."""

from __future__ import annotations

import click

from declarative_ml.cli.options import format_option, print_json, spec_options


@click.command("check")
@click.argument("spec", default="spec.yaml")
@click.argument("data", required=False)
@spec_options
@format_option("json")
def command(
    spec: str,
    data: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
) -> None:
    """Hold the data of SPEC against its contract, the section data.checks.

    DATA is a file to look at in place of the spec's own source, such as next month's. Nothing is trained.
    Ends with 5 when a check of severity error is broken. Where the spec has a champion, columns that are not
    what they were for it are told too.
    """
    from declarative_ml.api.check import check_data
    from declarative_ml.cli.outcomes import check_report

    checked = check_data(spec, data, profile=profile, overrides=overrides, store=store)
    found = checked.as_dict()
    if form == "json":
        print_json(found)
    else:
        for item in found["checks"]:
            for line in check_report(item):
                click.echo(line)
        for change in found["changes"]:
            click.secho(f"· {change['message']}", fg="yellow")
        broken = sum(not item["passed"] for item in found["checks"])
        click.echo(f"\n{len(found['checks']) - broken} hold, {broken} broken · rows: {found['rows']:,}")
    if checked.error is not None:
        raise checked.error
