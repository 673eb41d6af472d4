from collections.abc import Callable

import pytest

from declarative_ml.core.errors import Problem

Problems = Callable[..., list[Problem]]

_CASES = [
    # unknown keys
    ("seeed: 7", "DML012", "seeed", "unknown key 'seeed'", "did you mean 'seed'?"),
    ("slices: [a]", "DML012", "slices", "unknown key 'slices'", "'slices' belongs under 'evaluate'"),
    ("stratify: a", "DML012", "stratify", "unknown key 'stratify'", "'stratify' belongs under 'data.split'"),
    ("evaluate: {target: a}", "DML012", "evaluate.target", "unknown key 'target' in evaluate",
     "'target' belongs at the top level"),
    ("features: {a: {type: category, max_level: 9}}", "DML012", "features.a.max_level",
     "unknown key 'max_level' in features.a (type category)", "did you mean 'max_levels'?"),
    ("model: {type: ensemble, members: [mlp, {type: linear, penalti: 1}]}", "DML012",
         "model.members[1].penalti",
     "unknown key 'penalti' in model.members[1] (type linear)", "did you mean 'penalty'?"),
    ("resources: {cpus: 1}", "DML012", "resources.cpus", "unknown key 'cpus' in resources",
         "did you mean 'cpu'?"),
    ("track: {zzz: 1}", "DML012", "track.zzz", "unknown key 'zzz' in track",
     "known keys: enabled, uri, experiment, register"),
    ("<<: {seed: 1}", "DML012", "<<", "unknown key '<<'", "YAML 1.2 has no merge keys"),
    # not in this version
    ("target: {column: Churn, type: forecast}", "DML013", "target.type",
     "target.type: 'forecast' is not available in this version", "choose binary, multiclass or number"),
    ("model: tabm", "DML016", "model.type", "unknown type 'tabm' in model",
     "write {type: mlp, share: weights}"),
    ("resources: {time: 2 minutes}", "DML018", "resources.time",
     "resources.time: '2 minutes' is no span of time", "write 2m"),
    ("resources: {time: 3s}", "DML018", "resources.time", "a run takes 10 seconds at least", "time"),
    ("resources: {memory: 100Mi}", "DML018", "resources.memory", "a run takes 512Mi at least", "memory"),
    # missing keys
    ("target: {type: binary}", "DML014", "target", "target needs the key 'column'", "add column: COLUMN"),
    ("data: {source: {path: a.csv}}", "DML014", "data.source", "data.source needs the key 'type'",
     "add 'type: file'"),
    ("model: {epochs: 3}", "DML014", "model", "model needs the key 'type'", "add 'type: mlp'"),
    ("model: {learning_rate: 0.1}", "DML014", "model", "model needs the key 'type'",
         "auto, linear, lightgbm, xgboost, extra_trees, mlp or ensemble"),
    ("data: {source: a.csv, split: {method: time}}", "DML014", "data.split",
     "data.split needs the key 'column'", "add column: COLUMN"),
    # wrong kinds
    ("refit: yes", "DML015", "refit", "refit must be true or false, not the text 'yes'", "write true"),
    ("refit: 1", "DML015", "refit", "refit must be true or false, not the number 1", "write true"),
    ("seed: '7'", "DML015", "seed", "seed must be a whole number, not the text '7'",
         "remove the quotation marks"),
    ("seed: 1.5", "DML015", "seed", "seed must be a whole number, not the number 1.5", "example seed: 42"),
    ("seed: true", "DML015", "seed", "seed must be a whole number, not true", "for example seed: 42"),
    ("seed: [1]", "DML015", "seed", "seed must be a whole number, not a list", "for example seed: 42"),
    ("exclude: tenure", "DML015", "exclude", "exclude must be a list, not the text 'tenure'",
         "write [tenure]"),
    ("data: {source: a.csv, split: {test: 20%}}", "DML015", "data.split.test",
     "data.split.test must be a number, not the text '20%'", "write 0.2"),
    ("data: {source: 5}", "DML015", "data.source",
     "data.source must be the path of a file or a mapping, not the number 5", "source: table.csv"),
    ("features: {a: [number]}", "DML015", "features.a",
     "features.a must be the name of a type or a mapping, not a list", "write a: number"),
    ("data: {source: a.csv, split: {method: files, test: 0.2}}", "DML015", "data.split.test",
     "data.split.test must be the path of a file or a mapping, not the number 0.2", "test: test.csv"),
    ("evaluate: {threshold: f1}", "DML015", "evaluate.threshold",
     "evaluate.threshold must be a number or a mapping, not the text 'f1'", "write {maximize: f1}"),
    ("version: 2", "DML030", "version", "this dml reads version 1 of the spec's format; the spec says 2",
     "pip install -U declarative-ml"),
    ("version: 1.0", "DML030", "version", "version must be the whole number 1, not 1.0", "write 1"),
    ("data: {source: a.csv, split: {stratify: [a]}}", "DML015", "data.split.stratify",
     "data.split.stratify must be a text or true or false, not a list", "write stratify: a"),
    # choices
    ("model: lightgmb", "DML016", "model.type", "unknown type 'lightgmb' in model",
         "did you mean 'lightgbm'?"),
    ("model: {type: ensemble, members: [mlp, svn]}", "DML016", "model.members[1].type",
     "unknown type 'svn' in model.members[1]", "choose linear, lightgbm, xgboost, extra_trees or mlp"),
    ("data: {source: a.csv, split: tim}", "DML016", "data.split.method", "unknown method 'tim' in data.split",
     "did you mean 'time'?"),
    ("evaluate: {metric: auc}", "DML016", "evaluate.metric", "evaluate.metric cannot be 'auc'",
     "did you mean 'roc_auc'?"),
    ("features: autos", "DML016", "features", "features cannot be 'autos'", "did you mean 'auto'?"),
    ("features: {a: {type: number, missing: med}}", "DML016", "features.a.missing",
     "features.a.missing cannot be 'med'", "did you mean 'median'?"),
    ("others: some", "DML016", "others", "others cannot be 'some'", "choose drop or auto"),
    # ranges
    ("model: {type: mlp, epochs: 0}", "DML017", "model.epochs",
         "model.epochs must be at least 1, not 0", "for example epochs: 50"),
    ("model: {type: mlp, dropout: 1.0}", "DML017", "model.dropout",
         "model.dropout must be below 1, not 1", "for example dropout: 0.0"),
    ("data: {source: a.csv, split: {test: 20}}", "DML017", "data.split.test",
     "data.split.test must be below 1, not 20", "a share: write 0.2"),
    ("data: {source: a.csv, split: {method: files, test: b.csv, validation: 1.5}}", "DML017",
     "data.split.validation", "data.split.validation must be below 1, not 1.5", "validation: 0.1"),
    ("model: {type: ensemble, members: [mlp]}", "DML017", "model.members",
     "model.members needs at least 2 entries, found 1", "members: [linear, lightgbm]"),
    # values
    ("name: Telco Churn", "DML018", "name", "name 'Telco Churn' must be at most 63 lower-case letters",
     "for example telco-churn"),
    ("evaluate: {threshold: {maximize: f1, value: 0.5}}", "DML018", "evaluate.threshold",
     "evaluate.threshold: give either 'maximize' or 'value'", "delete maximize or value"),
    ("data: {}", "DML018", "data", "data: give either 'source' or 'sources'", "source: table.csv"),
    ("data: {sources: {a: a.csv, b: b.csv}}", "DML018", "data", "data: several sources need 'sql'", "SELECT"),
    # nothing there
    ("features:\n  tenure:\n", "DML019", "features.tenure", "features.tenure has no value",
         "delete the line"),
    ("evaluate:", "DML019", "evaluate", "evaluate has no value", "delete the line"),
    ("model:", "DML019", "model", "model has no value", "model: lightgbm"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "path", "message", "hint"), _CASES, ids=[case[0] for case in _CASES]
)
def test_one_mistake_gives_one_problem(
    text: str, code: str, path: str, message: str, hint: str, problems: Problems
) -> None:
    found = problems(text)
    assert [(problem.code, problem.path) for problem in found] == [(code, path)]
    assert message in found[0].message
    assert hint in str(found[0].hint)
    assert found[0].line >= 1


