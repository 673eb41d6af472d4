"""`dml doctor`."""

from __future__ import annotations

import click

from declarative_ml.cli.options import format_option, print_json


@click.command("doctor")
@format_option("json")
@click.pass_context
def command(ctx: click.Context, form: str) -> None:
    """Check what works on this machine: libraries, processors, memory, disk, file locks."""
    from declarative_ml.api.doctor import examine

    checks = examine()
    if form == "json":
        print_json([vars(check) for check in checks])
    else:
        for check in checks:
            mark = {"ok": "✓", "absent": "–", "problem": "✗"}[check.status]
            click.echo(f"{mark} {check.name:<16} {check.detail}")
    ctx.exit(1 if any(check.status == "problem" for check in checks) else 0)
