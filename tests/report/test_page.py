import re
import subprocess
import sys
import textwrap
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import numpy as np
import pytest

from declarative_ml.learning.statistics import ColumnProfile
from declarative_ml.learning.task import Task
from declarative_ml.report.content import MemberResult, ReportContent, SliceResult, StepResult
from declarative_ml.report.page import render_plots, render_report

NASTY = "<script>alert('x')</script>"
TASKS = {
    "binary": Task(target="income", type="binary", classes=("no", "yes")),
    "multiclass": Task(target="digit", type="multiclass", classes=("zero", "one", "two")),
    "number": Task(target="price", type="number"),
}
MakeReport = Callable[..., ReportContent]


class Checker(HTMLParser):
    """Collects tags and text, and insists that they nest."""

    VOID = {"meta", "img", "br", "link"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text)).replace("\u00a0", " ")


@pytest.mark.parametrize("kind", TASKS)
def test_the_page_is_well_formed_self_contained_and_small(make_report: MakeReport, kind: str) -> None:
    html = render_report(make_report(TASKS[kind], shap_plots={"Summary": b"\x89PNG"}))
    page = Checker(html)
    assert len(html) < 300_000
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]
    links = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href")]
    assert links == ["data:image/png;base64,iVBORw=="]
    assert "url(" not in html and "@import" not in html
    assert "default-src 'none'" in html


@pytest.mark.parametrize("kind", TASKS)
def test_pictures_have_names_and_tables_headers(make_report: MakeReport, kind: str) -> None:
    page = Checker(render_report(make_report(TASKS[kind], shap_plots={"Summary": b"x"})))
    for tag, attrs in page.tags:
        if tag == "svg":
            assert attrs["role"] == "img" and attrs["aria-label"]
        if tag == "img":
            assert attrs["alt"]
        if tag == "th":
            assert attrs.get("scope") in ("row", "col", "colgroup")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "binary",
            ["tell yes from no in income", "Truth against answer", "Found against false alarms", "ROC AUC"],
        ),
        (
            "multiclass",
            ["one of 3 classes of digit", "Truth against answer", "How sure, when right", "recall"],
        ),
        ("number", ["predict the number price", "Predicted and actual", "Size of the errors", "RMSE"]),
    ],
)
def test_what_the_page_shows_by_task(make_report: MakeReport, kind: str, words: list[str]) -> None:
    shown = Checker(render_report(make_report(TASKS[kind]))).words
    for word in words:
        assert word in shown
    for word in (
        "adult",
        "a description",
        "an owner",
        "1,600 training · 400 test",
        "a note",
        "linear model",
        "sex = male",
        "few rows",
        "train.lightgbm",
        "every value is different",
        "1970-01-01 1971-01-01",
        "2 others",
        "3 % missing",
        "abc123",
        "dml predict spec.yaml new.csv",
        "2 folds · run · 7.0 s",
    ):
        assert word in shown, word


def test_the_numbers_on_the_page_are_those_given(make_report: MakeReport) -> None:
    content = make_report(
        metrics={"test": {"roc_auc": 0.93412, "f1": float("nan")}},
        intervals={"test": {"roc_auc": (0.92, 0.95)}},
        baselines={"test": {"majority": {"roc_auc": 0.5}, "linear": {"roc_auc": 0.9105}}},
    )
    shown = Checker(render_report(content)).words
    assert "ranks a random positive (yes) above a random negative 93.4 % of the time." in shown
    assert "ROC AUC ↑ 0.934 0.920–0.950 0.910 0.500" in shown.replace("0.911", "0.910")
    assert "F1 ↑ –" in shown


