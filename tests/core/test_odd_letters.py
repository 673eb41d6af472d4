"""Letters that change with their case, and digits of other alphabets: every reader takes a text alike."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from declarative_ml.core.columns import apply_rule, raw_column, read_column
from declarative_ml.core.errors import DataError
from declarative_ml.core.grammar import TIME, either_case, spellings_of_missing
from declarative_ml.core.schema import DEFAULT_MISSING, ColumnRule
from declarative_ml.features.date_graph import DateGraph
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.learning.iso_dates import date_parts
from declarative_ml.scoring.parse import raw_values
from declarative_ml.sources.hypotheses import DATES
from declarative_ml.sources.inference import RuleInference

_TWINS = {
    "s": "\u017f", "S": "\u017f", "k": "\u212a", "i": "\u0131", "I": "\u0130", "a": "\u00aa", "A": "\uff21",
    "-": "\u2011", "/": "\u2044", " ": "\u2003", ":": "\uff1a",
    **{str(n): chr(0xFF10 + n) for n in range(10)},
}  # fmt: skip
"""Characters -> others that fold to them, or look like them."""
_DATES = ("sep 5 2020", "5 Aug 2020", "05-DEC-20", "Oct 1, 2020 5:07 pm", "2020-01-31", "sept. 2020",
          "31.01.2020 10:00Z", "1/2/2020 10:00:00.5 +02:00", "true",
          "FALSE", "1", "12 km", "2020-02-30")  # fmt: skip

_few = settings(deadline=None, max_examples=25)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Dates and truth values of which some characters have been changed for a twin, or any text."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.text(max_size=12))
    text = draw(st.sampled_from(_DATES))
    changed = draw(st.lists(st.integers(0, len(text) - 1), max_size=2))
    return "".join(_TWINS.get(sign, sign) if at in changed else sign for at, sign in enumerate(text))


_columns = st.lists(texts(), min_size=1, max_size=6)


@_few
@example(found=["\u017fep 5 2020"], pattern="%b %d %Y", timed=False)
@given(found=_columns, pattern=st.sampled_from(DATES), timed=st.booleans())
def test_training_and_the_scorer_take_every_text_alike(found: list[str], pattern: str, timed: bool) -> None:
    rules = [
        ColumnRule(type="date", formats=(pattern + TIME * timed,), has_time=timed),
        ColumnRule(type="boolean"),
    ]
    for rule in rules:
        typed, wrong = read_column(pa.array(found, pa.string()), rule)
        raw, misfits = raw_values(found, "string", rule)
        assert raw_column(typed, "string").to_pylist() == raw[:, 0].tolist()
        assert wrong.tolist() == [row for row, _ in misfits]


@_few
@given(_columns, st.integers(1, 30))
def test_what_inference_finds_reads_every_value(found: list[str], times: int) -> None:
    array = pa.array(found * times, pa.string())
    inference = RuleInference(DEFAULT_MISSING)
    inference.update(pa.record_batch({"x": array}))
    apply_rule(array, inference.schema().columns["x"], spellings_of_missing(DEFAULT_MISSING))


@pytest.mark.parametrize("text", ["\u017fep 5 2020", "5 Au\u0261 2020", "\uff15 Aug 2020"])
def test_other_alphabets_name_no_month(text: str) -> None:
    inference = RuleInference(DEFAULT_MISSING)
    inference.update(pa.record_batch({"x": [text, *["sep 5 2020"] * 30]}))
    assert inference.schema().columns["x"].type == "text"
    with pytest.raises(DataError, match="not a date"):
        apply_rule(pa.array([text]), ColumnRule(type="date", formats=("%b %d %Y", "%d %b %Y")))


def test_letters_of_both_cases_and_nothing_else() -> None:
    assert either_case("ab(?:c)?") == "[Aa][Bb](?:[Cc])?"


@pytest.fixture(scope="module")
def graph_of_dates() -> object:
    """A session: texts [N, 1] -> whether each is a date, and its days since 1970."""
    import onnxruntime

    graph = OnnxGraph()
    graph.input("x", "string")
    date = DateGraph(graph, "x")
    graph.output(graph.cast(date.valid, "float32"), "valid", "float32")
    graph.output(graph.cast(graph.add("Floor", [date.parts(["days"])]), "int64"), "days", "int64")
    model = graph.build("dates", {})
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_the_graph_takes_every_text_as_training_does(graph_of_dates: object) -> None:
    session = graph_of_dates

    @_few
    @given(_columns)
    def hold(found: list[str]) -> None:
        valid, days = session.run(None, {"x": np.array(found, dtype=object).reshape(-1, 1)})  # type: ignore[attr-defined]
        parts, known = date_parts(pa.array(found, pa.string()))
        assert valid[:, 0].tolist() == known.tolist()
        assert np.where(valid, days, 0)[:, 0].tolist() == np.floor(parts[:, 0]).astype(int).tolist()

    hold()
