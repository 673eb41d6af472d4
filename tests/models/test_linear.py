from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.sparse import csr_matrix

from declarative_ml.core.errors import DataError
from declarative_ml.learning.dataset import (
    CodeColumn,
    Dataset,
    EncodedNames,
    Layout,
    TermColumn,
    WeighTerms,
)
from declarative_ml.learning.task import Task, predictions_from_margins
from declarative_ml.learning.terms import term_digests, terms_of
from declarative_ml.models.base import FitContext, Fitted
from declarative_ml.models.linear import PENALTIES, Linear, _basis
from declarative_ml.models.linear_problem import Problem
from declarative_ml.models.linear_terms import learn_basis

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
THREE = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")
LEVELS = (6, 4)


def make_data(task: Task, rows: int = 300, seed: int = 0, noise: float = 1.0) -> Dataset:
    random = np.random.default_rng(seed)
    scaled = random.normal(size=(rows, 3)).astype(np.float32)
    codes = np.stack([random.integers(0, size, rows) for size in LEVELS], axis=1).astype(np.int32)
    value = scaled @ [1.5, -1.0, 0.0] + (codes[:, 0] - 2) * 0.5 + noise * random.normal(size=rows)
    targets = {
        "binary": (value > 0).astype(np.int64),
        "multiclass": np.digitize(value, [-1.0, 1.0]).astype(np.int64),
        "number": value * 100.0 + 5000.0,
    }
    columns = tuple(CodeColumn(name=f"c{number}", cardinality=size) for number, size in enumerate(LEVELS))
    layout = Layout(scaled=("a", "b", "c"), codes=columns)
    return Dataset(layout, np.zeros((rows, 0), np.float32), scaled, codes, targets[task.type])


def fit(
    model: Linear, data: Dataset, task: Task, validation: Dataset | None = None, **changes: object
) -> Fitted:
    context = FitContext(task=task, seed=1, threads=1, scratch=Path(), **changes)  # type: ignore[arg-type]
    return model.fit(data, validation, context)


