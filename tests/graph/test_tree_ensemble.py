import numpy as np
import pytest

from declarative_ml.graph.tree_ensemble import joined_sets, member_sets


@pytest.mark.parametrize("sets", [[], [[2.0]], [[0.0, 5.0], [], [1.0]], [[], []]])
def test_sets_come_back_as_they_were_joined(sets):
    arrays = [np.array(members) for members in sets]
    found = member_sets(joined_sets(arrays) if arrays else None)
    assert [members.tolist() for members in found] == sets
