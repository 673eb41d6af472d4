"""What notebooks draw: everything escaped, nothing asked for from elsewhere."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

import declarative_ml as dml

NASTY = "<script>alert('x')</script>&\"${}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dml.Run:
    """A model over a table whose names and values try to get out."""
    folder = tmp_path_factory.mktemp("nasty")
    kinds = ["<b>a</b>", "<i>b</i>"]
    lines = ['"<script>alert(1)</script>",place,kind']
    lines += [f"{row % 7},<img src=x onerror=y>{row % 2},{kinds[row % 7 > 2]}" for row in range(80)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    spec = {
        "name": "nasty",
        "description": NASTY.replace("$", "$$"),
        "data": {"source": "t.csv", "split": {"method": "random", "validation": 0.2}},
        "target": "kind",
        "model": {"type": "ensemble", "members": [{"type": "linear"}, {"type": "lightgbm", "rounds": 3}]},
        "evaluate": {"slices": ["place"]},
        "explain": {"rows": 3, "background": 5},
        "track": False,
        "resources": {"cpu": 1},
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    return dml.run(folder / "spec.yaml")


class Reader(HTMLParser):
    """Collects tags, and every attribute that could fetch or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag != "img":
            self.open.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


ALLOWED = {"div", "style", "strong", "span", "table", "thead", "tbody", "tr", "th", "td"}
ALLOWED |= {"pre", "figure", "figcaption", "img", "details", "summary"}

VIEWS: dict[str, Callable[[dml.Run], object]] = {
    "spec": lambda run: dml.load(run.folder.parents[2] / "spec.yaml"),
    "resolved spec": lambda run: run.spec,
    "problems": lambda run: dml.validate(
        run.folder.parents[2] / "spec.yaml", overrides={NASTY.replace(".", ""): 1, "model": NASTY}
    ),
    "no problems": lambda run: dml.validate(run.folder.parents[2] / "spec.yaml"),
    "plan": lambda run: dml.plan(run.folder.parents[2] / "spec.yaml"),
    "plan of the run": lambda run: run.plan,
    "run": lambda run: run,
    "runs": lambda run: dml.runs(run.folder.parents[2] / "spec.yaml"),
    "leaderboard": lambda run: run.leaderboard,
    "charts": lambda run: run.charts,
    "slices": lambda run: run.slices,
    "rows": lambda run: run.rows("train"),
    "bundle": lambda run: run.bundle,
    "evaluation": lambda run: run.bundle.evaluation,
    "explanation": lambda run: run.explain(),
    "one prediction": lambda run: run.explain(run.rows("test", 1)),
    "comparison": lambda run: dml.compare(run, run),
    "difference": lambda run: dml.diff(
        run.folder.parents[2] / "spec.yaml",
        dml.load(run.folder.parents[2] / "spec.yaml", overrides={"model": "linear", "owner": "<u>me</u>"}),
    ),
    "no difference": lambda run: dml.diff(*[run.folder.parents[2] / "spec.yaml"] * 2),
}


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_whole_escaped_and_alone(view: str, run: dml.Run) -> None:
    shown = VIEWS[view](run)
    html = shown._repr_html_()  # type: ignore[attr-defined]
    read = Reader(html)
    assert read.open == []
    assert read.tags <= ALLOWED
    assert read.handlers == []
    for source in read.sources:
        head, _, data = source.partition(",")
        assert head == "data:image/svg+xml;base64"
        svg = base64.b64decode(data).decode()
        assert "<script" not in svg
        assert re.findall(r"https?://[^\"' )]+", svg) == ["http://www.w3.org/2000/svg"]
    assert re.findall(r"https?://|@import|url\(", html) == []
    assert len(repr(shown)) < 200


SAYS = {
    "spec": "&lt;script&gt;",
    "problems": "unknown type",
    "no problems": ">valid<",
    "run": ">ok<",
    "plan": "nothing that it depends on has changed",
    "plan of the run": "Fit lightgbm with fold 0 held out",
    "leaderboard": "lightgbm",
    "charts": "Truth against answer",
    "slices": "few rows",
    "rows": "more rows",
    "explanation": "What moves the prediction",
    "one prediction": "on average",
    "difference": "steps that run again",
    "no difference": "the specs mean the same",
}


@pytest.mark.parametrize("view", SAYS)
def test_views_say_what_they_are_for(view: str, run: dml.Run) -> None:
    assert SAYS[view] in VIEWS[view](run)._repr_html_()  # type: ignore[attr-defined]


def test_the_primary_metric_comes_first(run: dml.Run) -> None:
    cells = re.findall(r"<tbody><tr><td>([^<]+)<", run._repr_html_())
    assert run.primary == "roc_auc"
    assert cells[0] == "ROC AUC"


def test_progress_is_silent_unless_asked_for(
    run: dml.Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = dml.load(run.folder.parents[2] / "spec.yaml")
    dml.run(spec, until="split", fresh=["split"])
    assert capfd.readouterr() == ("", "")
    dml.run(spec, until="split", fresh=["split"], progress=True)
    told = capfd.readouterr()
    assert told.out == ""
    assert "✓ split" in told.err


def test_progress_in_a_notebook_is_no_error_text(
    run: dml.Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ipykernel", __import__("json"))
    spec = dml.load(run.folder.parents[2] / "spec.yaml")
    dml.run(spec, until="split", fresh=["split"], progress=True)
    told = capfd.readouterr()
    assert told.err == ""
    assert "✓ split" in told.out
