from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.store import bundle as bundle_module
from declarative_ml.store.bundle import (
    Bundle,
    Manifest,
    add_file,
    is_bundle,
    model_digest,
    write_bundle,
    zip_bundle,
)

FIELDS: dict[str, Any] = {
    "name": "churn",
    "description": "Who leaves",
    "task": {"target": "Churn", "type": "binary", "classes": ["No", "Yes"]},
    "target_rule": {"type": "text"},
    "inputs": [
        {
            "name": "tenure",
            "feature": "number",
            "dtype": "float32",
            "rule": {"type": "integer"},
            "field": {"type": "integer"},
        },
        {"name": "Contract", "feature": "category", "dtype": "string", "rule": {"type": "text"}},
    ],
    "missing": ["", "?"],
    "threshold": 0.4,
    "metrics": {"test": {"roc_auc": 0.84, "ece": None}},
    "spec_digest": "s" * 64,
    "data_fingerprint": "d" * 64,
    "sql": None,
}
FILES = {"model.onnx": b"graph", "reference.json": b'{"columns": {}, "background": {"tenure": [1]}}'}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", FIELDS, {**FILES, "formats/tflite/model.tflite": b"lite"})
    return tmp_path / "bundle"


@pytest.fixture(params=["folder", "zip"])
def place(request: pytest.FixtureRequest, folder: Path) -> Path:
    return folder if request.param == "folder" else zip_bundle(folder, folder.parent / "bundle.zip")


def test_a_file_that_is_added_is_listed_and_changes_no_identity(folder: Path) -> None:
    before = Bundle.open(folder).manifest
    added = add_file(folder, "notes/read me.txt", b"hello")
    bundle = Bundle.open(folder, verify=True)
    assert bundle.manifest == added
    assert bundle.read("notes/read me.txt") == b"hello"
    assert added.model_digest == before.model_digest
    assert set(added.files) - set(before.files) == {"notes/read me.txt"}
    with pytest.raises(DataError, match=r"'\.\./x' cannot be a file name in a bundle"):
        add_file(folder, "../x", b"")


def test_what_was_written_can_be_read(place):
    bundle = Bundle.open(place, verify=True)
    assert bundle.manifest.task == Task(target="Churn", type="binary", classes=("No", "Yes"))
    assert bundle.manifest.inputs[0].field == {"type": "integer"}
    assert bundle.manifest.metrics == {"test": {"roc_auc": 0.84, "ece": None}}
    assert bundle.read("model.onnx") == b"graph"
    assert bundle.read("formats/tflite/model.tflite") == b"lite"
    assert bundle.reference()["background"] == {"tenure": [1]}
    assert sorted(bundle.manifest.files) == ["formats/tflite/model.tflite", "model.onnx", "reference.json"]


def test_the_manifest_is_plain_json_with_a_format_version(folder):
    stored = json.loads((folder / "bundle.json").read_text())
    assert stored["format"] == 1
    assert Manifest.model_validate(stored).model_dump(mode="json") == stored


def test_models_may_be_given_instead_of_their_fields(tmp_path):
    fields = {**FIELDS, "task": Task.model_validate(FIELDS["task"])}
    first = write_bundle(tmp_path / "a", fields, FILES)
    assert first == write_bundle(tmp_path / "b", FIELDS, FILES)


def test_files_are_copied_and_files_in_the_folder_stay(tmp_path):
    source = tmp_path / "made.onnx"
    source.write_bytes(b"graph")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "report.html").write_text("<p>")
    manifest = write_bundle(tmp_path / "bundle", FIELDS, {**FILES, "model.onnx": source})
    assert set(manifest.files) == {"model.onnx", "reference.json", "report.html"}
    assert Bundle.open(tmp_path / "bundle", verify=True).read("report.html") == b"<p>"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", 0.5),
        ("metrics", {"test": {"roc_auc": 0.85}}),
        ("missing", ["?"]),
        ("target_rule", {"type": "boolean"}),
        ("task", {"target": "Churn", "type": "binary", "classes": ["Yes", "No"]}),
        ("inputs", FIELDS["inputs"][:1]),
        ("sql", "SELECT 1"),
    ],
)
def test_the_model_digest_covers_what_decides_an_answer(tmp_path, field, value):
    before = write_bundle(tmp_path / "a", FIELDS, FILES).model_digest
    assert write_bundle(tmp_path / "b", {**FIELDS, field: value}, FILES).model_digest != before


