import pytest

from declarative_ml.models.mlp_network import _affordable_bins


@pytest.mark.parametrize(
    ("bins", "columns", "affordable"),
    [
        (48, 10, 48),
        (48, 42, 48),
        (48, 64, 32),
        (48, 256, 8),
        (48, 257, 0),
        (2, 513, 2),
        (2, 2_000, 0),
        (0, 5, 0),
        (8, 0, 8),
    ],
)
def test_many_columns_get_fewer_ramps_or_none(bins, columns, affordable):
    assert _affordable_bins(bins, columns) == affordable
