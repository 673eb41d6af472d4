import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import pytest

from declarative_ml.report.content import StepResult
from declarative_ml.report.plan_graph import plan_graph

SVG = "{http://www.w3.org/2000/svg}"


def chain(*edges: tuple[str, Sequence[str]]) -> list[StepResult]:
    return [StepResult(name, name, "run", 1.0, needs) for name, needs in edges]


def boxes(svg: str) -> dict[str, tuple[float, float]]:
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        label = group.find(f"{SVG}text")
        assert rect is not None and label is not None
        found[str(label.text)] = (float(rect.attrib["x"]), float(rect.attrib["y"]))
    return found


def test_every_step_is_below_what_it_needs_and_none_overlap() -> None:
    steps = chain(("a", []), ("b", ["a"]), ("c", ["a"]), ("d", ["b"]), ("e", ["c", "d"]), ("f", ["a"]))
    places = boxes(plan_graph(steps))
    for step in steps:
        for need in step.needs:
            assert places[need][1] < places[step.id][1]
    assert len(set(places.values())) == len(steps)


def edges(svg: str) -> int:
    return sum(
        element.attrib.get("class") == "edge" for element in ElementTree.fromstring(svg).iter(f"{SVG}path")
    )


def test_an_edge_that_a_longer_path_implies_is_left_out() -> None:
    assert edges(plan_graph(chain(("a", []), ("b", ["a"]), ("c", ["a", "b"])))) == 2


def test_a_long_edge_goes_around_the_boxes() -> None:
    steps = chain(("a", []), ("x", []), ("b", ["a"]), ("c", ["b"]), ("d", ["c", "x"]))
    assert edges(plan_graph(steps)) == 6  # x -> d in three pieces


def test_the_folds_of_a_model_share_a_box() -> None:
    folds = [StepResult(f"train.mlp.fold{n}", "fit", "run", 2.0, ["a"]) for n in range(5)]
    steps = [
        StepResult("a", "a", "run"),
        *folds,
        StepResult("z", "z", "run", 1.0, [step.id for step in folds]),
    ]
    svg = plan_graph(steps)
    assert set(boxes(svg)) == {"a", "train.mlp.fold*", "z"}
    assert "5 folds · run · 10 s" in svg


@pytest.mark.parametrize("status", ["run", "cached", "skipped", "failed"])
def test_the_status_is_a_class(status: str) -> None:
    assert f'class="step {status}"' in plan_graph([StepResult("a", "a", status)])


def test_names_are_escaped_and_cut() -> None:
    svg = plan_graph([StepResult("<b>" + "x" * 99, "<script>", '"><script>')])
    assert "<script>" not in svg
    assert 'class="step none"' in svg
    assert "…" in svg


def test_a_need_outside_the_list_is_ignored() -> None:
    assert set(boxes(plan_graph(chain(("a", ["gone"]))))) == {"a"}
