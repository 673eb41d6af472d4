from collections.abc import Callable
from pathlib import Path

import pytest

from declarative_ml.core.errors import Problem

Problems = Callable[..., list[Problem]]


@pytest.mark.parametrize(
    ("text", "code", "path", "message"),
    [
        ("target: {column: Churn, type: binary}\nevaluate: {metric: rmse}", "DML101", "evaluate.metric",
         "metric rmse does not fit: target.type is binary"),
        ("target: {column: Churn, type: multiclass}\nevaluate: {metrics: [accuracy, f1]}", "DML101",
         "evaluate.metrics[1]", "metric f1 does not fit: target.type is multiclass"),
        ("evaluate: {metric: rmse, metrics: [roc_auc]}", "DML101", "evaluate.metrics[0]",
         "metric roc_auc does not fit: metric rmse is for number targets"),
        ("target: {column: Churn, type: number, positive: x}", "DML101", "target.positive",
         "target.positive does not fit: target.type is number"),
        ("target: {column: Churn, type: multiclass, positive: x}", "DML101", "target.positive",
         "target.positive does not fit: target.type is multiclass"),
        ("target: {column: Churn, type: multiclass}\nevaluate: {threshold: 0.3}", "DML101",
         "evaluate.threshold",
         "evaluate.threshold does not fit"),
        ("evaluate: {metric: rmse, threshold: {maximize: f1}}", "DML101", "evaluate.threshold",
         "evaluate.threshold does not fit: metric rmse is for number targets"),
        ("target: {column: Churn, type: number}\nimbalance: weights", "DML101", "imbalance",
         "imbalance weights does not fit"),
        ("exclude: [tenure, Churn]", "DML102", "exclude[1]", "the target 'Churn' is excluded"),
        ("weight: Churn", "DML103", "weight", "weight is the target 'Churn'"),
        ("data: {source: table.csv, key: Churn}", "DML103", "data.key", "data.key is the target 'Churn'"),
        ("data: {source: table.csv, split: {method: group, column: Churn}}", "DML103", "data.split.column",
         "data.split.column is the target 'Churn'"),
        ("data: {source: table.csv, key: tenure}\nweight: tenure", "DML103", "weight",
         "'tenure' has two roles"),
        ("features: {Churn: binary, tenure: number}", "DML104", "features.Churn",
         "'Churn' cannot be a feature: it is the target"),
        ("features: {tenure: number, Contract: category}\nexclude: [Contract]", "DML104", "features.Contract",
         "'Contract' cannot be a feature: it is named by exclude"),
        ("features: {tenure: number, importance: number}\nweight: importance", "DML104",
         "features.importance",
         "'importance' cannot be a feature: it is named by weight"),
        ("data: {source: table.csv, key: customerID}\nfeatures: {customerID: category, tenure: number}",
         "DML104",
         "features.customerID", "'customerID' cannot be a feature: it is named by data.key"),
        ("features: {}", "DML105", "features", "no column is left to learn from"),
        ("data: {source: table.csv, split: hash}", "DML106", "data.split", "a hash split needs data.key"),
        ("data: {source: table.csv, split: {validation: 0.5, test: 0.5}}", "DML107", "data.split",
         "validation and test take 100% of the rows"),
        ("data: {source: table.csv, split: {validation: 0.1, folds: 3}}", "DML107", "data.split.folds",
         "folds and validation exclude each other"),
        ("data: {source: table.csv, split: {method: column, column: tenure, test: train}}", "DML107",
         "data.split", "must be marked by different values"),
        ("model: {type: ensemble, members: [mlp, linear, mlp]}", "DML108", "model.members[2]",
         "members 1 and 3 are the same model"),
        ("track: {enabled: false, register: x}", "DML109", "track.register", "track.register has no effect"),
        ("track: {enabled: false, tensorboard: true}", "DML109", "track.tensorboard",
         "track.tensorboard has no effect: tracking is off"),
        ("data: {source: table.csv, split: {test: 0}}", "DML109", "data.split.test",
         "no rows are kept for a test"),
    ],
)  # fmt: skip
def test_contradictions(text: str, code: str, path: str, message: str, problems: Problems) -> None:
    found = problems(text)
    assert [(problem.code, problem.path) for problem in found] == [(code, path)]
    assert message in found[0].message
    assert found[0].severity == ("warning" if code == "DML109" else "error")


