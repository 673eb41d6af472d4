"""Trees in standard operators come to the same leaves as ONNX Runtime's TreeEnsemble."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from declarative_ml.formats.rewrite.plain_trees import count_splits, unsupported_trees, without_tree_ensembles
from declarative_ml.graph.core import operators_of
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.models.tree_graph import Tree, add_tree_ensemble

FEATURES = 4


def grown(random, splits, sets):
    """A tree of random shape; column 3 is split by sets of levels."""
    feature = random.integers(0, FEATURES if sets else FEATURES - 1, splits)
    by_set = feature == 3
    children = [None] * (2 * splits)
    free = [0, 1]
    for split in range(1, splits):
        slot = free.pop(random.integers(len(free)))
        children[slot] = split
        free += [2 * split, 2 * split + 1]
    for leaf, slot in enumerate(free):
        children[slot] = ~leaf
    members = tuple(
        random.choice(9, random.integers(1, 6), replace=False) if whole else None for whole in by_set
    )
    return Tree(
        feature=feature,
        gain=np.ones(splits),
        threshold=np.where(by_set, 0.0, random.normal(size=splits).round(1)),
        members=members,
        missing_left=random.random(splits) < 0.5,
        left=np.array(children[0::2]),
        right=np.array(children[1::2]),
        leaf=random.normal(size=splits + 1),
    )


def forest_model(trees, width, features=FEATURES):
    graph = OnnxGraph()
    parts = [graph.input(f"c{number}", "float32") for number in range(features)]
    graph.output(add_tree_ensemble(graph, graph.concat(parts), trees, width), "sum", "float32", width)
    return graph.build("forest", {})


def answers(model, rows):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feed = {f"c{number}": rows[:, number : number + 1] for number in range(rows.shape[1])}
    return session.run(None, feed)[0]


def nasty_rows(random, rows=300):
    """Values on the thresholds, missing, extreme, and levels unseen, broken and below zero."""
    values = random.normal(size=(rows, FEATURES)).round(1).astype(np.float32)
    values[:, 3] = random.integers(-2, 12, rows)
    values[random.random(values.shape) < 0.15] = np.nan
    values[::17] = 3e38
    values[5::17] = -3e38
    values[::13, 3] = 2.5
    return values


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("sets", [False, True])
def test_every_row_comes_to_the_same_leaves(seed, width, sets):
    random = np.random.default_rng(seed)
    trees = [grown(random, int(random.integers(1, 40)), sets) for _ in range(7 * width)]
    model = forest_model(trees, width)
    plain = without_tree_ensembles(model)
    assert operators_of(plain.graph) & {"TreeEnsemble"} == set()
    rows = nasty_rows(random)
    np.testing.assert_allclose(answers(plain, rows), answers(model, rows), rtol=1e-5, atol=2e-6)
    assert count_splits(model) == sum(len(tree.feature) for tree in trees)
    assert count_splits(plain) == 0


def test_a_lone_leaf_and_a_deep_tree_are_walked_to_their_ends():
    random = np.random.default_rng(0)
    chain = Tree(
        feature=np.zeros(60, np.int64),
        gain=np.ones(60),
        threshold=np.linspace(-3, 3, 60),
        members=(None,) * 60,
        missing_left=np.zeros(60, bool),
        left=~np.arange(60),
        right=np.array([*range(1, 60), ~60]),
        leaf=np.arange(61.0),
    )
    lone = Tree(*(np.array([]),) * 3, (), *(np.array([]),) * 3, np.array([100.0]))
    model = forest_model([chain, lone], 1)
    rows = nasty_rows(random)
    np.testing.assert_array_equal(answers(without_tree_ensembles(model), rows), answers(model, rows))


def changed(model, name, value):
    node = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
    return model


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("aggregate_function", 3, "trees whose leaves are not summed"),
        ("post_transform", 1, "trees whose leaves are not summed"),
        ("nodes_modes", np.full(5, 1, np.uint8), "trees that compare otherwise than by <= or by sets"),
    ],
)
def test_other_trees_are_told(name, value, reason):
    tensor = numpy_helper.from_array(value, name) if isinstance(value, np.ndarray) else value
    model = changed(forest_model([grown(np.random.default_rng(0), 5, False)], 1), name, tensor)
    assert unsupported_trees(model) == reason
    with pytest.raises(ValueError, match=f"this model has {reason}"):
        without_tree_ensembles(model)


@pytest.mark.parametrize(
    ("members", "reason"),
    [([0.5], "other values than whole numbers"), ([-1], "whole numbers from 0"), ([2e7], "very many levels")],
)
def test_sets_of_other_values_are_told(members, reason):
    tree = Tree(
        feature=np.array([3]),
        gain=np.ones(1),
        threshold=np.zeros(1),
        members=(np.array(members),),
        missing_left=np.zeros(1, bool),
        left=np.array([-1]),
        right=np.array([-2]),
        leaf=np.array([1.0, 2.0]),
    )
    assert reason in unsupported_trees(forest_model([tree], 1))


def test_models_without_trees_stay_as_they_are():
    graph = OnnxGraph()
    graph.output(graph.input("x", "float32"), "y", "float32")
    model = graph.build("plain", {})
    assert without_tree_ensembles(model) == model
