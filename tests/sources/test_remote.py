"""Files on a real web server and in a real object store on this machine."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError
from web_server import Web

from declarative_ml.core.errors import DataError
from declarative_ml.sources.remote import RemoteSource

_CSV = b"a,b\n1,x\n2,y\n"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Web]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Web() as served:
        yield served


def source(path: str, **options: Any) -> RemoteSource:
    return RemoteSource(path=path, **options)


def read(remote: RemoteSource) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = pa.Table.from_batches(list(remote.batches())).to_pydict()
    return found


def test_a_page_is_fetched_once_and_asked_about_afterwards(web: Web) -> None:
    web.pages["/a.csv"] = (200, {"ETag": '"1"'}, _CSV)
    remote = source(web.address("/a.csv"))
    assert read(remote) == {"a": ["1", "2"], "b": ["x", "y"]}
    assert read(remote) == {"a": ["1", "2"], "b": ["x", "y"]}
    assert [headers.get("if-none-match") for _, headers in web.asked] == [None, '"1"']
    web.pages["/a.csv"] = (200, {"ETag": '"2"'}, b"a\n7\n")
    assert read(remote) == {"a": ["7"]}
    assert remote.columns() == ["a"]


def test_a_page_without_marks_is_fetched_each_time(web: Web) -> None:
    web.pages["/a.csv.gz"] = (200, {}, gzip.compress(_CSV))
    for _ in range(2):
        assert read(source(web.address("/a.csv.gz"), select=("b",))) == {"b": ["x", "y"]}
    assert len(web.asked) == 2


def test_a_copy_that_was_lost_or_cut_short_is_fetched_again(web: Web, tmp_path: Path) -> None:
    web.pages["/a.csv"] = (200, {"ETag": '"1"'}, _CSV)
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"a\n")):
        read(source(web.address("/a.csv")))
        damage(next((tmp_path / "cache").rglob("a.csv")))
        assert read(source(web.address("/a.csv"))) == {"a": ["1", "2"], "b": ["x", "y"]}


def test_only_the_copy_before_is_kept(web: Web, tmp_path: Path) -> None:
    for number in range(4):
        web.pages["/a.csv"] = (200, {"ETag": f'"{number}"'}, f"a\n{number}\n".encode())
        read(source(web.address("/a.csv")))
    kept = sorted(path.read_text() for path in (tmp_path / "cache").rglob("a.csv"))
    assert kept == ["a\n2\n", "a\n3\n"]


def test_the_digest_is_held_against_the_content(web: Web) -> None:
    web.pages["/a.csv"] = (200, {}, _CSV)
    sha256 = hashlib.sha256(_CSV).hexdigest()
    remote = source(web.address("/a.csv"), sha256=sha256)
    local, facts = remote.bound({})
    assert facts == {"sha256": {"a.csv": sha256}}
    assert local.columns() == ["a", "b"]
    web.pages["/a.csv"] = (200, {}, _CSV + b"3,z\n")
    with pytest.raises(DataError, match="other content than was expected"):
        read(remote)
    with pytest.raises(DataError, match="other content than was expected"):
        source(web.address("/a.csv")).bound(facts)


def test_the_token_goes_to_the_own_host_only(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DML_TEST_TOKEN", "canary")
    other = web.address("/b.csv", host="localhost")
    web.pages["/a.csv"] = (302, {"Location": other}, b"")
    web.pages["/b.csv"] = (200, {}, _CSV)
    remote = source(web.address("/a.csv"), token="${env:DML_TEST_TOKEN}", hosts=("localhost",))
    assert read(remote)["a"] == ["1", "2"]
    assert [headers.get("authorization") for _, headers in web.asked] == ["Bearer canary", None]


@pytest.mark.parametrize(
    ("page", "options", "message"),
    [
        ((404, {}, b""), {}, "cannot be fetched: 404 Not Found"),
        ((503, {}, b""), {}, "cannot be fetched: 503"),
        ((200, {"Content-Length": "99"}, _CSV), {}, "broke off after 12 of 99 bytes"),
        ((200, {}, b"x" * 3_000), {"max_size": "2kB"}, "is larger than 2 kB"),
        ((200, {"Content-Length": "x"}, b""), {}, "cannot be fetched"),
        ((302, {"Location": "http://localhost:9/b.csv"}, b""), {}, "redirects to another host, localhost:9"),
        ((302, {"Location": "http://127.0.0.1:9/b.csv"}, b""), {}, "redirects to another host, 127.0.0.1:9"),
        ((302, {"Location": "file:///etc/passwd"}, b""), {}, "redirects to another host|cannot be fetched"),
        ((302, {"Location": "/a.csv"}, b""), {}, "cannot be fetched"),
    ],
)
def test_what_a_server_may_not_do(
    web: Web, page: tuple[int, dict[str, str], bytes], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    web.pages["/a.csv"] = page
    with pytest.raises(DataError, match=message):
        read(source(web.address("/a.csv"), **options))
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:1/a\.csv cannot be fetched: .*refused"):
        source("http://127.0.0.1:1/a.csv").columns()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "ftp://host/a.csv"}, "should match pattern"),
        ({"path": "http://me:pass@host/a.csv"}, "an address with a password in it would be seen"),
        ({"path": "https://host/a.csv", "endpoint": "http://minio"}, "'endpoint' has no effect on https://"),
        ({"path": "s3://lake/a.csv", "token": "${env:T}"}, "'token' has no effect on s3://"),
        ({"path": "s3://lake/", "sha256": "0" * 64}, "sha256 is of one file"),
        ({"path": "s3://lake/a.csv", "max_size": "much"}, "should match pattern"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RemoteSource(**options)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of moto's server, which speaks S3 over HTTP."""
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    served = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    served.start()
    try:
        host, port = served.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        served.stop()


