from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from declarative_ml.core.digest import digest_json
from declarative_ml.core.errors import DataError
from declarative_ml.spec.run_lock import RunLock, lock_to_json, lock_to_yaml, read_run_lock
from declarative_ml.spec.yaml_reader import read_yaml

SPEC: dict[str, Any] = {
    "name": "x",
    "note": "12e4",
    "url": "${env:DB}",
    "rate": 1e-05,
    "yes": "no",
    "n": None,
}


def make(**fields: Any) -> RunLock:
    environment = {
        "dml": "0.1.0",
        "python": "CPython 3.11.2",
        "system": "Linux x86_64",
        "processor": "a: b",
        "instructions": ["avx2"],
        "processors": 2,
        "threads": 2,
        "variables": {"OMP_NUM_THREADS": "1"},
        "libraries": {"numpy": "2.4.0", "lightgbm": "absent"},
    }
    whole = {
        "name": "x",
        "seed": 1,
        "spec_digest": digest_json(SPEC),
        "templates": {"base.yaml": {"digest": "sha256:00"}},
        "environment": environment,
        "data": {"acquire.source": {"files": {"a b.csv": "1" * 63 + "e"}, "rows": 3}},
        "metrics": {"test": {"rmse": 1e-07, "r2": None}},
        "steps": {
            "split": {"digest": "123456e78"},
            "train.linear.fold0": {"digest": "0x1f", "pinned": {"stopped_after": [1, None]}},
        },
        "spec": SPEC,
        "code": {"declarative_ml.core.task": "1234567890123e45"},
    }
    return RunLock.model_validate({**whole, **fields})


def test_both_forms_are_read_back() -> None:
    lock = make()
    assert read_run_lock(lock_to_json(lock), "run.lock.json") == lock
    assert list(json.loads(lock_to_json(lock))["spec"]) == list(SPEC), "in its own order"
    assert read_run_lock(lock_to_yaml(lock), "spec.lock.yaml") == lock


def test_readers_of_yaml_1_1_and_1_2_see_the_same() -> None:
    text = lock_to_yaml(make())
    root, problems = read_yaml(text, "spec.lock.yaml")
    assert root is not None
    assert not problems
    assert root.plain() == yaml.safe_load(text)
    assert "stopped_after" in text
    assert text.count("pinned") == 1, "what says nothing is not written"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "x.json cannot be read: "),
        ("[]", "x.json is not a lock of a run that this version reads: version None"),
        ('{"version": 2}', "x.json is not a lock of a run that this version reads: version 2"),
        ('{"version": 1}', "x.json is not a lock of a run: name: Field required"),
    ],
)
def test_what_is_no_lock_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_run_lock(text, "x.json")
    assert caught.value.message.startswith(message)


def test_another_spec_in_it_is_refused() -> None:
    text = lock_to_yaml(make(spec={**SPEC, "rate": 0.5}))
    with pytest.raises(DataError, match="the spec in it is not the one that ran: its digest is another"):
        read_run_lock(text, "spec.lock.yaml")