@pytest.mark.parametrize(
    "text",
    [
        "target: {column: tenure, type: number}\nevaluate: {metric: rmse, metrics: [mae, r2]}",
        "target: {column: tenure, type: number}\nevaluate: {threshold: 0.5}\nimbalance: none",
        "target: {column: tenure, type: number}\ndata: {source: table.csv, split: {stratify: true}}",
        "data: {source: table.csv, split: {stratify: Contract}}",
        "data: {source: table.csv, split: {method: time, column: signup}}\nfeatures: {signup: date}",
        "data: {source: table.csv, key: customerID, split: hash}",
        "model: {type: ensemble, members: [{type: mlp}, {type: mlp, epochs: 9}]}",
        "evaluate: {metric: roc_auc, metrics: [f1], threshold: {maximize: f1}}\nimbalance: weights",
        "features: {}\nothers: auto",
        "evaluate: {champion: {registry: churn}}",  # dml check compares its columns
    ],
)
def test_what_fits_is_not_complained_about(text: str, problems: Problems) -> None:
    assert problems(text, data=True) == []


@pytest.mark.parametrize(
    ("text", "paths", "hint"),
    [
        ("target: churn", ["target.column"], "did you mean 'Churn'?"),
        ("target: zzzzzz", ["target.column"], "columns: customerID, tenure, Contract"),
        ("features: {Tenure: number, tenure: number}", ["features.Tenure"], "did you mean 'tenure'?"),
        ("exclude: [tenur]", ["exclude[0]"], "did you mean 'tenure'?"),
        ("weight: importence", ["weight"], "did you mean 'importance'?"),
        ("data: {source: table.csv, key: customerId}", ["data.key"], "did you mean 'customerID'?"),
        ("data: {source: table.csv, split: {stratify: contract}}", ["data.split.stratify"], "'Contract'"),
        ("data: {source: table.csv, split: {method: time, column: sign-up}}",
         ["data.split.column"], "'signup'"),
        ("evaluate: {slices: [contract, {tenuer: 1}]}", ["evaluate.slices[0]", "evaluate.slices[1].tenuer"],
         "'Contract'"),
    ],
)  # fmt: skip
def test_columns_that_the_data_lacks(text: str, paths: list[str], hint: str, problems: Problems) -> None:
    found = problems(text, data=True)
    assert [(problem.code, problem.path) for problem in found] == [("DML201", path) for path in paths]
    assert hint in str(found[0].hint)


def test_separate_files_need_the_target_and_the_features(problems: Problems, folder: Path) -> None:
    (folder / "test.csv").write_text("tenure,Label\n1,Yes\n")
    text = "data: {source: table.csv, split: {method: files, test: test.csv}}\nfeatures: {Contract: category}"
    found = problems(text, data=True)
    assert [(p.path, p.message) for p in found] == [
        ("data.split.test", "the test data has no column 'Churn'"),
        ("data.split.test", "the test data has no column 'Contract'"),
    ]


def test_behind_sql_only_unheard_names_are_warned_of(problems: Problems) -> None:
    text = """data: {source: table.csv, sql: "SELECT tenure * 2 AS twice, Churn FROM source"}
features: {twice: number, thrice: number}
"""
    found = problems(text, data=True)
    assert [(p.code, p.severity, p.path) for p in found] == [("DML201", "warning", "features.thrice")]


def test_data_without_a_feature_column(problems: Problems, folder: Path) -> None:
    (folder / "one.csv").write_text("Churn\nYes\n")
    found = problems("data: {source: one.csv}", data=True)
    assert [(p.code, p.message) for p in found] == [("DML105", "the data has no column left to learn from")]
