"""TensorFlow.js: small real bundles run under Node, and in a browser, and held against model.onnx."""

import json
import os
import re
import shutil
import subprocess
import threading
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from small_bundles import train_once

from declarative_ml.formats.parity import expected_of, measure
from declarative_ml.formats.tfjs import RUNTIME, TFJS

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def runtime(tmp_path_factory):
    """tf.min.js as npm installs it: from $DML_TFJS, else by npm itself."""
    if "DML_TFJS" in os.environ:
        return os.environ["DML_TFJS"]
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("there is no npm, or no Node")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "@tensorflow/tfjs@4.22.0"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm takes too long")
    if done.returncode:
        pytest.skip(f"npm cannot install @tensorflow/tfjs: {done.stderr.strip()[-200:]}")
    return str(folder / "node_modules" / "@tensorflow" / "tfjs" / "dist" / RUNTIME)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return partial(train_once, tmp_path_factory)


@pytest.fixture
def opened(tmp_path):
    """Convert and start Node; it ends with the test."""
    started = []

    def start(original, runtime):
        wanted = TFJS(runtime=runtime)
        assert wanted.refuse(original) is None
        wanted.write(original, tmp_path)
        started.append(wanted.open(original, tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("stays", "linear"),
        ("kind", "lightgbm"),
        pytest.param("kind", "mlp", marks=pytest.mark.slow),
        pytest.param("spent", "linear", marks=pytest.mark.slow),
    ],
)
def test_node_answers_as_the_graph_does(trained, opened, runtime, target, model):
    original = trained(target, model)
    parity = measure(original, opened(original, runtime), TFJS().precision)
    assert parity.holds, parity
    assert parity.disagreements == 0


def plain_rows(original, count):
    rows = []
    for number in range(count):
        values = {name: values[number, 0] for name, values in original.rows.items()}
        rows.append(
            {name: value if isinstance(value, str) else number_of(value) for name, value in values.items()}
        )
    return rows


def number_of(value):
    """As people type it; null is missing."""
    return None if np.isnan(value) else str(value)


def test_rows_are_read_and_answered(trained, opened, runtime):
    original = trained("stays", "linear")
    run = opened(original, runtime)
    answers = run.predict(plain_rows(original, 20))
    expected = expected_of(original, {name: values[:20] for name, values in original.rows.items()})
    found = [[answer["probabilities"][name] for name in original.task.classes] for answer in answers]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    labels = [original.task.classes[int(row[1] >= original.threshold)] for row in expected]
    assert [answer["prediction"] for answer in answers] == labels


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"age": 3}, "row 1 lacks the column(s) fare, member, size, town"),
        (
            {"age": "old", "fare": 1, "member": "", "size": 1, "town": ""},
            'column "age", row 1: "old" does not fit',
        ),
        (
            {"age": 1, "fare": 1, "member": "", "size": 1, "town": "", "x": 1},
            "columns that the model does not take: x",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_told(trained, opened, runtime, row, reason):
    from declarative_ml.core.errors import DataError

    with pytest.raises(DataError, match=re.escape(reason)):
        opened(trained("stays", "linear"), runtime).predict([row])


def test_without_the_runtime_it_tells_what_to_copy(trained, tmp_path):
    original = trained("stays", "linear")
    TFJS().write(original, tmp_path)
    assert TFJS().open(original, tmp_path) is None
    assert "node_modules/@tensorflow/tfjs/dist/tf.min.js" in (tmp_path / "README.txt").read_text()
    for name in ("index.html", "page.js", "predictor.js", "core.js"):
        assert not re.search(r"https?://", (tmp_path / name).read_text(encoding="utf-8"))


def test_files_do_not_change_from_one_conversion_to_the_next(trained, tmp_path):
    original = trained("stays", "linear")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        TFJS().write(original, tmp_path / name)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("runtime", "without", "reason"),
    [
        (None, (), r"the column\(s\) seen is not written in JavaScript; the format onnx-web takes them"),
        ("dist/tf.min.js", ("seen",), "must be an absolute path"),
        ("/nowhere/tf.min.js", ("seen",), "there is no file /nowhere/tf.min.js"),
    ],
)
def test_what_it_cannot_is_refused(trained, runtime, without, reason):
    found = TFJS(runtime=runtime).refuse(trained("stays", "linear", without))
    assert found is not None and re.search(reason, found)


def page_of(address: str, profile: Path) -> str:
    """What a browser shows when all scripts are done."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--virtual-time-budget=20000", "--timeout=60000", "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


_MODULE = """
import { load } from "./predictor.js";
const rows = await (await fetch("rows.json")).json();
const predictor = await load();
document.body.textContent = JSON.stringify(await predictor.predict(rows));
"""
_SUBMIT = """
const ready = setInterval(() => {
  if (document.querySelector("fieldset").disabled) return;
  clearInterval(ready);
  for (const [name, value] of Object.entries(ROW)) document.forms[0].elements.namedItem(name).value = value;
  document.forms[0].requestSubmit();
}, 20);
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_a_browser_answers_as_the_graph_does(trained, runtime, tmp_path):
    original = trained("kind", "lightgbm")
    TFJS(runtime=runtime).write(original, tmp_path)
    (tmp_path / "rows.json").write_text(json.dumps(plain_rows(original, 100)))
    scripts = f'<script src="{RUNTIME}"></script><script type="module" src="test.js"></script>'
    (tmp_path / "test.html").write_text(f"<meta charset=utf-8><body>{scripts}")
    (tmp_path / "test.js").write_text(_MODULE)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shown = page_of(f"http://127.0.0.1:{server.server_port}/test.html", tmp_path / "profile")
        server.shutdown()
    answers = json.loads(unescape(re.search(r"<body>(.*)</body>", shown, re.DOTALL).group(1)))
    found = [[answer["probabilities"][name] for name in original.task.classes] for answer in answers]
    expected = expected_of(original, {name: values[:100] for name, values in original.rows.items()})
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(answers) == 100


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_the_page_predicts_from_a_disk(trained, runtime, tmp_path):
    original = trained("stays", "linear")
    TFJS(runtime=runtime).write(original, tmp_path)
    (row,) = plain_rows(original, 1)
    html = (tmp_path / "index.html").read_text()
    (tmp_path / "filled.html").write_text(html.replace("</body>", '<script src="filled.js"></script></body>'))
    (tmp_path / "filled.js").write_text(f"const ROW = {json.dumps(row)};{_SUBMIT}")
    shown = page_of((tmp_path / "filled.html").as_uri(), tmp_path / "profile")
    expected = expected_of(original, {name: values[:1] for name, values in original.rows.items()})[0]
    label = original.task.classes[int(expected[1] >= original.threshold)]
    assert f"<strong>stays: {label}</strong>" in shown
    assert f"{100 * expected[1]:.1f} %" in shown
    assert all(f"<span>{column.name}</span>" in shown for column in original.inputs)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, format, *args):
        pass
