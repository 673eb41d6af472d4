"""The model as one SQL query: scoring where the rows are, without any runtime."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError
from declarative_ml.formats.base import Format, Original, Rows, Run
from declarative_ml.formats.sqltext.expressions import (
    DIALECTS,
    Dtype,
    Expression,
    Query,
    Value,
    identifier,
)
from declarative_ml.formats.sqltext.operators import Operators
from declarative_ml.formats.sqltext.tensors import Unsupported

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

MOST_TERMS = 10_000
"""Leaves of trees, weights and levels. DuckDB takes seconds to plan so many, and minutes for 35,000."""
_FILE = "score.sql"
_GIVEN = "dml given"
_TEXTS = frozenset(["Loop", "StringNormalizer", "Tokenizer", "Unique", "Compress"])
"""Operators that only words of texts need."""


class Sql(Format):
    """`SELECT *, … AS prediction, …`: the answers beside every row of a table."""

    format: Literal["sql"] = "sql"
    dialect: Literal["duckdb", "postgres"] = Field(
        default="duckdb", description="Whose SQL: DuckDB's, or PostgreSQL's from version 12 on"
    )
    table: str = Field(
        default="source",
        min_length=1,
        pattern=r"^[^.]+(\.[^.]+)?$",
        description="The table to score, as name or schema.name",
    )
    about: ClassVar[str] = "one query for a database: linear and tree models, no runtime"
    modules: ClassVar[tuple[str, ...]] = ("duckdb",)
    libraries: ClassVar[tuple[str, ...]] = ("duckdb",)

    @property
    def variant(self) -> str:
        """The dialect, where it is not DuckDB's."""
        return "" if self.dialect == "duckdb" else self.dialect

    @property
    def precision(self) -> float:
        """Sums are made in float64, thresholds are compared in float32."""
        return 1e-5

    def refuse(self, original: Original) -> str | None:
        """See Format.refuse: texts by words, and graphs of very many terms."""
        if used := sorted(_TEXTS & original.operators):
            return f"texts are cut into words ({', '.join(used)}), which SQL cannot do as the graph does"
        if readers := original.readers:
            return f"texts are read by {readers} before they reach the graph"
        if (terms := count_terms(original.model)) > MOST_TERMS:
            return (
                f"the query would have {terms:,} leaves and weights, more than {MOST_TERMS:,}; "
                "a linear model or fewer trees fit, a neural network seldom does"
            )
        try:
            return self._misfit(original, self._query(original))
        except Unsupported as problem:
            return problem.message

    def write(self, original: Original, folder: Path) -> None:
        """See Format.write: score.sql."""
        text = _header(original, self.dialect, self.table) + self._query(original).text()
        (folder / _FILE).write_text(text, encoding="utf-8", newline="\n")

    def open(self, original: Original, folder: Path) -> Run | None:
        """See Format.open: DuckDB over the rows; PostgreSQL's query has no server here."""
        if self.dialect != "duckdb":
            return None
        return _DuckDb((folder / _FILE).read_text(encoding="utf-8"), _parts(self.table), original).run

    def facts(self, folder: Path) -> dict[str, Any]:
        """The dialect, and how many common table expressions there are."""
        text = (folder / _FILE).read_text(encoding="utf-8")
        return {"dialect": DIALECTS[self.dialect].name, "stages": text.count(" AS (SELECT ")}

    def _query(self, original: Original) -> Query:
        operators = Operators(DIALECTS[self.dialect])
        table = ".".join(identifier(part) for part in _parts(self.table))
        return Query(operators.dialect, table, _answers(operators, original))

    def _misfit(self, original: Original, query: Query) -> str | None:
        """What of the names or the width the database does not take."""
        dialect = DIALECTS[self.dialect]
        names = [column.name for column in original.inputs]
        if "\0" in "".join(names):
            return "a column's name holds the character NUL"
        if dialect.name == "PostgreSQL" and "\0" in query.text():
            return "a level or a class holds the character NUL, which PostgreSQL's texts cannot"
        if dialect.longest_name is not None:
            long = [name for name in names if len(name.encode()) > dialect.longest_name]
            if long:
                return f"{dialect.name} cuts names after {dialect.longest_name} bytes: {long[0]!r} is longer"
        if dialect.same_case and len({name.lower() for name in names}) < len(names):
            return f"{dialect.name} does not tell columns apart by upper and lower case"
        if dialect.most_columns is not None and query.widest > dialect.most_columns:
            return f"{dialect.name} takes {dialect.most_columns} columns, the query needs {query.widest}"
        return None


def count_terms(model: ModelProto) -> int:
    """Leaves, weights and levels of a graph: what its query grows with."""
    from onnx import helper

    total: int = sum(math.prod(tensor.dims) for tensor in model.graph.initializer if len(tensor.dims) > 1)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("leaf_targetids", "keys_strings"):
                total += len(helper.get_attribute_value(attribute))
    return total


def _parts(table: str) -> list[str]:
    return table.split(".")


