"""Texts per CPU second: reading texts into counted terms, against scikit-learn; and the steps around it.

Each line does the same to the same texts, in turns, several times; the table shows the best rate of each
in texts per CPU second (a busy machine disturbs the others), and its ratio to HashingVectorizer.

    python benchmarks/text_throughput.py [TABLE.csv COLUMN] [--texts 20000] [--repeats 5]

Without a table the texts are made up: words by Zipf's law, about 240 characters each.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa

from declarative_ml.features.text import Text
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.text.lexicon import PlainLexicon, compiled, new_lexicon
from declarative_ml.text.projection import count_matrix, term_weights
from declarative_ml.text.vocabulary import Vocabulary, restore_vocabulary


def made_up_texts(count: int) -> list[str]:
    random = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgkqjxz"))
    words = ["".join(random.choice(letters[:20], size)) for size in random.integers(2, 10, 30_000)]
    ranks = np.minimum(random.zipf(1.3, (count, 40)) - 1, len(words) - 1)
    return [
        ". ".join(" ".join(words[rank] for rank in part).capitalize() for part in row.reshape(4, 10))
        for row in ranks
    ]


def read_texts(path: str, column: str) -> list[str]:
    from pyarrow import csv

    options = csv.ParseOptions(newlines_in_values=True)
    return [text or "" for text in csv.read_csv(path, parse_options=options).column(column).to_pylist()]


def competitors(texts: list[str]) -> dict[str, Callable[[], object]]:
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

    hashing = HashingVectorizer(ngram_range=(1, 2), n_features=1 << 18, norm=None, alternate_sign=False)
    counting = CountVectorizer(ngram_range=(1, 2), min_df=2, max_features=20_000).fit(texts)
    return {
        "scikit-learn HashingVectorizer, 1-2-grams": lambda: hashing.transform(texts),
        "scikit-learn CountVectorizer.transform, 1-2-grams": lambda: counting.transform(texts),
    }


def readers(values: pa.Array, vocabulary: Vocabulary) -> dict[str, Callable[[], object]]:
    plain = restore_vocabulary(vocabulary.tokens, [keys.tolist() for keys in vocabulary.keys])
    plain.__dict__.update(lexicon=PlainLexicon(vocabulary.tokens), _table=None)
    name = "tokens, 1-2-grams, counts"
    found = {f"dml without a compiler: {name}": lambda: count_matrix(plain.find(values), len(plain))}
    if compiled() is None:
        return found
    tokens = new_lexicon(vocabulary.tokens)
    return {
        "dml: tokens only": lambda: tokens.read(values),
        f"dml: {name}": lambda: count_matrix(vocabulary.find(values), len(vocabulary)),
        **found,
    }


def feature_work(
    feature: Text, values: pa.Array, state: dict[str, object]
) -> dict[str, Callable[[], object]]:
    import onnxruntime

    layout = feature.layout("x", state)
    vocabulary, idf = restore_vocabulary(state["tokens"], state["keys"]), np.array(state["idf"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    few = np.array(values.slice(0, 2_000).to_pylist(), dtype=object)[:, None]
    times = len(values) / len(few)

    def session(output: Callable[[OnnxGraph], tuple[str, int]]) -> Callable[[], object]:
        graph = OnnxGraph()
        tensor, width = output(graph)
        graph.output(tensor, "found", "float32", width)
        made = onnxruntime.InferenceSession(graph.build("text", {}).SerializeToString(), options)
        return lambda: made.run(None, {"x": few}) and times

    def scaled(graph: OnnxGraph) -> tuple[str, int]:
        names = feature.to_onnx(graph, graph.input("x", "string"), state)
        return str(names.scaled), len(layout.scaled)

    def terms(graph: OnnxGraph) -> tuple[str, int]:
        (weigh,) = feature.to_onnx(graph, graph.input("x", "string"), state).terms
        return weigh(graph, np.ones((len(vocabulary), 4), dtype=np.float32)), 4

    return {
        "dml: weights of terms alone": lambda: term_weights(vocabulary.find(values), idf),
        "dml: Text.encode": lambda: feature.encode(values, state),
        f"the ONNX graph's components, of {len(few):,} texts": session(scaled),
        f"the ONNX graph, and the terms' sums for 4 classes, of {len(few):,} texts": session(terms),
    }


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    done = work()
    spent = time.process_time() - started
    return spent * done if isinstance(done, float) else spent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("table", nargs="?")
    parser.add_argument("column", nargs="?")
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    texts = (
        read_texts(given.table, given.column)[: given.texts] if given.table else made_up_texts(given.texts)
    )
    values, feature = pa.array(texts, pa.string()), Text()
    statistics = feature.accumulator()
    statistics.update(values, np.arange(len(values), dtype=np.uint64))
    started = time.process_time()
    state = feature.fit(statistics)
    fitting = time.process_time() - started
    vocabulary = restore_vocabulary(state["tokens"], state["keys"])
    work = {**competitors(texts), **readers(values, vocabulary), **feature_work(feature, values, state)}
    best = dict.fromkeys(work, np.inf)
    for _ in range(given.repeats):
        for name, run in work.items():
            best[name] = min(best[name], cpu_seconds(run))
    size = np.mean([len(text) for text in texts])
    print(f"{len(texts):,} texts of {size:.0f} characters, {len(vocabulary):,} terms, ", end="")
    print(f"{len(state['factors'])} components; Text.fit: {fitting:.1f} CPU s\n")
    print("| | texts / CPU s | x HashingVectorizer |\n|---|---|---|")
    base = next(iter(best.values()))
    for name, seconds in best.items():
        print(f"| {name} | {len(texts) / seconds:,.0f} | {base / seconds:.1f} |")


if __name__ == "__main__":
    main()
