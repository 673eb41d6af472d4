"""A Jupyter notebook that loads a spec, a run or a bundle by the Python API and looks at it from all sides.

It holds no results: whoever runs it sees those of their machine. The same story gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from declarative_ml.core.optional import require
from declarative_ml.report.next_steps import Suggestion

EXTRA = "notebook"


@dataclass(frozen=True)
class Story:
    """What a notebook is about."""

    kind: Literal["spec", "run", "bundle"]
    name: str
    description: str
    opening: str
    """The expression that gives the spec, the run or the bundle."""
    store: str = ""
    """Where the workspace is, as a further argument of a call; empty: beside the spec."""
    part: str = "test"
    """The part of the data whose rows are predicted."""
    sliced: bool = False
    explained: bool = True
    suggestions: Sequence[Suggestion] = ()
    changed: str = ""
    """The expression that gives the spec with the first suggestion laid over it."""


@dataclass(frozen=True)
class Cell:
    """One cell. The id is made from the name, so that it is the same every time."""

    name: str
    text: str
    code: bool = False


def render_notebook(story: Story) -> str:
    """The .ipynb file. Raises MissingDependency without nbformat."""
    nbformat = require("nbformat", EXTRA)
    made = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    made.nbformat_minor = 5
    for cell in cells(story):
        make = nbformat.v4.new_code_cell if cell.code else nbformat.v4.new_markdown_cell
        made.cells.append(make(cell.text, id=cell.name))
    nbformat.validate(made)
    text: str = nbformat.writes(made, version=4)
    return text.rstrip("\n") + "\n"


def cells(story: Story) -> list[Cell]:
    """The cells in their order; names are unique."""
    parts = {"spec": _of_spec, "run": _of_run, "bundle": _of_bundle}
    return [_title(story), *parts[story.kind](story)]


def _title(story: Story) -> Cell:
    about = {
        "spec": "The first time the cells are run they train the model; after that they show the same run "
        "again, until the spec or its data change.",
        "run": "The cells show a finished run and train nothing. They need the workspace of the run.",
        "bundle": "The cells show a trained model and what its bundle knows of it. They train nothing and "
        "need no data.",
    }
    described = f"{_plain(story.description)}\n\n" if story.description else ""
    return Cell("title", f"# {_plain(story.name)}\n\n{described}{about[story.kind]}")


def _of_spec(story: Story) -> Iterator[Cell]:
    yield _text("spec-title", "The spec", "Everything that makes this model is in one file.")
    yield _code("spec", f"import declarative_ml as dml\n\nspec = {story.opening}\nspec")
    yield _text("plan-title", "The plan", "What happens when it runs; cached steps are not run again.")
    yield _code("plan", f"dml.plan(spec{story.store})")
    yield _text("run-title", "The run", "Each number on test rows comes from the ONNX file that ships.")
    yield _code("run", f"run = dml.run(spec{story.store}, progress=True)\nrun")
    yield from _of_results(story)
    yield from _changes(story, "spec")


def _of_run(story: Story) -> Iterator[Cell]:
    yield _text("run-title", "The run", "Each number on test rows comes from the ONNX file that ships.")
    yield _code("run", f"import declarative_ml as dml\n\nrun = {story.opening}\nrun")
    yield _text("spec-title", "The spec", "With all its options, those that were left to their defaults too.")
    yield _code("spec", "run.spec")
    yield _text("plan-title", "The plan", "What was done, and what came from the cache.")
    yield _code("plan", "run.plan")
    yield from _of_results(story)
    yield from _changes(story, "run.spec")


def _of_results(story: Story) -> Iterator[Cell]:
    yield _code("verdict", "print(run.verdict)")
    yield _text("data-title", "The data", "As the model's features see it: typed, after `data.sql`.")
    yield _code("data", 'run.rows("train", 10)')
    yield _text("models-title", "The models", "Candidates on the rows that their folds held out.")
    yield _code("models", "run.leaderboard")
    yield _text("charts-title", "Right and wrong", "What the model answers on the test rows.")
    yield _code("charts", "run.charts")
    if story.sliced:
        yield _text("slices-title", "Slices", "How good is it on parts of the data?")
        yield _code("slices", "run.slices")
    if story.explained:
        yield _text("columns-title", "What the model looks at", "SHAP values of the shipped model.")
        yield _code("columns", "run.explain()")
    yield _text("predict-title", "Predict", "A table of any library does, a list of dicts, or a file.")
    yield _code("predict", f'rows = run.rows("{story.part}", 5)\nrun.predict(rows, keep=rows.columns)')
    yield _text("why-title", "One prediction", "How far each column moves it away from the average.")
    yield _code("why", "run.explain(rows[:1])")
    yield _text("file-title", "The file that ships", "It needs nothing but ONNX Runtime.")
    yield _code("file", "run.bundle")


def _of_bundle(story: Story) -> Iterator[Cell]:
    yield _text("model-title", "The model", "It needs nothing but ONNX Runtime.")
    yield _code("model", f"import declarative_ml as dml\n\nbundle = {story.opening}\nbundle")
    if story.part == "test":
        yield _text("metrics-title", "Metrics", "On test rows, which the model has never seen.")
        yield _code("metrics", "bundle.evaluation")
    if story.explained:
        yield _text("columns-title", "What the model looks at", "SHAP values that the run stored.")
        yield _code("columns", "bundle.explain()")
    yield _text("data-title", "Rows", "The bundle carries some of its training rows, without the target.")
    yield _code("data", "rows = bundle.examples(5)\nrows")
    yield _text("predict-title", "Predict", "A table of any library does, a list of dicts, or a file.")
    yield _code("predict", "bundle.predict(rows, keep=rows.columns)")
    yield _text("why-title", "One prediction", "How far each column moves it away from the average.")
    yield _code("why", "bundle.explain(rows[:1])")


def _changes(story: Story, spec: str) -> Iterator[Cell]:
    if not story.suggestions:
        return
    listed = [f"- {_plain(each.why)} `{_literal(dict(each.overrides))}`" for each in story.suggestions]
    words = "Changes that may help. A change is laid over the spec here; what works belongs in the file."
    yield _text("next-title", "What to change next", words + "\n\n" + "\n".join(listed))
    yield _code("next", f"changed = {story.changed}\ndml.diff({spec}, changed)")
    yield _code("try", f"# better = dml.run(changed{story.store}, progress=True)\n# dml.compare(run, better)")


def load_call(function: str, *arguments: Any, **options: Any) -> str:
    """The text of a call with literal arguments; options that are None or empty are left out."""
    named = [f"{name}={_literal(value)}" for name, value in options.items() if value]
    return f"{function}({', '.join([*map(_literal, arguments), *named])})"


def argument(name: str, value: Any) -> str:
    """A further argument of a call; nothing for None."""
    return "" if value is None else f", {name}={_literal(value)}"


def _literal(value: Any) -> str:
    """A plain value as Python reads it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(name)}: {_literal(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>#$|~])", r"\\\1", " ".join(text.split()))


def _text(name: str, title: str, words: str) -> Cell:
    return Cell(name, f"## {title}\n\n{words}")


def _code(name: str, text: str) -> Cell:
    return Cell(name, text, code=True)
