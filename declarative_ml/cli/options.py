"""Options that many verbs share, and how results are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

spec_argument = click.argument("spec", default="spec.yaml", type=click.Path(dir_okay=False))
store_option = click.option("--store", metavar="DIR", help="Workspace folder; default: .dml beside the spec.")
profile_option = click.option("--profile", metavar="NAME", help="Lay this profile of the spec over it.")
set_option = click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override a value: --set model.rounds=50"
)
locked_option = click.option(
    "--locked", is_flag=True, help="Refuse templates that are not those of the spec's lock."
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print results only.")


def format_option(*choices: str) -> Callable[[F], F]:
    """`--format` with text as the default."""
    return click.option(
        "--format", "form", type=click.Choice(["text", *choices]), default="text", help="Form of the output."
    )


def spec_options(function: F) -> F:
    """--profile, --set and --store."""
    for option in (store_option, set_option, profile_option):
        function = option(function)
    return function


model_argument = click.argument("model", required=False)
tracking_uri_option = click.option(
    "--tracking-uri", metavar="URI", help="Where the registry is; default: where the spec tracks."
)


def registry_options(function: F) -> F:
    """--tracking-uri, --profile, --set and --store."""
    return tracking_uri_option(spec_options(function))


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines, in columns as wide as they need."""
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def show_warnings(problems: Any, *, quiet: bool = False) -> None:
    """The warnings of a valid spec, on stderr."""
    if problems and not quiet:
        from declarative_ml.spec.diagnostics import render_problems

        click.echo(render_problems(problems, color=False), err=True)


def coverage_line(interval: Mapping[str, Any]) -> str:
    """What prediction intervals are worth, from `learning.coverage.interval_quality`, as one line."""
    share, low, high = (f"{100 * value:.1f}" for value in interval["coverage"])
    return (
        f"{100 * interval['level']:g} % intervals cover {share} % ({low} … {high}) "
        f"of {interval['rows']:,} rows; mean width {number(interval['width'][0])}"
    )


def conversion_lines(conversions: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line a format: how near it is to model.onnx, or why it is not there; then an empty one."""
    lines = []
    width = max((len(item["name"]) for item in conversions), default=0)
    for item in conversions:
        told = item["reason"]
        if (parity := item["parity"]) is not None and item["status"] == "ok":
            told = (
                f"differs by {parity['max_difference']:.1e} at most, {parity['disagreements']} other labels, "
                f"of {parity['rows']:,} rows; {latency(parity['microseconds'])} a row; {size(item['bytes'])}"
                + (f"; {told}" if told else "")
            )
        lines.append(f"{item['name']:<{max(width, 16)}} {item['status']:<9} {told}")
    return [*lines, ""] if lines else []


def gate_lines(gates: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line a gate: whether it was passed, and the numbers; then an empty one."""
    width = max((len(gate["name"]) for gate in gates), default=0)
    lines = [f"{'✓' if gate['passed'] else '✗'} {gate['name']:<{width}}  {gate['reason']}" for gate in gates]
    return [*lines, ""] if lines else []


def latency(microseconds: float) -> str:
    """The time for a row: 84 µs, 1.2 ms."""
    return f"{microseconds:.0f} µs" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"


def size(count: int) -> str:
    """Bytes for people: 312 kB, 4.1 MB."""
    return f"{count / 1e3:.0f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def seconds(value: float) -> str:
    """A duration for people: 0.4 s, 12 s, 3 min 20 s."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 90:
        return f"{value:.0f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def number(value: float | None) -> str:
    """A metric for people: four significant digits."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
