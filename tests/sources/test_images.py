"""Images of folders and archives as pixels: upright, bounded, named when they are broken."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from declarative_ml.api.tables import source_of
from declarative_ml.core.errors import DataError
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.images import ImagesSource

image_module = pytest.importorskip("PIL.Image", reason="the extra `images` is not installed")


def picture(*values: int, mode: str = "L", size: tuple[int, int] = (2, 2), **options: Any) -> bytes:
    """A PNG, or what `format` says, of these bytes."""
    made = image_module.frombytes(mode, size, bytes(values))
    stream = io.BytesIO()
    made.save(stream, **{"format": "PNG", **options})
    return stream.getvalue()


def half(dark: int) -> bytes:
    return picture(dark, dark, 200, 200)


CONTENT = {"cat/a.png": half(10), "cat/b.PNG": half(20), "dog/deep.er/c.png": half(30), "cat/notes.md": b"-"}


def folder(root: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def zipped(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, content: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def read(path: Path, **options: Any) -> pa.Table:
    source = ImagesSource(path=str(path), **{"size": 2, **options})
    table = pa.Table.from_batches(list(source.batches()))
    assert table.schema.names == source.columns()
    return table


@pytest.mark.parametrize(
    "pack",
    [
        lambda root: folder(root / "pets", CONTENT),
        lambda root: zipped(root / "pets.zip", CONTENT),
        lambda root: tarred(root / "pets.tar", CONTENT),
        lambda root: tarred(root / "pets.tar.gz", CONTENT),
    ],
)
def test_folders_name_the_classes(pack: Callable[[Path], Path], tmp_path: Path) -> None:
    path = pack(tmp_path)
    table = read(path, file="file")
    assert table.to_pylist()[0] == {
        "label": "cat", "file": "cat/a.png",
        "grey_2x2_r0_c0": 10, "grey_2x2_r0_c1": 10, "grey_2x2_r1_c0": 200, "grey_2x2_r1_c1": 200,
    }  # fmt: skip
    assert table["label"].to_pylist() == ["cat", "cat", "deep.er"]
    assert source_of(str(path)) == ImagesSource(path=str(path))
    with pytest.raises(DataError) as caught:
        FileSource(path=str(path)).columns()
    assert caught.value.hint == "images are read by source: {type: images, path: …}"


@pytest.mark.parametrize("packed", [False, True])
def test_a_table_names_the_images(packed: bool, tmp_path: Path) -> None:
    content = {"x/a.png": half(1), "x/b.png": half(2), "x/unused.png": half(3)}
    path = zipped(tmp_path / "x.zip", content) if packed else folder(tmp_path / "x", content)
    (tmp_path / "t.csv").write_text("kind,image\nz,x/b.png\ny,./x/a.png\nagain,x/a.png\n")
    options = {"table": str(tmp_path / "t.csv"), "file": "image"}
    found = [(row["kind"], row["grey_2x2_r0_c0"]) for row in read(path, **options).to_pylist()]
    assert sorted(found) == [("again", 1), ("y", 1), ("z", 2)]
    (tmp_path / "t.csv").write_text("kind,image\nz,x/b.png\ny,../x/a.png\n")
    with pytest.raises(DataError, match=r"lacks 1 images that t.csv names: '../x/a.png' \(row 2\)"):
        read(path, **options)
    with pytest.raises(DataError, match="has no column 'img', which `file` names"):
        read(path, **{**options, "file": "img"})
    (tmp_path / "t.csv").write_text("kind,image\nz,\n")
    with pytest.raises(DataError, match="row 1 names no image"):
        read(path, **options)


def only(tmp_path: Path, content: bytes, **options: Any) -> list[int]:
    """The pixels of one image."""
    (tmp_path / "one").mkdir(exist_ok=True)
    (tmp_path / "one" / "a.png").write_bytes(content)
    return list(read(tmp_path / "one", **options).to_pylist()[0].values())


def test_pixels(tmp_path: Path) -> None:
    exif = image_module.Exif()
    exif[0x0112] = 3  # turned upside down
    assert only(tmp_path, picture(0, 0, 200, 200, exif=exif)) == [200, 200, 0, 0]
    assert only(tmp_path, picture(0, 0, 200, 200), size=(1, 2)) == [100, 100]
    assert only(tmp_path, picture(*[9, 8, 7] * 4, mode="RGB"), colour="rgb", size=1) == [9, 8, 7]
    assert only(tmp_path, picture(*[0, 255, 0, 0] * 2, mode="LA")) == [0, 255, 0, 255], "clear is white"
    deep = np.array([[0, 257], [65535, 256]], np.uint16)
    stream = io.BytesIO()
    image_module.fromarray(deep).save(stream, "PNG")
    assert only(tmp_path, stream.getvalue()) == [0, 1, 255, 0]
    assert only(tmp_path, picture(0, 1, 0, 1, format="GIF")) == [0, 1, 0, 1]
    names = ImagesSource(path=str(tmp_path / "one"), size=(1, 1), colour="rgb").columns()
    assert names == ["rgb_1x1_r0_c0_red", "rgb_1x1_r0_c0_green", "rgb_1x1_r0_c0_blue"]


def bomb() -> bytes:
    """A PNG that says of itself that it has 10^10 pixels."""
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )


def test_broken_images_are_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 64 * 64, dtype=np.uint8).tobytes()
    cut = picture(*noise, size=(64, 64))[:-1500]
    for content, said in (
        (b"no image", r"one: a.png is no image, whatever its name says"),
        (cut, r"one: a.png is damaged: "),
        (bomb(), r"one: a.png has more than 50,000,000 pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", r"one: a.png is no image"),
    ):
        with pytest.raises(DataError, match=said) as caught:
            only(tmp_path, content)
        assert caught.value.hint


def test_archives_that_are_not_as_they_should_be(tmp_path: Path) -> None:
    image = half(1)
    for name in ("../a.png", "/etc/a.png", "c/../../a.png", "C:\\a.png", "..\\a.png"):
        for path in (zipped(tmp_path / "x.zip", {name: image}), tarred(tmp_path / "x.tar", {name: image})):
            with pytest.raises(DataError, match="leads out of the archive"):
                read(path)
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        entry = tarfile.TarInfo("a/link.png")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(DataError, match=r"'a/link\.png' is a link, and no file"):
        read(tmp_path / "x.tar")
    whole = tarred(tmp_path / "x.tar.gz", {"a/a.png": np.random.default_rng(0).bytes(50_000)}).read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(whole[:20_000])
    with pytest.raises(DataError, match=r"cannot be unpacked|cut short"):
        read(tmp_path / "x.tar.gz")
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="is not a readable archive"):
        read(tmp_path / "x.zip")
    with pytest.raises(DataError, match="holds no images"):
        read(zipped(tmp_path / "x.zip", {"a.txt": b"", "__MACOSX/a.png": b"", ".a.png": b""}))
    with pytest.raises(DataError, match="there is no folder or archive"):
        read(tmp_path / "none.zip")


def test_an_archive_that_unfolds_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("declarative_ml.sources.image_files.MOST_BYTES", 1 << 20)
    path = zipped(tmp_path / "x.zip", {"a/a.png": b"\0" * (3 << 20)})
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"a/a.png in x.zip has more than 1 MiB|more than 100 MiB"):
        read(path)


def test_images_with_and_without_a_folder(tmp_path: Path) -> None:
    path = folder(tmp_path / "x", {"a/1.png": half(1), "2.png": half(2)})
    with pytest.raises(DataError, match=r"'2.png' lies in no folder, and 1 images do"):
        read(path)


def test_what_the_key_of_a_run_holds(tmp_path: Path) -> None:
    first = ImagesSource(path=str(folder(tmp_path / "x", CONTENT)))
    moved = ImagesSource(path=str(folder(tmp_path / "y", CONTENT)))
    assert first.options_for_key() == moved.options_for_key()
    assert len(first.files()) == 3
    (tmp_path / "y" / "cat" / "a.png").rename(tmp_path / "y" / "dog" / "a.png")
    assert first.options_for_key() != moved.options_for_key()


def test_options_that_do_not_go_together() -> None:
    for options, said in (
        ({"table": "t.csv"}, "'table' needs 'file'"),
        ({"file": "label"}, "are two columns"),
        ({"size": 65}, "less than or equal to 64"),
    ):
        with pytest.raises(ValidationError, match=said):
            ImagesSource.model_validate({"path": "x", **options})


@pytest.mark.slow
def test_a_model_of_images_end_to_end(tmp_path: Path, dml: Callable[..., Any]) -> None:
    random = np.random.default_rng(0)
    content = {}
    for number in range(120):
        kind = ("dark", "light")[number % 2]
        noise = (random.integers(0, 90, 64) + 160 * (number % 2)).astype(np.uint8)
        content[f"{kind}/{number}.png"] = picture(*noise.tobytes(), size=(8, 8))
    pets = zipped(tmp_path / "shades.zip", content)
    spec = tmp_path / "spec.yaml"
    dml("init", str(pets), "--target", "label", "-o", str(spec))
    assert "source: {type: images, path: shades.zip}" in spec.read_text()
    spec.write_text(spec.read_text().replace("shades.zip}", "shades.zip, size: 8}"))
    result = json.loads(dml("run", str(spec), "--format", "json", "--set", "model=linear").out)
    assert result["metrics"]["test"]["accuracy"] > 0.95
    new = folder(tmp_path / "new", {"n1.png": content["dark/0.png"], "n2.png": content["light/1.png"]})
    asked = json.dumps({"type": "images", "path": str(new), "size": 8, "file": "name"})
    dml("predict", str(spec), asked, "--keep", "name", "-o", str(tmp_path / "out.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["name"], row["prediction"]) for row in rows] == [("n1.png", "dark"), ("n2.png", "light")]
    assert "lack" in dml("predict", str(spec), str(new)).err, "of another size"
