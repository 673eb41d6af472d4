"""Files of git repositories, read from commits kept in the user's cache: nothing is ever checked out.

A branch or tag is asked for once; a commit that is kept needs no network. Only git's own transports are
used, without prompts, hooks or submodules.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from declarative_ml.core.errors import UsageError
from declarative_ml.core.user_cache import folder

FORM = "git+URL@REV#PATH"
SECONDS = 120.0
_TRANSPORTS = ("https", "http", "ssh", "git", "file")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*")


@dataclass(frozen=True)
class Reference:
    """`git+URL@REV#PATH` taken apart."""

    url: str
    revision: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises UsageError for another form."""
        address, _, path = text.removeprefix("git+").partition("#")
        url, at, revision = address.rpartition("@")
        if not (at and path and url.partition("://")[0] in _TRANSPORTS and _REVISION.fullmatch(revision)):
            known = ", ".join(_TRANSPORTS)
            raise UsageError(
                f"'{text}' is not of the form {FORM}",
                hint=f"for example git+https://example.com/team/specs.git@v1#base.yaml; URLs: {known}",
            )
        return cls(url, revision, path)


@dataclass(frozen=True)
class GitTree:
    """One commit of a repository in the cache."""

    repository: Path
    commit: str

    def has(self, name: str) -> bool:
        """Whether the commit holds the file."""
        return _git(self.repository, "cat-file", "-e", f"{self.commit}:{name}").returncode == 0

    def read(self, name: str, limit: int) -> bytes:
        """The file's first `limit` + 1 bytes. Raises UsageError when it is not there."""
        found = _git(self.repository, "cat-file", "blob", f"{self.commit}:{name}")
        if found.returncode != 0:
            raise UsageError(f"commit {self.commit[:12]} holds no file {name}")
        return found.stdout[: limit + 1]


def open_tree(url: str, revision: str, commit: str | None = None) -> GitTree:
    """The commit that `revision` names now, or the given `commit`, fetched where it is not kept.

    Raises UsageError when the repository or revision cannot be had, or git is not there.
    """
    repository = folder() / "git" / f"{hashlib.sha256(url.encode()).hexdigest()[:24]}.git"
    if not (repository / "HEAD").exists():
        repository.mkdir(parents=True, exist_ok=True)
        _must(_git(repository, "init", "--bare", "--quiet"), url)
    wanted = commit or (revision if _COMMIT.fullmatch(revision) else None)
    if wanted is not None and _git(repository, "cat-file", "-e", f"{wanted}^{{commit}}").returncode == 0:
        return GitTree(repository, wanted)
    asked = wanted or revision
    found = _git(repository, "fetch", "--quiet", "--depth=1", "--no-tags", url, asked)
    if found.returncode != 0 and wanted is not None:
        # Not every server hands out a bare commit: then everything that its branches reach.
        found = _git(repository, "fetch", "--quiet", "--tags", url, "+refs/heads/*:refs/kept/*")
        _must(found, url)
        return GitTree(repository, _resolve(repository, wanted, url))
    _must(found, url)
    return GitTree(repository, _resolve(repository, "FETCH_HEAD", url))


def _resolve(repository: Path, name: str, url: str) -> str:
    found = _git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    commit = found.stdout.decode().strip()
    if found.returncode != 0 or not commit:
        raise UsageError(f"{_shown(url)} has no commit {name}", hint="`dml template lock` asks anew")
    # Named, so that git never clears it away.
    _git(repository, "update-ref", f"refs/dml/{commit}", commit)
    return commit


def _must(found: subprocess.CompletedProcess[bytes], url: str) -> None:
    if found.returncode == 0:
        return
    lines = [line for line in found.stderr.decode(errors="replace").splitlines() if line.strip()]
    reason = (lines or ["git failed"])[0].removeprefix("fatal: ").replace(url, _shown(url))
    raise UsageError(
        f"git cannot fetch from {_shown(url)}: {reason}",
        hint="check the URL, the revision and your access: `git ls-remote` must work without a password",
    )


def _shown(url: str) -> str:
    """The URL without a user or password."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    allow = [f"protocol.{name}.allow=always" for name in _TRANSPORTS]
    options = [part for setting in ("protocol.allow=never", *allow) for part in ("-c", setting)]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    environment.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        environment.pop(name, None)
    try:
        return subprocess.run(
            ["git", f"--git-dir={repository}", *options, *arguments],
            capture_output=True, env=environment, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise UsageError("git is not installed", hint="install git, or copy the template") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"git took longer than {SECONDS:.0f} s", hint="check the network") from error
