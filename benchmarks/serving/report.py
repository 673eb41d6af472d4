"""The results as tables. A number is the median of the rounds; a ratio is taken within each round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Results = Mapping[str, Sequence[Mapping[str, Any]]]

HEAD = """# Speed of the service

`dml serve` beside other servers of the same ONNX file, as `python -m benchmarks.serving.run --page FILE` writes it;
`benchmarks/serving/` has the code of every server. The model is a linear one on 6 numbers and 8 categories: beside a
light one the cost of the servers shows. All servers ran at once and took turns; each answer was compared with the
bundle's own scorer before the clock ran. Processor time is that of all processes of a server.

Read the ratios, each taken within one round, then the median of the rounds: absolute numbers and latencies are
those of one small machine of two processors, which the load shares with the servers.

- **links**: connections at once
- **floor**: uvicorn with uvloop and httptools, an ASGI function that reads the body and sends a constant
- **dml**: this service
- **fastapi**: FastAPI as its tutorial shows it, pydantic models and onnxruntime, on uvloop and httptools
- **mlserver**, **mlflow**, **bentoml**: those servers, with onnxruntime in a custom model, one worker

"""  # noqa: E501


PARTS = """
## Where the time goes

Each part alone and repeated, without a network, as `python -m benchmarks.serving.parts BUNDLE` prints it:
to read the body to the columns that the graph takes, to run the graph, to write the answer, and to count the
rows for drift, some hundred at once. Between the parts of a real request caches grow cold, and each costs
more. A batch of one pays for a whole run of onnxruntime; in a batch of a thousand rows the model and the
counting cost the same whatever the body is. So one connection gains less over the other servers than many,
and Arrow less over JSON than the bodies alone would say.

"""


def page(tables: str, parts: str) -> str:
    """The page of the documentation."""
    return HEAD + tables + PARTS + parts


def text(results: Results) -> str:
    """Both tables."""
    return "\n".join(
        [
            "## One row a request",
            "",
            *_single(results),
            "",
            "## 1000 rows a request",
            "",
            *_batches(results),
            "",
        ]
    )


def _cells(results: Results, rows: int) -> list[tuple[str, str, int]]:
    found = [tuple(key.split("|")) for key in results]
    return [(name, form, int(count)) for name, form, size, count in found if int(size) == rows]


def _single(results: Results) -> list[str]:
    counts = sorted({count for _, _, count in _cells(results, 1)})
    lines = [
        "| server | links | CPU µs a request | × dml | × floor | requests/s | p50 | p99 | failed | MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for count in counts:
        for name, form, other in _cells(results, 1):
            if other == count:
                cell = results[f"{name}|{form}|1|{count}"]
                ratios = [
                    _ratio(cell, results.get(f"{base}|JSON rows|1|{count}", [])) for base in ("dml", "floor")
                ]
                lines.append(_line(name, count, cell, ratios))
    return lines


def _line(name: str, count: int, cell: Sequence[Mapping[str, Any]], ratios: Sequence[str]) -> str:
    return (
        f"| {name} | {count} | {_median(cell, 'micros'):.0f} | {' | '.join(ratios)} | "
        f"{_median(cell, 'rate'):.0f} | {cell[-1]['median']} | {cell[-1]['tail']} | "
        f"{sum(turn['faults'] for turn in cell)} | {_median(cell, 'memory'):.0f} |"
    )


def _batches(results: Results) -> list[str]:
    lines = [
        "| server | body | CPU ms a batch | × dml, JSON | rows a second | failed |",
        "|---|---|---|---|---|---|",
    ]
    for name, form, count in _cells(results, 1000):
        cell = results[f"{name}|{form}|1000|{count}"]
        ratio = _ratio(cell, results.get(f"dml|JSON rows|1000|{count}", []))
        faults = sum(turn["faults"] for turn in cell)
        rate = 1000 * _median(cell, "rate")
        cost = _median(cell, "micros") / 1000
        lines.append(f"| {name} | {form} | {cost:.2f} | {ratio} | {rate:.0f} | {faults} |")
    return lines


def _ratio(cell: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]) -> str:
    """The median of the rounds' ratios of processor time."""
    pairs = list(zip(cell, base))
    return f"{median(one['micros'] / other['micros'] for one, other in pairs):.2f}" if pairs else ""


def _median(cell: Sequence[Mapping[str, Any]], name: str) -> float:
    return median(turn[name] for turn in cell)