@pytest.fixture
def put(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, bytes], None]:
    from pyarrow import fs

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    host = s3.partition("://")[2]
    store = fs.S3FileSystem(
        endpoint_override=host, scheme="http", region="us-east-1", allow_bucket_creation=True
    )
    store.create_dir("lake")

    def write(key: str, content: bytes) -> None:
        with store.open_output_stream(f"lake/{key}") as stream:
            stream.write(content)

    return write


@pytest.mark.slow
def test_objects_of_a_store(put: Callable[[str, bytes], None], s3: str, tmp_path: Path) -> None:
    at = {"endpoint": s3, "region": "us-east-1"}
    put("one.csv", _CSV)
    assert read(source("s3://lake/one.csv", **at)) == {"a": ["1", "2"], "b": ["x", "y"]}
    copy = next((tmp_path / "cache").rglob("one.csv"))
    before = copy.stat().st_mtime_ns
    assert source("s3://lake/one.csv", **at).columns() == ["a", "b"]
    assert copy.stat().st_mtime_ns == before, "the same version is not fetched again"
    put("one.csv", b"a\n9\n")
    assert read(source("s3://lake/one.csv", **at)) == {"a": ["9"]}
    for year in (2023, 2024):
        put(f"parts/year={year}/rows.csv", f"n\n{year % 100}\n".encode())
    put("parts/_SUCCESS", b"")
    put("parts/notes.md", b"no table")
    for path in ("s3://lake/parts/", "s3://lake/parts/*/rows.csv"):
        assert read(source(path, **at)) == {"n": ["23", "24"], "year": ["2023", "2024"]}
    facts = source("s3://lake/parts/", **at).bound({})[1]
    assert list(facts["sha256"]) == ["year=2023/rows.csv", "year=2024/rows.csv"]
    for path, message in (
        ("s3://lake/none.csv", "there is no object"),
        ("s3://lake/parts", "there is no object"),
        ("s3://lake/none*.csv", "no object matches"),
        ("s3://nobucket/a.csv", "there is no object|cannot be fetched"),
    ):
        with pytest.raises(DataError, match=message):
            source(path, **at).columns()
    with pytest.raises(DataError, match="is larger than 0 kB"):
        source("s3://lake/parts/", max_size="0kB", **at).columns()
