"""What verbs find out, as objects that notebooks draw: problems, measurements, explanations, differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import Problem
from declarative_ml.report.content import MemberResult

if TYPE_CHECKING:
    from declarative_ml.report.comparison import Comparison as Paired


@dataclass(frozen=True)
class Problems:
    """Everything that is wrong with one spec or several, and what is doubtful."""

    found: tuple[Problem, ...]
    """In the order of the file; each has `code`, `severity`, `message`, `hint`, `file`, `line`, `column`."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """The texts of templates that are not on this machine under the name that problems give them."""

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return all(problem.severity != "error" for problem in self.found)

    def as_dict(self) -> dict[str, Any]:
        """What `dml validate --format json` prints."""
        from declarative_ml.spec.diagnostics import problems_as_json

        return problems_as_json(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.found)

    def __str__(self) -> str:
        from declarative_ml.spec.diagnostics import render_problems

        return render_problems(self.found, texts=self.texts)

    def __repr__(self) -> str:
        errors = sum(problem.severity == "error" for problem in self.found)
        return f"<Problems: {errors} error(s), {len(self.found) - errors} warning(s)>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.fragments import box, heading, plain_text

        tag = ("valid", "good") if self.ok else ("invalid", "bad")
        note = f"{len(self.found)} problem(s)" if self.found else "no problems"
        return box(heading("spec", note, tag), *([plain_text(str(self))] if self.found else []))


@dataclass(frozen=True)
class Evaluation:
    """A model measured on labelled rows."""

    rows: int
    """Those that have a target."""
    metrics: Mapping[str, float | None]
    """Metric -> value; None where these rows do not define it."""
    slices: Sequence[Mapping[str, Any]]
    """Each with `slice`, `rows` and `metrics`."""
    found: Mapping[str, Any] = field(repr=False)
    """What `dml evaluate --format json` prints."""

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Evaluation:
        """From what `dml evaluate --format json` prints."""
        return cls(found["rows"], found["metrics"], found["slices"], found)

    def as_dict(self) -> dict[str, Any]:
        """What `dml evaluate --format json` prints."""
        return dict(self.found)

    def __repr__(self) -> str:
        return f"<Evaluation on {self.rows:,} rows: {_few(self.metrics)}>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.fragments import box, heading, table
        from declarative_ml.report.wording import metric_title, number

        rows = [(metric_title(name), number(value)) for name, value in self.metrics.items()]
        drawn = [heading("measured", f"on {self.rows:,} rows"), table(["metric", "value"], rows)]
        if self.slices:
            names = list(self.slices[0]["metrics"])[:4]
            cells = [
                [item["slice"], f"{item['rows']:,}", *(number(item["metrics"][name]) for name in names)]
                for item in self.slices
            ]
            drawn.append(table(["slice", "rows", *map(metric_title, names)], cells))
        return box(*drawn)


@dataclass(frozen=True)
class Explanation:
    """Why a model predicts what it does: SHAP values, over all explained rows and for each of them."""

    found: Mapping[str, Any]

    @property
    def importance(self) -> dict[str, float]:
        """Column -> mean absolute SHAP value, the strongest first."""
        return {item["feature"]: item["mean_abs_shap"] for item in self.found["features"]}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Per row `prediction`, `base` and `values` by column; of several classes each a dict by class."""
        return list(self.found["rows"])

    @property
    def outputs(self) -> list[str]:
        """What is explained: the positive class, every class, or the number."""
        return list(self.found["outputs"])

    def as_dict(self) -> dict[str, Any]:
        """What `dml explain --format json` prints of the model."""
        return dict(self.found)

    def __len__(self) -> int:
        return len(self.found["rows"])

    def __repr__(self) -> str:
        return f"<Explanation of {len(self)} row(s): {', '.join(list(self.importance)[:5])}>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.views import contributions_view, importance_view

        if len(self) == 1:
            return contributions_view(*self._single())
        note = f"SHAP values of {len(self)} rows ({self.found['method']})"
        return importance_view(list(self.importance.items()), note)

    def _single(self) -> tuple[float, float, dict[str, float], str]:
        """Base, prediction and values of the only row, of its likeliest class, and what that is."""
        (row,) = self.found["rows"]
        if not isinstance(row["prediction"], Mapping):
            words = (
                "the prediction" if self.found["task"] == "number" else f"probability of {self.outputs[0]}"
            )
            return row["base"], row["prediction"], row["values"], words
        name = max(row["prediction"], key=lambda output: float(row["prediction"][output]))
        values = {column: parts[name] for column, parts in row["values"].items()}
        return row["base"][name], row["prediction"][name], values, f"probability of {name}"


