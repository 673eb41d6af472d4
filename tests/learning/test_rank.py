from __future__ import annotations

from pathlib import Path

import pytest
import torch

from declarative_ml.core.errors import StepFailed
from declarative_ml.learning import rank_group, rank_launcher
from declarative_ml.learning.rank import ALONE, PROGRESS, STOP, Rank, stopper, teller
from declarative_ml.learning.rank_group import run_group


@pytest.mark.parametrize(("rows", "processes"), [(10, 1), (10, 3), (7, 7), (2, 5), (0, 2)])
def test_parts_are_in_order_and_cover_all_rows(rows: int, processes: int) -> None:
    parts = [Rank(number, processes).part(rows) for number in range(processes)]
    assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_one_alone_adds_up_nothing_and_dies_where_it_is_told() -> None:
    tensor = torch.ones(2)
    ALONE.add_up(tensor)
    assert tensor.tolist() == [1.0, 1.0]
    assert ALONE.fault_points("epoch:1") == ("epoch:1",)
    assert Rank(1, 2, 3).fault_points("epoch:1") == ("rank1:epoch:1", "rank1:start3:epoch:1")


def test_only_the_first_tells_and_says_when_it_began_again(tmp_path: Path) -> None:
    teller(tmp_path, Rank(1, 2))(0.5, "epoch 1/2")
    assert not (tmp_path / PROGRESS).exists()
    teller(tmp_path, Rank(0, 2))(0.5, "epoch 1/2")
    teller(tmp_path, Rank(0, 2, 1))(0.5, "epoch 1/2")
    assert (tmp_path / PROGRESS).read_text() == '[0.5, "epoch 1/2"]\n[0.5, "epoch 1/2 \\u00b7 start 2"]\n'


def test_training_ends_at_a_known_place_or_when_the_folder_says_so(tmp_path: Path) -> None:
    assert [stopper(tmp_path, 3)(batches) for batches in (2, 3)] == [False, True]
    ends = stopper(tmp_path, None)
    assert not ends(5)
    (tmp_path / STOP).touch()
    assert ends(5)


def run(folder: Path, module: str) -> None:
    run_group(module, folder, 2, progress=lambda fraction, message: None, is_late=lambda: False)


def test_a_launcher_that_cannot_start_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_launcher, "__name__", "declarative_ml.no_such_launcher")
    with pytest.raises(StepFailed, match=r"could not be started: .*No module named") as caught:
        run(tmp_path, "json")
    assert caught.value.hint == "resources.processes: 1 trains without others"


def test_a_launcher_around_the_run_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "PET_NNODES", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = rank_group.environment()
    assert not {"RANK", "WORLD_SIZE", "PET_NNODES", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"} & found.keys()
    assert found["OMP_NUM_THREADS"] == "3"
    assert found["GLOO_SOCKET_IFNAME"].startswith("lo")


@pytest.mark.slow
def test_a_module_that_always_fails_is_started_a_few_times(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"lost a process 4 times, the last time process [01]: "):
        run(tmp_path, "declarative_ml.no_such_module")
    assert (tmp_path / "log").read_text().count("No module named declarative_ml.no_such_module") >= 4
