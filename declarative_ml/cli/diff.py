"""`dml diff`."""

from __future__ import annotations

import json
from typing import Any

import click

from declarative_ml.cli.options import format_option, print_json, profile_option, set_option


@click.command("diff")
@click.argument("first", type=click.Path(dir_okay=False))
@click.argument("second", type=click.Path(dir_okay=False))
@profile_option
@set_option
@click.option("--profile-first", metavar="NAME", help="Another profile for FIRST than for SECOND.")
@format_option("json")
@click.pass_context
def command(
    ctx: click.Context,
    first: str,
    second: str,
    profile: str | None,
    overrides: tuple[str, ...],
    profile_first: str | None,
    form: str,
) -> None:
    """Compare what two specs mean, templates and all. --profile and --set are for SECOND.

    Exit code 8 when they differ, 0 when they mean the same.
    """
    from declarative_ml.api.diff import diff_specs
    from declarative_ml.spec.load import load_spec

    old = load_spec(first, profile=profile_first)
    found = diff_specs(old, load_spec(second, profile=profile, overrides=overrides))
    if form == "json":
        print_json(found)
    else:
        _show(found)
    ctx.exit(8 if found["options"] else 0)


def _show(found: dict[str, Any]) -> None:
    if not found["options"]:
        return click.echo("the specs mean the same")
    for path, (old, new) in found["options"].items():
        click.echo(f"  {path}: {_text(old)} -> {_text(new)}")
    if not found["steps"]:
        return click.echo("no step runs again")
    click.echo("steps that run again:")
    for name, why in found["steps"].items():
        click.echo(f"  {name:<30} {why}")
    return None


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
