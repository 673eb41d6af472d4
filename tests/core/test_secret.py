from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from declarative_ml.core.component import Section
from declarative_ml.core.errors import DataError
from declarative_ml.core.secret import IN_CLEAR, Secret


class Holder(Section):
    token: Secret


@pytest.mark.parametrize(
    "reference",
    ["${env:TOKEN}", "${env:TOKEN:-}", "${env:TOKEN:-a:b/c}", "${file:token.txt}", "${file:/run/x y}"],
)
def test_a_reference_is_kept_as_it_is(reference: str) -> None:
    holder = Holder.model_validate({"token": reference})
    assert json.loads(holder.model_dump_json()) == {"token": reference}
    assert Holder.model_validate_json(holder.model_dump_json()) == holder
    assert repr(holder.token) == f"Secret({reference!r})"


@pytest.mark.parametrize(
    "value",
    [
        "canary",
        "",
        "$TOKEN",
        "${TOKEN}",
        "x${env:TOKEN}",
        "${env:A}${env:B}",
        "${params.a}",
        "${file:}",
        5,
        None,
    ],
)
def test_anything_else_is_refused_without_being_repeated(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"token": value})
    (error,) = caught.value.errors(include_input=False, include_url=False)
    assert error["type"] == IN_CLEAR
    assert "canary" not in error["msg"]
    if isinstance(value, str):
        with pytest.raises(ValueError, match=r"^a secret is given in clear$"):
            Secret(value)


def test_the_value_is_looked_up_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DML_TEST_TOKEN", "abc")
    assert Secret("${env:DML_TEST_TOKEN}").reveal() == "abc"
    monkeypatch.setenv("DML_TEST_TOKEN", "")
    assert Secret("${env:DML_TEST_TOKEN:-d:-e}").reveal() == "d:-e"
    with pytest.raises(DataError, match="DML_TEST_TOKEN is not set"):
        Secret("${env:DML_TEST_TOKEN}").reveal()
    (tmp_path / "token.txt").write_text("from a file\n")
    secret = Secret("${file:token.txt}").resolved(tmp_path)
    assert secret.reference == f"${{file:{tmp_path.as_posix()}/token.txt}}"
    assert secret.reveal() == "from a file"
    with pytest.raises(DataError, match=r"cannot read the secret in .*none.txt: No such file"):
        Secret("${file:none.txt}").resolved(tmp_path).reveal()
    (tmp_path / "token.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        secret.reveal()


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        ("token-1", "bad token-1!", "bad ***!"),
        ("postgresql://me:pa%20ss@db.example/x", "no me, 'pa ss' at db.example", "no me, '***' at ***"),
        ("postgresql://me:word@db/shop?key=k123", "postgresql: k123, word", "postgresql: ***, ***"),
    ],
)  # fmt: skip
def test_messages_of_others_are_cleaned(
    value: str, text: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DML_TEST_TOKEN", value)
    assert Secret("${env:DML_TEST_TOKEN}").redact(text) == shown
