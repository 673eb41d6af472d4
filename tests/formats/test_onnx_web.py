"""The folder for the browser: run under Node and in Chromium, and held against model.onnx and the scorer."""

import json
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnx
import pytest
from chromium import browser
from tickets import table_rows, train
from web_runtime import node, runtime

from declarative_ml.core.errors import DataError
from declarative_ml.core.reading import Reading
from declarative_ml.core.schema import ColumnRule
from declarative_ml.core.task import Task
from declarative_ml.formats import onnx_web
from declarative_ml.formats.base import Original
from declarative_ml.formats.javascript.node_runner import NodeRun
from declarative_ml.formats.onnx_web import RUNTIME_FILES, OnnxWeb, asset, schema_of
from declarative_ml.formats.parity import measure
from declarative_ml.graph.core import operators_of
from declarative_ml.scoring.parse import raw_values
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle, Input


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    root = tmp_path_factory.mktemp("tickets")
    return lambda *args: train(root, *args)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """Write a folder with the runtime in it, and run it; once for each model, all of which are kept."""
    opened = {}

    def make(original):
        if id(original) in opened:
            return opened[id(original)]
        folder = tmp_path_factory.mktemp("web")
        wanted = OnnxWeb(runtime=str(runtime()))
        assert wanted.refuse(original) is None
        wanted.write(original, folder)
        opened[id(original)] = folder, wanted.open(original, folder)
        return opened[id(original)]

    yield make
    for _, run in opened.values():
        run.close()


@pytest.mark.parametrize(
    ("target", "model", "without"),
    [
        ("solved", "lightgbm", ()),
        ("kind", "linear", ()),
        ("cost", "mlp", ("note",)),
    ],
)
def test_it_answers_as_model_onnx_does(tickets, web, target, model, without):
    original = tickets(target, model, without)[1]
    parity = measure(original, web(original)[1], OnnxWeb().precision)
    assert parity.holds, parity
    assert parity.disagreements == 0
    assert parity.rows > 100 + 30


def test_large_forests_become_plain_operators(tickets, tmp_path, monkeypatch):
    original = tickets("solved", "lightgbm", ())[1]
    kept, spelled = tmp_path / "kept", tmp_path / "spelled"
    for folder, trees in ((kept, "auto"), (spelled, "plain")):
        folder.mkdir()
        OnnxWeb(trees=trees).write(original, folder)
    assert "TreeEnsemble" in operators_of(onnx.load(kept / "model.onnx").graph)
    assert "TreeEnsemble" not in operators_of(onnx.load(spelled / "model.onnx").graph)
    monkeypatch.setattr(onnx_web, "_MANY_SPLITS", 10)
    wanted = OnnxWeb(runtime=str(runtime()))
    (tmp_path / "auto").mkdir()
    wanted.write(original, tmp_path / "auto")
    assert (tmp_path / "auto" / "model.onnx").read_bytes() == (spelled / "model.onnx").read_bytes()
    run = wanted.open(original, tmp_path / "auto")
    assert measure(original, run, wanted.precision).holds
    run.close()