def test_messages_hold_no_words_of_the_validator(problems: Problems) -> None:
    for text, *_ in _CASES:
        for problem in problems(text):
            assert not {"input", "pydantic", "tag", "tuple", "dict", "str"} & set(
                problem.message.lower().split()
            )


@pytest.mark.parametrize(
    ("text", "column", "width"),
    [
        ("seed: 'x'", 7, 3),
        ("seeed: 7", 1, 5),
        ("model: {type: mlp, epochs: 0}", 28, 1),
        ("model: {type: mlp, layers: x}", 28, 1),
        ("features: {tenure: {type: number, skale: x}}", 35, 5),
        ("features: {tenure: nmber}", 20, 5),
        ("target: {type: binary}", 1, 6),
    ],
)
def test_the_caret_stands_under_the_mistake(text: str, column: int, width: int, problems: Problems) -> None:
    found = problems(text)[0]
    assert (found.line, found.column, found.width) == (1, column, width)


def test_columns_with_odd_names_are_found(problems: Problems) -> None:
    text = 'features:\n  "a.b": {type: number, skale: x}\n  number: {type: number, number: 1}\n'
    assert [(p.line, p.path) for p in problems(text)] == [
        (2, 'features."a.b".skale'), (3, "features.number.number"),
    ]  # fmt: skip


def test_a_refused_reference_is_not_reported_twice(problems: Problems) -> None:
    found = problems("seed: ${env:DML_UNSET}\nmodel: ${env:DML_UNSET}\ntarget: {column: '${DML}'}")
    assert [(p.code, p.line) for p in found] == [("DML009", 1), ("DML009", 2), ("DML009", 3)]