@pytest.mark.parametrize("name", ["model.onnx", "reference.json"])
def test_the_model_digest_covers_graph_and_reference(tmp_path, name):
    before = write_bundle(tmp_path / "a", FIELDS, FILES).model_digest
    assert write_bundle(tmp_path / "b", FIELDS, {**FILES, name: b"{}"}).model_digest != before


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        ({"description": "other"}, {}),
        ({"spec_digest": "x"}, {}),
        ({"data_fingerprint": "x"}, {}),
        ({}, {"report.html": b"<p>"}),
        ({}, {"formats/x": b"1"}),
    ],
)
def test_the_model_digest_leaves_out_report_formats_and_provenance(tmp_path, changes, files):
    before = write_bundle(tmp_path / "a", FIELDS, FILES)
    after = write_bundle(tmp_path / "b", {**FIELDS, **changes}, {**FILES, **files})
    assert after.model_digest == before.model_digest == model_digest(before.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("changes", "files", "message"),
    [
        ({}, {"model.onnx": b""}, "the bundle must contain reference.json"),
        ({"task": {"target": "x", "type": "odd"}}, FILES, "task.type"),
        ({"inputs": FIELDS["inputs"] * 2}, FILES, "two inputs have the same name"),
        ({"nonsense": 1}, FILES, "nonsense"),
        ({"metrics": {"test": {"r2": float("nan")}}}, FILES, "metrics.test.r2"),
        ({}, {**FILES, "../evil": b""}, "'../evil' cannot be a file name"),
        ({}, {**FILES, "bundle.json": b""}, "'bundle.json' cannot be a file name"),
        ({}, {**FILES, "/etc/passwd": b""}, "cannot be a file name"),
        ({}, {**FILES, "a//b": b""}, "cannot be a file name"),
        ({}, {**FILES, "a\\b": b""}, "cannot be a file name"),
    ],
)
def test_what_is_no_bundle_is_not_written(tmp_path, changes, files, message):
    with pytest.raises(DataError) as caught:
        write_bundle(tmp_path / "bundle", {**FIELDS, **changes}, files)
    assert message in caught.value.message
    assert not (tmp_path / "bundle" / "bundle.json").exists()
    assert not (tmp_path / "evil").exists()


def test_equal_bundles_give_equal_zips(tmp_path, folder):
    write_bundle(tmp_path / "again", FIELDS, {"formats/tflite/model.tflite": b"lite", **FILES})
    first = zip_bundle(folder, tmp_path / "first.zip").read_bytes()
    assert zip_bundle(tmp_path / "again", tmp_path / "second.zip").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "bundle", "first.zip", "second.zip"]


def test_a_zip_holds_only_what_the_manifest_lists(tmp_path, folder):
    (folder / "notes.txt").write_text("left behind")
    with zipfile.ZipFile(zip_bundle(folder, tmp_path / "b.zip")) as archive:
        assert archive.namelist()[0] == "bundle.json"
        assert "notes.txt" not in archive.namelist()


def test_only_listed_files_can_be_read(place):
    with pytest.raises(DataError, match=r"no file '\.\./secret'") as caught:
        Bundle.open(place).read("../secret")
    assert "model.onnx" in caught.value.hint


def test_unpacking_gives_the_same_bundle(place, tmp_path):
    unpacked = Bundle.open(place).unpack(tmp_path / "new" / "copy")
    assert unpacked.manifest == Bundle.open(place).manifest
    assert unpacked.path == tmp_path / "new" / "copy"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy"]
    with pytest.raises(DataError, match="exists already"):
        unpacked.unpack(tmp_path / "new" / "copy")


def test_a_damaged_file_is_found_on_request_and_never_unpacked(folder, tmp_path):
    (folder / "model.onnx").write_bytes(b"grapf")
    bundle = Bundle.open(folder)
    with pytest.raises(DataError, match=r"damaged: model\.onnx does not match its digest"):
        bundle.verify()
    with pytest.raises(DataError, match="does not match its digest"):
        bundle.unpack(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_an_edited_manifest_is_found_on_request(folder):
    stored = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**stored, "threshold": 0.9}))
    with pytest.raises(DataError, match=r"bundle\.json does not match its model_digest"):
        Bundle.open(folder, verify=True)


