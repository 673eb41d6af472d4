"""Compare `dml serve` with a bare ASGI server and other model servers: one model, one machine, one run.

    python -m benchmarks.serving.run [--peers fastapi,mlserver] [--rounds 3] [--seconds 3] [--page FILE]

Needs wrk (apt-get install wrk). Each peer has an environment of its own in the user's cache, made once. All
servers run at once and take turns, so that a busy moment of the machine meets them all; every answer is
checked against the bundle's own scorer first. What is done is kept: the same command goes on where a killed
one was, with --fresh it begins anew.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.environments import Absent, bench_folder, environment
from benchmarks.serving import model, parts, report
from benchmarks.serving.load import load, resident_mebibytes, wrk
from benchmarks.serving.recipes import RECIPES
from benchmarks.serving.servers import SERVERS, Form, Rows, Started, started, this_python
from declarative_ml.core.atomic import write_text
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle

CONNECTIONS = (1, 16, 64)
MANY = 1000
PEERS = [name for name in SERVERS if name not in ("floor", "dml")]


def main(arguments: Sequence[str] | None = None) -> None:
    given = _given(arguments)
    wrk()
    folder = given.folder
    bundle = Bundle.open(given.bundle) if given.bundle else model.bundle(folder)
    results = folder / "results.json"
    if given.fresh:
        results.unlink(missing_ok=True)
    os.environ["BENCH_BUNDLE"], os.environ["BENCH_ANSWER"] = str(bundle.path), str(folder / "answer.json")
    (folder / "answer.json").write_bytes(_our_answer(bundle))
    with contextlib.ExitStack() as stack:
        running = list(_running(given.peers, folder, bundle, stack))
        _take_turns(running, folder, results, given.rounds, given.seconds)
    text = report.text(json.loads(results.read_text()))
    print(text)
    if given.page:
        write_text(given.page, report.page(text, parts.table([bundle])))


def _given(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--peers",
        type=lambda text: text.split(","),
        default=PEERS,
    )
    parser.add_argument("--bundle", type=Path, help="a bundle that takes the columns of model.py")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--folder", type=Path, default=bench_folder() / "serving")
    return parser.parse_args(arguments)


def _our_answer(bundle: Bundle) -> bytes:
    """The answer to one row, which the floor sends."""
    scored = Scorer(bundle).predict_rows(model.rows(1))
    assert scored.probabilities is not None
    shares = dict(zip(bundle.manifest.task.classes, scored.probabilities[0].tolist()))
    answer = {"prediction": scored.prediction[0], "probabilities": shares}
    about = {"name": bundle.manifest.name, "version": bundle.manifest.model_digest[:12]}
    return json.dumps({"predictions": [answer], "model": about}, separators=(",", ":")).encode()


def _running(
    peers: Sequence[str], folder: Path, bundle: Bundle, stack: contextlib.ExitStack
) -> Iterator[Started]:
    for name in ("floor", "dml", *peers):
        python = this_python()
        if name != "dml":
            place = environment(name, folder, RECIPES[name])
            if isinstance(place, Absent):
                print(f"{name} is left out: {place.reason}", file=sys.stderr)
                continue
            python = place.python
        try:
            running = stack.enter_context(
                started(name, python, folder / "work" / name, Path(bundle.path), model.rows(1))
            )
            _check(running, bundle)
        except RuntimeError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        print(f"{name} answers as the bundle does", file=sys.stderr)
        yield running


def _check(running: Started, bundle: Bundle) -> None:
    """The first answers must be those of the bundle. Raises RuntimeError."""
    for rows in (model.rows(1), model.rows(MANY)):
        if running.name == "floor" and len(rows) > 1:
            continue
        expected = Scorer(bundle).predict_rows(rows).probabilities
        for name, form in running.server.forms.items():
            found = np.asarray(form.read(running.ask(form, form.write(rows))), dtype=np.float64)
            if (
                expected is None
                or found.shape != expected.shape
                or not np.allclose(found, expected, atol=1e-5)
            ):
                raise RuntimeError(f"{name}: other answers to {len(rows)} row(s) than the bundle gives")


def _take_turns(running: Sequence[Started], folder: Path, results: Path, rounds: int, seconds: float) -> None:
    found: dict[str, list[dict[str, object]]] = json.loads(results.read_text()) if results.exists() else {}
    for turn in range(rounds):
        for rows, connections in [*((1, count) for count in CONNECTIONS), (MANY, 2)]:
            for server in running:
                if server.name == "floor" and rows > 1:
                    continue
                forms = server.server.forms if rows > 1 else dict(list(server.server.forms.items())[:1])
                for form in forms:
                    cell = f"{server.name}|{form}|{rows}|{connections}"
                    if len(found.setdefault(cell, [])) > turn:
                        continue
                    done = _measure(server, forms[form], folder, model.rows(rows), connections, seconds)
                    found[cell].append(done)
                    write_text(results, json.dumps(found, indent=1))


def _measure(
    server: Started, form: Form, folder: Path, rows: Rows, connections: int, seconds: float
) -> dict[str, object]:
    body = folder / f"{server.name}.body"
    body.write_bytes(form.write(rows))
    url = f"http://127.0.0.1:{server.port}{form.path}"
    headers = dict(form.headers(body.read_bytes()))
    done = load(server.process.pid, url, body, headers, connections, seconds)
    memory = resident_mebibytes(server.process.pid)
    return asdict(done) | {"rate": done.rate, "micros": done.micros, "memory": memory}


if __name__ == "__main__":
    main()
