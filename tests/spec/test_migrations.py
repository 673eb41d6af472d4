"""Migrations of the spec's format: edits of the text that keep comments, and the chain that applies them."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from declarative_ml.core.errors import SpecError
from declarative_ml.spec.document import Spec
from declarative_ml.spec.format_version import CURRENT, FIRST, version_fault
from declarative_ml.spec.homes import LocalHome
from declarative_ml.spec.migrations import MIGRATIONS, Migration, current_version, migrate_text
from declarative_ml.spec.migrations.document import Document
from declarative_ml.spec.migrations.extended import old_templates
from declarative_ml.spec.migrations.layer import Layer
from declarative_ml.spec.migrations.writing import flow
from declarative_ml.spec.yaml_reader import read_yaml

ROOT = Path(__file__).parents[2]

SPEC = """\
# yaml-language-server: $schema=x
# Ours since 2023.
name: churn   # the name
data: {source: a.csv, split: {test: 0.2, validation: 0.1}}   # here

# How it learns.
# Two lines.
model:
  type: lightgbm
  # enough
  rounds: 500   # more is slow
  # tail of model

sql: |
  select 1
  # no comment
target: y
"""


def edited(text: str, *edits: tuple[Any, ...]) -> str:
    document = Document(text, "spec.yaml")
    for name, *arguments in edits:
        getattr(document, name)(*arguments)
    return document.text


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that are gone, and those that are new, without their order."""
    old, new = Counter(before.split("\n")), Counter(after.split("\n"))
    return list((old - new).elements()), list((new - old).elements())


_EDITS = [
    # rename
    (("rename", ("model",), "learner"), ["model:"], ["learner:"]),
    (("rename", ("data", "split", "test"), "holdout"),
     ["data: {source: a.csv, split: {test: 0.2, validation: 0.1}}   # here"],
     ["data: {source: a.csv, split: {holdout: 0.2, validation: 0.1}}   # here"]),
    (("move", ("model", "rounds"), ("model", "trees")),
     ["  rounds: 500   # more is slow"], ["  trees: 500   # more is slow"]),
    # change a value
    (("put", ("name",), "on"), ["name: churn   # the name"], ['name: "on"   # the name']),
    (("put", ("model",), {"type": "mlp", "layers": [1, 2.5, None, True]}),
     ["model:", "  type: lightgbm", "  # enough", "  rounds: 500   # more is slow"],
     ["model: {type: mlp, layers: [1, 2.5, null, true]}"]),
    (("put", ("data", "split"), "random"),
     ["data: {source: a.csv, split: {test: 0.2, validation: 0.1}}   # here"],
     ["data: {source: a.csv, split: random}   # here"]),
    (("put", ("sql",), "select 2"), ["sql: |", "  select 1", "  # no comment"], ['sql: "select 2"']),
    # write a new one
    (("put", ("track", "uri"), "a: b"), [], ["track:", '  uri: "a: b"']),
    (("put", ("model", "penalty"), 1), [], ["  penalty: 1"]),
    (("put", ("data", "key", "column"), "id"),
     ["data: {source: a.csv, split: {test: 0.2, validation: 0.1}}   # here"],
     ["data: {source: a.csv, split: {test: 0.2, validation: 0.1}, key: {column: id}}   # here"]),
    (("put_first", "version", 2), [], ["version: 2"]),
    # remove
    (("remove", ("name",)), ["name: churn   # the name"], []),
    (("remove", ("data", "source")),
     ["data: {source: a.csv, split: {test: 0.2, validation: 0.1}}   # here"],
     ["data: {split: {test: 0.2, validation: 0.1}}   # here"]),
    (("remove", ("data", "split", "validation")),
     ["data: {source: a.csv, split: {test: 0.2, validation: 0.1}}   # here"],
     ["data: {source: a.csv, split: {test: 0.2}}   # here"]),
    # move: lines with their comments, brackets to lines, lines to brackets
    (("move", ("model", "rounds"), ("learning", "steps")),
     ["  rounds: 500   # more is slow"], ["learning:", "  steps: 500   # more is slow"]),
    (("move", ("model",), ("learner", "core")),
     ["# How it learns.", "# Two lines.", "model:", "  type: lightgbm", "  # enough",
      "  rounds: 500   # more is slow", "  # tail of model"],
     ["learner:", "  # How it learns.", "  # Two lines.", "  core:", "    type: lightgbm", "    # enough",
      "    rounds: 500   # more is slow", "    # tail of model"]),
    (("move", ("sql",), ("model", "sql")),
     ["sql: |", "  select 1", "  # no comment"], ["  sql: |", "    select 1", "    # no comment"]),
    (("move", ("data", "split"), ("split",)),
     ["data: {source: a.csv, split: {test: 0.2, validation: 0.1}}   # here"],
     ["data: {source: a.csv}   # here", "split: {test: 0.2, validation: 0.1}"]),
    (("move", ("model", "rounds"), ("data", "rounds")),
     ["data: {source: a.csv, split: {test: 0.2, validation: 0.1}}   # here",
      "  rounds: 500   # more is slow"],
     ["data: {source: a.csv, split: {test: 0.2, validation: 0.1}, rounds: 500}   # here",
      "  # more is slow"]),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "gone", "new"), _EDITS, ids=[str(case[0][:3]) for case in _EDITS])
