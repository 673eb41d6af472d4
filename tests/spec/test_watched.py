from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from declarative_ml.core.errors import SpecError
from declarative_ml.spec.dump import spec_options, spec_to_yaml
from declarative_ml.spec.load import load_spec

BASE = "name: churn\ndata: {source: table.csv}\ntarget: Churn\n"


def loaded(folder: Path, text: str, **options: Any) -> Any:
    (folder / "spec.yaml").write_text(BASE + text)
    return load_spec(folder / "spec.yaml", **options)


@pytest.mark.parametrize(
    ("text", "enabled", "path"),
    [
        ("", True, None),
        ("monitor: {drift: false}", False, None),
        ("monitor: {drift: true, log: predictions}", True, "predictions"),
        ("monitor: {log: {path: predictions, redact: [tenure]}}", True, "predictions"),
    ],
)
def test_short_forms(tmp_path: Path, text: str, enabled: bool, path: str | None) -> None:
    monitor = loaded(tmp_path, text).spec.monitor
    assert monitor.drift.enabled is enabled
    assert (monitor.log and monitor.log.path) == (path and str(tmp_path / path))


def test_the_folder_of_the_log_lies_beside_the_spec(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (loaded(tmp_path / name, "monitor: {log: predictions}") for name in "ab")
    assert spec_options(first.spec, tmp_path / "a")["monitor"]["log"]["path"] == "predictions"
    assert first.digest == second.digest
    text = spec_to_yaml(first.spec, tmp_path / "a")
    (tmp_path / "a" / "again.yaml").write_text(text)
    assert load_spec(tmp_path / "a" / "again.yaml").spec == first.spec


def test_a_template_names_a_folder_beside_itself(tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "base.yaml").write_text("monitor: {log: {path: logs, sample: 0.1}}\n")
    log = loaded(tmp_path, "extends: team/base.yaml\n").spec.monitor.log
    assert (Path(log.path), log.sample) == (tmp_path / "team" / "logs", 0.1)


def test_columns_that_the_data_lacks_are_told_with_its_own_hint(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("tenure,Churn\n" + "1,Yes\n2,No\n" * 20)
    text = "monitor: {drift: {columns: [tenur]}}\n"
    with pytest.raises(SpecError) as error:
        loaded(tmp_path, text, data=True)
    [problem] = error.value.problems
    assert (problem.code, problem.hint) == ("DML201", "did you mean 'tenure'?")
