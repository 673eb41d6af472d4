"""Where the files of a spec lie: a folder, an installed package, or one commit of a git repository.

`extends` and `${file:…}` name other files relative to the file that says so; its home finds them.
"""

from __future__ import annotations

import posixpath
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path

from declarative_ml.core.errors import UsageError
from declarative_ml.spec.git import GitTree


class TemplateError(UsageError):
    """A template or a file of it cannot be had."""


@dataclass(frozen=True)
class Home(ABC):
    """One file of a spec and what lies around it."""

    label: str
    """The file as messages name it."""
    allowed: frozenset[str] | None = None
    """The references (`env:NAME`, `file:path`) that the file may use; None: all, it is the user's own."""

    @property
    def folder(self) -> Path | None:
        """The folder on this machine in which the file lies, if it lies in one."""
        return None

    @property
    def is_local(self) -> bool:
        """Whether the label is a path on this machine."""
        return False

    @abstractmethod
    def content(self, limit: int) -> bytes:
        """The file's first `limit` + 1 bytes. Raises TemplateError."""

    @abstractmethod
    def beside(self, name: str) -> Home:
        """The file `name`, relative to this one. It need not exist. Raises TemplateError outside the home."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether the file is there."""

    def pinned(self) -> dict[str, str]:
        """What else fixes the file, beside its digest: for the lock."""
        return {}


@dataclass(frozen=True)
class LocalHome(Home):
    """A file on this machine."""

    path: Path = Path()
    root: Path | None = None
    """The folder that files named by this one must not leave; None: any folder of this machine."""
    version: str | None = None
    """Of the package that the file belongs to."""

    @property
    def folder(self) -> Path:
        """See Home.folder."""
        return self.path.parent

    @property
    def is_local(self) -> bool:
        """See Home.is_local."""
        return self.root is None

    def content(self, limit: int) -> bytes:
        """See Home.content."""
        try:
            with self.path.open("rb") as stream:
                return stream.read(limit + 1)
        except OSError as error:
            raise TemplateError(error.strerror or type(error).__name__) from error

    def beside(self, name: str) -> Home:
        """See Home.beside."""
        path = self.path.parent / name
        if self.root is not None and not path.resolve().is_relative_to(self.root.resolve()):
            raise TemplateError(f"{name} leaves the folder of {self.label}")
        label = posixpath.normpath(posixpath.join(posixpath.dirname(self.label), Path(name).as_posix()))
        return replace(self, label=label, path=path)

    def exists(self) -> bool:
        """See Home.exists."""
        return self.path.is_file()

    def pinned(self) -> dict[str, str]:
        """See Home.pinned."""
        return {} if self.version is None else {"version": self.version}


@dataclass(frozen=True)
class GitHome(Home):
    """A file in one commit of a repository."""

    tree: GitTree | None = None
    name: str = ""

    def content(self, limit: int) -> bytes:
        """See Home.content."""
        assert self.tree is not None
        try:
            return self.tree.read(self.name, limit)
        except UsageError as error:
            raise TemplateError(error.message, hint=error.hint) from error

    def beside(self, name: str) -> Home:
        """See Home.beside."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(self.name), name))
        if path.startswith(("../", "/")):
            raise TemplateError(f"{name} leaves the repository of {self.label}")
        return replace(self, label=f"{self.label.partition('#')[0]}#{path}", name=path)

    def exists(self) -> bool:
        """See Home.exists."""
        return self.tree is not None and self.tree.has(self.name)

    def pinned(self) -> dict[str, str]:
        """See Home.pinned."""
        return {} if self.tree is None else {"commit": self.tree.commit}
