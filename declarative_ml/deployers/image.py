"""What is known of the images: how their names are read, and where things lie inside.

`dml package` writes the two images, and what is rendered starts them: the constants here are the contract
between the two. Both images have `dml` on their PATH and run as any user with a read-only root.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MODEL = "/model"
"""The bundle inside of the image `serve`."""
CONFIG = "/etc/dml"
"""Where the options of the service, or the spec of the training, are mounted."""
SERVE_FILE = "serve.json"
SPEC_FILE = "spec.yaml"
PLAN_FILE = "plan.json"
STORE = "/store"
"""Where the shared workspace is mounted."""
SCRATCH = "/tmp"
USER = 10_001
"""The user and group that containers run as."""
PORT = 8080
TRAIN_SUFFIX = "-train"
"""The image `train` has the tag of the image `serve` with this behind it, unless it is named."""

_HOST = r"(?=localhost/|[^/]*[.:])[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_FORM = re.compile(
    rf"^(?P<repository>(?:{_HOST}/)?{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?$"
)


@dataclass(frozen=True)
class Image:
    """A parsed name of an image."""

    repository: str
    tag: str
    """Empty where there is none."""
    digest: str
    """`sha256:…`, or empty."""

    @classmethod
    def read(cls, text: str) -> Image:
        """Raises ValueError for a name that is none, or that may be another image tomorrow."""
        found = _FORM.match(text)
        if found is None:
            raise ValueError(f"'{text}' is no name of an image: write HOST/NAME:TAG or HOST/NAME@sha256:…")
        tag, digest = found["tag"] or "", found["digest"] or ""
        if not digest and tag in ("", "latest"):
            what = "the tag latest" if tag else "no tag"
            raise ValueError(f"'{text}' has {what}: what runs would change without a trace")
        return cls(found["repository"], tag, digest)

    @property
    def version(self) -> str:
        """What people call it: the tag, or the start of the digest."""
        return self.tag or self.digest.removeprefix("sha256:")[:12]

    def train(self) -> str | None:
        """The name of the image for training beside this one; None where only a digest is known."""
        return None if self.digest else f"{self.repository}:{self.tag}{TRAIN_SUFFIX}"

    def __str__(self) -> str:
        """The name; where there is a digest, it alone says which image."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"
