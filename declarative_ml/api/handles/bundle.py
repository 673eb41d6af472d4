"""A trained model: predict, measure, explain, convert."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.api.handles.results import Evaluation, Explanation
from declarative_ml.api.handles.rows import Rows, in_form_of, is_shaped, source_of
from declarative_ml.core.errors import UsageError
from declarative_ml.store.bundle import Bundle as Stored
from declarative_ml.store.bundle import Manifest

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from declarative_ml.api.annotate import LabelTasks
    from declarative_ml.formats.conversion import Conversion
    from declarative_ml.scoring.estimator import Estimator
    from declarative_ml.scoring.scorer import Scorer


class Bundle:
    """A bundle, opened. Tables may be those of any library, rows as dicts, or the path of a file."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        """What the functions of `declarative_ml.api` take."""

    @property
    def path(self) -> Path:
        """The folder or .zip."""
        return self.stored.path

    @property
    def manifest(self) -> Manifest:
        """The content of bundle.json."""
        return self.stored.manifest

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.manifest.name

    @property
    def target(self) -> str:
        """The column that is predicted."""
        return self.manifest.task.target

    @property
    def task(self) -> str:
        """`binary`, `multiclass` or `number`."""
        return self.manifest.task.type

    @property
    def columns(self) -> dict[str, str]:
        """Column that the model takes -> its feature type, in the order of the graph's inputs."""
        return {column.name: column.feature for column in self.manifest.inputs}

    @property
    def classes(self) -> list[str | int | bool]:
        """The labels in the order of `predict_proba`; empty for a number."""
        return list(self._scorer.labels)

    @property
    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Part (`test`, `validation`) -> metric -> value, as the run measured them."""
        return dict(self.manifest.metrics)

    @property
    def evaluation(self) -> Evaluation:
        """What the run measured on its test rows, slices included. UsageError where there were none."""
        import json

        name = "metrics.json"
        found = json.loads(self.stored.read(name)) if name in self.manifest.files else {"metrics": {}}
        if "test" not in found["metrics"]:
            raise UsageError(f"{self.path} tells of no test rows", hint="measure it: evaluate(table)")
        kept = {"rows": found["rows"]["test"], "metrics": found["metrics"]["test"], "slices": found["slices"]}
        return Evaluation.of(kept)

    @property
    def estimator(self) -> Estimator:
        """The model with the interface of scikit-learn's estimators."""
        from declarative_ml.scoring.estimator import Estimator

        return Estimator(self.path)

    @cached_property
    def _scorer(self) -> Scorer:
        from declarative_ml.scoring.scorer import Scorer

        return Scorer(self.stored)

    def predict(self, table: Any, *, keep: Sequence[str] = ()) -> Any:
        """The answers, in the form of what was given: a DataFrame for a DataFrame, a dict for one row as a
        dict, `Rows` for a file. Columns: those of `keep`, `prediction`, and for classes `probability` (of
        the positive class; of the predicted one where there are more) and `probability_<class>` each; for
        a number with intervals `lower` and `upper`.

        Raises DataError naming the column and the row of what is missing or does not fit.
        """
        import pyarrow as pa

        from declarative_ml.scoring.table import score_batches

        batches = self._batches(table, keep)
        return in_form_of(table, pa.Table.from_batches(score_batches(self._scorer, batches, list(keep))))

    def predict_file(self, data: str | Path, output: str | Path, *, keep: Sequence[str] = ()) -> int:
        """Score the file `data` into the file `output` (csv, tsv, parquet, jsonl or arrow by extension), in
        bounded memory. Returns the number of rows. The output appears whole or not at all."""
        from declarative_ml.api.predict import predict

        return predict(self.stored, str(data), str(output), keep=list(keep))

    def predict_proba(self, table: Any) -> np.ndarray:
        """[n, C] float32 probabilities in the order of `classes`. Raises UsageError for a number."""
        import numpy as np

        from declarative_ml.scoring.table import raw_inputs

        if self.task == "number":
            raise UsageError(f"'{self.target}' is a number: there are no probabilities", hint="use predict")
        inputs = (raw_inputs(self._scorer, batch) for batch in self._batches(table))
        return np.concatenate([self._scorer.predict_raw(raw).probabilities for raw in inputs])

    def evaluate(self, table: Any, *, slices: Sequence[str] = ()) -> Evaluation:
        """All metrics on labelled rows, and by value of the columns in `slices`.

        Raises DataError where the rows have no target, or labels that the model does not know.
        """
        from declarative_ml.api.evaluate import evaluate

        rows = self._source(table, [self.target, *slices])
        return Evaluation.of(evaluate(self.stored, rows, list(slices), shaped=is_shaped(table)))

    def explain(self, table: Any = None, *, seed: int | None = None) -> Explanation:
        """SHAP values of the rows (the first 1,000 of them), or those that the run stored.

        Raises UsageError where the run stored none, DataError for values that do not fit.
        """
        from declarative_ml.api.explain import explain

        rows = None if table is None else self._source(table)
        return Explanation(explain(self.stored, rows=rows, seed=seed, shaped=is_shaped(table)))

    def convert(
        self, to: str, output: str | Path | None = None, *, score: Any = None, **options: Any
    ) -> Conversion:
        """Convert the model to the format `to`, into the folder `output` (NAME-FORMAT when absent), and hold
        it against model.onnx. `status` says how it ended; the labelled rows `score` tell what it costs to
        leave members out. Raises UsageError, MissingDependency."""
        from declarative_ml.api.convert import convert, parse_format

        wanted = parse_format(to, options)
        rows = None if score is None else self._source(score, [self.target])
        target = Path(output or f"{self.name}-{wanted.name}")
        return convert(self.stored, wanted, target, score=rows, shaped=is_shaped(score))

    def examples(self, rows: int = 5) -> Rows:
        """Rows of the training data that the bundle carries, such as the model takes."""
        import pyarrow as pa

        stored = self.stored.reference().get("background") or {}
        if any(column not in stored for column in self.columns):
            raise UsageError(
                f"{self.path} carries no rows", hint="run again with explain.background set to 1 or more"
            )
        return Rows(pa.table({column: stored[column][:rows] for column in self.columns}), shaped=True)

    def _source(self, table: Any, more: Sequence[str] = ()) -> str | pa.Table:
        # SQL may read any column of the raw rows.
        wanted = list(dict.fromkeys([*self.columns, *more]))
        return source_of(table, wanted, whole=self.manifest.sql is not None)

    def annotate(
        self,
        table: Any,
        output: str | Path = "tasks.json",
        *,
        least_confident: int | None = None,
        labelled: bool = False,
    ) -> LabelTasks:
        """Tasks of Label Studio for the rows without a label; see `declarative_ml.api.annotate`."""
        from declarative_ml.api.annotate import annotate

        source = self._source(table)
        return annotate(self.stored, source, output, least_confident=least_confident, labelled=labelled)

    def _batches(self, table: Any, keep: Sequence[str] = ()) -> Any:
        from declarative_ml.api.predict import model_rows, read

        return model_rows(self.stored, read(self._source(table, keep)), shaped=is_shaped(table))

    def __repr__(self) -> str:
        return f"<Bundle {self.name}: {self.task} {self.target} from {len(self.columns)} columns>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.fragments import box, heading, paragraph, table
        from declarative_ml.report.views import metrics_table

        facts = f"{self.task} · {self.target} · model {self.manifest.model_digest[:12]}"
        inputs = [(column.name, column.feature, column.dtype) for column in self.manifest.inputs]
        measured = metrics_table({"metrics": self.manifest.metrics})
        columns = table(["column", "type", "graph input"], inputs, left=(0, 1, 2))
        return box(heading(self.name, facts), paragraph(self.manifest.description), measured, columns)