def test_rows_as_people_write_them_are_read_as_the_scorer_reads_them(tickets, web):
    bundle, original = tickets("kind", "linear", ())
    scorer = Scorer(Bundle.open(bundle))
    row = table_rows(original, bundle.parents[4] / "tickets.csv", 1)[0]
    rows = [
        row,
        dict.fromkeys(row, None),
        dict.fromkeys(row, ""),
        {**row, "price": 1200.5, "hours": "NA", "urgent": True, "team": 1},
        {**row, "price": "-$1,200", "opened": "2024-02-29", "note": 12.5},
    ]
    answers = web(original)[1].predict(rows)
    expected = scorer.predict_rows(rows)
    assert [answer["prediction"] for answer in answers] == list(expected.prediction)
    found = [[answer["probabilities"][label] for label in "abc"] for answer in answers]
    np.testing.assert_allclose(found, expected.probabilities, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": "cheap"}, 'column "price", row 2: "cheap" does not fit the type number'),
        ({"opened": "31.02.2024"}, 'column "opened", row 2: "31.02.2024" does not fit the type date'),
        ({"hours": [1]}, 'column "hours", row 2: a value of the type object is no value of a column'),
        ({"colour": "red"}, "row 2 has columns that the model does not take: colour"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(tickets, web, change, message):
    bundle, original = tickets("kind", "linear", ())
    row = table_rows(original, bundle.parents[4] / "tickets.csv", 1)[0]
    with pytest.raises(DataError) as told:
        web(original)[1].predict([row, {**row, **change}])
    assert told.value.message == message


def test_a_row_without_a_column_is_told(tickets, web):
    original = tickets("kind", "linear", ())[1]
    with pytest.raises(
        DataError, match=r"row 1 lacks the column\(s\) hours, note, opened, price, team, urgent"
    ):
        web(original)[1].predict([{}])


def test_texts_are_lowered_by_the_module(tickets, web):
    original = tickets("kind", "linear", ())[1]
    folder, _ = web(original)
    schema = json.loads((folder / "schema.json").read_text())
    assert [column["name"] for column in schema["columns"] if column["lower"]] == ["note"]
    assert "StringNormalizer" not in operators_of(onnx.load(folder / "model.onnx").graph)
    without = tickets("cost", "mlp")[1]
    folder, _ = web(without)
    assert (folder / "model.onnx").read_bytes() == without.content


RULES = [
    ColumnRule(type="text"),
    ColumnRule(type="integer"),
    ColumnRule(type="number"),
    ColumnRule(type="number", thousands=",", prefix="$"),
    ColumnRule(type="number", thousands=".", decimal=",", suffix="kg"),
    ColumnRule(type="integer", thousands=" "),
    ColumnRule(type="boolean"),
    ColumnRule(type="date", formats=("%d.%m.%Y",)),
    ColumnRule(type="date", formats=("%d %b %y", "%m/%d/%Y %H:%M:%S"), has_time=True),
]
VALUES = [
    None, "", " ", "NA", "?", "x", " x ", "été", 0, 1, -3, 3.0, 2.5, 1e-5, 1.5e16, 1e22, -0.0, 123456.789,
    True, False, "true", "FALSE", "1", "0", "2", "007", "+5", "-5", "5.", ".5", "1e3", "1E400", "--1", "5.0",
    "9223372036854775807", "9223372036854775808", "3.4e39", "1,234", "1,23", "$5", "-$5", "$-5", "-$-5",
    "$ 1,234.5", "1.234,5", "1.234,5 kg", "5kg", "1 234", "1\u00a0234", "1\u202f234 567", "\u00a07\ufeff",
    "2024-02-29", "2023-02-29", "01.02.2024", "1.2.2024", "31.04.2024", "0001-01-01", "0000-01-01",
    "9999-12-31",
    "3 Sep 68", "3 september 69", "3 Sept. 70", "3 Foo 70", "2/3/2024 4:05 pm", "2/3/2024T16:05:06.789+02:00",
    "12/31/2024 23:59:59-0530", "12/31/9999 23:59:59-05:30", "1/1/0001 00:00Z+01:00", "2/3/2024 13:05 PM",
    "2024-02-29T12:00:00Z", "2024-02-29 24:00:00", "infinity", "nan", "\u3000", "0x10", "1_000", "１２",
]  # fmt: skip
READER = """
import { columnReaders } from "%s";
import { readFileSync } from "node:fs";
const { schema, values } = JSON.parse(readFileSync(0, "utf8"));
const readers = columnReaders(schema);
const read = (reader, value) => {
  try { return String(reader([value])[0]); } catch (problem) { return `misfit: ${problem.name}`; }
};
console.log(JSON.stringify(readers.map((reader) => values.map((value) => read(reader, value)))));
"""


def test_every_value_is_read_as_the_scorer_reads_it():
    inputs = tuple(
        Input(name=f"{number} {dtype}", feature="text", dtype=dtype, rule=rule)
        for number, rule in enumerate(RULES)
        for dtype in ("float32", "string")
    )
    nothing = onnx.helper.make_model(onnx.helper.make_graph([], "none", [], []))
    task = Task(target="y", type="number")
    schema = schema_of(Original(nothing.SerializeToString(), "values", task, inputs, None, {}))
    done = subprocess.run(
        [node(), "--input-type=module", "-e", READER % asset("values.js")],
        input=json.dumps({"schema": schema, "values": VALUES}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for column, texts in zip(inputs, json.loads(done.stdout), strict=True):
        for value, text in zip(VALUES, texts, strict=True):
            expected, misfits = raw_values([value], column.dtype, column.rule)
            about = f"{column.rule} {column.dtype} {value!r}"
            if misfits:
                assert text == "misfit: RangeError", about
            elif column.dtype == "string":
                assert text == expected[0, 0], about
            else:
                np.testing.assert_array_equal(np.float32(text), expected[0, 0], err_msg=about)


def test_without_a_runtime_the_folder_says_what_to_copy(tickets, tmp_path):
    original = tickets("cost", "mlp")[1]
    OnnxWeb().write(original, tmp_path)
    told = (tmp_path / "README.txt").read_text()
    assert "npm install --ignore-scripts onnxruntime-web && mkdir -p runtime && cp " in told
    assert all(name in told for name in RUNTIME_FILES)
    assert not (tmp_path / "runtime").exists()
    assert OnnxWeb().open(original, tmp_path) is None


def test_rows_have_types(tickets, tmp_path):
    OnnxWeb().write(tickets("cost", "mlp")[1], tmp_path)
    types = (tmp_path / "row.d.ts").read_text()
    assert '  "urgent": Level<"no" | "yes"> | number | boolean | null | undefined;' in types
    assert '  "price": number | bigint | string | boolean | null | undefined;' in types


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("dist", "runtime: 'dist' must be an absolute path, or start with ~"),
        ("/nowhere", f"runtime: /nowhere has no {', '.join(RUNTIME_FILES)}"),
    ],
)
def test_a_runtime_that_is_not_there_is_refused(tickets, place, message):
    assert OnnxWeb(runtime=place).refuse(tickets("cost", "mlp")[1]) == message


def test_texts_that_spacy_reads_are_refused(tickets):
    whole = tickets("kind", "linear", ())[1]
    reading = Reading(pipeline="en_core_web_sm", lemmas=True, entities=False, parts_of_speech=False)
    inputs = tuple(
        column.model_copy(update={"reading": reading}) if column.feature == "text" else column
        for column in whole.inputs
    )
    changed = Original(whole.content, whole.name, whole.task, inputs, whole.threshold, whole.rows)
    assert OnnxWeb().refuse(changed) == "spaCy reads the texts of 'note', and does not run in a browser"


def test_a_damaged_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="Node ended"):
        NodeRun(node(), asset("node.mjs"), tmp_path, 1)


PAGE = """<!doctype html><iframe id="page" src="index.html"></iframe><script type="module">
import { load } from "./predictor.js";
const tell = (found) => fetch("/found", { method: "POST", body: JSON.stringify(found) });
const until = async (test) => {
  let found;
  while (!(found = test())) await new Promise((done) => setTimeout(done, 20));
  return found;
};
try {
  const rows = await (await fetch("rows.json")).json();
  const predictor = await load();
  const answers = await predictor.predict(rows);
  const page = document.getElementById("page");
  const button = await until(() => page.contentDocument?.querySelector("fieldset:not([disabled]) button"));
  const controls = [...button.form.elements].filter((control) => control.name);
  for (const control of controls) control.value = rows[0][control.name];
  button.click();
  const shown = await until(() => page.contentDocument.querySelector("output strong")?.textContent);
  const names = controls.map((control) => [control.name, control.tagName]);
  await tell({ answers, shown, names, title: page.contentDocument.title });
} catch (problem) { await tell({ error: String(problem.stack ?? problem) }); }
</script>"""


class Handler(SimpleHTTPRequestHandler):
    def do_POST(self):
        self.server.found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()

    def log_message(self, *_):
        pass


def test_a_browser_predicts_as_model_onnx_does(tickets, web, tmp_path):
    chromium = browser()
    bundle, original = tickets("kind", "linear", ())
    folder, _ = web(original)
    rows = table_rows(original, bundle.parents[4] / "tickets.csv", 100)
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "check.html").write_text(PAGE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.found, server.done = [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    address = f"http://127.0.0.1:{server.server_port}/check.html"
    process = subprocess.Popen(
        [*command, f"--user-data-dir={tmp_path}", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert server.done.wait(60), "the browser did not answer"
    finally:
        process.terminate()
        process.wait()
        server.shutdown()
        server.server_close()
    found = server.found[0]
    assert "error" not in found, found
    expected = Scorer(Bundle.open(bundle)).predict_rows(rows)
    probabilities = [[answer["probabilities"][label] for label in "abc"] for answer in found["answers"]]
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5)
    assert [answer["prediction"] for answer in found["answers"]] == list(expected.prediction)
    assert found["shown"] == f"kind: {expected.prediction[0]}"
    assert found["title"] == "tickets"
    assert dict(found["names"])["urgent"] == "SELECT"
    assert dict(found["names"])["price"] == "INPUT"
