"""The model as a query: run in DuckDB over real and nasty rows, and in a PostgreSQL server where one is."""

import re
from dataclasses import replace

import database_servers
import duckdb
import numpy as np
import pyarrow as pa
import pytest
from onnx import numpy_helper
from pydantic import ValidationError
from small_bundles import train

from declarative_ml.core.schema import ColumnRule
from declarative_ml.core.task import Task
from declarative_ml.formats.base import Original
from declarative_ml.formats.parity import expected_of, measure, nasty_rows
from declarative_ml.formats.sql import Sql
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.store.bundle import Input

TREES = {"type": "lightgbm", "rounds": 15}
STATISTICS = {**TREES, "categories": "both"}
BLEND = {"type": "ensemble", "members": [TREES, {"type": "linear"}], "weights": "equal"}
NETWORK = {"type": "mlp", "layers": [8], "epochs": 2}
KINDS = [("stays", BLEND), ("kind", STATISTICS), ("spent", TREES), ("kind", "linear"), ("spent", NETWORK)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    made = {}

    def get(target, model):
        key = f"{target} {model}"
        if key not in made:
            made[key] = train(tmp_path_factory.mktemp("sql"), target, model, without=())
        return made[key]

    return get


@pytest.mark.parametrize(("target", "model"), KINDS)
def test_the_query_answers_as_the_graph_does(bundles, tmp_path, target, model):
    original, wanted = bundles(target, model), Sql()
    assert wanted.refuse(original) is None
    wanted.write(original, tmp_path)
    parity = measure(original, wanted.open(original, tmp_path), wanted.precision)
    assert parity.holds, parity
    assert parity.disagreements == 0
    assert wanted.facts(tmp_path)["dialect"] == "DuckDB"


def test_the_rows_keep_their_columns_and_gain_the_answers(bundles, tmp_path):
    original = bundles("stays", BLEND)
    Sql(table="crm.new guests").write(original, tmp_path)
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA crm")
        connection.execute(
            'CREATE TABLE crm."new guests" AS SELECT 7 AS id, 41.5::DECIMAL(5, 1) AS age,'
            " NULL::BIGINT AS fare, 2 AS size, 'Oslo' AS town, NULL::VARCHAR AS member,"
            " DATE '2024-05-01' AS seen, 'x' AS d1"
        )
        answer = connection.execute((tmp_path / "score.sql").read_text(encoding="utf-8"))
        names = [column[0] for column in answer.description]
        row = dict(zip(names, answer.fetchone(), strict=True))
    answers = ["prediction", "probability", "probability_no", "probability_yes"]
    assert names == ["id", "age", "fare", "size", "town", "member", "seen", "d1", *answers]
    assert (row["id"], row["d1"]) == (7, "x")
    assert row["prediction"] == ("yes" if row["probability_yes"] >= original.threshold else "no")
    rows = {"age": 41.5, "fare": np.nan, "size": 2, "town": "Oslo", "member": "", "seen": "2024-05-01"}
    kinds = {column.name: np.float32 if column.dtype == "float32" else object for column in original.inputs}
    wanted = expected_of(original, {name: np.array([[rows[name]]], kinds[name]) for name in kinds})
    assert row["probability_yes"] == row["probability"] == pytest.approx(wanted[0, 1], abs=1e-6)


def graph_of(build, names=("a'\"; --", "b"), classes=()):
    """An Original of float32 columns from a function that adds the nodes and returns the output."""
    graph = OnnxGraph()
    tensors = [graph.input(name, "float32") for name in names]
    tensor = build(graph, *tensors)
    graph.output(tensor, "prediction", "float32")
    rule = ColumnRule(type="number")
    inputs = tuple(Input(name=name, feature="number", dtype="float32", rule=rule) for name in names)
    random = np.random.default_rng(0)
    rows = {name: random.normal(size=(50, 1)).astype(np.float32) for name in names}
    rows[names[0]][:4, 0] = [np.nan, np.inf, 3e38, -1e-30]
    content = graph.build("made", {}).SerializeToString()
    return Original(content, "made\n; DROP TABLE x", Task(target="y", type="number"), inputs, None, rows)


def row_of(values):
    return np.array([values], dtype=np.float32)


def one(graph, value):
    return graph.constant([[value]], "float32")


OPERATORS = {
    "min, max": lambda g, a, b: g.add("Min", [g.add("Max", [a, b]), one(g, 1.5)]),
    "relu": lambda g, a, b: g.add("Relu", [g.add("Sub", [b, one(g, 0.2)])]),
    "sigmoid of extremes": lambda g, a, b: g.add("Sigmoid", [g.add("Mul", [b, one(g, 3000.0)])]),
    "tanh": lambda g, a, b: g.add("Tanh", [b]),
    "gelu": lambda g, a, b: g.add("Gelu", [b], approximate="tanh"),
    "neg, abs, sign": lambda g, a, b: g.add("Add", [g.add("Neg", [g.add("Abs", [b])]), g.add("Sign", [b])]),
    "clip": lambda g, a, b: g.add("Clip", [b, g.constant(np.float32(-0.5)), g.constant(np.float32(0.5))]),
    "less than NaN": lambda g, a, b: g.cast(g.add("Not", [g.add("Less", [a, b])]), "float32"),
    "where NaN": lambda g, a, b: g.add("Where", [g.add("IsNaN", [a]), b, g.add("Clip", [a, "", one0(g)])]),
    "whole parts": lambda g, a, b: g.cast(
        g.add("Mod", [g.cast(g.add("Floor", [g.add("Mul", [b, one(g, 50.0)])]), "int64"), g.constant([[7]])]),
        "float32",
    ),
    "a column's square root": lambda g, a, b: g.add("Sqrt", [g.add("Mul", [b, b])]),
    "a constant": lambda g, a, b: g.add("Where", [g.add("Less", [b, b]), b, one(g, -2.5)]),
    "softmax": lambda g, a, b: g.take(
        g.add("Softmax", [g.concat([b, g.add("Mul", [b, one(g, 900)])])], axis=1), [1]
    ),
}


def one0(graph):
    return graph.constant(np.float32(1.0))


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_mean_in_sql_what_they_mean_in_the_graph(tmp_path, name):
    original, wanted = graph_of(OPERATORS[name]), Sql()
    assert wanted.refuse(original) is None
    wanted.write(original, tmp_path)
    found = wanted.open(original, tmp_path)(original.rows)
    np.testing.assert_allclose(found, expected_of(original, original.rows), rtol=2e-6, atol=1e-6)


def trees(graph, tensor, modes, splits, missing):
    """Trees of one split each: 1, 10, 100 … where it is true."""
    count = len(modes)
    tensors = {
        "nodes_splits": np.array(splits, np.float32),
        "nodes_modes": np.array(modes, np.uint8),
        "leaf_weights": np.array([10.0 ** (n // 2) * (n % 2 == 0) for n in range(2 * count)], np.float32),
        "membership_values": np.array([0.1, 2.0, np.nan], np.float32),
    }
    return graph.add(
        "TreeEnsemble",
        [tensor],
        n_targets=1,
        tree_roots=list(range(count)),
        nodes_featureids=[0] * count,
        nodes_trueleafs=[1] * count,
        nodes_falseleafs=[1] * count,
        nodes_truenodeids=list(range(0, 2 * count, 2)),
        nodes_falsenodeids=list(range(1, 2 * count, 2)),
        leaf_targetids=[0] * (2 * count),
        nodes_missing_value_tracks_true=missing,
        **{name: numpy_helper.from_array(values, name) for name, values in tensors.items()},
    )


@pytest.mark.parametrize("missing", [0, 1])
def test_a_split_parts_float32_values_and_sends_missing_ones_where_the_graph_does(tmp_path, missing):
    split = np.float32(0.1)
    near = [
        split,
        np.nextafter(split, np.float32(1)),
        np.nextafter(split, np.float32(0)),
        np.nan,
        2.0,
        -np.inf,
    ]
    original = graph_of(
        lambda g, a, b: trees(g, a, [0, 1, 2, 3, 6], [split] * 4 + [0], [missing] * 5), names=("a", "b")
    )
    rows = {"a": np.array(near, np.float32)[:, None], "b": np.zeros((6, 1), np.float32)}
    Sql().write(original, tmp_path)
    found = Sql().open(original, tmp_path)(rows)
    np.testing.assert_array_equal(found, expected_of(original, rows))


def wide(graph, a, b):
    heavy = np.ones((2, 30_000), dtype=np.float32)
    return graph.take(graph.add("MatMul", [graph.concat([a, b]), graph.constant(heavy)]), [0])


REFUSED = [
    ({}, lambda g, a, b: g.add("Erf", [a]), ("a", "b"), "the operator Erf, which has no form in SQL"),
    ({}, wide, ("a", "b"), r"60,000 leaves and weights, more than 10,000"),
    ({}, lambda g, a, b: a, ("Age", "age"), "does not tell columns apart by upper and lower case"),
    ({"dialect": "postgres"}, lambda g, a, b: a, ("é" * 32, "b"), "PostgreSQL cuts names after 63 bytes"),
]


@pytest.mark.parametrize(("options", "build", "names", "reason"), REFUSED)
def test_what_has_no_query_is_refused_with_the_reason(options, build, names, reason):
    assert re.search(reason, Sql(**options).refuse(graph_of(build, names)))


@pytest.mark.parametrize("table", ["main.guests", "given", "crm.new guests"])
def test_the_query_runs_whatever_its_table_is_called(tmp_path, table):
    original, wanted = graph_of(lambda g, a, b: g.add("Abs", [b])), Sql(table=table)
    wanted.write(original, tmp_path)
    found = wanted.open(original, tmp_path)(original.rows)
    np.testing.assert_allclose(found, expected_of(original, original.rows), rtol=1e-6)


def test_many_classes_do_not_nest_deeper_than_python_and_databases_go():
    weights = np.random.default_rng(0).normal(size=(2, 900)).astype(np.float32)

    def build(graph, a, b):
        margins = graph.add("MatMul", [graph.concat([a, b]), graph.constant(weights)])
        return graph.take(graph.add("Softmax", [margins], axis=1), [1])

    assert Sql().refuse(graph_of(build)) is None


def test_what_comes_from_elsewhere_does_not_end_a_comment_or_a_text(tmp_path):
    original = graph_of(lambda g, a, b: b)
    column = original.inputs[0].model_copy(update={"dtype": "string", "feature": "x)\nDROP TABLE y; --"})
    wanted = replace(original, inputs=(column, original.inputs[1]))
    Sql().write(wanted, tmp_path)
    head = (tmp_path / "score.sql").read_text(encoding="utf-8").partition("WITH ")[0]
    assert all(line.startswith("--") for line in head.splitlines() if line)

    def label(graph, a, b):
        named = graph.add("LabelEncoder", [graph.cast(b, "int64")], keys_int64s=[0], values_strings=[b"a\0"])
        return graph.cast(graph.add("Equal", [named, graph.constant(["x"])]), "float32")

    assert "holds the character NUL" in Sql(dialect="postgres").refuse(graph_of(label))


def test_texts_are_refused(tmp_path):
    graph = OnnxGraph()
    text = graph.input("note", "string")
    lowered = graph.each_row(
        text, 1, lambda row: graph.cast(graph.add("Equal", [row, graph.constant(["x"])]), "float32")
    )
    graph.output(lowered, "prediction", "float32")
    rule = ColumnRule(type="text")
    inputs = (Input(name="note", feature="text", dtype="string", rule=rule),)
    content = graph.build("texts", {}).SerializeToString()
    original = Original(content, "texts", Task(target="y", type="number"), inputs, None, {})
    assert Sql().refuse(original).startswith("texts are cut into words (Loop)")


def test_a_table_has_a_name_and_at_most_a_schema():
    with pytest.raises(ValidationError, match="should match pattern"):
        Sql(table="a.b.c")
    assert Sql(dialect="postgres").name == "sql-postgres"


@pytest.fixture(scope="module")
def postgresql():
    """The address of a server of our own."""
    with database_servers.postgresql() as address:
        yield address


def in_postgresql(address, original, text, rows):
    """The answers in the order of the rows."""
    from adbc_driver_postgresql import dbapi

    kinds = {"float32": pa.float32(), "string": pa.string()}
    table = pa.table(
        {column.name: pa.array(rows[column.name][:, 0], kinds[column.dtype]) for column in original.inputs}
    )
    table = table.append_column("dml order", pa.array(range(len(table))))
    with dbapi.connect(address) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("source", table, mode="replace")
        cursor.execute(text)
        answer = cursor.fetch_arrow_table()
    answer = answer.take(pa.compute.sort_indices(answer["dml order"]))
    width = len(original.task.classes) or 1
    return np.stack([answer.column(-place).to_numpy() for place in range(width, 0, -1)], axis=1)


@pytest.mark.parametrize(("target", "model"), KINDS)
def test_postgresql_answers_the_same(bundles, postgresql, tmp_path, target, model):
    original, wanted = bundles(target, model), Sql(dialect="postgres")
    assert wanted.refuse(original) is None
    wanted.write(original, tmp_path)
    assert wanted.open(original, tmp_path) is None
    nasty = nasty_rows(original)
    rows = {name: np.concatenate([values, nasty[name]]) for name, values in original.rows.items()}
    text = (tmp_path / "score.sql").read_text(encoding="utf-8")
    expected = expected_of(original, rows)
    found = in_postgresql(postgresql, original, text, rows)
    spread = 1.0 if original.task.classes else expected.std()
    assert np.abs(found - expected).max() / spread < 1e-5


@pytest.mark.parametrize("name", ["sigmoid of extremes", "softmax", "where NaN", "less than NaN", "min, max"])
def test_operators_in_postgresql(postgresql, tmp_path, name):
    original, wanted = graph_of(OPERATORS[name], names=("a'\"; --", "B b")), Sql(dialect="postgres")
    wanted.write(original, tmp_path)
    text = (tmp_path / "score.sql").read_text(encoding="utf-8")
    found = in_postgresql(postgresql, original, text, original.rows)
    np.testing.assert_allclose(found, expected_of(original, original.rows), rtol=2e-6, atol=1e-6)
