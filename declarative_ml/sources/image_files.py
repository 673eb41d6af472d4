"""The images of a folder or of an archive, one after another; nothing of an archive is written to a disk."""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from declarative_ml.core.errors import DataError, one_line

ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""How files of images end; others in the same place are left alone."""
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVES = (".zip", *_TAR)
"""How archives of images end."""
MOST_BYTES = 100 << 20
"""Of one file."""
_MOST_FILES = 1_000_000

Opened = tuple[str, bytes]
"""The path of an image below the folder or in the archive, with `/`; and its content."""


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive."""
    return path.name.lower().endswith(ARCHIVES)


def holds_images(path: Path) -> bool:
    """Whether this is an archive by its name, or a folder with an image in it or below."""
    if path.is_file():
        return is_archive(path)
    return path.is_dir() and next(_walk(path), None) is not None


def image_names(path: Path) -> list[str]:
    """The paths of all images, in the order in which `images` gives them. Raises DataError for none."""
    if path.is_dir():
        found = [name for name, _ in _walk(path)]
    else:
        with _archive(path) as archive:
            found = [name for name, _ in _entries(archive, path)]
    if not found:
        raise DataError(f"{path} holds no images", hint=f"known endings: {', '.join(ENDINGS)}")
    return found


def images(path: Path, wanted: frozenset[str] | None = None) -> Iterator[Opened]:
    """The images, or those that are `wanted`: of a folder by their names, of an archive in its own order.

    Raises DataError for an archive that is damaged, encrypted, or holds links or paths out of it.
    """
    if path.is_dir():
        for name, file in _walk(path):
            if wanted is None or name in wanted:
                yield name, _content(file.open("rb"), f"{path}/{name}")
        return
    with _archive(path) as archive:
        for name, entry in _entries(archive, path):
            if wanted is None or name in wanted:
                yield name, _extracted(archive, entry, f"{name} in {path.name}")


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """The images of a folder and those below it; what begins with `.` or `_` is other programs' own."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        for name in sorted(names):
            if _is_image(name):
                file = Path(place) / name
                yield file.relative_to(folder).as_posix(), file


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith((".", "_"))


Archive = zipfile.ZipFile | tarfile.TarFile
Entry = zipfile.ZipInfo | tarfile.TarInfo


def _archive(path: Path) -> Archive:
    try:
        if not path.name.lower().endswith(_TAR):
            return zipfile.ZipFile(path)
        return tarfile.open(path)
    except FileNotFoundError:
        raise DataError(
            f"there is no folder or archive {path}", hint="path is relative to the spec"
        ) from None
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is not a readable archive: {one_line(error)}", hint=f"known: {', '.join(ARCHIVES)}"
        ) from None


def _entries(archive: Archive, path: Path) -> Iterator[tuple[str, Entry]]:
    """Name and entry of each image. Names only name: nothing is opened by them."""
    try:
        entries: Iterable[Entry] = archive.filelist if isinstance(archive, zipfile.ZipFile) else archive
        for number, entry in enumerate(entries):
            name = entry.filename if isinstance(entry, zipfile.ZipInfo) else entry.name
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if number == _MOST_FILES:
                raise DataError(f"{path} holds more than {_MOST_FILES:,} entries")
            hidden = any(part.startswith((".", "_")) and part not in (".", "..") for part in parts)
            if not parts or hidden or not _is_image(parts[-1]):
                continue
            if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
                raise DataError(f"{path}: {name!r} leads out of the archive", hint="pack it again")
            if not _is_plain(entry):
                raise DataError(f"{path}: {name!r} is a link, and no file", hint="pack the file itself")
            yield "/".join(part for part in parts if part != "."), entry
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is damaged or cut short: {one_line(error)}", hint="fetch it again") from None


def _is_plain(entry: Entry) -> bool:
    if isinstance(entry, tarfile.TarInfo):
        return entry.isfile()
    return not stat.S_ISLNK(entry.external_attr >> 16)


def _extracted(archive: Archive, entry: Entry, what: str) -> bytes:
    try:
        if isinstance(archive, zipfile.ZipFile):
            assert isinstance(entry, zipfile.ZipInfo)
            return _content(archive.open(entry), what)
        assert isinstance(entry, tarfile.TarInfo)
        stream = archive.extractfile(entry)
        assert stream is not None  # of a plain file
        return _content(stream, what)
    except RuntimeError:
        raise DataError(f"{what} is encrypted", hint="pack it without a password") from None
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        OSError,
        zlib.error,
        NotImplementedError,
    ) as error:
        raise DataError(f"{what} cannot be unpacked: {one_line(error)}", hint="fetch it again") from None


def _content(stream: IO[bytes], what: str) -> bytes:
    """At most MOST_BYTES: what an archive says of the size is not believed."""
    with stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(
            f"{what} has more than {MOST_BYTES >> 20} MiB", hint="make it smaller, or leave it out"
        )
    return content