@dataclass(frozen=True)
class Leaderboard:
    """The candidates of a run, the best first."""

    metric: str
    """What `score` and `interval` are, on the rows that the folds held out."""
    members: tuple[MemberResult, ...]
    """Each with `name`, `score`, `interval`, `weight`, `loss`, `seconds`, `size`, `latency`, `reason`."""

    def as_dicts(self) -> list[dict[str, Any]]:
        """One dict a candidate: name, score, interval, weight, loss, seconds, size, latency, reason."""
        return [dict(vars(member)) for member in self.members]

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[MemberResult]:
        return iter(self.members)

    def __repr__(self) -> str:
        return f"<Leaderboard: {', '.join(member.name for member in self.members)}>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.views import leaderboard_view

        return leaderboard_view(self.members, self.metric)


@dataclass(frozen=True)
class Drawing:
    """A view that notebooks show."""

    title: str
    """What it shows."""
    html: str
    """A fragment that stands alone."""

    def __repr__(self) -> str:
        return f"<{self.title}: shown in notebooks>"

    def _repr_html_(self) -> str:
        return self.html


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    found: Mapping[str, Any]
    drawn: Paired
    """What `page` draws."""

    @property
    def metrics(self) -> dict[str, dict[str, list[float | None]]]:
        """Part -> metric -> [first, second, difference]."""
        return dict(self.found["metrics"])

    @property
    def options(self) -> dict[str, list[Any]]:
        """Dotted path -> [first, second] of every option that differs."""
        return dict(self.found["options"] or {})

    def write(self, path: str | Path) -> Path:
        """Write the whole comparison as a page of HTML. Returns its path."""
        from declarative_ml.core.atomic import write_text
        from declarative_ml.report.compare import render_comparison

        write_text(Path(path), render_comparison(self.drawn))
        return Path(path)

    @property
    def same_model(self) -> bool:
        """Whether the models are the same, byte for byte."""
        return bool(self.found["same_model"])

    def as_dict(self) -> dict[str, Any]:
        """What `dml compare --format json` prints."""
        return dict(self.found)

    def __repr__(self) -> str:
        return f"<Comparison of {' and '.join(self.found['runs'])}: {len(self.options)} option(s) differ>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.fragments import box, heading, table
        from declarative_ml.report.views import options_table
        from declarative_ml.report.wording import number

        rows = [
            [f"{part} {name}", number(old), number(new), "" if change is None else f"{change:+.4g}"]
            for part, metrics in self.metrics.items()
            for name, (old, new, change) in metrics.items()
        ]
        title = heading("same model" if self.same_model else "runs compared")
        return box(title, table(["", *self.found["runs"], "difference"], rows), options_table(self.options))


@dataclass(frozen=True)
class Difference:
    """What differs between two specs in meaning. True where something does."""

    options: Mapping[str, Sequence[Any]]
    """Dotted path -> [old, new]."""
    steps: Mapping[str, str]
    """Step -> `added`, `removed`, `changed` or `after STEP`: what runs again because of it."""

    def __bool__(self) -> bool:
        return bool(self.options)

    def as_dict(self) -> dict[str, Any]:
        """What `dml diff --format json` prints."""
        return {"options": dict(self.options), "steps": dict(self.steps)}

    def __repr__(self) -> str:
        return f"<Difference: {len(self.options)} option(s), {len(self.steps)} step(s) run again>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.fragments import box, heading
        from declarative_ml.report.views import options_table, steps_table

        if not self.options:
            return box(heading("the specs mean the same"))
        steps = [heading("steps that run again"), steps_table(self.steps)]
        return box(heading("options"), options_table(self.options), *(steps if self.steps else []))


def _few(metrics: Mapping[str, float | None], count: int = 3) -> str:
    from declarative_ml.report.wording import number

    return ", ".join(f"{name} {number(value)}" for name, value in list(metrics.items())[:count])
