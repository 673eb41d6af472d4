"""Small bundles made by hand: their graphs are plain formulas, so every answer can be worked out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle, write_bundle

CITIES = {"Bern": -1.0, "Oslo": 0.5, "Rome": 2.0}
INPUTS = [
    {"name": "age", "feature": "number", "dtype": "float32", "rule": {"type": "number"}},
    {"name": "visits", "feature": "number", "dtype": "float32", "rule": {"type": "integer"}},
    {"name": "city", "feature": "category", "dtype": "string", "rule": {"type": "text"}},
]
BACKGROUND = {"age": [20.0, 40.0, None], "visits": [0, 3, 1], "city": ["Bern", "Rome", ""]}


def margin(age: float | None, visits: float, city: str) -> float:
    """What `_add_margin` computes: missing ages count as 30, unknown cities as 0."""
    return 0.05 * ((30.0 if age is None else age) - 30.0) * (1 + visits) + CITIES.get(city, 0.0)


def _add_margin(graph: OnnxGraph) -> str:
    age, visits, city = (graph.input(item["name"], item["dtype"]) for item in INPUTS)
    known = graph.add("Where", [graph.add("IsNaN", [age]), graph.constant([[30.0]], "float32"), age])
    slope = graph.add("Mul", [known_minus(graph, known, 30.0), graph.constant([[0.05]], "float32")])
    scaled = graph.add("Mul", [slope, graph.add("Add", [visits, graph.constant([[1.0]], "float32")])])
    place = graph.add(
        "LabelEncoder",
        [city],
        keys_strings=list(CITIES),
        values_floats=list(CITIES.values()),
        default_float=0.0,
    )
    return graph.add("Add", [scaled, place])


def known_minus(graph: OnnxGraph, tensor: str, value: float) -> str:
    return graph.add("Sub", [tensor, graph.constant([[value]], "float32")])


def number_graph() -> bytes:
    graph = OnnxGraph()
    graph.output(_add_margin(graph), "prediction", "float32")
    return graph.build("number", {"task": "number"}).SerializeToString()


def interval_graph() -> bytes:
    """Bounds half of the number's size below it and its size above it."""
    graph = OnnxGraph()
    margin = _add_margin(graph)
    size = graph.add("Abs", [margin])
    half = graph.add("Mul", [size, graph.constant([[0.5]], "float32")])
    graph.output(margin, "prediction", "float32")
    graph.output(graph.add("Sub", [margin, half]), "lower", "float32")
    graph.output(graph.add("Add", [margin, size]), "upper", "float32")
    return graph.build("interval", {"task": "number"}).SerializeToString()


def binary_graph(classes: tuple[str, str], threshold: float) -> bytes:
    graph = OnnxGraph()
    positive = graph.add("Sigmoid", [_add_margin(graph)])
    negative = graph.add("Sub", [graph.constant([[1.0]], "float32"), positive])
    yes = graph.add("GreaterOrEqual", [positive, graph.constant([[threshold]], "float32")])
    label = graph.add("Where", [yes, graph.constant([[classes[1]]]), graph.constant([[classes[0]]])])
    graph.output(label, "prediction", "string")
    graph.output(graph.concat([negative, positive]), "probabilities", "float32", 2)
    return graph.build("binary", {"task": "binary"}).SerializeToString()


def multiclass_graph(classes: tuple[str, ...]) -> bytes:
    graph = OnnxGraph()
    weights = [[float(number) - 1.0 for number in range(len(classes))]]
    logits = graph.add("Mul", [_add_margin(graph), graph.constant(weights, "float32")])
    winner = graph.add("ArgMax", [logits], axis=1, keepdims=1)
    label = graph.add(
        "LabelEncoder",
        [winner],
        keys_int64s=list(range(len(classes))),
        values_strings=list(classes),
        default_string="",
    )
    graph.output(label, "prediction", "string")
    graph.output(graph.add("Softmax", [logits], axis=1), "probabilities", "float32", len(classes))
    return graph.build("multiclass", {"task": "multiclass"}).SerializeToString()


def bundle_fields(kind: str, classes: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    task = {"target": "answer", "type": kind, "classes": classes}
    return {"name": f"hand-made-{kind}", "task": task, "inputs": INPUTS, **more}


def bundle_files(model: bytes) -> dict[str, bytes]:
    reference = json.dumps({"columns": {}, "background": BACKGROUND})
    return {"model.onnx": model, "reference.json": reference.encode()}


@pytest.fixture
def binary_bundle(tmp_path: Path) -> Bundle:
    files = bundle_files(binary_graph(("no", "yes"), 0.6))
    write_bundle(tmp_path / "binary", bundle_fields("binary", ("no", "yes"), threshold=0.6), files)
    return Bundle.open(tmp_path / "binary")


@pytest.fixture
def make_scorer(tmp_path: Path) -> Callable[..., Scorer]:
    """make_scorer(kind, classes, **more fields of the manifest): the kinds are those of a task."""

    def make(kind: str, classes: tuple[str, ...] = (), **more: Any) -> Scorer:
        if kind == "number":
            model = number_graph() if more.get("interval") is None else interval_graph()
        elif kind == "binary":
            model = binary_graph((classes[0], classes[1]), 0.6)
        else:
            model = multiclass_graph(classes)
        write_bundle(tmp_path / kind, bundle_fields(kind, classes, **more), bundle_files(model))
        return Scorer(Bundle.open(tmp_path / kind))

    return make
