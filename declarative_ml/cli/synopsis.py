"""Keeps the synopsis blocks of a Markdown page equal to what `dml VERB --help` prints.

`python -m declarative_ml.cli.synopsis docs/commands.md` rewrites the text between
`<!-- help: VERB -->` and `<!-- end -->`; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from declarative_ml.cli import VERBS, dml
from declarative_ml.core.atomic import write_text

_BLOCK = re.compile(r"(<!-- help: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def help_text(verb: str) -> str:
    """What `dml VERB --help` prints, 96 characters wide whatever the terminal. KeyError: no such verb."""
    root = click.Context(dml, info_name="dml", help_option_names=["-h", "--help"])
    command = dml.get_command(root, verb)
    if command is None:
        raise KeyError(verb)
    with click.Context(command, info_name=verb, parent=root, terminal_width=96) as context:
        return command.get_help(context)


def with_synopses(page: str) -> str:
    """The page with every block filled. Raises ValueError for a verb without one, KeyError for a stranger."""
    missing = set(VERBS) - {match[1] for match in _BLOCK.findall(page)}
    if missing:
        raise ValueError(f"no block for: {', '.join(sorted(missing))}")
    return _BLOCK.sub(lambda match: f"{match[1]}```text\n{help_text(match[2])}\n```\n{match[3]}", page)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m declarative_ml.cli.synopsis FILE")
    path = Path(sys.argv[1])
    write_text(path, with_synopses(path.read_text(encoding="utf-8")))
