"""Where the processor time of a request goes: its parts, each alone, in one process and without a network.

    python -m benchmarks.serving.parts BUNDLE … [--rounds 9]

The bundles take the columns of model.py. A number is the least of the rounds: neighbours only add to it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.serving import model
from benchmarks.serving.servers import SERVERS, Form
from declarative_ml.scoring.answer_cells import answer_cells
from declarative_ml.serving.asked import Read
from declarative_ml.serving.batching import Columns
from declarative_ml.serving.bodies import read_asked
from declarative_ml.serving.exchange import Call, Limits
from declarative_ml.serving.inference_protocol import read_inference
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.watch import BATCH_ROWS, watch_models
from declarative_ml.spec.monitor import Monitor
from declarative_ml.store.bundle import Bundle

READERS: dict[str, Read] = {
    "JSON rows": read_asked,
    "Arrow": read_asked,
    "OIP binary": read_inference,
    "OIP JSON": read_inference,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args(arguments)
    print(table([Bundle.open(path) for path in given.bundles], given.rounds))


def table(bundles: Sequence[Bundle], rounds: int = 9) -> str:
    """The parts of a request to each bundle, by number of rows and form of the body."""
    lines = [
        "| model | rows | body | read µs | model µs | answer µs | drift µs | the model's share |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for bundle in bundles:
        served = ServedModel(bundle)
        watch_models([served], Monitor())
        lines += _lines(served, rounds)
        served.close()
    return "\n".join(lines) + "\n"


def _lines(served: ServedModel, rounds: int) -> Iterator[str]:
    for count in (1, 1000):
        rows = model.rows(count)
        raw = served.scorer.raw_rows(rows)[0]
        scored = served.scorer.predict_raw(raw)
        run = _micros(partial(served.scorer.run, raw), rounds)
        drift = _drift_micros(served, rounds) * count
        for name, form in SERVERS["dml"].forms.items():
            call, read = _call(form, form.write(rows)), READERS[name]
            asked = read(served, call, Limits())
            parts = [
                _micros(partial(_read, served, call, read), rounds),
                run,
                _micros(partial(asked.reply, scored), rounds),
                drift,
            ]
            shown = " | ".join(f"{part:.0f}" for part in parts)
            yield f"| {served.name} | {count} | {name} | {shown} | {run / sum(parts):.0%} |"


def _call(form: Form, body: bytes) -> Call:
    headers = {name.encode(): text.encode() for name, text in form.headers(body).items()}
    return Call("POST", form.path, headers, body)


def _read(served: ServedModel, call: Call, read: Read) -> Columns:
    return read(served, call, Limits()).columns(served.scorer)


def _drift_micros(served: ServedModel, rounds: int) -> float:
    """Of one row: they are counted some hundred at once, whatever the requests they came in."""
    assert served.watch is not None
    windows = served.watch.windows
    assert windows is not None
    raw = served.scorer.raw_rows(model.rows(BATCH_ROWS))[0]
    scored = served.scorer.predict_raw(raw)
    return _micros(lambda: windows.update(raw, answer_cells(served.scorer, scored)), rounds) / BATCH_ROWS


def _micros(work: Callable[[], object], rounds: int) -> float:
    """Processor time of one call."""
    began = time.process_time()
    work()
    calls = max(3, int(0.02 / max(time.process_time() - began, 1e-5)))
    found = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(calls):
            work()
        found.append(1e6 * (time.process_time() - began) / calls)
    return min(found)


if __name__ == "__main__":
    main()
