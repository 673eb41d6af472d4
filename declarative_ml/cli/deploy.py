"""`dml deploy`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from declarative_ml.cli.options import (
    format_option,
    print_json,
    quiet_option,
    show_warnings,
    spec_argument,
    spec_options,
)
from declarative_ml.core.errors import DifferenceFound, UsageError

if TYPE_CHECKING:
    from declarative_ml.deployers.base import Object
    from declarative_ml.deployers.cluster.client import Cluster

Told = Callable[[str], None]


def _action(name: str, help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(f"--{name}", "action", flag_value=name, help=help)


@click.command("deploy")
@spec_argument
@click.option("--to", "target", metavar="TARGET", help="Where to, whatever the spec says: kubernetes, …")
@click.option("--render", "folder", metavar="DIR", help="Write files below DIR; default: print them.")
@click.option("--helm", is_flag=True, help="With --render: a chart for Helm, not a base for kustomize.")
@_action("apply", "Bring the cluster to what is rendered, and wait for it.")
@_action("diff", "What --apply would change; exit code 8 where there is anything.")
@_action("delete", "Delete what was applied; volumes and namespaces stay.")
@_action("status", "Each object, and how it is.")
@_action("logs", "The last lines of every pod.")
@click.option("--serve", "only", flag_value="serve", help="The service only.")
@click.option("--train", "only", flag_value="train", help="The training only.")
@click.option("--predict", "only", flag_value="predict", help="Batch scoring only.")
@click.option("--force-conflicts", is_flag=True, help="Take over fields that others hold.")
@click.option("--timeout", metavar="DURATION", help="To wait for pods, such as 5m; 0: do not wait.")
@click.option("--context", metavar="NAME", help="Of the kubeconfig; default: its current one.")
@click.option("--lines", type=click.IntRange(1, 10_000), default=100, help="Of each pod's log.")
@spec_options
@format_option("json")
@quiet_option
def command(
    spec: str,
    target: str | None,
    folder: str | None,
    helm: bool,
    action: str | None,
    only: str | None,
    force_conflicts: bool,
    timeout: str | None,
    context: str | None,
    lines: int,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
    quiet: bool,
) -> None:
    """Render the service and the training of SPEC for Kubernetes and other targets, and carry it out.

    The section `deploy` of SPEC says what goes where. A model that failed its gates is not applied.
    """
    from declarative_ml.api.deploy import as_text, load, parts_of, write

    loaded = load(spec, profile=profile, overrides=overrides)
    show_warnings(loaded.problems, quiet=quiet)
    parts = parts_of(loaded, to=target, only=only)
    if helm and folder is None:
        raise UsageError("--helm says what --render writes", hint="add --render DIR")
    if folder is not None:
        for path in write(Path(folder), loaded, parts, to=target, only=only, helm=helm):
            if not quiet:
                click.echo(path, err=True)
    if action is None:
        return click.echo(as_text(parts), nl=False) if folder is None else None
    from declarative_ml.api.deploy_cluster import objects_for_cluster, require_passed
    from declarative_ml.deployers.cluster.client import Cluster

    objects = objects_for_cluster(parts)
    if action == "apply":
        require_passed(loaded, parts, store)

    def told(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    cluster = Cluster.connect(context)
    if action == "apply":
        return _apply(cluster, objects, force_conflicts, timeout, form, told)
    if action == "delete":
        return _delete(cluster, objects, form, told)
    return {"diff": _diff, "status": _status}.get(action, _logs)(cluster, objects, form, lines)


def _apply(
    cluster: Cluster, objects: list[Object], force: bool, timeout: str | None, form: str, told: Told
) -> None:
    from declarative_ml.core.duration import seconds_of
    from declarative_ml.deployers.cluster.apply import apply

    try:
        seconds = None if timeout is None else seconds_of(timeout)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}", hint="such as 5m, or 0") from error
    outcome = apply(cluster, objects, force=force, seconds=seconds, told=told)
    if form == "json":
        print_json(outcome.as_dict())


def _delete(cluster: Cluster, objects: list[Object], form: str, told: Told) -> None:
    from declarative_ml.deployers.cluster.apply import delete

    gone = delete(cluster, objects, told)
    if form == "json":
        print_json({"deleted": gone})


def _diff(cluster: Cluster, objects: list[Object], form: str, lines: int) -> None:
    from declarative_ml.deployers.cluster.apply import diff

    found = diff(cluster, objects)
    if form == "json":
        print_json([{"object": c.name, "what": c.what, "before": c.before, "after": c.after} for c in found])
    else:
        for change in found:
            whole = change.what in ("new", "removed")
            click.echo(
                f"{change.name}: {change.what}"
                + ("" if whole else f": {change.before!r} -> {change.after!r}")
            )
    if found:
        raise DifferenceFound(f"{len(found)} difference(s) to the cluster", hint="--apply removes them")


def _status(cluster: Cluster, objects: list[Object], form: str, lines: int) -> None:
    from declarative_ml.deployers.cluster.apply import status

    found = status(cluster, objects)
    if form == "json":
        return print_json([{"object": name, "state": state} for name, state in found])
    for name, state in found:
        click.echo(f"{name}: {state}")
    return None


def _logs(cluster: Cluster, objects: list[Object], form: str, lines: int) -> None:
    from declarative_ml.deployers.cluster.apply import logs

    found = list(logs(cluster, objects, lines))
    if form == "json":
        return print_json([{"pod": name, "text": text} for name, text in found])
    for name, text in found:
        click.echo(f"--- {name}\n{text}", nl=not text.endswith("\n"))
    return None
