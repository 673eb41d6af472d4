"""What MLflow is told of the tests of a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from declarative_ml.trackers.mlflow_store import connect, locate


@pytest.mark.slow
def test_the_share_of_rows_that_behaved_is_a_metric(flowers: Any, dml: Any) -> None:
    tests = {"a typing error": {"type": "robustness", "noise": "missing", "max_change": 1.0}}
    spec = flowers(track=True, tests=tests)
    result = json.loads(dml("run", spec, "--format", "json", "-q").out)
    client = connect(locate(spec.parent / ".dml", None))
    [experiment] = [each for each in client.search_experiments() if each.name == "flowers"]
    [run] = client.search_runs([experiment.experiment_id])
    told = {name: value for name, value in run.data.metrics.items() if name.startswith("behaviour.")}
    assert told == {"behaviour.a typing error": result["tests"][0]["share"]}
    assert "behave.json" in {item.path for item in client.list_artifacts(run.info.run_id)}
