"""`dml reproduce`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from declarative_ml.cli.options import format_option, number, print_json, quiet_option, store_option

if TYPE_CHECKING:
    from declarative_ml.api.reproduce import Reproduction

_NAMED = 4
"""Steps that are named in one line."""
_MOST = 12
"""Lines of a kind; of more, their number is enough."""


@click.command("reproduce")
@click.argument("run", default="latest")
@store_option
@click.option(
    "--data", metavar="PATH", multiple=True, help="Where a file, or the folder of all, lies now; repeatable."
)
@click.option("--check", is_flag=True, help="Compare the lock with this machine; run nothing.")
@format_option("json")
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    run: str,
    store: str | None,
    data: tuple[str, ...],
    check: bool,
    form: str,
    quiet: bool,
) -> None:
    """Make RUN again (an id, the start of one, `latest`, or a bundle) and compare every byte.

    Works from the run's lock, in an empty store and without a clock; the workspace is left alone. Exit code 8
    when anything comes out otherwise: it says at which step first, and why.
    """
    from declarative_ml.api.progress import Progress
    from declarative_ml.api.reproduce import find_locked, prepare, reproduce

    again = prepare(find_locked(run, store), data)
    if form == "text":
        _before(again)
    if check:
        if form == "json":
            print_json(
                {"run": again.locked.name, "differences": [each.as_dict() for each in again.differences]}
            )
        ctx.exit(8 if again.differences else 0)
    try:
        with Progress(enabled=not quiet) as progress:
            found = reproduce(again, listener=progress.listen, on_plan=progress.begin)
    except KeyboardInterrupt:
        click.echo("a reproduction keeps nothing: it begins anew the next time", err=True)
        raise
    if form == "json":
        print_json(found)
    else:
        _after(found)
    ctx.exit(0 if found["equal"] else 8)


def _before(again: Reproduction) -> None:
    lock = again.locked.lock
    click.echo(f"{lock.name}, run {again.locked.name}")
    _list("this is not as it was:", [str(each) for each in again.differences])
    if not again.differences:
        click.echo("this machine, the data and the code are as they were")
    pinned: dict[str, list[str]] = {}
    for name, step in lock.steps.items():
        if step.pinned:
            pinned.setdefault(_pinned(step.pinned), []).append(name)
    told = [f"{what}: {_names(names)}" for what, names in pinned.items()]
    _list("taken from the lock, where a clock or a stop watch decided:", told)
    _list("cannot be repeated, because the lock does not hold what the clock decided:", again.unpinned)


def _pinned(pinned: dict[str, Any]) -> str:
    if "skipped" in pinned:
        return f"left out ({pinned['skipped']})"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in pinned.items())


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:_NAMED])} and {more} more"


def _after(found: dict[str, Any]) -> None:
    counts = found["compared"]
    then, now = found["model_digest"]
    if found["equal"]:
        model = f"model {then[:12]}, " if then else ""
        click.echo(
            f"equal: {model}{counts['files']} files, {counts['metrics']} metrics, {counts['steps']} steps"
        )
        return
    model = "the model is the same, byte for byte" if then == now else "the model is another one"
    click.echo(f"different: {model}")
    if found["first"]:
        click.echo(f"  first at step {found['first']['step']}: {found['first']['why']}")
    rows = [each for each in found["differences"] if each["kind"] == "rows"]
    _list("tables:", [f"{each['name']}: {each['then']} then, {each['now']} now" for each in rows])
    _list(
        "metrics:",
        [f"{name}: {number(a)} then, {number(b)} now" for name, (a, b) in found["metrics"].items()],
    )
    _list(f"files ({len(found['files'])} of {counts['files']}):", list(found["files"]))
    _list(f"steps ({len(found['steps'])} of {counts['steps']}):", list(found["steps"]))


def _list(title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    click.echo(title)
    for line in lines[:_MOST]:
        click.echo(f"  {line}")
    if len(lines) > _MOST:
        click.echo(f"  and {len(lines) - _MOST} more")