def one_hot(data: Dataset) -> np.ndarray:
    blocks = [np.eye(size)[data.codes[:, number]] for number, size in enumerate(LEVELS)]
    return np.concatenate([data.scaled, *blocks], axis=1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("penalty", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("task", [BINARY, THREE], ids=lambda task: task.type)
def test_classes_as_scikit_learn_fits_them(task: Task, penalty: float, weighted: bool) -> None:
    from sklearn.linear_model import LogisticRegression

    data = make_data(task)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(data))
    weight /= weight.mean()
    if weighted:
        data = replace(data, weight=weight)
    peer = LogisticRegression(C=1.0 / penalty, tol=1e-8, max_iter=10_000)
    peer.fit(one_hot(data), data.target, sample_weight=weight if weighted else None)
    model = Linear(penalty=penalty)
    margins = model.predict(fit(model, data, task).state, data, task)
    np.testing.assert_allclose(
        predictions_from_margins(task, margins), peer.predict_proba(one_hot(data)), atol=2e-4
    )


@pytest.mark.parametrize("penalty", [0.1, 1.0, 100.0])
def test_numbers_as_scikit_learn_fits_them(penalty: float) -> None:
    from sklearn.linear_model import Ridge

    data = make_data(NUMBER)
    peer = Ridge(alpha=penalty, tol=1e-10).fit(one_hot(data), data.target)
    model = Linear(penalty=penalty)
    margins = model.predict(fit(model, data, NUMBER).state, data, NUMBER)
    np.testing.assert_allclose(margins[:, 0], peer.predict(one_hot(data)), rtol=1e-4)


def test_validation_rows_choose_the_penalty() -> None:
    chosen = []
    for rows, noise in ((40, 4.0), (2000, 0.1)):
        validation = make_data(NUMBER, 500, seed=1, noise=noise)
        fitted = fit(Linear(), make_data(NUMBER, rows, noise=noise), NUMBER, validation)
        losses = [point["validation"] for point in fitted.curve]
        assert fitted.work["penalty_index"] == int(np.argmin(losses))
        chosen.append(PENALTIES[fitted.work["penalty_index"]])
    assert chosen[0] > chosen[1]


def test_the_refit_takes_the_folds_median_penalty() -> None:
    works = [{"penalty_index": number} for number in (3, 9, 4)]
    assert Linear().refit_work(works, 800, 1000) == {"penalty_index": 4}
    assert Linear(penalty=2.0).refit_work([{}, {}], 800, 1000) == {}


def test_a_refit_with_the_chosen_work_is_a_fit_with_that_penalty() -> None:
    data = make_data(BINARY)
    chosen = fit(Linear(), data, BINARY, work={"penalty_index": PENALTIES.index(10.0)}).state
    fixed = fit(Linear(penalty=10.0), data, BINARY).state
    assert all(np.array_equal(chosen[name], fixed[name]) for name in fixed)


def test_without_validation_the_penalty_is_one() -> None:
    assert PENALTIES[fit(Linear(), make_data(BINARY), BINARY).work["penalty_index"]] == 1.0


@pytest.mark.parametrize("factor", [1e-6, 1e9])
def test_the_unit_of_a_number_does_not_matter(factor: float) -> None:
    data = make_data(NUMBER)
    other = replace(data, target=data.target * factor)
    plain = Linear().predict(fit(Linear(), data, NUMBER).state, data, NUMBER)
    scaled = Linear().predict(fit(Linear(), other, NUMBER).state, data, NUMBER)
    np.testing.assert_allclose(scaled / factor, plain, rtol=1e-6)


def test_a_level_that_training_never_saw_adds_almost_nothing() -> None:
    data = make_data(NUMBER)
    seen = data.take(data.codes[:, 1] != 3)
    state = fit(Linear(), seen, NUMBER).state
    assert np.abs(state["levels"][LEVELS[0] + 3]) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("task", "target"),
    [(NUMBER, 7.5), (BINARY, 1), (THREE, 2)],
    ids=["constant", "one class of two", "one class of three"],
)
def test_a_target_that_never_changes(task: Task, target: float) -> None:
    data = make_data(task)
    constant = replace(data, target=np.full_like(data.target, target))
    margins = Linear().predict(fit(Linear(), constant, task).state, data, task)
    if task is NUMBER:
        assert np.allclose(margins, target)
    elif task is BINARY:
        assert (margins > 3).all()
    else:
        assert (margins.argmax(axis=1) == target).all()


def test_separable_classes_stay_finite() -> None:
    data = make_data(BINARY, noise=0.0)
    state = fit(Linear(penalty=0.0), data, BINARY).state
    assert all(np.isfinite(values).all() for values in state.values())


def test_no_columns() -> None:
    data = replace(make_data(BINARY), layout=Layout())
    with pytest.raises(DataError, match="linear has no column to weigh") as caught:
        fit(Linear(), data, BINARY)
    assert caught.value.hint == "give it a number, date or category column"


