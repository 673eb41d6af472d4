"""Datasets on disk: in the layout of `save_to_disk`, and as the library writes them, where it is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.sources.huggingface import HuggingFaceSource

LABEL = {"names": ["neg", "pos"], "_type": "ClassLabel"}


def save(folder: Path, *parts: list[int], split: str | None = None, **state: Any) -> Path:
    """A dataset of the layout that version 5 of the library writes."""
    folder.mkdir(parents=True)
    files = [f"data-{number:05}-of-{len(parts):05}.arrow" for number in range(len(parts))]
    for name, numbers in zip(files, parts, strict=True):
        columns = {"text": [f"t{n}" for n in numbers], "n": numbers, "label": [n % 2 for n in numbers]}
        table = pa.table(columns)
        with pa.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table)
    told = {"_data_files": [{"filename": name} for name in files], "_split": split, "_format_type": None}
    (folder / "state.json").write_text(json.dumps(told | state))
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": LABEL}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def rows(path: Path, **options: Any) -> list[tuple[Any, ...]]:
    source = HuggingFaceSource(path=str(path), **options)
    found = pa.Table.from_batches(list(source.batches()))
    assert found.column_names == source.columns()
    return [tuple(row.values()) for row in found.to_pylist()]


def test_parts_and_names_of_classes(tmp_path: Path) -> None:
    one = save(tmp_path / "one", [1, 2], [3])
    assert rows(one) == [("t1", 1, "pos"), ("t2", 2, "neg"), ("t3", 3, "pos")]
    assert rows(one, select=("label", "n")) == [("pos", 1), ("neg", 2), ("pos", 3)]
    source = HuggingFaceSource(path="one").resolved(tmp_path)
    assert (source.remote, source.described(), source.options_for_key()) == (False, "the dataset one", {})
    assert [path.name for path in source.files()] == [
        "data-00000-of-00002.arrow",
        "data-00001-of-00002.arrow",
        "dataset_info.json",
    ]


def test_splits(tmp_path: Path) -> None:
    for split, numbers in (("train", [1, 2]), ("test", [3])):
        save(tmp_path / "both" / split, numbers, split=split)
    (tmp_path / "both" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert rows(tmp_path / "both", part="test") == [("t3", 3, "pos")]
    assert rows(tmp_path / "both" / "train", part="train") == rows(tmp_path / "both", part="train")
    source = HuggingFaceSource(path=str(tmp_path / "both"), part="test")
    assert source.described() == "the dataset both, split test"
    for split, message in ((None, "the dataset both has several splits"), ("x", "has no split 'x'")):
        with pytest.raises(DataError, match=message) as caught:
            rows(tmp_path / "both", part=split)
        assert caught.value.hint == "part: train or test"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    old = save(tmp_path / "old", [1], _indices_files=[{"filename": "indices.arrow"}])
    empty = save(tmp_path / "empty", [])
    torn = save(tmp_path / "torn", [1], [2])
    (torn / "data-00001-of-00002.arrow").unlink()
    strange = save(tmp_path / "strange", [1])
    (strange / "dataset_info.json").write_text("[1]")
    fewer = save(tmp_path / "fewer", [1])
    (fewer / "dataset_info.json").write_text(json.dumps({"features": {"label": LABEL | {"names": ["a"]}}}))
    bare = save(tmp_path / "bare", [1])
    (bare / "dataset_info.json").unlink()
    for folder, options, message in (
        (tmp_path, {}, "is no dataset that save_to_disk has written"),
        (old, {}, "by an old version of datasets"),
        (empty, {}, "the dataset empty has no rows"),
        (torn, {}, "lacks data-00001-of-00002.arrow"),
        (strange, {}, r"dataset_info\.json is damaged"),
        (fewer, {}, "column 'label' holds 1, and has only 1 classes"),
        (bare, {}, r"cannot read .*dataset_info\.json"),
        (torn, {"part": "test"}, "has no split 'test': it is one dataset"),
    ):
        with pytest.raises(DataError, match=message):
            rows(folder, **options)
    with pytest.raises(DataError, match="has no column 'm', which `select` names"):
        rows(save(tmp_path / "good", [1]), select=("m",))


def test_what_the_library_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets", reason="the library datasets is not installed")
    datasets.disable_progress_bars()
    kinds = datasets.Features({"n": datasets.Value("int32"), "label": datasets.ClassLabel(names=["a", "b"])})
    whole = datasets.Dataset.from_dict({"n": [1, 2, 3], "label": [0, 1, -1]}, features=kinds)
    whole.save_to_disk(tmp_path / "whole", num_shards=2)
    assert rows(tmp_path / "whole") == [(1, "a"), (2, "b"), (3, None)]
    parts = datasets.DatasetDict({"train": whole, "test": whole.select([2, 0])})
    parts.save_to_disk(tmp_path / "parts")
    assert rows(tmp_path / "parts", part="test") == [(3, None), (1, "a")]
    shutil.rmtree(tmp_path / "parts" / "test")
    with pytest.raises(DataError, match="cannot read"):
        rows(tmp_path / "parts", part="test")
