from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from declarative_ml.spec import yaml_reader
from declarative_ml.spec.yaml_reader import read_yaml, resolve_scalar


@pytest.fixture(params=["libyaml", "python"])
def any_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both parsers of PyYAML: with libyaml, and without."""
    loader = yaml.SafeLoader if request.param == "python" else getattr(yaml, "CSafeLoader", None)
    if loader is None:
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(yaml_reader, "_LOADER", loader)
    return request.param


def read(text: str) -> Any:
    node, problems = read_yaml(text, "spec.yaml")
    assert problems == []
    assert node is not None
    return node.plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"), ("Yes", "Yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("12:30", "12:30"),
        ("010", "010"), ("-007", "-007"), ("00.5", "00.5"), ("1_000", "1_000"), ("2024-01-31", "2024-01-31"),
        ("0o14", 12), ("0x1F", 31), ("0", 0), ("-0", 0), ("+7", 7), ("42", 42),
        ("1e-3", 0.001), ("1e3", 1000.0), ("1E+2", 100.0), (".5", 0.5), ("5.", 5.0), ("-1.25", -1.25),
        ("true", True), ("True", True), ("FALSE", False), ("tRUE", "tRUE"),
        ("null", None), ("~", None), ("", None), ("Null", None), ("nUll", "nUll"), ("none", "none"),
        ("12345678901234567890", 1.2345678901234567e19), ("e3", "e3"), (".", "."), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = resolve_scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_values_keep_their_kind(any_parser: str) -> None:
    text = (
        "a: NO\nb: 'true'\nc: [1, 1e-3, '2']\nd: |\n  line\n  line\ne: {f: null}\n010: x\n1.50: y\ntrue: z\n"
    )
    assert read(text) == {
        "a": "NO", "b": "true", "c": [1, 0.001, "2"], "d": "line\nline\n", "e": {"f": None},
        "010": "x", "1.50": "y", "true": "z",
    }  # fmt: skip


def test_places_count_characters_from_one(any_parser: str) -> None:
    node, _ = read_yaml("# é\nmodel:\n  type: mlp\n  layers: [64, 128]\nname: 'é: x'  # c\n", "spec.yaml")
    assert node is not None
    model, name = node.value["model"], node.value["name"]
    layers = model.value["layers"]
    places = [model.key, model.value["type"].place, layers.key, layers.value[1].place, name.key, name.place]
    assert [(p.line, p.column, p.width) for p in places if p] == [
        (2, 1, 5), (3, 9, 3), (4, 3, 6), (4, 16, 3), (5, 1, 4), (5, 7, 6),
    ]  # fmt: skip


def test_crlf_and_lone_cr_are_line_ends(any_parser: str) -> None:
    node, problems = read_yaml("a: 1\r\nb:\r\n  c: 2\r\n", "spec.yaml")
    assert problems == []
    assert node is not None
    assert node.value["b"].value["c"].place.line == 3


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "DML004", 3, 1, "key 'a' is given twice"),
        ("a: {b: 1, b: 2}\n", "DML004", 1, 11, "key 'b' is given twice"),
        ("a: 1\n'a': 2\n", "DML004", 2, 1, "key 'a' is given twice"),
        ("a: !!python/object:os.system x\n", "DML005", 1, 4, "is not allowed"),
        ("a: !custom [1]\n", "DML005", 1, 4, "YAML tag '!custom' is not allowed"),
        ("a: 1\n---\nb: 2\n", "DML006", 2, 1, "a second YAML document starts here"),
        ("a:\n\tb: 1\n", "DML003", 2, 1, "a tab stands where YAML wants spaces"),
        ("a: 'x\nb: 2\n", "DML003", 1, 4, "a quotation mark is opened and never closed"),
        ("a: [1, 2\nb: 3\n", "DML003", 1, 4, "a '[' is opened and never closed"),
        ("a: {b: 1\nc: 3\n", "DML003", 1, 4, "a '{' is opened and never closed"),
        ("a: x: y\n", "DML003", 1, 5, "a ':' stands where no key can be"),
        ("a:\n   b: 1\n  c: 2\n", "DML003", 3, 3, "the indentation does not fit the lines above"),
        ("a: @b\n", "DML003", 1, 4, "a value cannot begin with @"),
        ("a: *b\n", "DML003", 1, 4, "*b refers to an anchor that is not defined before it"),
        ("a: &x [*x]\n", "DML003", 1, 8, "*x stands inside of what it refers to"),
        ("a: 1\nb: \x07\n", "DML003", 2, 4, "a control character (U+0007) is not allowed in YAML"),
        ("? [a]\n: 1\n", "DML003", 1, 3, "a key must be text"),
        ("a: .inf\n", "DML021", 1, 4, ".inf is not a finite number"),
        ("a: 1e999\n", "DML021", 1, 4, "1e999 is not a finite number"),
        ("a: .nan\n", "DML021", 1, 4, ".nan is not a finite number"),
        ("[" * 5000 + "]" * 5000, "DML007", 1, 65, "values are nested more than 64 deep"),
        ("a: " + "x" * 200_001, "DML007", 1, 4, "a value of 200,001 characters"),
    ],
)
def test_faults_have_a_place_and_plain_words(
    text: str, code: str, line: int, column: int, message: str, any_parser: str
) -> None:
    _, problems = read_yaml(text, "spec.yaml")
    assert [problem.code for problem in problems] == [code]
    assert message in problems[0].message
    found = (problems[0].file, problems[0].line)
    assert found == ("spec.yaml", line)
    if any_parser == "libyaml":
        assert problems[0].column == column


def test_several_faults_are_reported_together() -> None:
    _, problems = read_yaml("a: 1\na: 2\nb: !!str x\nc: .inf\n", "spec.yaml")
    assert [problem.code for problem in problems] == ["DML004", "DML005", "DML021"]


def test_half_a_surrogate_pair_is_no_character() -> None:
    _, problems = read_yaml('a: "\\uD800"\n', "spec.yaml")
    assert [problem.code for problem in problems][-1:] in (["DML021"], ["DML003"])


def test_aliases_share_values_but_not_keys() -> None:
    node, problems = read_yaml("a: &x {b: 1}\nc: *x\nd: [*x]\n", "spec.yaml")
    assert problems == []
    assert node is not None
    assert node.plain() == {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}]}
    key = node.value["c"].key
    assert key is not None
    assert key.line == 2


def test_a_billion_laughs_are_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    _, problems = read_yaml("\n".join(lines), "spec.yaml")
    assert [problem.code for problem in problems] == ["DML007"]
    assert "once the aliases are expanded" in problems[0].message


def test_aliases_cannot_hide_depth() -> None:
    lines = ["a0: &a0 [[[[[[[[[[x]]]]]]]]]]"] + [f"a{n}: &a{n} [[[[[[*a{n - 1}]]]]]]" for n in range(1, 12)]
    _, problems = read_yaml("\n".join(lines), "spec.yaml")
    assert [problem.message for problem in problems] == ["values are nested more than 64 deep"]


def test_an_empty_document_has_no_root() -> None:
    assert read_yaml("# nothing\n", "spec.yaml") == (None, [])


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn", "Co")), max_size=20),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text("abcXYZ 019.", min_size=1), children)
    ),
    max_leaves=12,
)


@given(_PLAIN)
def test_what_json_writes_is_read_back(value: Any) -> None:
    import json

    assert read(json.dumps({"value": value}, ensure_ascii=False)) == {"value": value}


@given(st.text(max_size=60))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    _, problems = read_yaml(text, "spec.yaml")
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)
