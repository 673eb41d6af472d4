import pytest

from declarative_ml.spec.positions import Path, Positions, dotted
from declarative_ml.spec.yaml_reader import read_yaml

_TEXT = "name: x\nmodel:\n  type: mlp\n  layers: [64, 128]\n"


@pytest.fixture
def positions() -> Positions:
    node, _ = read_yaml(_TEXT, "spec.yaml")
    assert node is not None
    return Positions.of(node)


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("name",), (1, 1), (1, 7)),
        (("model",), (2, 1), (2, 1)),
        (("model", "type"), (3, 3), (3, 9)),
        (("model", "layers"), (4, 3), (4, 3)),
        (("model", "layers", 1), (4, 16), (4, 16)),
        (("model", "epochs"), (2, 1), (2, 1)),
        (("model", "type", "deeper", 3), (3, 3), (3, 9)),
        (("nothing",), (1, 1), (1, 1)),
    ],
)
def test_the_longest_known_path_decides(
    path: Path, key: tuple[int, int], value: tuple[int, int], positions: Positions
) -> None:
    assert (positions.key(path).line, positions.key(path).column) == key
    assert (positions.value(path).line, positions.value(path).column) == value


def test_without_nodes_only_the_file_is_known() -> None:
    place = Positions(file="spec.yaml").value(("a",))
    assert (place.file, place.line) == ("spec.yaml", 0)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a", "b"), "a.b"),
        (("model", "members", 0, "epochs"), "model.members[0].epochs"),
        (("features", "Total Charges"), "features.Total Charges"),
        (("features", "a.b", "type"), 'features."a.b".type'),
    ],
)
def test_paths_as_people_write_them(path: Path, text: str) -> None:
    assert dotted(path) == text
