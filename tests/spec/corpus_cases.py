"""Broken specs with what `dml validate` says about them: `corpus/*.cases`.

A case is the spec as somebody typed it, `=>`, and what the command prints:

    === ID FLAGS $ ARGUMENTS
    modle: lightgbm
    =>
    spec.yaml:1:1  error DML012  unknown key 'modle'
       1 | modle: lightgbm
         | ^^^^^ did you mean 'model'?

Required keys that the text lacks follow it, unless `whole` is among the flags; other flags say how the
file is encoded (`latin-1`, `utf-16`, `cp1252`, `crlf`, `bom`), that the text holds Python's escapes
(`escapes`), and how the command ends when not with 3 (`exit-0`, `exit-5`). The last line that it prints,
the same everywhere, is left out.

`python tests/spec/corpus_cases.py` rewrites what is printed; a person then reads the difference.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from click.testing import CliRunner

FOLDER = Path(__file__).parent / "corpus"
_REQUIRED = {"name": "name: churn", "data": "data: {source: table.csv}", "target": "target: Churn"}
_ENCODINGS = ("latin-1", "utf-16", "cp1252")


@dataclass(frozen=True)
class Case:
    """One broken spec."""

    name: str
    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    spec: str
    golden: str

    @property
    def code(self) -> int:
        """The exit code of `dml validate`."""
        return next((int(flag[5:]) for flag in self.flags if flag.startswith("exit-")), 3)

    def content(self) -> bytes:
        """The bytes of the spec's file."""
        text = self.spec
        if "escapes" in self.flags:
            text = re.sub(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}", lambda found: chr(int(found[0][2:], 16)), text)
        if "whole" not in self.flags:
            keys = {line.split(":")[0] for line in text.splitlines()}
            text += "".join(f"{line}\n" for key, line in _REQUIRED.items() if key not in keys)
        if "crlf" in self.flags:
            text = text.replace("\n", "\r\n")
        encoding = next((flag for flag in self.flags if flag in _ENCODINGS), "utf-8")
        return text.encode("utf-8-sig" if "bom" in self.flags else encoding)

    def as_text(self) -> str:
        """The case as it stands in its file."""
        arguments = f" $ {shlex.join(self.arguments)}" if self.arguments else ""
        head = " ".join(["===", self.name, *self.flags])
        return f"{head}{arguments}\n{self.spec}=>\n{self.golden}"


def read_cases(path: Path) -> tuple[str, list[Case]]:
    """What a file says of itself, and its cases."""
    about, *parts = re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return about.strip(), [_case(part) for part in parts]


def _case(part: str) -> Case:
    head, _, rest = part.partition("\n")
    flags, _, arguments = head.partition(" $ ")
    name, *others = flags.split()
    # Only a line end ends a line here: `splitlines` knows more of them than the people who write specs.
    before, _, golden = f"\n{rest}".partition("\n=>\n")
    spec = f"{before[1:]}\n" if before else ""
    golden = golden.strip("\n")
    return Case(name, tuple(others), tuple(shlex.split(arguments)), spec, f"{golden}\n" if golden else "")


def all_cases() -> list[Case]:
    """The cases of all files."""
    return [case for path in sorted(FOLDER.glob("*.cases")) for case in read_cases(path)[1]]


def validate(case: Case, folder: Path, *options: str) -> tuple[int, str]:
    """Exit code and output of `dml validate` on the case; `folder` is the working folder for it."""
    from declarative_ml.cli import dml

    shutil.copytree(FOLDER / "files", folder, dirs_exist_ok=True)
    (folder / "spec.yaml").write_bytes(case.content())
    before = Path.cwd()
    os.chdir(folder)
    try:
        arguments = ["validate", "spec.yaml", *case.arguments, *options]
        result = CliRunner().invoke(dml, arguments, catch_exceptions=False)
    finally:
        os.chdir(before)
    return result.exit_code, result.output


def shown(output: str, folder: Path) -> str:
    """The output without its last line and without the name of the working folder."""
    *lines, _ = output.splitlines(keepends=True)
    return "".join(lines).replace(f"{folder.resolve()}{os.sep}", "").replace(str(folder.resolve()), ".")


def _rewrite() -> None:
    for path in sorted(FOLDER.glob("*.cases")):
        about, cases = read_cases(path)
        written = []
        for case in cases:
            with tempfile.TemporaryDirectory() as name:
                _, output = validate(case, Path(name))
                written.append(replace(case, golden=shown(output, Path(name))).as_text())
        path.write_text("\n".join([f"{about}\n", *written]), encoding="utf-8")


if __name__ == "__main__":
    _rewrite()
