"""The store's promise: complete or absent, whatever is killed, however many processes share it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from declarative_ml.core.digest import digest_folder
from declarative_ml.store.store import Action, Store

REPOSITORY = Path(__file__).parents[2]
KEY = "ab" + "0" * 62
OTHER = "cd" + "0" * 62


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, key: str = KEY, content: str = "hello", step: str = "train") -> Action:
    with store.building() as folder:
        (folder / "sub").mkdir()
        (folder / "model.txt").write_text(content)
        (folder / "sub" / "more.txt").write_text("more")
        return store.publish(folder, {"key": key, "step": step, "seconds": 1.5, "status": "run"})


def leftovers(store: Store) -> list[Path]:
    return list((store.root / "building").iterdir())


def test_a_published_artifact_is_found_under_its_key_and_digest(store):
    action = put(store)
    assert store.find(KEY) == action == Action(KEY, action.digest, "train", 1.5, "run")
    folder = store.path(action.digest)
    assert (folder / "sub" / "more.txt").read_text() == "more"
    assert digest_folder(folder) == action.digest
    assert leftovers(store) == []


def test_an_unknown_key_is_not_found(store):
    assert store.find(KEY) is None
    assert list(store.actions()) == []


def test_two_keys_may_share_one_artifact(store):
    first, second = put(store, KEY), put(store, OTHER)
    assert first.digest == second.digest
    assert {action.key for action in store.actions()} == {KEY, OTHER}
    assert len(list((store.root / "artifacts").glob("*/*"))) == 1


def test_a_forgotten_key_is_gone_and_its_artifact_stays(store):
    action = put(store)
    store.forget(KEY)
    store.forget(KEY)
    assert store.find(KEY) is None
    assert store.path(action.digest).is_dir()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.txt").unlink(),
        lambda folder: (folder / "model.txt").write_text("hell"),
        lambda folder: (folder / "sub" / "more.txt").unlink(),
    ],
)
def test_an_artifact_that_lost_something_is_not_found_and_is_made_anew(store, damage):
    action = put(store)
    damage(store.path(action.digest))
    assert store.find(KEY) is None
    assert put(store) == action
    assert store.find(KEY) == action
    assert digest_folder(store.path(action.digest)) == action.digest


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"key": "x", "files": {}}', '{"files": {}, "odd": 1}']
)
def test_a_torn_record_counts_as_absent(store, content):
    put(store)
    next((store.root / "actions").glob("*/*.json")).write_text(content)
    assert store.find(KEY) is None


def test_an_error_while_building_leaves_nothing(store):
    with pytest.raises(RuntimeError, match="boom"), store.building() as folder:
        (folder / "half").write_text("x")
        raise RuntimeError("boom")
    assert leftovers(store) == []
    assert store.find(KEY) is None


def test_checkpoints_stay_until_the_step_is_done(store):
    scratch = store.scratch(KEY)
    (scratch / "epoch3.npz").write_text("x")
    assert (store.scratch(KEY) / "epoch3.npz").exists()
    put(store)
    assert not scratch.exists()


def run_program(program: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


PUBLISH = """
    import sys
    from pathlib import Path
    from declarative_ml.core.faults import fault_point
    from declarative_ml.store.store import Store

    store, key = Store(Path(sys.argv[1])), sys.argv[2]
    with store.lock(key):
        (store.scratch(key) / "checkpoint").write_text("epoch 3")
        with store.building() as folder:
            (folder / "sub").mkdir()
            (folder / "model.txt").write_text("hello")
            fault_point("train:middle")
            (folder / "sub" / "more.txt").write_text("more")
            store.publish(folder, {"key": key, "step": "train", "seconds": 1.5, "status": "run"})
