"""`dml template`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from declarative_ml.cli.options import format_option, print_json, spec_argument


@click.group("template")
def command() -> None:
    """Templates that specs extend: those that come with dml, and your team's."""


@command.command("list")
@click.argument("folder", default=".", type=click.Path(file_okay=False))
@format_option("json")
def list_(folder: str, form: str) -> None:
    """The templates that come with dml, and those in FOLDER/specs."""
    from declarative_ml.api.templates import describe, known

    found = [describe(name, Path(folder)) for name in known(Path(folder))]
    if form == "json":
        return print_json({"templates": found})
    for item in found:
        click.echo(f"{item['name']:<20} {item['about']}")
        click.echo(
            f"{'':<20} params: {', '.join(_param(*pair) for pair in item['params'].items()) or 'none'}"
        )
    return None


def _param(name: str, declared: dict[str, Any]) -> str:
    if "default" not in declared:
        return name
    return f"{name} (optional)" if declared["default"] is None else f"{name} ({declared['default']})"


@command.command("show")
@click.argument("name")
@click.argument("folder", default=".", type=click.Path(file_okay=False))
def show(name: str, folder: str) -> None:
    """Print the template NAME as it is written: a name, a path, pkg:… or git+…"""
    from declarative_ml.api.templates import text

    click.echo(text(name, Path(folder)), nl=False)


@command.command("new")
@click.argument("name")
@click.option("--with", "params", metavar="PARAM=VALUE", multiple=True, help="A param of the template.")
@click.option(
    "-o", "--output", default="spec.yaml", type=click.Path(dir_okay=False), help="The file to write."
)
@click.option("--name", "title", metavar="NAME", help="Name of the new spec; default: of its folder.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def new(name: str, params: tuple[str, ...], output: str, title: str | None, force: bool) -> None:
    """Write a spec that extends the template NAME, with its params ready to fill in."""
    from declarative_ml.api.templates import write_spec

    missing = write_spec(name, Path(output), params, title=title, force=force)
    click.echo(f"wrote {output}")
    if missing:
        click.echo(f"fill in: {', '.join(missing)}; then: dml validate {output}")
    else:
        click.echo(f"next: dml run {output}")


@command.command("lock")
@spec_argument
def lock(spec: str) -> None:
    """Pin the templates of SPEC in its lock: asks git anew what branches and tags are now."""
    from declarative_ml.spec.load import load_spec
    from declarative_ml.spec.lock import lock_path, write_lock

    loaded = load_spec(spec, lock="ignore")
    for name, entry in write_lock(lock_path(Path(spec)), loaded.templates).items():
        pinned = entry.get("commit") or entry.get("version") or ""
        click.echo(f"{name}  {entry['digest'][:19]}  {pinned[:12]}".rstrip())
    click.echo(f"wrote {lock_path(Path(spec))}: {len(loaded.templates)} template(s)")