def test_everything_a_user_wrote_is_escaped(make_report: MakeReport) -> None:
    column = ColumnProfile(
        name=NASTY,
        dtype="string",
        rows=10,
        missing=0,
        distinct=2,
        distinct_exact=True,
        unique=False,
        constant=False,
        top=((NASTY, 9), ("b", 1)),
    )
    content = make_report(
        Task(target=NASTY, type="binary", classes=(NASTY, NASTY + "+")),
        description=NASTY,
        owner=NASTY,
        created=NASTY,
        run_id=NASTY,
        profile=[column, column.model_copy(update={"dtype": "int64", "edges": (0.0, 1.0), "counts": (9,)})],
        features={NASTY: NASTY},
        dropped={NASTY: NASTY},
        notes=[NASTY],
        slices=[SliceResult(NASTY, 9, {"roc_auc": 0.5})],
        importance=[(NASTY, 1.0)],
        shap_plots={NASTY: b"png"},
        steps=[StepResult(NASTY, NASTY, NASTY)],
        members=[MemberResult(NASTY, 1.0)],
        curves={NASTY: [{"step": 1, "train": 1.0}, {"step": 2, "train": 0.5}]},
        provenance={NASTY: NASTY},
        commands={NASTY: NASTY},
        rows={NASTY: 3},
        metrics={"test": {NASTY: 0.5, "roc_auc": 0.6}},
        baselines={"test": {NASTY: {"roc_auc": 0.5}}},
    )
    html = render_report(content)
    assert "<script" not in html
    assert Checker(html).words.count("<script>alert") >= 20


@pytest.mark.parametrize("kind", TASKS)
def test_the_least_content_makes_a_page(kind: str) -> None:
    html = render_report(ReportContent(name="x", task=TASKS[kind], primary="rmse", metrics={}))
    assert "There is no measurement of this model" in Checker(html).words


@pytest.mark.parametrize(
    ("truth", "prediction"),
    [
        ([1, 1, 1], [[0.1, 0.9], [0.5, 0.5], [1.0, 0.0]]),
        ([0], [[1.0, 0.0]]),
        ([0, 1], [[0.5, 0.5], [0.5, 0.5]]),
        ([], np.zeros((0, 2))),
    ],
)
def test_few_rows_and_one_class(
    make_report: MakeReport, truth: list[int], prediction: list[list[float]]
) -> None:
    content = make_report(truth=np.array(truth, dtype=np.int64), prediction=np.array(prediction))
    Checker(render_report(content))


@pytest.mark.parametrize("truth", [[5.0], [0.0, 0.0, 0.0], [1.0, 1e12, -1e12], [1e-9, 2e-9]])
def test_odd_numbers(make_report: MakeReport, truth: list[float]) -> None:
    values = np.array(truth)
    Checker(render_report(make_report(TASKS["number"], truth=values, prediction=values[::-1] * 1.1)))


def test_many_classes_and_columns_stay_readable(make_report: MakeReport) -> None:
    task = Task(target="t", type="multiclass", classes=tuple(f"class {n}" for n in range(30)))
    column = make_report().profile[0]
    profile = [column.model_copy(update={"name": f"column {n}"}) for n in range(100)]
    html = render_report(make_report(task, sample=900, profile=profile))
    shown = Checker(html).words
    assert "10 more are not shown" in shown
    assert "76 more columns" in shown
    assert len(html) < 500_000


def test_rendering_is_quick_and_the_same_from_threads(make_report: MakeReport) -> None:
    content = make_report(TASKS["binary"], sample=20_000)
    render_report(content)
    start = time.process_time()
    first = render_report(content)
    assert time.process_time() - start < 1.5
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(render_report, [content] * 4)) == {first}


def test_plots_are_files_of_their_own(make_report: MakeReport) -> None:
    plots = render_plots(make_report())
    assert list(plots) == [
        "roc.svg",
        "precision_recall.svg",
        "calibration.svg",
        "scores.svg",
        "curve.train.lightgbm.svg",
        "curve.train.mlp.svg",
    ]
    for svg in plots.values():
        root = ElementTree.fromstring(svg)
        assert root[0].tag.endswith("style") and "--accent" in str(root[0].text)


def test_importing_the_page_loads_no_heavy_library() -> None:
    script = """
        import sys
        import declarative_ml.report.page
        print({"jinja2", "matplotlib", "pandas", "onnxruntime", "sklearn", "scipy"} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