@pytest.mark.parametrize("line_break", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_an_edit_touches_its_lines_only(
    edit: tuple[Any, ...], gone: list[str], new: list[str], line_break: str
) -> None:
    text = edited(SPEC.replace("\n", line_break), edit)
    assert text.count("\n") == text.count(line_break)
    text = text.replace("\r\n", "\n")
    assert changed_lines(SPEC, text) == (gone, new)
    assert text.startswith("# yaml-language-server: $schema=x\n# Ours since 2023.\n")


_UNUSUAL = [
    ("- in lists", "m:\n  - a: 1   # one\n    # two\n    b: 2\n", ("remove", ("m", 0, "a")),
     "m:\n  - # one\n    # two\n    b: 2\n"),
    ("alone in a list", "m:\n  - a: 1\n", ("remove", ("m", 0, "a")), "m:\n  - {}\n"),
    ("alone", "m:\n  # why\n  a: 1\nb: 2\n", ("remove", ("m", "a")), "m:\n  # why\n  {}\nb: 2\n"),
    ("moved alone", "m:\n  a: 1\nb: 2\n", ("move", ("m", "a"), ("a",)), "m:\n  {}\nb: 2\na: 1\n"),
    ("last line without end", "a: 1\nb: 2", ("put", ("c",), 3), "a: 1\nb: 2\nc: 3"),
    ("below nothing", "a:\nb: 2\n", ("put", ("a", "c"), 3), "a: {c: 3}\nb: 2\n"),
    ("into nothing", "a: {}\n", ("put", ("a", "c"), 3), "a: {c: 3}\n"),
    ("anchored", "a: &x {b: 1}\nc: *x\n", ("rename", ("a",), "d"), "d: &x {b: 1}\nc: *x\n"),
    ("an alias moved", "a: &x 1\nm: {c: *x, e: 2}\n", ("move", ("m", "c"), ("c",)),
     "a: &x 1\nm: {e: 2}\nc: 1\n"),
    ("over lines", "{a: 1, # one\n b: 2}\n", ("remove", ("b",)), "{a: 1 # one\n }\n"),
    ("comma at the end", "a: {b: 1, c: 2,}\n", ("remove", ("a", "c")), "a: {b: 1, }\n"),
    ("value below its key", "{a:\n  1, b: 2}\n", ("put", ("a",), 3), "{a:\n  3, b: 2}\n"),
    ("in brackets", "{a: 1}\n", ("put_first", "version", 2), "{version: 2, a: 1}\n"),
    ("quoted key", '"a": 1\n', ("rename", ("a",), "b c"), '"b c": 1\n'),
    ("list at the margin", "m:\n- a\n# c\n- b\nz: 1\n", ("move", ("m",), ("z2", "m")),
     "z: 1\nz2:\n  m:\n  - a\n  # c\n  - b\n"),
    ("folded key first", "# head\na: 1\n# about b\nb: 2\n", ("put_first", "version", 2),
     "# head\nversion: 2\na: 1\n# about b\nb: 2\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "edit", "after"), [case[1:] for case in _UNUSUAL], ids=[case[0] for case in _UNUSUAL]
)
def test_unusual_layouts(text: str, edit: tuple[Any, ...], after: str) -> None:
    assert edited(text, edit) == after


_REFUSED = [
    ("a: 1\nb: 2\n", ("rename", ("a",), "b"), "a cannot become 'b': both are there", 1),
    ("a: 1\nb: {c: 2}\n", ("move", ("a",), ("b", "c")), "a cannot become b.c: both are there", 1),
    ("z: 0\nmodel: linear\n", ("put", ("model", "x"), 1), "model is no mapping, so it cannot hold 'x'", 2),
    ("a: &x {b: 1}\nc: *x\n", ("put", ("c", "b"), 2), "c is an alias", 2),
    ("a: &x {b: 1}\nc: *x\n", ("put", ("a", "b"), 2), "a.b is written in a way", 1),
    ("a: &x {b: 1}\nc: *x\n", ("remove", ("a",)), "a is written in a way", 1),
]


@pytest.mark.parametrize(("text", "edit", "message", "line"), _REFUSED, ids=[case[2] for case in _REFUSED])
def test_what_cannot_be_done_safely_is_left_to_a_person(
    text: str, edit: tuple[Any, ...], message: str, line: int
) -> None:
    document = Document(text, "spec.yaml")
    with pytest.raises(SpecError) as error:
        getattr(document, edit[0])(*edit[1:])
    (problem,) = error.value.problems
    assert problem.message.startswith(message)
    assert (problem.code, problem.file, problem.line) == ("DML030", "spec.yaml", line)
    assert problem.hint == "change it by hand, then run `dml migrate` again"
    assert document.text == text


_BASES = [*ROOT.glob("examples/*/spec.yaml"), *ROOT.glob("specs/*.yaml"), *ROOT.glob("tests/spec/bases/*")]


@pytest.mark.parametrize("path", sorted(_BASES), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_random_moves_keep_every_comment(path: Path) -> None:
    """Whatever is moved or renamed, the comments are all there, and the edit itself checks the values."""
    source = random.Random(path.as_posix().rpartition("/")[2])
    text = path.read_text()
    done = 0
    for _ in range(60):
        document = Document(text, "spec.yaml")
        keys = [where for where in document.positions.nodes if where and isinstance(where[-1], str)]
        old = source.choice(keys)
        holder = source.choice([(), (), *keys, old[:-1], ("new", "section")])
        if holder[: len(old)] == old:
            continue
        try:
            document.move(old, (*holder, "moved"))
        except SpecError as error:
            assert "no mapping" in error.problems[0].message, error.problems
            continue
        done += 1
        assert Counter(comments(document.text)) == Counter(comments(text))
    assert done >= 8


def comments(text: str) -> list[str]:
    """The comments of a text whose scalars hold no '#', as the tokens of YAML see it."""
    spans = [(token.start_mark.index, token.end_mark.index) for token in yaml.scan(text)
             if isinstance(token, yaml.ScalarToken)]  # fmt: skip
    rest = list(text)
    for start, end in spans:
        rest[start:end] = "." * (end - start)
    return re.findall(r"#.*", "".join(rest))


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, 1e-7, 10**15, "", "a", "no", "1", "1e3", "a b", "a: b", "#", "'", '"', "é", "\x07",
     "a\nb", "${env:A}", "-", "~", [], [1, ["x"]], {}, {"a b": {"c": [None]}}, "\u2028", "y"],
)  # fmt: skip
def test_values_are_read_back_as_themselves(value: Any) -> None:
    root, problems = read_yaml(f"a: {flow(value)}\nb: [{flow(value)}]\n", "x")
    assert not problems
    assert root is not None
    assert (root.plain()["a"], root.plain()["b"]) == (value, [value])


# The chain of migrations.


def to_trees(layer: Layer) -> None:
    layer.rename(("model", "rounds"), "trees")
    for path in layer.matches(("features", "*", "max_levels")):
        layer.rename(path, "levels")


def to_learner(layer: Layer) -> None:
    if isinstance(layer.get(("model",)), str):
        layer.put(("model",), {"type": layer.get(("model",))})
    layer.move(("model",), ("learner", "core"))
    layer.move(("exclude",), ("data", "exclude"))
    if layer.get(("seed",)) == 42:
        layer.remove(("seed",))


TWO = (
    Migration(2, "model.rounds is called trees", to_trees),
    Migration(3, "model stands under learner", to_learner),
)

OLD = """\
# Ours.
version: 1
name: churn
data: {source: a.csv}
target: y
features:
  plan: {type: category, max_levels: 9}   # few
  age: number
model:
  type: lightgbm
  rounds: 500   # slow
seed: 42
profiles:
  prod: {model: {rounds: 900}, exclude+: [id]}
  quick:
    model: linear   # fast
"""
NEW = """\
# Ours.
version: 3
name: churn
data: {source: a.csv}
target: y
features:
  plan: {type: category, levels: 9}   # few
  age: number
profiles:
  prod: {learner: {core: {trees: 900}}, data: {exclude+: [id]}}
  quick:
    learner:
      core: {type: linear}   # fast
learner:
  core:
    type: lightgbm
    trees: 500   # slow
"""


def test_migrations_are_applied_in_order_to_the_spec_and_its_profiles() -> None:
    result = migrate_text(OLD, "spec.yaml", TWO)
    assert result.text == NEW
    assert (result.found, result.current) == (1, 3)
    assert result.steps == ("model.rounds is called trees", "model stands under learner")


def test_only_the_missing_steps_are_taken() -> None:
    result = migrate_text(OLD.replace("version: 1", "version: 2   # ours"), "spec.yaml", TWO)
    assert "version: 3   # ours" in result.text
    assert "rounds: 500   # slow" in result.text
    assert result.steps == ("model stands under learner",)
    again = migrate_text(result.text, "spec.yaml", TWO)
    assert (again.text, again.found, again.steps) == (result.text, 3, ())


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("name: a\n", "version: 3\nname: a\n"),
        ("# head\n\n# about it\nname: a\n", "# head\n\nversion: 3\n# about it\nname: a\n"),
        ("# head\nname: a\n", "# head\nversion: 3\nname: a\n"),
        ("---\nname: a\n", "---\nversion: 3\nname: a\n"),
        ("{name: a}\n", "{version: 3, name: a}\n"),
        ("name: a\r\n", "version: 3\r\nname: a\r\n"),
    ],
)  # fmt: skip
def test_a_spec_without_a_version_has_the_first(text: str, after: str) -> None:
    result = migrate_text(text, "spec.yaml", TWO)
    assert (result.text, result.found, result.steps) == (after, 1, ())


