"""`dml serve`."""

from __future__ import annotations

from typing import Any

import click

from declarative_ml.cli.options import quiet_option, spec_options
from declarative_ml.core.errors import UsageError


@click.command("serve")
@click.argument(
    "models",
    metavar="SPEC|BUNDLE|registry:NAME@ALIAS...",
    nargs=-1,
    required=True,
    envvar="DML_SERVE_MODEL",
    type=click.Path(),
)
@click.option(
    "--host", envvar="DML_SERVE_HOST", help="Address to listen on; 127.0.0.1 where the spec names none."
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 8080 where the spec names none.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that share the port.")
@click.option("--timeout", metavar="DURATION", help="For a client to send its request, such as 10s.")
@click.option("--reload", is_flag=True, help="Follow new good runs of SPEC, and what BUNDLE becomes.")
@click.option("--poll", metavar="DURATION", help="Between two looks at the registry, such as 30s.")
@click.option(
    "--wait",
    is_flag=True,
    envvar="DML_SERVE_WAIT",
    help="Open the port, not ready, where there is no model yet.",
)
@click.option("--shadow", metavar="MODEL", help="Ask this one too, aside, and compare its answers.")
@click.option("--canary", metavar="MODEL", help="Let this one answer a share of the requests.")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), help="Of the canary; 0.05 when absent.")
@click.option("--log", metavar="FOLDER", help="Write requests and answers to files there, for `dml monitor`.")
@click.option(
    "--options",
    "file",
    metavar="FILE",
    envvar="DML_SERVE_OPTIONS",
    help="The section `serve` as JSON, with `monitor` in it: for a BUNDLE without SPEC.",
)
@click.option("--tracking-uri", metavar="URI", help="Registry; where the spec tracks when absent.")
@spec_options
@quiet_option
def command(
    models: tuple[str, ...],
    host: str | None,
    port: int | None,
    workers: int | None,
    timeout: str | None,
    reload: bool,
    poll: str | None,
    wait: bool,
    shadow: str | None,
    canary: str | None,
    share: float | None,
    log: str | None,
    file: str | None,
    tracking_uri: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    quiet: bool,
) -> None:
    """Serve the latest good run of SPEC, a BUNDLE, or what an alias in the registry points to, over HTTP. Of
    several, the first answers /predict.

    The sections `serve` and `monitor` of the first SPEC hold the options: token, limits, workers, log. In an
    image the variables DML_SERVE_MODEL, DML_SERVE_OPTIONS and DML_SERVE_HOST say what is not given here.
    SIGHUP looks for new models.
    """
    from declarative_ml.api.serve import serve

    if share is not None and canary is None:
        raise UsageError("--share goes with --canary", hint="name the model: --canary MODEL")
    given: dict[str, Any] = {"host": host, "port": port, "workers": workers, "timeout": timeout, "poll": poll}
    given |= {"reload": reload or None, "shadow": shadow and {"model": shadow}}
    given["canary"] = canary and {"model": canary, **({} if share is None else {"share": share})}
    options = {name: value for name, value in given.items() if value is not None}

    def told(names: list[str], address: str, hints: list[str]) -> None:
        for hint in hints:
            click.echo(hint, err=True)
        if not quiet:
            click.echo(_greeting(names, address), err=True)

    serve(
        models,
        options,
        profile=profile,
        overrides=overrides,
        store=store,
        file=file,
        log=log,
        tracking_uri=tracking_uri,
        wait=wait,
        told=told,
    )
    if not quiet:
        click.echo("stopped", err=True)


def _greeting(names: list[str], address: str) -> str:
    lines: list[Any] = [
        f"serving {', '.join(names)} at {address}",
        f"  page        {address}/",
        f"  predict     POST {address}/predict",
        f"  document    {address}/docs",
        "stop with Ctrl-C",
    ]
    return "\n".join(lines)
