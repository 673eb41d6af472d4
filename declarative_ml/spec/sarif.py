"""Problems as SARIF 2.1.0, the form in which code hosts and editors take the findings of tools."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from declarative_ml import __version__
from declarative_ml.core.errors import Problem
from declarative_ml.spec.code import Code
from declarative_ml.spec.codes import CODES

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_PAGE = "docs/errors.md"
_INDEX = {code: number for number, code in enumerate(CODES)}


def problems_as_sarif(problems: Iterable[Problem]) -> dict[str, Any]:
    """One SARIF log with one run: every code of `dml` as a rule, every problem as a result.

    Columns count characters. A problem of an argument such as `--set` has no place in a file: it has a
    logical location only.
    """
    driver = {
        "name": "dml",
        "fullName": "declarative-ml",
        "version": __version__,
        "rules": [_rule(code) for code in CODES.values()],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(problem) for problem in problems],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def anchor(code: Code) -> str:
    """The link to a code's section on the page of codes, relative to the repository."""
    heading = f"{code.code}: {code.title}".lower()
    return f"{_PAGE}#{re.sub(r'[^a-z0-9 _-]', '', heading).replace(' ', '-')}"


def _rule(code: Code) -> dict[str, Any]:
    words = re.findall(r"[A-Za-z0-9]+", code.title)
    example = f"Wrong:\n\n```yaml\n{code.wrong}\n```\n\nRight:\n\n```yaml\n{code.right}\n```"
    return {
        "id": code.code,
        "name": "".join(word[0].upper() + word[1:] for word in words),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.meaning},
        "help": {
            "text": f"{code.meaning}\n\nWrong:\n{code.wrong}\n\nRight:\n{code.right}",
            "markdown": f"{code.meaning}\n\n{example}",
        },
        "helpUri": anchor(code),
        "defaultConfiguration": {"level": "warning" if "(warning)" in code.title else "error"},
    }


def _result(problem: Problem) -> dict[str, Any]:
    text = f"{problem.message}\n{problem.hint}" if problem.hint else problem.message
    return {
        "ruleId": problem.code,
        "ruleIndex": _INDEX[problem.code],
        "level": problem.severity,
        "message": {"text": text},
        "locations": [_location(problem)],
    }


def _location(problem: Problem) -> dict[str, Any]:
    logical = {"fullyQualifiedName": problem.path or problem.file, "kind": "member"}
    if problem.file.startswith("--"):
        return {"logicalLocations": [logical], "message": {"text": problem.file}}
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(problem.file)}}
    if problem.line:
        start = max(problem.column, 1)
        physical["region"] = {
            "startLine": problem.line,
            "startColumn": start,
            "endColumn": start + problem.width,
        }
    return {"physicalLocation": physical, **({"logicalLocations": [logical]} if problem.path else {})}


def _uri(file: str) -> str:
    """A file's name as a URI: relative ones stay so, and the names of templates are URIs already."""
    if re.match(r"[a-z][a-z0-9+.]+:", file):
        return quote(file, safe="/:@#?&=%+~")
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