"""


@pytest.mark.parametrize("point", ["train:middle", "train:publish"])
def test_a_kill_leaves_nothing_half_done_and_the_next_try_works(store, point):
    killed = run_program(PUBLISH, store.root, KEY, DML_FAULT=point)
    _, errors = killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL, errors
    assert store.find(KEY) is None
    assert (store.scratch(KEY) / "checkpoint").read_text() == "epoch 3"
    artifacts = list((store.root / "artifacts").glob("*/*"))
    assert all(digest_folder(folder) == folder.name for folder in artifacts)
    assert len(artifacts) == (point == "train:publish")

    with store.lock(KEY):  # the dead process holds no lock
        action = put(store)
    assert store.find(KEY) == action
    assert digest_folder(store.path(action.digest)) == action.digest

    store.sweep({KEY})
    assert leftovers(store) == []


COMPETE = """
    import sys, time
    from pathlib import Path
    from declarative_ml.store.store import Store

    store, key, log = Store(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
    print("ready", flush=True)
    sys.stdin.readline()
    with store.lock(key):
        if store.find(key) is None:
            with log.open("a") as stream:
                stream.write("worked\\n")
            with store.building() as folder:
                (folder / "model.txt").write_text("hello")
                time.sleep(0.3)
                store.publish(folder, {"key": key, "step": "train", "seconds": 1.0, "status": "run"})
    print(store.find(key).digest)
"""


def test_of_two_processes_one_works_and_the_other_finds_the_result(store, tmp_path):
    log = tmp_path / "log"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(COMPETE), str(store.root), KEY, str(log)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    results = []
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        results.append(process.communicate(timeout=60))
    assert [errors for _, errors in results] == ["", ""]
    assert len({digest for digest, _ in results}) == 1
    assert log.read_text() == "worked\n"


def test_two_processes_without_a_lock_both_succeed(store):
    without_lock = PUBLISH.replace("with store.lock(key):", "if True:")
    both = [run_program(without_lock, store.root, key) for key in (KEY, OTHER)]
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    digests = {store.find(key).digest for key in (KEY, OTHER)}
    assert len(digests) == 1
    assert digest_folder(store.path(digests.pop())) != ""
    assert leftovers(store) == []


def test_locks_of_different_keys_do_not_wait_for_each_other(store):
    with store.lock(KEY), store.lock(OTHER):
        assert {path.name for path in (store.root / "locks").iterdir()} == {KEY, OTHER}


def age(store: Store, seconds: float) -> None:
    then = time.time() - seconds
    for path in sorted(store.root.rglob("*"), reverse=True):
        os.utime(path, (then, then))


def test_sweep_keeps_what_kept_keys_need_and_deletes_the_rest(store):
    kept, dropped = put(store, KEY, "kept"), put(store, OTHER, "dropped")
    age(store, 7200)
    assert store.sweep({KEY}) == (1, len("dropped") + len("more"))
    assert store.find(KEY) == kept
    assert store.find(OTHER) is None
    assert not store.path(dropped.digest).exists()


def test_sweep_keeps_a_shared_artifact_while_one_key_needs_it(store):
    put(store, KEY)
    shared = put(store, OTHER)
    age(store, 7200)
    assert store.sweep({OTHER}) == (0, 0)
    assert store.find(OTHER) == shared
    assert store.find(KEY) is None


def test_sweep_spares_what_is_young(store):
    action = put(store)
    assert store.sweep(set()) == (0, 0)
    assert store.find(KEY) == action
    assert store.sweep(set(), older_than=0.0)[0] == 1


def test_sweep_deletes_artifacts_that_a_kill_left_without_a_record(store):
    killed = run_program(PUBLISH, store.root, KEY, DML_FAULT="train:publish")
    killed.communicate(timeout=60)
    age(store, 7200)
    assert store.sweep({KEY})[0] == 1
    assert list((store.root / "artifacts").glob("*/*")) == []


def test_sweep_leaves_the_folders_of_living_processes(store):
    with store.building() as folder:
        store.sweep(set(), older_than=0.0)
        assert folder.is_dir()


def test_sweep_deletes_what_dead_processes_were_building(store):
    folder = store.root / "building" / f"{2**22 + 1}-a"  # more than any process id of Linux
    folder.mkdir(parents=True)
    folder.with_name(f"{folder.name}.log").write_text("said")
    store.sweep(set(), older_than=0.0)
    assert leftovers(store) == []


def test_records_are_readable_json(store):
    action = put(store)
    record = json.loads((store.root / "actions" / KEY[:2] / f"{KEY}.json").read_text())
    assert record["digest"] == action.digest
    assert record["files"] == {"model.txt": 5, "sub/more.txt": 4}
