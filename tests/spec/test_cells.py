import random

import pyarrow as pa
import pytest

from declarative_ml.sources import hypotheses
from declarative_ml.sources.inference import RuleInference
from declarative_ml.spec.cells import (
    DATES,
    canonical,
    described,
    is_iso_date,
    is_number,
    numbers_of,
    rule_of,
)

_TEXTS = (
    """
1|2.5|-3|+4|1e3|1.|0|.5|007|1,234|1.234|1,234.5|1.234,5|3,5|1 234|1 234,5|1'234|$5|$1,200.50|€ 3,50|5 kg|6 kg
7kg|8GB|5%|6 %|true|False|TRUE|2024-01-03|2024-01-03 10:00|2024-01-03T10:00:00Z|3/4/2020|13/4/2020|4/13/2020
03.04.2020|3.4.20|1-2-99|4 May 2020|4-May-2020|May 4, 2020|May 2020|2020-05|2024-13-40|2024/01/03|x
85 Turner St|12:30|20240103|1e400|123456789012345678901|-$5|$-5|+ 5|EUR 5|5 EUR|USD5|1.5e3 kg|2e3m|12 345 678
1,23|1,2345|0,5|0.|5 km/h|4 Seasons|93 min|1/2|(5)|#5|N5|5-|--5|1 2|0 123|0,123|1,234,567|1.234.567|'5|5'
5'000 CHF|12,5 %|Jan 5|5 / 10|3rd|1\u00a0234|30-Feb-2020|29-Feb-2020|Dec. 24, 2020
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


def same_as_the_run(texts: list[str]) -> bool:
    inference = RuleInference()
    inference.update(pa.record_batch({"a": pa.array(texts, pa.string())}))
    run = inference.schema().columns["a"].model_dump()
    ours = rule_of(list(dict.fromkeys(texts))).model_dump()
    if run["type"] == "date" == ours["type"]:
        return bool(run["formats"][-1] == ours["formats"][-1])
    return run == ours


def test_the_same_patterns_of_dates_as_the_run() -> None:
    assert DATES == hypotheses.DATES


def test_columns_of_texts_are_read_as_in_a_run() -> None:
    # One inference takes 20 ms: a sample of the pairs.
    draw = random.Random(11)
    pairs = [[text] for text in draw.sample(_TEXTS, 30)]
    pairs += [[text, text.replace("5", "6")] for text in draw.sample(_TEXTS, 15)]
    pairs += [draw.choices(_TEXTS, k=2) for _ in range(15)]
    assert [texts for texts in pairs if not same_as_the_run(texts)] == []


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1,234", "12"], "number"), (["1,234", "1.5"], "number"), (["1.234", "3,5"], "number"),
        (["1.5", "3,5"], "text"), (["5 kg", "6"], "text"), (["$1,200", "$5"], "number"),
        (["2024-01-03", "2024-01-03 10:00"], "date"), (["13/4/2020", "4/13/2020"], "text"),
        (["2024-01-03", "3/4/2020"], "text"), (["007", "8"], "text"), (["true", "FALSE"], "boolean"),
        (["true", "1"], "text"), (["93 min", "4 Seasons"], "text"), (["1 234,5", "12"], "number"),
    ],
)  # fmt: skip
def test_mixtures_are_read_as_in_a_run(texts: list[str], kind: str) -> None:
    assert rule_of(texts).type == kind
    assert same_as_the_run(texts)


def test_no_texts() -> None:
    assert rule_of([]).type == "text"
    assert numbers_of([]) is None


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1", "2.5", "-3e2"], [1.0, 2.5, -300.0]),
        (["$1,200", "$3"], [1200.0, 3.0]),
        (["1,5", "2,25"], [1.5, 2.25]),
        (["5 kg", "6kg"], [5.0, 6.0]),
        (["007", "008"], None),
        (["5 kg", "6"], None),
        (["2024-01-03"], None),
        (["May 2020"], None),
        (["a"], None),
    ],
)
def test_numbers(texts: list[str], numbers: list[float] | None) -> None:
    found = numbers_of(texts)
    assert (list(found.values()) if found is not None else None) == numbers


def test_single_cells() -> None:
    assert is_number("007")
    assert is_number("-1.5e3")
    assert not any(map(is_number, ("1,5", "5 kg", "x", "inf", "nan", "")))
    assert is_iso_date("2024-01-03")
    assert is_iso_date("2024-01-03T10:00:00Z")
    assert not any(map(is_iso_date, ("20240103", "03/01/2024", "2024-02-30", "x")))


@pytest.mark.parametrize(
    ("texts", "levels"),
    [
        (["1", "1.0", "2"], ["1", "1", "2"]),
        (["TRUE", "true"], ["true", "true"]),
        (["Yes", "yes"], ["Yes", "yes"]),
    ],
)
def test_one_spelling_for_one_level(texts: list[str], levels: list[str]) -> None:
    assert [canonical(text, rule_of(texts)) for text in texts] == levels


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["2024-01-03", "2024-01-04"], "dates"),
        (["true", "false"], "true or false"),
        (["$5", "$6"], "numbers with '$'"),
        (["5 kg"], "numbers with 'kg'"),
        (["1,5"], "numbers with a decimal ','"),
        (["1,234", "1,234.5"], "numbers with ',' between thousands"),
        (["a", "b"], "texts"),
        (["3/4/2020", "x"], "dates"),
        (["7"], "numbers"),
    ],
)
def test_in_words(texts: list[str], words: str) -> None:
    assert described(texts) == words
