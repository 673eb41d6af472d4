"""`dml convert`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import conversion_lines, format_option, print_json, spec_options


@click.command("convert")
@click.argument("model", metavar="SPEC|BUNDLE", default="spec.yaml")
@click.option("--to", "wanted", metavar="FORMAT", required=True, help="What to convert to: see dml formats.")
@click.option(
    "--with",
    "options",
    metavar="OPTION=VALUE",
    multiple=True,
    help="An option of the format: --with quantize=int8",
)
@click.option(
    "--score",
    metavar="DATA",
    help="Labelled rows that tell what it costs to leave members out (--with leave_out=true).",
)
@click.option("-o", "--output", metavar="DIR", help="Folder to write; default: NAME-FORMAT.")
@spec_options
@format_option("json")
def command(
    model: str,
    wanted: str,
    options: tuple[str, ...],
    score: str | None,
    output: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
) -> None:
    """Convert the trained model of SPEC, or a BUNDLE, to one more format, and prove that it answers alike."""
    from rich.console import Console

    from declarative_ml.api.convert import convert, parse_format
    from declarative_ml.api.model import open_model
    from declarative_ml.core.errors import StepFailed

    chosen = parse_format(wanted, _parsed(options))
    bundle = open_model(model, profile=profile, overrides=overrides, store=store)
    target = Path(output or f"{bundle.manifest.name}-{chosen.name}")
    with Console(stderr=True).status(f"converting to {chosen.name} and comparing with model.onnx"):
        found = convert(bundle, chosen, target, score=score)
    if form == "json":
        print_json({**found.model_dump(mode="json"), "path": str(target) if found.ships else None})
    if not found.ships:
        raise StepFailed(f"{found.name}: {found.reason}")
    if form != "json":
        click.echo("\n".join([*conversion_lines([found.model_dump(mode="json")])[:-1], str(target)]))


def _parsed(options: tuple[str, ...]) -> dict[str, object]:
    """OPTION=VALUE, the values read as in the YAML."""
    from declarative_ml.core.errors import UsageError
    from declarative_ml.spec.yaml_reader import resolve_scalar

    found: dict[str, object] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals:
            raise UsageError(f"--with {option}: it needs a value", hint="--with quantize=int8")
        found[name] = resolve_scalar(text)
    return found
