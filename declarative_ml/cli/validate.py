"""`dml validate`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import click

from declarative_ml.cli.options import (
    format_option,
    locked_option,
    print_json,
    profile_option,
    set_option,
)
from declarative_ml.core.errors import DataError, Problem, SpecError


@click.command("validate")
@click.argument("specs", nargs=-1, type=click.Path(dir_okay=False))
@profile_option
@set_option
@locked_option
@format_option("json", "sarif")
@click.option(
    "--data/--no-data",
    "data",
    default=None,
    help="Also ask databases for their columns; or read no data, not even the header of local files.",
)
@click.pass_context
def command(
    ctx: click.Context,
    specs: tuple[str, ...],
    profile: str | None,
    overrides: tuple[str, ...],
    locked: bool,
    form: str,
    data: bool | None,
) -> None:
    """Report every problem of the given SPECS (default: spec.yaml) at once."""
    specs = specs or ("spec.yaml",)
    found = _Found()
    for spec in specs:
        _validate(spec, profile, overrides, found, data=data, locked=locked)
    _show(found, len(specs), form)
    worst = (code for code in (SpecError.exit_code, DataError.exit_code) if code in found.codes)
    ctx.exit(next(worst, 0))


@dataclass
class _Found:
    """The problems of all specs, the exit codes that they end in, and texts that are in no file."""

    problems: list[Problem] = field(default_factory=list)
    codes: set[int] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)


def _validate(
    spec: str,
    profile: str | None,
    overrides: tuple[str, ...],
    found: _Found,
    *,
    data: bool | None,
    locked: bool,
) -> None:
    from declarative_ml.spec.data_checks import unreadable
    from declarative_ml.spec.load import Lock, load_spec

    lock: Lock = "require" if locked else "use"
    try:
        loaded = load_spec(
            spec, profile=profile, overrides=overrides, data=data is not False, remote=data is True, lock=lock
        )
    except SpecError as error:
        found.problems += error.problems
        found.texts |= error.texts
        found.codes.add(error.exit_code)
        return
    except DataError as error:
        loaded = load_spec(spec, profile=profile, overrides=overrides)
        found.problems.append(unreadable(error, loaded.positions))
        found.codes.add(error.exit_code)
    found.problems += loaded.problems
    found.texts |= loaded.texts
    if data is True and DataError.exit_code not in found.codes:
        from declarative_ml.api.column_changes import column_problems

        found.problems += column_problems(loaded)


def _show(found: _Found, specs: int, form: str) -> None:
    if form == "json":
        from declarative_ml.spec.diagnostics import problems_as_json

        return print_json(problems_as_json(found.problems))
    if form == "sarif":
        from declarative_ml.spec.sarif import problems_as_sarif

        return print_json(problems_as_sarif(found.problems))
    from declarative_ml.spec.diagnostics import render_problems

    errors = sum(problem.severity == "error" for problem in found.problems)
    color = sys.stdout.isatty()
    click.echo(render_problems(found.problems, texts=found.texts, color=color), nl=False)
    verdict = f"{errors} error(s)" if errors else "valid"
    click.echo(f"{specs} spec(s): {verdict}, {len(found.problems) - errors} warning(s)")
    return None
