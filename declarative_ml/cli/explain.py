"""`dml explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from declarative_ml.cli.options import format_option, number, print_json, spec_options

TOP = 15


@click.command("explain")
@click.argument("model", metavar="SPEC|BUNDLE", default="spec.yaml")
@click.option("--row", metavar="JSON", help="Explain the prediction for this row.")
@click.option(
    "--rows", metavar="FILE", help="Explain the predictions for the rows of a file (at most 1,000)."
)
@click.option("--origin", is_flag=True, help="Where each value of SPEC comes from: file:line, profile, flag.")
@spec_options
@format_option("json")
def command(
    model: str,
    row: str | None,
    rows: str | None,
    origin: bool,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
    form: str,
) -> None:
    """The plan of SPEC in words; then why its trained model predicts what it does (SHAP values)."""
    from declarative_ml.core.errors import UsageError

    if row is not None and rows is not None:
        raise UsageError("give --row or --rows, not both")
    if origin:
        return _show_origins(model, profile, overrides, form)
    plan = _plan(model, profile, overrides)
    found = _model(model, row, rows, profile, overrides, store)
    if form == "json":
        return print_json({"plan": plan, **(found or {"features": [], "rows": []})})
    if plan is not None and row is None and rows is None:
        click.echo("What happens:")
        for place, sentence in enumerate(plan, 1):
            click.echo(f"  {place:>2}. {sentence}")
        click.echo()
    if found is None:
        return click.echo("There is no trained model yet: `dml run` makes one, then this explains it.")
    return _show(found, single=row is not None)


def _show_origins(model: str, profile: str | None, overrides: tuple[str, ...], form: str) -> None:
    from declarative_ml.api.origins import origin_text, origins
    from declarative_ml.spec.load import load_spec

    found = origins(load_spec(model, profile=profile, overrides=overrides))
    if form == "json":
        return print_json({"origins": found})
    for item in found:
        shown = f"{item['path']}: {json.dumps(item['value'], ensure_ascii=False)}"
        via = "".join(f"  via {reference}" for reference in item["via"])
        click.echo(f"{shown:<56} {origin_text(item['origin'])}{via}")
        for below in item["over"]:
            value = json.dumps(below["value"], ensure_ascii=False)
            click.echo(f"{'':<56} over {value} at {origin_text(below['origin'])}")
    return None


def _plan(model: str, profile: str | None, overrides: tuple[str, ...]) -> list[str] | None:
    from declarative_ml.api.planning import make_plan
    from declarative_ml.planner.views import in_words
    from declarative_ml.spec.load import load_spec

    if Path(model).is_dir() or model.endswith(".zip"):
        return None
    return in_words(make_plan(load_spec(model, profile=profile, overrides=overrides)))


def _model(
    model: str,
    row: str | None,
    rows: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    store: str | None,
) -> dict[str, Any] | None:
    from declarative_ml.api.explain import explain, stored
    from declarative_ml.api.model import open_model
    from declarative_ml.core.errors import UsageError

    try:
        bundle = open_model(model, profile=profile, overrides=overrides, store=store)
    except UsageError:
        if row is not None or rows is not None:
            raise
        return None
    return stored(bundle) if row is None and rows is None else explain(bundle, row=row, rows=rows)


def _show(found: dict[str, Any], *, single: bool) -> None:
    of = {
        "number": "the prediction",
        "binary": f"the probability of {found['outputs'][0]!r}",
        "multiclass": "the probabilities",
    }[found["task"]]
    if single:
        only = found["rows"][0]
        click.echo(f"prediction {_flat(only['prediction'])}, base {_flat(only['base'])}")
        values = {name: _size(value) for name, value in only["values"].items()}
        for name in sorted(values, key=lambda name: -abs(values[name]))[:TOP]:
            click.echo(f"  {name:<28} {_flat(only['values'][name])}")
        return
    click.echo(
        f"How much each column moves {of}, on average over {len(found['rows'])} rows ({found['method']}):"
    )
    largest = max((item["mean_abs_shap"] for item in found["features"]), default=0.0) or 1.0
    for item in found["features"][:TOP]:
        bar = "█" * round(30 * item["mean_abs_shap"] / largest)
        click.echo(f"  {item['feature']:<28} {number(item['mean_abs_shap']):>9} {bar}")


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number(part)}" for name, part in value.items())
    return number(value)


def _size(value: Any) -> float:
    return sum(abs(part) for part in value.values()) if isinstance(value, dict) else float(value)
