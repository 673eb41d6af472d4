from pathlib import Path

import pytest

from declarative_ml.core.errors import Problem
from declarative_ml.spec.homes import LocalHome
from declarative_ml.spec.references import References
from declarative_ml.spec.yaml_reader import read_yaml

_ENVIRONMENT = {
    "NAME": "churn",
    "N": "7",
    "RATE": "1e-3",
    "FLAG": "true",
    "ZIP": "010",
    "EMPTY": "",
    "INF": ".inf",
}


def resolve(text: str, folder: Path) -> tuple[object, list[Problem]]:
    node, _ = read_yaml(f"value: {text}\n", "spec.yaml")
    assert node is not None
    problems: list[Problem] = []
    resolved = References(
        {}, LocalHome("spec.yaml", None, folder / "spec.yaml"), _ENVIRONMENT, problems
    ).resolve(node)
    return resolved.plain()["value"], problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:NAME}", "churn"),
        ('"${env:N}"', 7),
        ("${env:RATE}", 0.001),
        ("${env:FLAG}", True),
        ("${env:ZIP}", "010"),
        ("${env:INF}", ".inf"),
        ("v${env:N}", "v7"),
        ("${env:NAME}-${env:N}", "churn-7"),
        ("${env:NOPE:-x}", "x"),
        ("${env:NOPE:-0.5}", 0.5),
        ("${env:EMPTY:-x}", "x"),
        ("${env:NOPE:-}", None),
        ("${env:EMPTY}", None),
        ("${env:NOPE:-a:-b}", "a:-b"),
        ("a $${env:NAME}", "a ${env:NAME}"),
        ("$${", "${"),
        ("['${env:N}', {a: '${env:NAME}'}]", [7, {"a": "churn"}]),
        ("${file:query.sql}", "SELECT 1\nFROM t"),
        ("'-- ${file:query.sql}'", "-- SELECT 1\nFROM t"),
        ("${file:number.txt}", "7"),
        ("$5", "$5"),
    ],
)
def test_references_are_looked_up(text: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "query.sql").write_text("SELECT 1\nFROM t\n")
    (tmp_path / "number.txt").write_text("7")
    assert resolve(text, tmp_path) == (value, [])


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("${env:NOPE}", "the environment variable NOPE is not set", "${env:NOPE:-value}"),
        ("${HOME}", "unknown reference ${HOME}", "did you mean ${env:HOME}?"),
        ("${env:}", "unknown reference ${env:}", "known: ${env:NAME}"),
        (
            "${file:none.sql}",
            "cannot read none.sql: No such file or directory",
            "relative to the file that says them",
        ),
        ("${file:latin.txt}", "latin.txt is not UTF-8 text", "UTF-8"),
        ("${file:large.txt}", "large.txt is larger than 200,000 bytes", None),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(
    text: str, message: str, hint: str | None, tmp_path: Path
) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "large.txt").write_text("x" * 200_001)
    _, problems = resolve(text, tmp_path)
    assert [(problem.code, problem.message) for problem in problems] == [("DML009", message)]
    assert (problems[0].line, problems[0].column) == (1, 8)
    assert problems[0].hint is None if hint is None else hint in str(problems[0].hint)


def test_two_bad_references_in_one_text_are_two_problems(tmp_path: Path) -> None:
    _, problems = resolve("${env:A1}/${env:A2}", tmp_path)
    assert len(problems) == 2


def test_what_a_reference_yields_is_not_resolved_again(tmp_path: Path) -> None:
    (tmp_path / "evil.txt").write_text("${env:NAME}")
    assert resolve("${file:evil.txt}", tmp_path)[0] == "${env:NAME}"
