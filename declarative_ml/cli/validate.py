"""`dml validate`."""

from __future__ import annotations

import sys

import click

from declarative_ml.cli.options import format_option, print_json, profile_option, set_option
from declarative_ml.core.errors import Problem, SpecError


@click.command("validate")
@click.argument("specs", nargs=-1, type=click.Path(dir_okay=False))
@profile_option
@set_option
@format_option("json")
@click.option("--no-data", is_flag=True, help="Read no data, not even the header of local files.")
@click.pass_context
def command(
    ctx: click.Context,
    specs: tuple[str, ...],
    profile: str | None,
    overrides: tuple[str, ...],
    form: str,
    no_data: bool,
) -> None:
    """Report every problem of the given SPECS (default: spec.yaml) at once."""
    from declarative_ml.spec.diagnostics import problems_as_json, render_problems
    from declarative_ml.spec.load import load_spec

    problems: list[Problem] = []
    for spec in specs or ("spec.yaml",):
        try:
            problems += load_spec(spec, profile=profile, overrides=overrides, data=not no_data).problems
        except SpecError as error:
            problems += error.problems
    errors = sum(problem.severity == "error" for problem in problems)
    if form == "json":
        print_json(problems_as_json(problems))
    else:
        click.echo(render_problems(problems, color=sys.stdout.isatty()), nl=False)
        count = len(specs) or 1
        verdict = f"{errors} error(s)" if errors else "valid"
        click.echo(f"{count} spec(s): {verdict}, {len(problems) - errors} warning(s)")
    ctx.exit(3 if errors else 0)
