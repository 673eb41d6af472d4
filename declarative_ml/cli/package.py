"""`dml package`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import format_option, print_json, spec_options


@click.command("package")
@click.argument("model", metavar="SPEC|BUNDLE", default="spec.yaml")
@click.option("-o", "--output", metavar="DIR", help="Folder to write; default: NAME-image.")
@click.option("--only", type=click.Choice(["serve", "train"]), help="One of the two images.")
@click.option(
    "--base",
    metavar="IMAGE",
    help="What both are built on, with a tag or a digest; default: Debian's slim Python of this version.",
)
@click.option(
    "--with-model/--without-model",
    default=True,
    help="The bundle inside of the image, or mounted at /model when it runs.",
)
@click.option(
    "--with",
    "more",
    metavar="DISTRIBUTION",
    multiple=True,
    help="Install this in the serve image too: pyarrow, for rows as Arrow streams.",
)
@spec_options
@format_option("json")
def command(
    model: str,
    output: str | None,
    only: str | None,
    base: str | None,
    with_model: bool,
    more: tuple[str, ...],
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
) -> None:
    """Write what `docker build` needs for two images: one serves the model, one trains it.

    Of a BUNDLE, the first alone. docker, podman and buildah read the folders alike; nothing is built here.
    """
    from declarative_ml.api.package import IMAGES, package

    found = package(
        model,
        Path(output) if output is not None else None,
        images=IMAGES if only is None else (only,),
        base=base,
        with_model=with_model,
        more=more,
        profile=profile,
        overrides=overrides,
        store=store,
    )
    if form == "json":
        print_json([_as_dict(context) for context in found])
        return
    for context in found:
        click.echo(
            f"{context.image:<6} {context.path}  {len(context.pinned)} distributions, on {context.base}"
        )
    for context in found:
        click.echo(f"docker build --tag NAME:{context.image} {context.path}")


def _as_dict(context: object) -> dict[str, object]:
    from declarative_ml.deployers.contexts.write import ImageContext

    assert isinstance(context, ImageContext)
    return {
        "image": context.image,
        "path": str(context.path),
        "base": context.base,
        "distributions": {pin.name: pin.version for pin in context.pinned},
    }
