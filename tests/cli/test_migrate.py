"""`dml migrate` end to end, with a table of migrations of its own where something is to change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.spec import migrations
from declarative_ml.spec.migrations import Migration

SPEC = "# Ours.\nversion: 1\nname: churn   # ours\ndata: {source: a.csv}\ntarget: y\nseed: 7   # lucky\n"
AFTER = SPEC.replace("version: 1", "version: 2").replace("seed: 7", "random: 7")
DIFF = """\
 # Ours.
-version: 1
+version: 2
 name: churn   # ours
 data: {source: a.csv}
 target: y
-seed: 7   # lucky
+random: 7   # lucky
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dml whose current version is 2."""
    step = Migration(2, "seed is called random", lambda layer: layer.rename(("seed",), "random"))
    monkeypatch.setattr(migrations, "MIGRATIONS", (step,))


@pytest.mark.parametrize("arguments", [(), ("spec.yaml",), ("spec.yaml", "--check")])
def test_a_current_spec_stays(spec: Path, dml: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    outcome = dml("migrate", *arguments)
    assert (outcome.code, outcome.out) == (0, "spec.yaml is already version 1, the current one\n")
    assert spec.read_text() == SPEC


@pytest.mark.usefixtures("two")
def test_an_old_spec_is_rewritten_and_the_change_shown(spec: Path, dml: Callable[..., Any]) -> None:
    spec.chmod(0o600)
    outcome = dml("migrate")
    assert outcome.code == 0
    assert outcome.out.startswith("spec.yaml: version 1 becomes 2\n  seed is called random\n--- spec.yaml\n")
    assert DIFF in outcome.out
    assert outcome.out.endswith("wrote spec.yaml\n")
    assert spec.read_text() == AFTER
    assert spec.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in spec.parent.iterdir()] == ["spec.yaml"]
    assert dml("migrate").out == "spec.yaml is already version 2, the current one\n"


@pytest.mark.usefixtures("two")
def test_check_only_looks(spec: Path, dml: Callable[..., Any]) -> None:
    outcome = dml("migrate", "--check")
    assert outcome.code == 8
    assert DIFF in outcome.out
    assert "wrote" not in outcome.out
    assert spec.read_text() == SPEC


@pytest.mark.usefixtures("two")
def test_another_file_can_be_written(spec: Path, dml: Callable[..., Any]) -> None:
    assert dml("migrate", "spec.yaml", "-o", "new.yaml").code == 0
    assert (spec.read_text(), (spec.parent / "new.yaml").read_text()) == (SPEC, AFTER)
    outcome = dml("migrate", "new.yaml", "-o", "copy.yaml")
    assert "new.yaml is already version 2" in outcome.out
    assert (spec.parent / "copy.yaml").read_text() == AFTER


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
def test_line_ends_and_byte_order_mark_stay(spec: Path, dml: Callable[..., Any], mark: bytes) -> None:
    spec.write_bytes(mark + SPEC.replace("\n", "\r\n").replace("version: 1\r\n", "").encode())
    outcome = dml("migrate")
    assert outcome.code == 0
    assert "\r" not in outcome.out
    lines = (
        "# Ours.\nversion: 2\nname: churn   # ours\ndata: {source: a.csv}\ntarget: y\nrandom: 7   # lucky\n"
    )
    assert spec.read_bytes() == mark + lines.replace("\n", "\r\n").encode()


@pytest.mark.usefixtures("two")
def test_a_link_stays_a_link(spec: Path, dml: Callable[..., Any]) -> None:
    link = spec.with_name("link.yaml")
    link.symlink_to("spec.yaml")
    assert dml("migrate", "link.yaml").code == 0
    assert link.is_symlink()
    assert spec.read_text() == AFTER


@pytest.mark.usefixtures("two")
def test_templates_are_named_and_migrated_on_their_own(spec: Path, dml: Callable[..., Any]) -> None:
    base = spec.with_name("base.yaml")
    base.write_text("seed: 7\n")
    spec.write_text("version: 2\nname: a\nextends: [base.yaml, tabular-binary]\n")
    outcome = dml("migrate")
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "spec.yaml is already version 2, the current one",
        "  it extends base.yaml, version 1, with a migration of its own: dml migrate base.yaml",
        "  it extends specs/tabular-binary.yaml, version 1, with a migration of its own: it is migrated"
        " where it is kept",
    ]
    together = dml("migrate", "spec.yaml", "base.yaml")
    assert "dml migrate base.yaml" not in together.out
    assert base.read_text() == "version: 2\nrandom: 7\n"


@pytest.mark.usefixtures("two")
def test_for_machines(spec: Path, dml: Callable[..., Any]) -> None:
    outcome = dml("migrate", "--check", "--format", "json")
    (found,) = json.loads(outcome.out)["specs"]
    assert outcome.code == 8
    assert DIFF.rstrip() in found.pop("diff")
    assert found == {
        "file": "spec.yaml", "found": 1, "current": 2, "changes": True, "steps": ["seed is called random"],
        "templates": [],
    }  # fmt: skip
    written = dml("migrate", "--format", "json")
    assert (json.loads(written.out)["specs"][0]["changes"], written.err) == (True, "wrote spec.yaml\n")


@pytest.mark.usefixtures("two")
def test_nothing_is_written_unless_all_can_be(spec: Path, dml: Callable[..., Any]) -> None:
    spec.with_name("b.yaml").write_text("name: b\nversion: 3\n")
    spec.with_name("c.yaml").write_text("random: 1\nseed: 2\n")
    outcome = dml("migrate", "spec.yaml", "b.yaml", "c.yaml")
    assert outcome.code == 3
    assert "b.yaml:2:10  error DML030  this dml reads version 2 of the spec's format; the spec says 3" in (
        outcome.err
    )
    assert "c.yaml:2:1  error DML030  seed cannot become 'random': both are there" in outcome.err
    assert "change it by hand, then run `dml migrate` again" in outcome.err
    assert (spec.read_text(), outcome.out) == (SPEC, "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version: 2\n", "spec.yaml:1:10  error DML030  this dml reads version 1"),
        (b"version: 1.0\n", "spec.yaml:1:10  error DML030  version must be the whole number 1, not 1.0"),
        (b"a: [\n", "error DML003"),
        (b"a: \xe9\n", "error DML002  byte 0xe9 is not UTF-8"),
        (b"a" * 1_000_001, "error DML007  the spec is larger than 1,000,000 bytes"),
        (None, "error DML001  cannot read the spec: no such file"),
    ],
)
def test_what_cannot_be_migrated(
    spec: Path, dml: Callable[..., Any], content: bytes | None, message: str
) -> None:
    spec.unlink() if content is None else spec.write_bytes(content)
    outcome = dml("migrate", "spec.yaml")
    assert outcome.code == 3
    assert message in outcome.err


@pytest.mark.parametrize("arguments", [("a.yaml", "b.yaml", "-o", "c"), ("a.yaml", "--check", "-o", "c")])
def test_wrong_usage(spec: Path, dml: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    outcome = dml("migrate", *arguments)
    assert outcome.code == 2
    assert "-o takes one SPEC, and does not go with --check." in outcome.err


def test_validate_says_the_same_of_a_version(spec: Path, dml: Callable[..., Any]) -> None:
    spec.write_text(SPEC.replace("version: 1", "version: 2"))
    outcome = dml("validate", "--no-data")
    assert outcome.code == 3
    assert "spec.yaml:2:10  error DML030  this dml reads version 1 of the spec's format" in outcome.out
    assert "pip install -U declarative-ml; if it counts your own changes, write 1" in outcome.out
    argument = dml("validate", "--no-data", "--set", "version=1")
    assert argument.code == 0
