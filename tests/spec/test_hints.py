import pytest

from declarative_ml.learning.metric_names import METRICS
from declarative_ml.spec.choices import either, right_choice
from declarative_ml.spec.hints import Wrong, about, hint_for, number_in
from declarative_ml.spec.letters import odd_letter, plain
from declarative_ml.spec.shapes import keys_of, models_at, section_of
from declarative_ml.spec.synonyms import (
    _ADVICE,
    _CAVEATS,
    _KEYS,
    _NOTES,
    _VALUES,
    choice_of,
    note_on,
    places_of,
)
from declarative_ml.spec.unknown_keys import what_was_meant

NUMBER, WHOLE = ["a number"], ["a whole number"]


@pytest.mark.parametrize(
    ("text", "kinds", "number"),
    [
        ("20%", NUMBER, "0.2"), ("12.5 %", NUMBER, "0.125"), ("1/5", NUMBER, "0.2"), ("1/0", NUMBER, None),
        ("0,05", NUMBER, "0.05"), ("1,000", NUMBER, "1000"), ("1,000", WHOLE, "1000"), ("0,5", WHOLE, None),
        ("12,345,678", WHOLE, "12345678"), ("1,00", WHOLE, None), ("2k", WHOLE, "2000"),
        ("1.5M", NUMBER, "1500000"), ("500m", WHOLE, None), ("many", NUMBER, None), ("", NUMBER, None),
        ("007", WHOLE, "7"), ("1_000", WHOLE, "1000"), ("1.5", WHOLE, None), ("1.0", WHOLE, "1"),
        ("−1", NUMBER, "-1"), ("‘20’", WHOLE, "20"), ("“0.1”", NUMBER, "0.1"), ("'3'", WHOLE, "3"),
        ("\u00a05", WHOLE, "5"), ("５", WHOLE, "5"),
        ("nan", NUMBER, None), ("inf", NUMBER, None), ("1e400", NUMBER, None), ("0.01-0.1", NUMBER, None),
        ("1e-3", NUMBER, "0.001"), ("1,2,3", NUMBER, None),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(text: str, kinds: list[str], number: str | None) -> None:
    assert number_in(text, kinds) == number


@pytest.mark.parametrize(
    ("text", "found", "meant"),
    [
        ("plain", None, "plain"),
        ("a\u00a0b", "no-break space", "a b"),
        ("\u200bepochs", "zero width space", "epochs"),
        ("\ufeffname", "zero width no-break space", "name"),
        ("“x”", "left double quotation mark", "x"),
        ("–5", "en dash", "-5"),
        ("Zoë", None, "Zoë"),
        ("fu\u0308r", None, "für"),
    ],
)
def test_letters_that_look_like_others(text: str, found: str | None, meant: str) -> None:
    odd = odd_letter(text)
    assert odd is None if found is None else found in str(odd)
    assert plain(text) == meant


@pytest.mark.parametrize(
    ("value", "path", "kinds", "hint"),
    [
        ("a, b", ("exclude",), ["a list"], "write [a, b]"),
        ("- a - b", ("exclude",), ["a list"], "begin each line with '- ': - a"),
        ({"a": True, "b": None}, ("exclude",), ["a list"], "write [a, b]"),
        ({"a": 1}, ("exclude",), ["a list"], "for example exclude: [COLUMN, COLUMN]"),
        (["yes"], ("target", "positive"), ["a text"], "write positive: yes"),
        (["true"], ("target", "positive"), ["a text"], "write positive: 'true'"),
        (["it's: so"], ("target", "positive"), ["a text"], "write positive: 'it''s: so'"),
        ([0.6, 0.2, 0.2], ("data", "split"), ["a mapping"], "write {validation: 0.2, test: 0.2}"),
        ([60, 40], ("data", "split"), ["a mapping"], "write {test: 0.4}"),
        (0.8, ("data", "split"), ["a mapping"], "write {test: 0.2}"),
        (True, ("data", "split"), ["a mapping"], "for example split: {method: random, test: 0.2}"),
    ],
)
def test_what_a_value_was_meant_to_be(
    value: object, path: tuple[str, ...], kinds: list[str], hint: str
) -> None:
    assert hint_for(Wrong(value, path, {}, kinds)).startswith(hint)


def test_what_nobody_knows_is_not_guessed() -> None:
    assert about(("no", "such"), {}) == "`dml schema` and docs/reference.md list what may stand here"


def _sections() -> dict[str, set[str]]:
    """Every key of each section, whatever the types there are."""
    from declarative_ml.spec.shapes import branches_at

    data = {
        "data": {"source": {}, "split": {}},
        "features": {"a": {}},
        "model": {},
        "tune": {"space": {"a": {}}},
        "evaluate": {"threshold": {}, "gates": {"a": {}}, "champion": {}},
    }
    paths = [(), ("data",), ("data", "source"), ("data", "split"), ("features", "a"), ("model",), ("target",),
             ("tune",), ("tune", "space", "a"), ("evaluate",), ("evaluate", "threshold"),
             ("evaluate", "gates", "a"), ("evaluate", "champion"), ("explain",), ("track",),
             ("resources",)]  # fmt: skip
    return {section_of(path): {key for m in branches_at(data, path) for key in keys_of(m)} for path in paths}


def test_synonyms_lead_to_keys_that_exist_and_are_none() -> None:
    sections = _sections()
    sections[""] |= {"profiles", "extends", "params"}
    for place in [*_KEYS, *(place for _, place in _CAVEATS)]:
        section, _, name = place.rpartition(".")
        assert name in sections[section], place
        assert "," not in _KEYS[place]
    for (names, section), _ in _NOTES.items():
        assert section in sections
        assert names == names.lower()


def test_choices_of_other_tools_lead_to_choices_that_exist() -> None:
    text = str([model.model_json_schema() for model in models_at(None, ())])
    for choice in [*_VALUES, *(needed for _, needed in _ADVICE)]:
        assert f"'{choice}'" in text, choice
    assert choice_of("RandomForestClassifier", ["linear", "lightgbm"]) == ("lightgbm", False)
    assert choice_of("numeric", ["number"]) == ("number", True)
    assert choice_of("numeric", ["date"]) is None


@pytest.mark.parametrize("metric", METRICS)
def test_a_right_choice_is_its_own_nearest(metric: str) -> None:
    assert right_choice(metric.upper().replace("_", " "), METRICS) == f"did you mean '{metric}'?"


def test_notes_of_a_section_go_before_general_ones() -> None:
    assert "one level up" in str(note_on("params", "model"))
    assert note_on("params", "evaluate") is None
    assert places_of("Random-State") == ["seed"]
    assert either(["a", "b", "a"]) == "a or b"


@pytest.mark.parametrize(
    "name", ["", " ", "?", "é", "a" * 300, "[0]", ".", "+", ":", "=", "x=", "null", "\u200b"]
)
@pytest.mark.parametrize("path", [(), ("data",), ("model",), ("features", "a"), ("data", "split")])
def test_every_unknown_key_gets_a_hint(name: str, path: tuple[str, ...]) -> None:
    data = {"data": {"split": {}}, "model": {"type": "mlp"}, "features": {"a": {"type": "number"}}}
    assert what_was_meant(name, path, data).hint
