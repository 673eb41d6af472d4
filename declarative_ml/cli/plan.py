"""`dml plan`."""

from __future__ import annotations

from pathlib import Path

import click

from declarative_ml.cli.options import (
    format_option,
    locked_option,
    print_json,
    seconds,
    show_warnings,
    spec_argument,
    spec_options,
)


@click.command("plan")
@spec_argument
@spec_options
@locked_option
@format_option("json", "mermaid")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="Also write the plan as JSON to this file."
)
@click.option("--no-data", is_flag=True, help="Do not look at the data.")
def command(
    spec: str,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    locked: bool,
    form: str,
    output: str | None,
    no_data: bool,
) -> None:
    """Show the execution graph of SPEC: each step, cached or to run, and why."""
    from declarative_ml.api.planning import inspect_made, make_plan, require_memory
    from declarative_ml.api.workspace import Workspace
    from declarative_ml.core.atomic import write_json
    from declarative_ml.core.size import shown
    from declarative_ml.planner.estimate import estimates, look
    from declarative_ml.planner.views import as_mermaid
    from declarative_ml.spec.document import LEAST_SECONDS
    from declarative_ml.spec.load import load_spec

    loaded = load_spec(
        spec, profile=profile, overrides=overrides, data=not no_data, lock="require" if locked else "use"
    )
    show_warnings(loaded.problems)
    facts = None if no_data else look(loaded.spec)
    plan = make_plan(loaded, Workspace.beside(loaded.path, store), facts)
    if output:
        write_json(Path(output), plan.model_dump(mode="json"))
    if form == "json":
        return print_json(plan.model_dump(mode="json"))
    if form == "mermaid":
        return click.echo(as_mermaid(plan))
    if no_data:
        for step in plan.steps:
            click.echo(f"{step.id:<28} {step.title}")
        return None
    _, states = inspect_made(plan, loaded, store)
    expected = {} if facts is None else estimates(plan, facts, plan.memory)
    width = max(len(state.step.id) for state in states)
    names = {"cached": "cached", "skipped": "skipped", "run": "to run", "unknown": "to run"}
    for state in states:
        took = f" ({seconds(state.seconds)} last time)" if state.seconds >= 0.05 else ""
        click.echo(f"{state.step.id:<{width}}  {names[state.state]:<7}  {state.step.title}")
        click.echo(f"{'':<{width}}           {state.why}{took}")
        if state.state in ("run", "unknown") and (about := expected.get(state.step.id)) and about.rows:
            words = f"about {about.rows:,} rows · {shown(about.peak_bytes)} · {seconds(about.seconds)}"
            click.echo(f"{'':<{width}}           {words}")
    if facts is not None and any(state.state in ("run", "unknown") for state in states):
        counted = "" if facts.exact else "about "
        table = f"{counted}{facts.rows:,} rows of {facts.columns} columns, {shown(facts.bytes)}"
        click.echo(f"\n{table}; memory and seconds are estimated from a sample of them")
        require_memory(loaded, plan)
    given = loaded.spec.resources.time
    if given is not None:
        click.echo(f"\n{given} for the whole run, of which {LEAST_SECONDS} s at least are not for training")
    running = sum(state.state in ("run", "unknown") for state in states)
    click.echo(
        f"\n{running} of {len(states)} steps to run" if running else f"\nall {len(states)} steps are cached"
    )
    return None