def test_a_lost_file_is_found_at_once(folder):
    (folder / "reference.json").unlink()
    with pytest.raises(DataError, match=r"damaged: reference\.json is missing"):
        Bundle.open(folder)


def test_a_reference_that_is_no_json_is_refused(tmp_path):
    write_bundle(tmp_path / "b", FIELDS, {**FILES, "reference.json": b"{"})
    with pytest.raises(DataError, match=r"reference\.json is not JSON"):
        Bundle.open(tmp_path / "b").reference()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "bundle.json is not JSON"),
        ("[]", "names no format version"),
        ('{"format": "1"}', "names no format version"),
        ('{"format": 2, "anything": 1}', "has format 2, this version reads up to 1"),
        ('{"format": 1}', "bundle.json is not valid: name"),
        ("\xff", "bundle.json is not JSON"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_why(folder, content, message):
    (folder / "bundle.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        Bundle.open(folder)
    assert message in caught.value.message


def test_what_is_not_a_bundle_is_named(tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("inner/bundle.json", "{}")
    for name in ("data.csv", "other.zip", "."):
        with pytest.raises(DataError, match=r"is not a bundle: it has no bundle\.json") as caught:
            Bundle.open(tmp_path / name)
        assert "dml run" in caught.value.hint
        assert not is_bundle(tmp_path / name)
    with pytest.raises(DataError, match=r"absent\.zip does not exist"):
        Bundle.open(tmp_path / "absent.zip")
    assert not is_bundle(tmp_path / "absent.zip")


def test_folders_and_zips_are_recognised(place):
    assert is_bundle(place)
    assert is_bundle(str(place))


def evil_zip(folder: Path, name: str, content: bytes = b"x") -> Path:
    """A zip whose manifest lists a file with a name that no bundle may have."""
    stored = json.loads((folder / "bundle.json").read_text())
    stored["files"][name] = "0" * 64
    target = folder.parent / "evil.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("bundle.json", json.dumps(stored))
        for listed in FILES:
            archive.writestr(listed, FILES[listed])
        archive.writestr(name, content)
    return target


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "a/../../evil", "C:/evil", "a\\evil", "./evil", ".."]
)
def test_an_archive_with_unsafe_names_is_refused(folder, name):
    with pytest.raises(DataError, match="unsafe file name"):
        Bundle.open(evil_zip(folder, name))


def test_files_beyond_the_limit_are_not_unpacked_into_memory(folder, monkeypatch):
    write_bundle(folder, FIELDS, {"bomb": b"\0" * 3_000_000})
    packed = zip_bundle(folder, folder.parent / "bomb.zip")
    assert packed.stat().st_size < 20_000
    monkeypatch.setattr(bundle_module, "MAX_FILE_BYTES", 1 << 20)
    for place in (packed, folder):
        with pytest.raises(DataError, match="bomb is larger than 1 MiB"):
            Bundle.open(place).read("bomb")


def test_an_archive_of_very_many_files_is_refused(folder, monkeypatch):
    packed = zip_bundle(folder, folder.parent / "many.zip")
    monkeypatch.setattr(bundle_module, "MAX_FILES", 3)
    with pytest.raises(DataError, match="more than 3 files"):
        Bundle.open(packed)


def test_only_plain_compression_is_read(folder):
    target = folder.parent / "odd.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:
        for name in ("bundle.json", *FILES):
            archive.write(folder / name, name)
    with pytest.raises(DataError, match=r"bundle\.json is compressed in a way that bundles do not use"):
        Bundle.open(target)


@pytest.mark.parametrize("cut", [30, 200, -40])
def test_a_truncated_zip_is_refused(folder, cut):
    packed = zip_bundle(folder, folder.parent / "cut.zip")
    packed.write_bytes(packed.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"not a bundle|damaged"):
        Bundle.open(packed)


def test_a_zip_with_flipped_bytes_is_refused(folder):
    packed = zip_bundle(folder, folder.parent / "flipped.zip")
    content = bytearray(packed.read_bytes())
    place = content.index(b"bundle.json") + 60
    content[place : place + 20] = b"\0" * 20
    packed.write_bytes(content)
    with pytest.raises(DataError, match="the bundle is damaged"):
        Bundle.open(packed)
