"""Report, comparison and model card of real runs in a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, chromium

from declarative_ml.api.card import PAGE
from declarative_ml.api.compare import compare
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.api.workspace import Workspace
from declarative_ml.report.compare import render_comparison
from declarative_ml.spec.load import load_spec

pytestmark = pytest.mark.slow

WIDE = "a column with a name that is much longer than the screen of any telephone could ever be"
TARGETS = {"kind": "log_loss", "wild": "roc_auc", "length": "rmse"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module", params=TARGETS)
def pages(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    write_flowers: Callable[..., Path],
) -> dict[str, Path]:
    """The pages of two runs for one kind of target."""
    folder = tmp_path_factory.mktemp("pages")
    data = write_flowers(folder / "flowers.csv", rows=300)
    data.write_text(data.read_text().replace("width", WIDE, 1))
    spec = folder / "spec.yaml"
    runs = []
    for model in ("linear", {"type": "ensemble", "members": ["linear", "lightgbm"]}):
        whole: dict[str, Any] = {
            "name": "flowers",
            "description": "A description of-one-word-that-does-not-end-" + "on-and-on-" * 20,
            "data": {"source": "flowers.csv", "split": {"method": "random", "validation": 0.2}},
            "target": request.param,
            "model": model,
            "evaluate": {"slices": ["colour"], "metric": TARGETS[request.param]},
            "explain": {"rows": 20, "background": 10},
            "convert": ["onnx"],
            "track": False,
            "resources": {"cpu": 1},
        }
        spec.write_text(json.dumps(whole))
        report = run_spec(load_spec(spec, data=True), RunOptions())
        assert report.error is None
        runs.append(report)
    found = compare(*(run.result["run"] for run in runs), Workspace(folder / ".dml"))
    assert found.shared is not None
    page = folder / "compare.html"
    page.write_text(render_comparison(found))
    return {"report": runs[1].folder / "report.html", "card": runs[1].folder / PAGE, "compare": page}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", ["report", "card", "compare"])
def test_it_fits_and_asks_for_nothing(
    page: str, width: int, pages: dict[str, Path], browser: Chromium, tmp_path: Path
) -> None:
    seen = browser.look(pages[page], width, tmp_path / f"{page}-{width}.png")
    assert seen.requests == []
    assert seen.messages == []
    assert seen.scroll_width <= seen.width == width
    assert "flowers" in seen.text
    assert len(seen.text) > 1000
    assert (tmp_path / f"{page}-{width}.png").stat().st_size > 20_000


def test_the_browser_tells_what_is_wrong(browser: Chromium, tmp_path: Path) -> None:
    """The checks above can fail."""
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><meta name="viewport" content="width=device-width"><img src="other.png">'
        '<div style="width:2000px">x</div><script>console.log("said"); nothing.at.all</script>'
    )
    seen = browser.look(page, 390)
    assert [Path(address).name for address in seen.requests] == ["other.png"]
    assert any("said" in message for message in seen.messages)
    assert any("nothing is not defined" in message for message in seen.messages)
    assert seen.scroll_width >= 2000