def test_importance_finds_the_columns_that_matter() -> None:
    data = make_data(NUMBER)
    found = Linear().importance(fit(Linear(), data, NUMBER).state, data.layout)
    assert list(found) == ["a", "b", "c", "c0", "c1"]
    assert found["a"] > found["b"] > found["c0"] > found["c1"] > 0.0
    assert found["a"] > 10 * found["c"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": -1.0}, "greater than or equal to 0"),
        ({"iterations": 0}, "greater than or equal to 1"),
        ({"C": 1.0}, "Extra inputs are not permitted"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Linear.model_validate(options)


def test_at_the_deadline_the_penalties_so_far_count() -> None:
    data, held_out = make_data(BINARY), make_data(BINARY, seed=1)
    context = FitContext(task=BINARY, seed=0, threads=1, scratch=Path(), deadline=lambda: -1.0)
    fitted = Linear().fit(data, held_out, context)
    assert fitted.cut
    assert fitted.work == {"penalty_index": 0}
    assert len(fitted.curve) == 1


# Rows of texts: two columns, of which the second says the same in two columns of `scaled`.

TITLE, BODY = 30, 40


def make_texts(task: Task, rows: int = 400, seed: int = 0, terms: int = TITLE) -> Dataset:
    """Rows that are told apart by the terms of two columns; the first ten are the same terms in both."""
    random = np.random.default_rng(seed)
    held = (random.random((rows, terms + BODY)) < 0.15) * random.uniform(0.3, 0.6, (rows, terms + BODY))
    held[0] = 0.0
    value = 4 * (held[:, :5].sum(axis=1) + held[:, terms : terms + 5].sum(axis=1))
    value -= 4 * (held[:, 5:10].sum(axis=1) + held[:, terms + 5 : terms + 10].sum(axis=1))
    value += random.normal(size=rows) / 3
    targets = {
        "binary": (value > 0).astype(np.int64),
        "multiclass": np.digitize(value, [-0.7, 0.7]).astype(np.int64),
        "number": value * 100.0 + 5000.0,
    }
    layout = Layout(
        scaled=("a", "body.1", "body.2"),
        terms=(
            TermColumn(name="title", size=terms),
            TermColumn(name="body", size=BODY, summary=("body.1", "body.2")),
        ),
    )
    names = [f"term {number}" for number in range(10)]
    digests = term_digests(
        [*names, *(f"title {number}" for number in range(10, terms)),
         *names, *(f"body {number}" for number in range(10, BODY))]
    )  # fmt: skip
    scaled = random.normal(size=(rows, 3)).astype(np.float32)
    return Dataset(
        layout, scaled[:, :0], scaled, np.zeros((rows, 0), np.int32), targets[task.type],
        terms=terms_of(csr_matrix(held.astype(np.float32)), digests),
    )  # fmt: skip


def explained(task: Task, model: Linear, data: Dataset, fresh: Dataset) -> float:
    """How well the margins go with the target: a correlation, or a share of right classes."""
    margins = model.predict(fit(model, data, task).state, fresh, task)
    if task is NUMBER:
        return float(np.corrcoef(margins[:, 0], fresh.target)[0, 1])
    labels = margins[:, 0] > 0 if task is BINARY else margins.argmax(axis=1)
    return float((labels == fresh.target).mean())


@pytest.mark.parametrize("task", [BINARY, THREE, NUMBER], ids=lambda task: task.type)
def test_terms_are_learned_from(task: Task) -> None:
    data, fresh = make_texts(task), make_texts(task, seed=1)
    without = explained(task, Linear(), replace(data, terms=None), replace(fresh, terms=None))
    assert explained(task, Linear(), data, fresh) > max(without, 0.4) + 0.2


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("terms", [TITLE, 2_500], ids=["Newton", "L-BFGS"])
def test_two_classes_as_scikit_learn_fits_them_in_the_other_variables(terms: int, weighted: bool) -> None:
    from sklearn.linear_model import LogisticRegression

    data = make_texts(BINARY, terms=terms)
    weight = np.where(np.arange(len(data)) % 3, 1.0, 2.0)
    weight /= weight.mean()
    if weighted:
        data = replace(data, weight=weight)
    assert data.terms is not None
    matrix, signs = data.terms.matrix(), (2.0 * data.target - 1.0)[:, None]
    counted = signs * weight[:, None] if weighted else signs
    basis = learn_basis([(matrix, counted)], data.terms.digests, [terms, BODY])
    parts = (matrix @ basis.spread).toarray() * basis.factors[:, 0]
    design = np.concatenate([data.scaled[:, :1], parts], axis=1)
    peer = LogisticRegression(C=0.5, tol=1e-9, max_iter=10_000)
    peer.fit(design, data.target, sample_weight=weight if weighted else None)
    model = Linear(penalty=2.0)
    margins = model.predict(fit(model, data, BINARY).state, data, BINARY)
    np.testing.assert_allclose(margins[:, 0], peer.decision_function(design), atol=2e-3)


@pytest.mark.parametrize("task", [BINARY, THREE, NUMBER], ids=lambda task: task.type)
def test_the_gradient_with_terms_is_that_of_the_objective(task: Task) -> None:
    data = make_texts(task, rows=50)
    basis = _basis(data, task)
    problem = Problem(data, task, 5000.0 if task is NUMBER else 0.0, 100.0, basis)
    value = problem.objective(0.7)
    start = np.random.default_rng(0).normal(size=(problem.frame.width + 1) * task.width) / 10
    gradient = value(start)[1]
    assert basis is not None and basis.parts == TITLE + BODY + 10
    for place in range(0, len(start), 7):
        step = np.zeros_like(start)
        step[place] = 1e-2
        slope = (value(start + step)[0] - value(start - step)[0]) / 2e-2
        assert gradient[place] == pytest.approx(slope, abs=2e-5)


def test_columns_that_sum_terms_up_are_left_out_where_there_are_terms() -> None:
    data = make_texts(BINARY)
    with_terms, without = (
        fit(Linear(), data, BINARY).state,
        fit(Linear(), replace(data, terms=None), BINARY).state,
    )
    assert with_terms["weights"].shape == without["weights"].shape == (3, 1)
    assert with_terms["weights"][0] != 0.0 and not with_terms["weights"][1:].any()
    assert without["weights"].all()
    assert (len(with_terms["terms"]), len(without["terms"])) == (TITLE + BODY, 0)


def test_a_term_learned_in_one_column_counts_in_the_other() -> None:
    data = make_texts(NUMBER)
    assert data.terms is not None
    held = data.terms.matrix().toarray()
    held[:, :10] = 0.0  # the titles of the training rows lack the terms in common
    data = replace(data, terms=terms_of(csr_matrix(held), data.terms.digests))
    weights = fit(Linear(), data, NUMBER).state["terms"][:, 0]
    assert (weights[:5] > 10).all() and (weights[5:10] < -10).all()


def test_terms_and_validation_rows() -> None:
    fitted = fit(Linear(), make_texts(THREE), THREE, make_texts(THREE, seed=1))
    assert fitted.work["penalty_index"] == int(np.argmin([point["validation"] for point in fitted.curve]))
    again = fit(Linear(), make_texts(THREE), THREE, work=fitted.work)
    assert np.isfinite(again.state["terms"]).all()


@pytest.mark.parametrize("rows", [0, 1, 200])
@pytest.mark.parametrize("task", [BINARY, THREE, NUMBER], ids=lambda task: task.type)
def test_the_graph_adds_terms(task: Task, rows: int) -> None:
    import onnxruntime

    from declarative_ml.graph.onnx_graph import OnnxGraph

    data = make_texts(task)
    state = fit(Linear(), data, task).state
    fresh = make_texts(task, rows=max(rows, 1), seed=2).take(np.arange(rows))
    assert fresh.terms is not None
    held = fresh.terms.matrix().toarray()
    graph = OnnxGraph()
    feeds = {"scaled": fresh.scaled, "title": held[:, :TITLE], "body": held[:, TITLE:]}
    columns = {
        name: graph.concat([graph.input(f"{name}{place}", "float32") for place in range(values.shape[1])])
        for name, values in feeds.items()
    }

    def weigh(name: str) -> WeighTerms:
        return lambda graph, weights: graph.add("MatMul", [columns[name], graph.constant(weights, "float32")])

    names = EncodedNames(scaled=columns["scaled"], terms=(weigh("title"), weigh("body")))
    margins = Linear().to_onnx(graph, state, names, data.layout, task)
    graph.output(margins, "margins", "float32", task.width)
    session = onnxruntime.InferenceSession(graph.build("model", {}).SerializeToString())
    given = {
        f"{name}{place}": values[:, [place]]
        for name, values in feeds.items()
        for place in range(values.shape[1])
    }
    (found,) = session.run(None, given)
    np.testing.assert_allclose(found, Linear().predict(state, fresh, task), rtol=1e-5, atol=2e-5)


def test_importance_of_texts_is_what_their_terms_add() -> None:
    data = make_texts(NUMBER)
    state = fit(Linear(), data, NUMBER).state
    found = Linear().importance(state, data.layout)
    assert list(found) == ["a", "body.1", "body.2", "title", "body"]
    assert found["body.1"] == 0.0
    assert data.terms is not None
    added = data.terms.matrix()[:, TITLE:] @ state["terms"][TITLE:]
    assert found["body"] == pytest.approx(float(added.std()), rel=1e-4)
    assert found["title"] > 5 * found["a"]
