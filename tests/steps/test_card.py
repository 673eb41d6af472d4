"""The model card of real runs: in the bundle, beside the report, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from declarative_ml.core.errors import DataError
from declarative_ml.report.card import card_markdown, card_page
from declarative_ml.report.card_facts import Check
from declarative_ml.steps.card import behave_checks, gate_checks, read_card
from declarative_ml.store.bundle import Bundle

SECTIONS = {
    "description": "Which | kind of <b>flower</b>",
    "owner": "garden",
    "exclude": ["seen"],
    "evaluate": {"slices": ["colour"]},
    "explain": {"rows": 5, "background": 10},
}


@pytest.fixture
def folder(flowers: Any, run: Any) -> Path:
    """The folder of a run."""
    report = run(flowers(**SECTIONS))
    assert report.error is None
    return Path(report.folder)


def chapters(text: str) -> dict[str, str]:
    parts = text.split("\n## ")[1:]
    return {title: body for title, _, body in (part.partition("\n\n") for part in parts)}


def test_the_bundle_holds_it_and_lists_it(folder: Path) -> None:
    bundle = Bundle.open(folder / "bundle", verify=True)
    assert {"MODEL_CARD.md", "card.json"} <= set(bundle.manifest.files)
    text = bundle.read("MODEL_CARD.md").decode()
    assert bundle.manifest.model_digest in text
    beside = (folder / "MODEL_CARD.md").read_text()
    made = json.loads((folder / "run.json").read_text())["created"]
    assert [line for line in beside.splitlines() if line not in text.splitlines()] == [f"| Made | {made} |"]
    assert "<b>" not in (folder / "card.html").read_text()


def test_it_does_not_change_the_identity_of_the_model(flowers: Any, run: Any) -> None:
    first, second = run(flowers(**SECTIONS)), run(flowers(**{**SECTIONS, "owner": "field"}))
    assert first.result["model_digest"] == second.result["model_digest"]
    cards = [Path(report.folder, "MODEL_CARD.md").read_text() for report in (first, second)]
    assert "| Owner | garden |" in cards[0]
    assert "| Owner | field |" in cards[1]


def test_what_it_says(folder: Path) -> None:
    text = (folder / "MODEL_CARD.md").read_text()
    found = chapters(text)
    assert list(found) == [
        "Model details",
        "Intended use",
        "Inputs",
        "Training data",
        "Evaluation",
        "Slices",
        "What the model looks at",
        "Limits",
        "Formats",
        "How to use it",
    ]
    assert "Which \\| kind of \\<b>flower\\</b>" in found["Intended use"]
    assert "the 3 classes of kind (a, b, c)" in found["Intended use"]
    assert "| Source | flowers.csv |" in found["Training data"]
    assert "| Divided | at random |" in found["Training data"]
    assert "| Period by seen | 2024-01-01 to " in found["Training data"]
    assert "| colour | category | " in found["Inputs"]
    assert "- Not used: seen (excluded by the spec)." in found["Limits"]
    assert "so that little can be said: colour = " in found["Limits"]
    metrics = json.loads((folder / "bundle" / "metrics.json").read_text())
    assert f"{metrics['metrics']['test']['log_loss']:.3f}" in found["Evaluation"]
    missing = json.loads((folder / "bundle" / "reference.json").read_text())["columns"]["colour"]
    share = f"{100 * missing['missing'] / missing['rows']:.1f}".removesuffix(".0")
    assert f" {share} % |" in found["Inputs"]
    assert MarkdownIt("gfm-like", {"linkify": False}).render(text).count("<table>") == 6


GATES = {
    "gates": [
        {
            "name": "good",
            "asks": "roc_auc of at least 0.8",
            "reason": "it is 0.83.",
            "passed": True,
            "kind": "metric",
        },
        {
            "name": "fair",
            "asks": "selection rates of sex",
            "reason": "0.4 apart",
            "passed": False,
            "kind": "fairness",
        },
    ],
    "champion": "",
}
TESTS = [
    {"name": "case", "words": "Upper case changes nothing.", "rows": 1200, "failures": 12, "passed": True}
]


def test_gates_and_tests_stand_in_it(folder: Path) -> None:
    assert gate_checks(GATES)[1] == Check(
        name="fair", words="Selection rates of sex. 0.4 apart.", passed=False
    )
    card = read_card(Bundle.open(folder / "bundle"))
    facts = card.facts.model_copy(
        update={
            "gates": gate_checks(GATES),
            "tests": behave_checks(TESTS),
            "faults": ("gate fair: 0.4 apart",),
        }
    )
    judged = replace(card, facts=facts)
    found = chapters(card_markdown(judged))["Gates and tests"]
    assert found.startswith("The model did not pass.\n\n- gate fair: 0.4 apart")
    assert "| fair | failed | Selection rates of sex. 0.4 apart. |" in found
    assert "| case | passed | Upper case changes nothing. 1,188 of 1,200 rows do. |" in found
    assert "The model did not pass." in card_page(judged)


def test_its_python_runs(folder: Path) -> None:
    uses = chapters((folder / "MODEL_CARD.md").read_text())["How to use it"]
    programs = [part.partition("```")[0] for part in uses.split("```python\n")[1:]]
    assert len(programs) == 2
    for program in programs:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert any(f"'{label}'" in done.stdout for label in "abc"), done.stdout


def test_bundles_without_its_facts_have_a_shorter_one(folder: Path, dml: Any) -> None:
    bundle = folder / "bundle"
    manifest = json.loads((bundle / "bundle.json").read_text())
    for name in ("card.json", "metrics.json", "explanation.json", "MODEL_CARD.md"):
        del manifest["files"][name]
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    text = dml("card", bundle).out
    assert "nothing was measured" not in text  # the manifest holds the numbers of the test rows
    assert list(chapters(text)) == [
        "Model details",
        "Intended use",
        "Inputs",
        "Training data",
        "Evaluation",
        "Limits",
        "Formats",
        "How to use it",
    ]


def test_damaged_facts_are_named(folder: Path) -> None:
    (folder / "bundle" / "card.json").write_text('{"members": 3}')
    with pytest.raises(DataError, match=r"card\.json is damaged"):
        read_card(Bundle.open(folder / "bundle"))


def test_the_verb_writes_both_forms(folder: Path, dml: Any, tmp_path: Path) -> None:
    spec = folder.parents[2] / "spec.yaml"
    shown = dml("card", spec)
    assert (shown.code, shown.out) == (0, (folder / "MODEL_CARD.md").read_text())
    for name, start in (("card.md", "# Model card: flowers"), ("card.html", "<!doctype html>")):
        assert dml("card", folder / "bundle", "-o", tmp_path / name).out.strip() == str(tmp_path / name)
        assert (tmp_path / name).read_text().lstrip().startswith(start)
    assert dml("card", spec, "--format", "html").out == (folder / "card.html").read_text()
    for argv, message in ((["-o", "card.pdf"], "name it .md or .html"), (["--open"], "name it with -o")):
        refused = dml("card", spec, *argv)
        assert (refused.code, message in refused.err) == (2, True), refused.err
