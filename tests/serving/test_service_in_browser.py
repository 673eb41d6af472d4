"""The pages of a real service in a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, Tab, chromium
from service_process import Running, serving

from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle

pytestmark = pytest.mark.slow

OPEN = "!document.getElementById('content').hidden"
LOOKS = [(1280, False), (390, False), (1280, True), (390, True)]

FAINT_TEXTS = """
(() => {
  const channel = (value) => value <= .03928 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const weights = [.2126, .7152, .0722];
  const luminance = (rgb) => weights.reduce((sum, weight, at) => sum + weight * channel(rgb[at] / 255), 0);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return parse(getComputedStyle(document.body).backgroundColor);
  };
  const found = [];
  for (const node of document.querySelectorAll("main *, nav *")) {
    const words = [...node.childNodes].filter((child) => child.nodeType === 3 && child.data.trim());
    if (!words.length || !node.getClientRects().length || node.disabled) continue;
    const style = getComputedStyle(node);
    const front = luminance(parse(node.namespaceURI.endsWith("svg") ? style.fill : style.color));
    const back = luminance(behind(node).slice(0, 3));
    const ratio = (Math.max(front, back) + .05) / (Math.min(front, back) + .05);
    if (ratio < 4.5) found.push(`${node.tagName} ${words[0].data.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return found;
})()
"""
"""Texts with less contrast than the 4.5 of WCAG 2.2, success criterion 1.4.3."""

NAMELESS = """
[...document.querySelectorAll("main input, main select, main textarea, nav select, button, a, [role=img]")]
  .filter((node) => node.getClientRects().length)
  .filter((node) => !(node.labels && node.labels.length) && !node.getAttribute("aria-label"))
  .filter((node) => node.tagName === "INPUT" || !node.textContent.trim())
  .map((node) => node.outerHTML)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def running(bundle_of: Callable[[str], Bundle]) -> Iterator[Running]:
    with serving(*(bundle_of(target).path for target in ("stays", "kind", "spent"))) as found:
        yield found


Visit = Callable[..., Any]


@pytest.fixture
def visit(browser: Chromium, running: Running) -> Visit:
    """A page of the service that has been filled."""

    @contextmanager
    def visit(path: str = "/", width: int = 1280, *, dark: bool = False) -> Iterator[Tab]:
        with browser.visit(f"http://127.0.0.1:{running.port}{path}", width, dark=dark) as tab:
            tab.wait(OPEN)
            yield tab

    return visit


def write(tab: Tab, values: dict[str, Any]) -> None:
    """Fill the form as a person does: by the fields' labels."""
    for name, value in values.items():
        tab.run(
            f"""(() => {{
              const labels = [...document.querySelectorAll("#fields label")];
              const field = labels.find((node) => node.textContent === {name!r}).control;
              const value = {json.dumps(value)};
              if (field.tagName === "SELECT") {{
                const option = [...field.options].find((node) => node.textContent === (value ?? "not known"));
                field.value = option.value;
              }} else field.value = value ?? "";
              field.dispatchEvent(new Event("input", {{ bubbles: true }}));
            }})()"""
        )


def ask(tab: Tab, button: str, awaited: str) -> None:
    tab.run(
        f"document.getElementById('answer').replaceChildren(); document.getElementById('{button}').click()"
    )
    tab.wait(f"document.querySelector('#answer {awaited}')")


def texts(tab: Tab, selector: str) -> list[str]:
    found: list[str] = tab.run(
        f"[...document.querySelectorAll({selector!r})].map((node) => node.textContent.trim())"
    )
    return found


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_service_page(visit: Visit, running: Running, tmp_path: Path, width: int, dark: bool) -> None:
    with visit("/", width, dark=dark) as tab:
        ask(tab, "explain", ".why")
        tab.wait("document.querySelectorAll('#plots .line[d^=M]').length")
        tab.run("document.querySelector('details').open = true")
        tab.wait("!document.getElementById('drift').hidden")
        assert tab.run(FAINT_TEXTS) == []
        assert tab.run(NAMELESS) == []
        picture = tmp_path / f"service-{width}-{dark}.png"
        tab.picture(picture)
        seen = tab.seen()
    assert seen.messages == []
    own = f"http://127.0.0.1:{running.port}/"
    assert {address.removeprefix(own) for address in seen.requests} == {
        "models", "metrics", *(f"models/guests-stays/{asked}" for asked in ("predict", "explain", "drift")),
    }  # fmt: skip
    assert seen.scroll_width <= seen.width == width
    assert "guests-stays" in seen.text and "tells yes from no in stays" in seen.text
    assert "<b>becomes</b>" in seen.text
    assert picture.stat().st_size > 20_000


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_document_page(
    visit: Visit,
    running: Running,
    bundle_of: Callable[[str], Bundle],
    tmp_path: Path,
    width: int,
    dark: bool,
) -> None:
    with visit("/docs", width, dark=dark) as tab:
        tab.run("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
        tab.wait("document.querySelectorAll('.operation .inside').length > 20")
        assert tab.run(FAINT_TEXTS) == []
        assert tab.run(NAMELESS) == []
        tab.picture(tmp_path / f"docs-{width}-{dark}.png")
        paths = texts(tab, ".operation > summary > code")
        seen = tab.seen()
    assert seen.messages == []
    assert seen.requests == [f"http://127.0.0.1:{running.port}/openapi.json"]
    assert seen.scroll_width <= seen.width == width
    document = json.loads(running.ask("GET", "/openapi.json")[1])
    assert sorted(paths) == sorted(path for path, methods in document["paths"].items() for _ in methods)
    town = next(column for column in bundle_of("stays").manifest.inputs if column.name == "town")
    assert f"known: {', '.join(town.field['enum'][:-1])}" in seen.text


ROWS = [
    {"age": 41.5, "fare": 12, "town": "Oslo", "member": "yes", "seen": "2024-05-04"},
    {"age": None, "fare": 90.25, "town": None, "member": "no", "seen": "2024-01-31"},
]


@pytest.mark.parametrize("target", ["stays", "kind", "spent"])
@pytest.mark.parametrize("row", ROWS)
def test_the_form_says_what_the_scorer_says(
    visit: Visit, bundle_of: Callable[[str], Bundle], target: str, row: dict[str, Any]
) -> None:
    expected = Scorer(bundle_of(target)).predict_rows([row])
    with visit() as tab:
        tab.run(
            "(() => { const select = document.getElementById('model');"
            f"select.value = [...select.options].find((node) => node.text === 'guests-{target}').value;"
            "select.dispatchEvent(new Event('change')); })()"
        )
        assert texts(tab, "h1")[-1] == f"guests-{target}"
        write(tab, row)
        ask(tab, "predict", ".outcome")
        [outcome] = texts(tab, ".outcome")
        if expected.probabilities is not None:
            assert outcome == str(expected.prediction[0])
            wanted = [f"{100 * share:.1f}\u00a0%" for share in expected.probabilities[0].tolist()]
            assert texts(tab, "#answer .bars .value") == wanted
        else:
            assert expected.lower is not None and expected.upper is not None
            assert float(outcome) == pytest.approx(float(expected.prediction[0]), rel=1e-4)
            ends = [float(text) for text in texts(tab, ".ends span")]
            assert ends == pytest.approx([float(expected.lower[0]), float(expected.upper[0])], rel=1e-3)
        assert tab.seen().messages == []


def test_an_explanation_leads_from_the_average_to_the_prediction(visit: Visit) -> None:
    with visit() as tab:
        write(tab, ROWS[0])
        ask(tab, "explain", ".why")
        names = texts(tab, ".why .bars .name")
        assert sorted(name.split()[0] for name in names) == sorted(ROWS[0])
        assert "age 41.5" in names
        steps = [float(text.replace("−", "-")) for text in texts(tab, ".why .bars .value")]
        assert steps == sorted(steps, key=abs, reverse=True)
        [words] = texts(tab, ".why .quiet")
        start, end = (float(word) for word in words.replace("From ", "").split() if word[0].isdigit())
        assert start + sum(steps) == pytest.approx(end, abs=0.06 * (len(steps) + 2))


def test_programs_to_copy_answer_the_same(
    visit: Visit, bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    row = {**ROWS[1], "town": "Köln"}
    expected = Scorer(bundle_of("stays")).predict_rows([row])
    assert expected.probabilities is not None
    with visit() as tab:
        write(tab, row)
        [curl] = texts(tab, "#snippet")
        tab.run("document.querySelector('[data-language=python]').click()")
        [python] = texts(tab, "#snippet")
    commands = {"python": [sys.executable, "-c", python]}
    if shutil.which("curl"):
        commands["curl"] = ["sh", "-c", curl]
    for name, command in commands.items():
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        answer = json.loads(done.stdout) if name == "curl" else ast.literal_eval(done.stdout)
        shares = list(answer["predictions"][0]["probabilities"].values())
        assert shares == pytest.approx(expected.probabilities[0].tolist())


def test_by_keyboard_alone(visit: Visit) -> None:
    with visit() as tab:
        for _ in range(40):
            tab.press("Tab")
            if tab.run("document.activeElement.id") == "field-0":
                break
        assert tab.run("document.activeElement.labels[0].textContent") == "age"
        assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        tab.press("Enter")
        tab.wait("document.querySelector('.outcome')")


def test_what_training_has_not_seen_is_told(visit: Visit) -> None:
    with visit() as tab:
        write(tab, {"age": 5000, "fare": None})
        hints = dict(zip(texts(tab, "#fields label"), texts(tab, "#fields .hint"), strict=True))
        assert hints["age"].startswith("outside of ") and hints["age"].endswith(" in training")
        assert hints["fare"] == "not known"
        tab.run("document.getElementById('reset').click()")
        assert texts(tab, ".odd") == []
        for _ in range(20):
            tab.run("document.getElementById('draw').click()")
            assert texts(tab, ".odd") == []
        ask(tab, "predict", ".outcome")


def test_a_refusal_is_shown_in_words(visit: Visit) -> None:
    with visit() as tab:
        tab.run("model.paths.predict = 'models/guests-none/predict'")
        ask(tab, "predict", ".fault")
        assert texts(tab, "#answer .fault") == ["Not Found"]


def test_the_plots_follow_what_happens(visit: Visit, running: Running) -> None:
    with visit() as tab:
        tab.wait("document.querySelector('#plots .line[d^=M]')")
        for _ in range(20):
            running.ask("POST", "/predict", {"rows": [ROWS[0]]})
        running.ask("POST", "/predict", {"rows": []})
        shown = "[...document.querySelectorAll('#plots .legend')].map((node) => node.textContent)"
        tab.wait(f"{shown}.every((text) => /[1-9]/.test(text.replace(/p\\d\\d/g, '')))")
        assert "1 worker" in texts(tab, "#now")[0]
        assert "MiB of memory" in texts(tab, "#now")[0]
        named = tab.run("document.querySelectorAll('#plots svg')[1].getAttribute('aria-label')")
        assert named.startswith("Time to an answer: p50 ")


def test_quantiles_are_those_of_prometheus(visit: Visit) -> None:
    """By hand: 10 requests up to 1 ms, 10 up to 5 ms, 1 beyond the last bound."""
    with visit() as tab:
        found = tab.run(
            "(() => { const of = (counts) => ({ buckets: new Map(counts) });"
            "const before = of([[0.001, 5], [0.005, 5], [10, 5], [Infinity, 5]]);"
            "const after = of([[0.001, 15], [0.005, 25], [10, 25], [Infinity, 26]]);"
            "return [0.25, 0.5, 0.99].map((share) => quantile(share, before, after))"
            ".concat([quantile(0.5, after, after)]); })()"
        )
    assert found == pytest.approx([5.25 / 10 * 0.001, 0.001 + 0.004 * 0.5 / 10, 10, None])


def test_the_policy_holds(visit: Visit) -> None:
    """Neither a script that somebody manages to put into the page nor a request to elsewhere gets through."""
    with visit() as tab:
        tab.run(
            "const made = document.createElement('script'); made.textContent = 'var bad = 1';"
            "document.body.append(made)"
        )
        assert tab.run("typeof bad") == "undefined"
        assert tab.run("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'held back')") == "held back"
        messages = tab.seen().messages
    for directive in ("script-src 'sha256-", "connect-src 'self'"):
        assert any(directive in message for message in messages), directive


def test_trying_an_operation_of_the_document(visit: Visit, bundle_of: Callable[[str], Bundle]) -> None:
    with visit("/docs") as tab:
        tab.wait("document.querySelector('#post-predict .inside')")
        tab.run("document.querySelector('#post-predict .primary').click()")
        tab.wait("document.querySelector('#post-predict .result pre')")
        answer = json.loads(texts(tab, "#post-predict .result pre")[0])
        assert answer["model"]["version"] == bundle_of("stays").manifest.model_digest[:12]
        tab.run("document.querySelector('#get-metrics summary').click()")
        tab.wait("document.querySelector('#get-metrics .primary')")
        tab.run("document.querySelector('#get-metrics .primary').click()")
        tab.wait("document.querySelector('#get-metrics .result pre')")
        assert "dml_requests_total" in texts(tab, "#get-metrics .result pre")[0]
        assert tab.seen().messages == []


def test_a_token_is_asked_for_and_stays_in_the_tab(
    browser: Chromium, bundle_of: Callable[[str], Bundle]
) -> None:
    spec = Path(bundle_of("stays").path).parents[3] / "spec.yaml"
    environment = {"GUESTS_TOKEN": "hush-hush"}
    with (
        serving(spec, "--set", "serve.token=${env:GUESTS_TOKEN}", environment=environment) as running,
        browser.visit(f"http://127.0.0.1:{running.port}/", 390) as tab,
    ):
        tab.wait("!document.getElementById('token').hidden")
        assert "guests" not in tab.seen().text
        assert tab.seen().requests == [] and tab.seen().scroll_width <= 390

        def enter(token: str) -> None:
            tab.run(f"document.getElementById('secret').value = {token!r}")
            tab.run("document.querySelector('#token button').click()")

        assert tab.run(FAINT_TEXTS) == [] and tab.run(NAMELESS) == []
        enter("wrong")
        tab.wait("document.getElementById('refused').textContent")
        assert texts(tab, "#refused") == ["That token is not the one."]
        enter("hush-hush")
        tab.wait(OPEN)
        ask(tab, "predict", ".outcome")
        kept = tab.run("[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]")
        assert [json.loads(kept[0]), *kept[1:]] == [{"dml-token": "hush-hush"}, "{}", ""]
        [curl] = texts(tab, "#snippet")
        assert '-H "authorization: Bearer $DML_TOKEN"' in curl
        assert "hush" not in tab.run("document.documentElement.outerHTML")
        done = subprocess.run(
            ["sh", "-c", curl], capture_output=True, env={**os.environ, "DML_TOKEN": "hush-hush"}, check=False
        )
        assert not shutil.which("curl") or b"predictions" in done.stdout
        tab.run("document.getElementById('forget').click()")
        tab.wait("document.getElementById('secret')?.checkVisibility() && !sessionStorage.length")


DRIFT = {
    "alert": 0.2,
    "current": {"rows": 12, "rows_needed": 500, "verdict": "too few rows", "began": None, "ended": None,
                "moved": [], "columns": [], "predictions": []},
    "last": {
        "rows": 1000, "rows_needed": 500, "verdict": "drift", "moved": ["fare"],
        "began": "2026-11-22T10:00:00+00:00", "ended": "2026-11-22T11:00:00+00:00",
        "columns": [{"column": "age", "psi": 0.01, "moved": False, "reasons": []},
                    {"column": "fare", "psi": 1.234, "moved": True,
                     "reasons": ["psi 1.23", "(missing) 1.0% → 9.0%"]}],
        "predictions": [{"column": "prediction", "psi": 0.05, "moved": False, "reasons": []}],
    },
}  # fmt: skip


@pytest.mark.parametrize("width", [1280, 390])
def test_the_drift_panel(visit: Visit, width: int) -> None:
    with visit("/", width) as tab:
        tab.wait("!document.getElementById('drift').hidden")
        tab.run(f"showDrift({json.dumps(DRIFT)})")
        assert texts(tab, "#drift-words")[0].startswith("Moved in 1,000 rows, from ")
        names = ["fare (missing) 1.0% → 9.0%", "answers: prediction", "age"]
        assert texts(tab, "#drift .name") == names
        assert texts(tab, "#drift .value") == ["1.23", "0.05", "0.01"]
        assert tab.run(FAINT_TEXTS) == []
        assert tab.seen().scroll_width <= width
        tab.run(f"showDrift({json.dumps({**DRIFT, 'last': None})})")
        assert texts(tab, "#drift-words") == ["No verdict yet: 12 rows; it takes 500."]
