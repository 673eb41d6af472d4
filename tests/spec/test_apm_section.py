"""The section `monitor.apm`: what it becomes, in every way that it can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from declarative_ml.core.secret import Secret
from declarative_ml.spec.apm import Apm
from declarative_ml.spec.dump import spec_to_yaml
from declarative_ml.spec.load import load_spec

SPEC = "name: churn\ndata: {source: table.csv}\ntarget: Churn\nmonitor: {apm: %s}\n"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ('"https://apm.example.com/prefix"', "https://apm.example.com/prefix"),
        ('{url: "${env:DML_TEST_APM}"}', "http://apm:8200"),
        ('"${env:DML_TEST_APM}"', "http://apm:8200"),
        ('{url: "${env:DML_TEST_NO_APM:-}", sample: 0.5}', None),
        ('"${env:DML_TEST_NO_APM:-}"', None),
        ("null", None),
    ],
)
def test_on_or_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, url: str | None) -> None:
    monkeypatch.setenv("DML_TEST_APM", "http://apm:8200")
    (tmp_path / "spec.yaml").write_text(SPEC % text)
    apm = load_spec(tmp_path / "spec.yaml").spec.monitor.apm
    assert (None if apm is None else apm.url) == url


def test_files_are_found_beside_the_spec(tmp_path: Path) -> None:
    text = '{url: "https://apm", ca: certificates/ca.pem, api_key: "${file:key}"}'
    (tmp_path / "spec.yaml").write_text(SPEC % text)
    (tmp_path / "key").write_text("geheim\n")
    spec = load_spec(tmp_path / "spec.yaml").spec
    assert spec.monitor.apm == Apm(
        url="https://apm",
        ca=str(tmp_path / "certificates/ca.pem"),
        api_key=Secret(f"${{file:{tmp_path / 'key'}}}"),
    )
    assert spec.monitor.apm.api_key is not None
    assert spec.monitor.apm.api_key.reveal() == "geheim"
    again = spec_to_yaml(spec, tmp_path)
    assert "geheim" not in again
    (tmp_path / "again.yaml").write_text(again)
    assert load_spec(tmp_path / "again.yaml").spec == spec


def test_a_template_elsewhere_says_where_its_certificate_lies(tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "base.yaml").write_text('monitor: {apm: {url: "https://apm", ca: ca.pem}}\n')
    (tmp_path / "spec.yaml").write_text(f"extends: team/base.yaml\n{SPEC.partition('monitor')[0]}")
    apm = load_spec(tmp_path / "spec.yaml").spec.monitor.apm
    assert apm is not None
    assert apm.ca == str(tmp_path / "team" / "ca.pem")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8200", "http://localhost:8200", "https://apm.example.com"])
def test_nothing_is_doubtful_on_this_machine_or_over_https(tmp_path: Path, url: str) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC % f'{{url: "{url}", token: "${{env:HOME}}"}}')
    assert load_spec(tmp_path / "spec.yaml").problems == ()
