"""`dml serve --options FILE`: the section `serve` of a bundle that comes without its spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from declarative_ml.api.serve import serve
from declarative_ml.core.errors import DmlError, UsageError
from declarative_ml.store.bundle import Bundle

BundleOf = Callable[[str], Bundle]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read"),
        ("{", "the whole: Invalid JSON"),
        ('{"max_rowz": 1}', "max_rowz: Extra inputs are not permitted"),
        ('{"token": "hunter2"}', "token: a secret is given in clear"),
    ],
)
def test_files_that_hold_no_section(text: str | None, said: str, tmp_path: Path, bundle_of: BundleOf) -> None:
    file = tmp_path / "serve.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError) as caught:
        serve([str(bundle_of("stays").path)], {}, file=file)
    assert said in caught.value.message and "hunter2" not in str(caught.value)


def test_the_options_are_taken(tmp_path: Path, bundle_of: BundleOf) -> None:
    """A token that is not there ends the service before it opens a port: the file was read."""
    (tmp_path / "serve.json").write_text('{"port": 0, "token": "${env:DML_NO_SUCH_TOKEN}"}')
    with pytest.raises(DmlError, match="DML_NO_SUCH_TOKEN is not set"):
        serve([str(bundle_of("stays").path)], {}, file=tmp_path / "serve.json")
