"""Every model on every kind of task, converted to every format: what came out, as a table.

    python -m benchmarks.conversion_matrix TABLES_FOLDER WORK_FOLDER [--formats onnx-core sql] [--page FILE]

TABLES_FOLDER holds titanic (two classes), penguins (three), melbourne_housing (a number; with dates) and
sms_spam (texts), each with a train.csv. Resumable: what lies in WORK_FOLDER is not done again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from declarative_ml.api.convert import convert, parse_format
from declarative_ml.api.init import init_spec
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.core.atomic import read_json, write_json, write_text
from declarative_ml.core.errors import DmlError, MissingDependency
from declarative_ml.formats import FORMATS
from declarative_ml.formats.base import Format
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle

TABLES = {
    "titanic": ("Survived", "two classes"),
    "penguins": ("species", "three classes"),
    "melbourne_housing": ("Price", "a number, with dates"),
    "sms_spam": ("label", "texts"),
}
MODELS = {
    "linear": "linear",
    "lightgbm": "{type: lightgbm, rounds: 60}",
    "mlp": "{type: mlp, epochs: 8}",
    "ensemble": "{type: ensemble, members: [linear, {type: lightgbm, rounds: 60}, {type: mlp, epochs: 8}]}",
    "auto": "{type: auto, quality: fast}",
}
VARIANTS: tuple[dict[str, Any], ...] = (
    {"format": "onnx", "quantize": "float16"},
    {"format": "onnx", "quantize": "dynamic"},
    {"format": "tflite", "quantize": "float16"},
    {"format": "tflite", "quantize": "dynamic"},
    {"format": "tflite", "quantize": "int8"},
)
_HEAD = """# Formats by model and task

Each cell is a model that was trained on a real table, converted, run in the format's own runtime, and held
against model.onnx on 100 real rows and on made-up ones: the largest difference of a probability, or of a
number in units of the predictions. Written by `python -m benchmarks.conversion_matrix`.

"""


@dataclass(frozen=True)
class Cell:
    """One conversion."""

    table: str
    model: str
    format: str
    status: str
    difference: float | None
    reason: str
    seconds: float

    @property
    def text(self) -> str:
        """How the table shows it."""
        if self.status in ("ok", "differs") and self.difference is not None:
            return f"{self.difference:.0e}" if self.status == "ok" else f"**differs** {self.difference:.0e}"
        return self.status


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    runtimes = dict(item.split("=", 1) for item in options.runtimes)
    wanted: list[dict[str, Any]] = [{"format": name} for name in options.formats or FORMATS]
    wanted = [{**item, **_runtime(item["format"], runtimes)} for item in wanted]
    wanted += [item for item in VARIANTS if not options.formats or item["format"] in options.formats]
    cells: list[Cell] = []
    for table in options.tables_named or TABLES:
        for model in options.models or MODELS:
            folder = options.work / table / model
            bundle = _trained(options.tables / table / "train.csv", table, model, folder)
            for item in wanted:
                cells.append(_cell(bundle, table, model, item, folder / "conversions"))
                print(f"{table:<18} {model:<9} {cells[-1].format:<14} {cells[-1].text}", flush=True)
    text = _HEAD + "\n".join(_page(cells)) + "\n"
    print(f"\n{text}")
    if options.page is not None:
        write_text(options.page, text)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tables", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS))
    parser.add_argument("--models", nargs="+", choices=list(MODELS))
    parser.add_argument("--tables-named", nargs="+", choices=list(TABLES))
    parser.add_argument(
        "--runtimes",
        nargs="+",
        default=[],
        metavar="FORMAT=PATH",
        help="what onnx-web and tfjs run on: onnx-web=…/onnxruntime-web/dist tfjs=…/tf.min.js",
    )
    parser.add_argument("--page", type=Path, help="also write the table to this file")
    return parser.parse_args(arguments)


def _runtime(name: str, runtimes: dict[str, str]) -> dict[str, str]:
    return {"runtime": str(Path(runtimes[name]).resolve())} if name in runtimes else {}


def _trained(data: Path, table: str, model: str, folder: Path) -> Bundle:
    """The bundle of the model on the table; a second call finds the first one's."""
    spec = folder / "spec.yaml"
    if not spec.exists():
        folder.mkdir(parents=True, exist_ok=True)
        init_spec(str(data), target=TABLES[table][0], output=spec)
    overrides = [f"model={MODELS[model]}", "explain=false", "track=false"]
    report = run_spec(load_spec(spec, overrides=overrides), RunOptions())
    if report.error is not None:
        raise report.error
    return Bundle.open(report.result["bundle"])


def _cell(bundle: Bundle, table: str, model: str, wanted: dict[str, Any], folder: Path) -> Cell:
    options = dict(wanted)
    made = parse_format(options.pop("format"), options)
    record = folder / f"{made.name}.json"
    if record.exists() and (stored := read_json(record))["made"] == _made(bundle, made):
        return Cell(**stored["cell"])
    started = time.monotonic()
    try:
        found = convert(bundle, made, folder / f"{made.name}-{time.time_ns()}")
        difference = None if found.parity is None else found.parity.max_difference
        status, reason = found.status, found.reason
    except MissingDependency as error:
        return Cell(table, model, made.name, "absent", None, str(error), 0.0)
    except DmlError as error:
        difference, status, reason = None, "failed", str(error)
    cell = Cell(table, model, made.name, status, difference, reason, time.monotonic() - started)
    write_json(record, {"made": _made(bundle, made), "cell": vars(cell)})
    return cell


def _made(bundle: Bundle, wanted: Format) -> dict[str, Any]:
    return {"model": bundle.manifest.model_digest, "options": wanted.options()}


def _page(cells: Sequence[Cell]) -> Iterator[str]:
    names = list(dict.fromkeys(cell.format for cell in cells))
    found = {(cell.table, cell.model, cell.format): cell for cell in cells}
    for table, (_, kind) in TABLES.items():
        models = list(dict.fromkeys(cell.model for cell in cells if cell.table == table))
        if not models:
            continue
        yield f"## {table}: {kind}\n"
        yield f"| format | {' | '.join(models)} |\n|---|{'---|' * len(models)}"
        for name in names:
            row = [found[table, model, name].text for model in models]
            yield f"| `{name}` | {' | '.join(row)} |"
        yield ""
    yield "## Why not\n"
    reasons: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if cell.reason:
            reasons.setdefault((cell.format, cell.reason), []).append(f"{cell.table} {cell.model}")
    for (name, reason), where in reasons.items():
        yield f"- `{name}`: {reason} ({len(where)}: {', '.join(where[:3])}{', …' if len(where) > 3 else ''})"
    total = sum(cell.seconds for cell in cells)
    yield f"\n{len(cells)} conversions, {total / 60:.0f} minutes."


if __name__ == "__main__":
    main()
