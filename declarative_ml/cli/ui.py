"""`dml ui`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import store_option


@click.command("ui")
@store_option
@click.option(
    "--port", help="Where the page is served.", default=5000, type=click.IntRange(1, 65535), show_default=True
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
def command(store: str | None, port: int, no_browser: bool) -> None:
    """Open MLflow on the runs of this workspace."""
    from declarative_ml.api.workspace import Workspace
    from declarative_ml.trackers.mlflow_ui import serve_ui

    serve_ui(Workspace.beside(Path("spec.yaml"), store).root, port, open_browser=not no_browser)
