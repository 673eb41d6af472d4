"""`dml why`."""

from __future__ import annotations

import click

from declarative_ml.cli.options import spec_options


@click.command("why")
@click.argument("step")
@click.argument("spec", default="spec.yaml", type=click.Path(dir_okay=False))
@spec_options
def command(step: str, spec: str, profile: str | None, overrides: tuple[str, ...], store: str | None) -> None:
    """Say why STEP (an id, a kind, or the start of an id) of SPEC would run, or not."""
    from declarative_ml.api.planning import inspect_spec
    from declarative_ml.api.run import matching_steps
    from declarative_ml.spec.load import load_spec

    loaded = load_spec(spec, profile=profile, overrides=overrides, data=True)
    plan, states = inspect_spec(loaded, store)
    wanted = matching_steps(plan, step)
    for state in states:
        if state.step.id in wanted:
            verb = {"cached": "is cached", "skipped": "is skipped"}.get(state.state, "would run")
            click.echo(f"{state.step.id} {verb}: {state.why}")
            if state.key:
                click.echo(f"  key {state.key}")
