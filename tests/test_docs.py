"""The pages say what is so: generated parts are in sync, YAML in them is valid, links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from itertools import takewhile
from pathlib import Path

import click
import jsonschema
import pytest
import yaml

import declarative_ml
from declarative_ml.api.reference import with_reference
from declarative_ml.cli import VERBS, dml
from declarative_ml.cli.synopsis import with_synopses
from declarative_ml.core.errors import DmlError, SpecError
from declarative_ml.spec.codes import codes_page
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.reference import reference_page
from declarative_ml.spec.schema import schema_text
from declarative_ml.spec.templates import names

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.glob("*.md")),
    *sorted(ROOT.glob("examples/**/*.md")),
]
SPECS = [*sorted(ROOT.glob("specs/*.yaml")), *sorted(ROOT.glob("examples/*/spec.yaml"))]


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("schemas/spec.v1.json", schema_text),
        ("docs/errors.md", codes_page),
        ("docs/reference.md", reference_page),
        ("docs/commands.md", lambda: with_synopses((DOCS / "commands.md").read_text())),
        ("docs/python.md", lambda: with_reference((DOCS / "python.md").read_text())),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_generated_files_are_in_sync(path: str, text: object) -> None:
    assert callable(text)
    assert (ROOT / path).read_text() == text(), f"{path} is out of date: run `make regen`"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_documented(verb: str) -> None:
    command = dml.get_command(click.Context(dml), verb)
    assert command is not None
    assert (command.help or "").strip(), "no help"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.name} has no help"
    page = (DOCS / "commands.md").read_text()
    section = page.partition(f"\n## dml {verb}\n")[2].partition("\n## ")[0]
    words = section.partition("<!-- help")[0].split()
    assert len(words) >= 12, f"docs/commands.md says nothing about {verb}"
    assert f"<!-- help: {verb} -->" in section
    assert f"(#dml-{verb})" in page, "not in the table at the top"


def test_every_exit_code_is_documented() -> None:
    page = (DOCS / "commands.md").read_text()
    codes = {1, *(kind.exit_code for kind in DmlError.__subclasses__())}
    assert [code for code in sorted(codes) if f"| {code} |" not in page] == []


def yaml_blocks() -> list[tuple[str, str]]:
    """(page and number, text) of every YAML block that is meant to be a whole spec."""
    found = []
    for page in PAGES:
        if page.name == "errors.md":  # its examples are wrong on purpose; tests/spec checks them
            continue
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        found += [(f"{label(page)}-{number}", block) for number, block in enumerate(blocks)]
    return found


@pytest.mark.parametrize(
    "block", [block for _, block in yaml_blocks()], ids=[name for name, _ in yaml_blocks()]
)
def test_yaml_in_the_pages_is_valid(block: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(block)
    assert_valid(tmp_path / "spec.yaml")


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/spec.yaml")), ids=label)
def test_specs_are_valid(path: Path) -> None:
    assert_valid(path)


@pytest.mark.parametrize("path", sorted(ROOT.glob("specs/*.yaml")), ids=label)
def test_templates_are_used_as_their_first_lines_say(path: Path, tmp_path: Path) -> None:
    """The comment at the top of each template shows a spec that is valid as it stands."""
    comment = "".join(line[2:] for line in takewhile(is_comment, path.read_text().splitlines(keepends=True)))
    block = re.search(r"^  extends:.*\n(?:   .*\n)*", comment, re.MULTILINE)
    assert block is not None
    (tmp_path / "spec.yaml").write_text(f"name: mine\n{textwrap.dedent(block[0])}")
    assert_valid(tmp_path / "spec.yaml")
    assert path.stem in names()
    template = yaml.safe_load(path.read_text())
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(template)


def is_comment(line: str) -> bool:
    return line.startswith("# ")


def assert_valid(path: Path) -> None:
    try:
        loaded = load_spec(path, data=False)
    except SpecError as error:
        raise AssertionError([problem.message for problem in error.problems]) from error
    assert loaded.problems == ()
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", SPECS, ids=label)
def test_specs_find_their_schema(path: Path) -> None:
    match = re.search(r"^# yaml-language-server: \$schema=(\S+)$", path.read_text(), re.MULTILINE)
    assert match is not None
    assert (path.parent / match[1]).resolve() == ROOT / "schemas" / "spec.v1.json"


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    dead = []
    for target in re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    ):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


def anchors(page: Path) -> set[str]:
    """The link targets that Markdown renderers make from the headings of a page."""
    headings = re.findall(r"^#{1,6} (.+)$", page.read_text(), re.MULTILINE)
    kept = ("".join(char for char in text.lower() if char.isalnum() or char in " -_") for text in headings)
    return {text.replace(" ", "-") for text in kept}


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_pages_name_no_machine(page: Path) -> None:
    text = page.read_text()
    found = re.findall(r"(?:^|[\s\"'`(=])(/(?:root|home|work|tmp|opt|usr|mnt)/\S*)", text)
    assert found == []
    assert not re.search(r"\bpip install\b.*(?:--index-url|--extra-index-url|--find-links)", text)


def test_commands_in_the_pages_exist() -> None:
    unknown = []
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            for verb in re.findall(r"(?:^|\| )dml ([a-z]+)", block, re.MULTILINE):
                if verb not in VERBS:
                    unknown.append(f"{label(page)}: dml {verb}")
    assert unknown == []


@pytest.mark.slow
def test_python_in_the_pages_runs(tmp_path: Path) -> None:
    """The blocks of docs/python.md, one after the other, as a person who follows the page would run them."""
    for name in ("titanic.csv", "new.csv"):
        shutil.copy(ROOT / "examples" / "titanic" / name, tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "python.md").read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "page.py").write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, "-W", "error", "page.py"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "DML016 unknown type 'lightgb' in model did you mean 'lightgbm'?" in done.stdout


def test_every_name_of_the_python_api_is_in_its_table() -> None:
    """The hand-written table of verbs names functions that are there."""
    page = (
        (DOCS / "python.md").read_text().partition("## Verbs and functions")[2].partition("## Reference")[0]
    )
    named = set(re.findall(r"`dml\.(\w+)", page))
    assert named <= set(declarative_ml.__all__)
    functions = {name for name in declarative_ml.__all__ if name.islower() and name not in ("open", "load")}
    assert functions - {"__version__"} <= named


def test_index_lists_every_page() -> None:
    index = (DOCS / "index.md").read_text()
    assert [
        page.name for page in DOCS.glob("*.md") if page.name != "index.md" and f"({page.name})" not in index
    ] == []


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    wanted = set(re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= wanted
    assert [name for name in wanted if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