def test_a_version_in_a_profile_moves_along() -> None:
    text = "version: 1\nprofiles:\n  prod: {version: 1}\n"
    assert migrate_text(text, "s", TWO).text == text.replace(": 1", ": 3")


def test_nothing_happens_to_a_current_spec() -> None:
    result = migrate_text("version: 1\nname: a # b\n", "spec.yaml")
    assert (result.text, result.found, result.current, result.steps) == (
        "version: 1\nname: a # b\n", 1, 1, (),
    )  # fmt: skip


_VERSIONS = [
    ("2", "this dml reads version 1 of the spec's format; the spec says 2: it was written for a newer dml",
     "pip install -U declarative-ml"),
    ("0", "this dml reads version 1 of the spec's format; the spec says 0: there is no such version",
     "write 1"),
    ("-1", "this dml reads version 1 of the spec's format; the spec says -1: there is no such version",
     "write 1"),
    ('"1"', "version must be the whole number 1, not the text '1'", "remove the quotation marks"),
    ('"2"', "version must be the whole number 1, not the text '2'", "write 1"),
    ("1.0", "version must be the whole number 1, not 1.0", "write 1: versions have no decimals"),
    ("1e0", "version must be the whole number 1, not 1e0", "write 1: versions have no decimals"),
    ("0.1", "version must be the whole number 1, not 0.1", "not of dml or of your model"),
    ("0.1.0", "version must be the whole number 1, not the text '0.1.0'", "not of dml or of your model"),
    ("latest", "version must be the whole number 1, not the text 'latest'", "write 1: the format that"),
    ("v1", "version must be the whole number 1, not the text 'v1'", "write 1"),
    ("true", "version must be the whole number 1, not true", "write 1"),
    ("[1]", "version must be the whole number 1, not a list", "write 1"),
    ("${env:V}", "version must be the whole number 1, not the text '${env:V}'", "write 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "hint"), _VERSIONS, ids=[case[0] for case in _VERSIONS])
def test_unknown_versions_are_explained(text: str, message: str, hint: str) -> None:
    with pytest.raises(SpecError) as error:
        migrate_text(f"name: a\nversion: {text}\n", "spec.yaml")
    (problem,) = error.value.problems
    assert problem.message == message
    assert problem.hint is not None
    assert problem.hint.startswith(hint) or hint in problem.hint
    assert (problem.code, problem.file, problem.line) == ("DML030", "spec.yaml", 2)
    assert problem.column == (1 if text == "[1]" else 10)


def test_an_older_version_is_told_of_migrate() -> None:
    assert version_fault(1, None, 2) == (
        "this dml reads version 2 of the spec's format; the spec says 1: it was written for an older dml",
        "`dml migrate` rewrites it, and shows what changes",
    )
    assert version_fault(2, None, 2) is None


def test_the_table_the_document_and_the_number_agree() -> None:
    assert current_version(MIGRATIONS) == CURRENT == Spec.model_fields["version"].default
    assert get_args(Spec.model_fields["version"].annotation) == (CURRENT,)
    assert FIRST == 1


def test_a_table_with_a_gap_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must lead to \[2, 3\] in this order"):
        migrate_text("a: 1\n", "s", (TWO[1], TWO[0]))


@pytest.mark.parametrize(("text", "code"), [("a: [", "DML003"), ("- a", "DML008"), ("", "DML008")])
def test_what_is_no_spec_is_refused(text: str, code: str) -> None:
    with pytest.raises(SpecError) as error:
        migrate_text(text, "spec.yaml", TWO)
    assert [problem.code for problem in error.value.problems] == [code]


def test_templates_below_are_named(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: deep.yaml\nseed: 1\n")
    (tmp_path / "deep.yaml").write_text("version: 2\nextends: base.yaml\n")
    (tmp_path / "new.yaml").write_text("version: 3\n")
    text = (
        "extends: [{use: base.yaml, with: {a: 1}}, new.yaml, tabular-binary, gone.yaml, '${params.x}.yaml',"
        " git+https://example.com/specs.git@v1#base.yaml]\n"
    )
    home = LocalHome("spec.yaml", None, tmp_path / "spec.yaml")
    found = {each.label: (each.version, each.is_local) for each in old_templates(text, home, 3)}
    assert found == {
        "base.yaml": (1, True),
        "deep.yaml": (2, True),
        "specs/tabular-binary.yaml": (1, False),
        "gone.yaml": (None, False),
        "git+https://example.com/specs.git@v1#base.yaml": (None, False),
    }
    current = {each.label for each in old_templates("extends: [base.yaml, tabular-binary]\n", home, 1)}
    assert current == {"deep.yaml"}  # it says 2, which is not known