def _answers(operators: Operators, original: Original) -> dict[str, Expression]:
    """What the query adds to a row, by name. Raises Unsupported."""
    outputs = _evaluate(operators, original.model)
    answers: dict[str, Value] = {"prediction": outputs["prediction"][0, 0]}
    if original.task.is_classification:
        wide = outputs["probabilities"][0]
        named = {
            f"probability_{name}": value for name, value in zip(original.task.classes, wide, strict=True)
        }
        if original.task.type == "binary":
            answers["probability"] = wide[1]
        else:
            answers["probability"] = operators.largest("float64", list(wide))
        answers |= named
    else:
        answers |= {name: outputs[name][0, 0] for name in ("lower", "upper") if name in outputs}
    return {name: operators.as_expression(value) for name, value in answers.items()}


def _evaluate(operators: Operators, model: ModelProto) -> dict[str, Any]:
    """The outputs of the graph, [1, width] each. Raises Unsupported."""
    from onnx import numpy_helper

    kinds: dict[int, Dtype] = {1: "float32", 7: "int64", 8: "string", 9: "bool", 11: "float64"}
    types: dict[str, Dtype] = {}
    tensors: dict[str, Any] = {"": None}
    for value in _typed(model):
        types[value.name] = kinds.get(value.type.tensor_type.elem_type, "float32")
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).astype(object)
        types[tensor.name] = kinds.get(tensor.data_type, "float32")
        tensors[tensor.name] = _as_texts(array) if types[tensor.name] == "string" else array
    for column in model.graph.input:
        tensors[column.name] = operators.input(column.name, types[column.name])
    for node in model.graph.node:
        inputs = [tensors[name] for name in node.input]
        made = operators.run(node, inputs, [types.get(name, "float32") for name in node.input])
        tensors.update(zip(node.output, made))
    return {output.name: tensors[output.name] for output in model.graph.output}


def _typed(model: ModelProto) -> list[Any]:
    """Every tensor of the graph with its type, as far as it can be inferred."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    return [*graph.input, *graph.value_info, *graph.output]


def _as_texts(array: Any) -> Any:
    import numpy as np

    out = np.empty(array.shape, dtype=object)
    for at in np.ndindex(*array.shape):
        item = array[at]
        out[at] = item.decode() if isinstance(item, bytes) else str(item)
    return out


def _header(original: Original, dialect: str, table: str) -> str:
    """What a reader of the file needs to know, as comments."""
    columns = [
        f"{' '.join(column.name.split())!r} ({'number' if column.dtype == 'float32' else column.feature})"
        for column in original.inputs
    ]
    answers = "prediction"
    if original.task.is_classification:
        answers += ", probability, and probability_<class> for every class"
    lines = [
        f"The model {original.name!r} as a query for {DIALECTS[dialect].name}: every row of the table",
        f"{' '.join(table.split())} with {answers}.",
        "",
        "The table's name stands once, in the first FROM. Missing values are NULL; a spelling of missing in",
        "the data, such as '?', has to be made NULL before. Texts are compared as they are, dates are texts",
        "such as 2024-05-01 or 2024-05-01T12:30:00. The columns that it reads:",
        *(f"  {column}" for column in columns),
    ]
    # A name with a line break in it must not end the comment.
    return "".join(f"-- {' '.join(line.splitlines())}".rstrip() + "\n" for line in lines) + "\n"


class _DuckDb:
    """The query in a database in memory."""

    def __init__(self, text: str, table: list[str], original: Original) -> None:
        import duckdb

        self._inputs = original.inputs
        self._table = ".".join(map(identifier, table))
        classes = len(original.task.classes)
        # By place: a column of the table may have the name of an answer.
        first = len(original.inputs) + (2 if classes else 0)
        self._places = range(first, first + max(1, classes))
        self._connection = duckdb.connect(config={"enable_external_access": "false"})
        self._connection.execute("SET threads TO 1")
        if len(table) > 1:
            self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(table[0])}")
        kinds = {"float32": "REAL", "string": "VARCHAR"}
        columns = ", ".join(f"{identifier(column.name)} {kinds[column.dtype]}" for column in original.inputs)
        self._connection.execute(f"CREATE TABLE {self._table} ({columns})")
        try:
            self._connection.execute(f"PREPARE score AS {text}")
        except duckdb.Error as problem:
            raise DataError(f"DuckDB refuses {_FILE}: {str(problem).splitlines()[0]}") from problem

    def run(self, rows: Rows) -> np.ndarray:
        """float64 [n, classes] or [n, 1], in the order of the rows."""
        import numpy as np
        import pyarrow as pa

        kinds = {"float32": pa.float32(), "string": pa.string()}
        given = [pa.array(rows[column.name][:, 0], kinds[column.dtype]) for column in self._inputs]
        names = [f"c{place}" for place in range(len(given))]
        self._connection.register(_GIVEN, pa.table(dict(zip(names, given))))
        self._connection.execute(f"DELETE FROM {self._table}")
        self._connection.execute(f"INSERT INTO {self._table} SELECT * FROM {identifier(_GIVEN)}")
        self._connection.unregister(_GIVEN)
        answers = self._connection.execute("EXECUTE score").fetchall()
        picked = [[row[place] for place in self._places] for row in answers]
        return np.array(picked, dtype=np.float64).reshape(len(answers), len(self._places))
