"""`dml serve`."""

from __future__ import annotations

from typing import Any

import click

from declarative_ml.cli.options import quiet_option, spec_options


@click.command("serve")
@click.argument("models", metavar="SPEC|BUNDLE...", nargs=-1, required=True)
@click.option("--host", help="Address to listen on; 127.0.0.1 where the spec names none.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 8080 where the spec names none.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that share the port.")
@click.option("--timeout", metavar="DURATION", help="For a client to send its request, such as 10s.")
@spec_options
@quiet_option
def command(
    models: tuple[str, ...],
    host: str | None,
    port: int | None,
    workers: int | None,
    timeout: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    quiet: bool,
) -> None:
    """Serve the latest good run of SPEC, or a BUNDLE, over HTTP. Of several, the first answers /predict.

    The section `serve` of the first SPEC holds the options: token, limits, workers.
    """
    from declarative_ml.api.serve import serve

    given = {"host": host, "port": port, "workers": workers, "timeout": timeout}
    options = {name: value for name, value in given.items() if value is not None}

    def told(names: list[str], address: str, hints: list[str]) -> None:
        for hint in hints:
            click.echo(hint, err=True)
        if not quiet:
            click.echo(_greeting(names, address), err=True)

    serve(models, options, profile=profile, overrides=overrides, store=store, told=told)
    if not quiet:
        click.echo("stopped", err=True)


def _greeting(names: list[str], address: str) -> str:
    lines: list[Any] = [
        f"serving {', '.join(names)} at {address}",
        f"  predict     POST {address}/predict",
        f"  document    {address}/openapi.json",
        "stop with Ctrl-C",
    ]
    return "\n".join(lines)
