"""Labels of Label Studio: exports, and a server that answers page after page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest
from pydantic import ValidationError
from web_server import Web

from declarative_ml.core.errors import DataError
from declarative_ml.sources.label_studio import LabelStudioSource


def region(answer: Any, control: str = "label", kind: str = "choices") -> dict[str, Any]:
    value = {
        "choices": [answer],
        "number": answer,
        "rating": answer,
        "textarea": [answer],
        "datetime": answer,
    }
    held = {"text" if kind == "textarea" else kind: value.get(kind, [answer])}
    return {"id": "r1", "from_name": control, "to_name": "row", "type": kind, "value": held}


def annotation(answer: Any, day: int = 1, who: Any = 1, **more: Any) -> dict[str, Any]:
    moment = f"2024-01-{day:02}T10:00:00.000000Z"
    return {"id": day, "completed_by": who, "updated_at": moment, "result": [region(answer)], **more}


def task(number: int, *annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": number, "data": data or {"text": f"t{number}"}, "annotations": list(annotations)}


def export(path: Path, *tasks: Any) -> str:
    path.write_text(json.dumps(tasks))
    return str(path)


def rows(source: LabelStudioSource) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pa.Table.from_batches(list(source.batches())).to_pylist()
    assert list(found[0]) == source.columns()
    return found


def test_data_and_labels_become_rows(tmp_path: Path) -> None:
    several = {
        "id": 5,
        "result": [region("spam"), region(3.5, "score", "number"), region("x", "why", "textarea")],
    }
    path = export(
        tmp_path / "export.json",
        task(1, several, text="a", n=3, share=1.5, old=True, gone=None),
        task(2, annotation("ham"), text="b\nc", n=4),
        task(3, annotation("ham", was_cancelled=True)),
        task(4, {"id": 6, "result": []}),
        task(5),
    )
    first = {
        "text": "a",
        "n": "3",
        "share": "1.5",
        "old": "true",
        "gone": None,
        "label": "spam",
        "score": "3.5",
    }
    first["why"] = "x"
    assert rows(LabelStudioSource(path=path)) == [
        first,
        dict.fromkeys(first) | {"text": "b\nc", "n": "4", "label": "ham"},
    ]
    everything = LabelStudioSource(path=path, unlabelled=True, select=("text", "label"))
    assert [row["label"] for row in rows(everything)] == ["spam", "ham", None, None, None]
    local = LabelStudioSource(path="export.json").resolved(tmp_path)
    assert (local.remote, local.files()) == (False, [tmp_path / "export.json"])
    assert local.options_for_key() == {}
    assert everything.options_for_key() == {"unlabelled": True, "select": ("text", "label")}


@pytest.mark.parametrize(
    ("annotations", "winner"),
    [
        ([annotation("a", 1), annotation("b", 2, who=2), annotation("b", 3, who=3)], "b"),
        ([annotation("a", 3, who=1), annotation("b", 1, who=2), annotation("b", 2, who=3)], "b"),
        ([annotation("a", 2, who=1), annotation("b", 1, who=2)], "a"),  # as many: the newest
        ([annotation("a", 1), annotation("a", 2), annotation("b", 3, who=2)], "b"),  # a person counts once
        ([annotation("a", 3), annotation("b", 2), annotation("b", 1)], "a"),
        ([annotation("a", 1, ground_truth=True), *(annotation("b", n, who=n) for n in (2, 3))], "a"),
        ([annotation("a", 9, was_cancelled=True), annotation("b", 1, who=2)], "b"),
        (
            [
                annotation("a", 1, {"id": 7, "email": "x@y"}),
                annotation("b", 2, {"id": 7}),
                annotation("a", 1, 8),
            ],
            "b",
        ),
        ([annotation("a", 1, None), annotation("a", 2, None), annotation("b", 3, 1)], "a"),
        ([annotation("a", 1) | {"updated_at": "2024-01-01T10:00:00.5Z"}, annotation("b", 1, who=2)], "a"),
        ([annotation("a", 1) | {"updated_at": None}, annotation("b", 1, who=2)], "b"),
    ],
)
def test_which_annotation_counts(annotations: list[dict[str, Any]], winner: str, tmp_path: Path) -> None:
    path = export(tmp_path / "e.json", task(1, *annotations))
    assert rows(LabelStudioSource(path=path))[0]["label"] == winner


@pytest.mark.parametrize(
    ("tasks", "message", "hint"),
    [
        (
            [{"id": 1, "text": "a", "label": "b"}],
            "holds something that is no task of Label Studio",
            "JSON-MIN",
        ),
        ([7], "holds something that is no task", "JSON-MIN"),
        ([task(1)], "e.json has no task that somebody has labelled", "unlabelled: true"),
        ([task(9, annotation("a"), label="b")], "e.json: task 9: 'label' is a label and in", "another name"),
        ([task(9, annotation("a"), boxes=[1])], "e.json: task 9: column 'boxes' holds list", ""),
        ([task(9, {"result": [region("a"), region("b")]})], "'label' is answered several times", "perRegion"),
        (
            [task(9, {"result": [region("a") | {"value": {"choices": ["a", "b"]}}]})],
            "task 9: 'label' has several answers: a, b",
            'choice="single"',
        ),
        (
            [task(9, {"result": [region("a", kind="rectanglelabels")]})],
            "no cell of a table: rectang",
            "choices, n",
        ),
    ],
)
def test_what_is_no_row(tasks: list[Any], message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        list(LabelStudioSource(path=export(tmp_path / "e.json", *tasks)).batches())
    assert hint in str(caught.value.hint)


def test_files_that_are_broken_or_several(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('[{"id": 1, "data": {"a": 1}}, {"id": ')
    with pytest.raises(DataError, match=r"cut\.json cannot be read: .*[Mm]alformed JSON"):
        list(LabelStudioSource(path=str(tmp_path / "cut.json")).batches())
    with pytest.raises(DataError, match="there is no file"):
        LabelStudioSource(path=str(tmp_path / "none.json")).columns()
    export(tmp_path / "a1.json", task(1, annotation("x")))
    export(tmp_path / "a2.json", task(2, annotation("y")))
    both = LabelStudioSource(path=str(tmp_path / "a*.json"))
    assert [row["label"] for row in rows(both)] == ["x", "y"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either 'path'"),
        ({"path": "a", "url": "http://a", "project": 1, "token": "${env:T}"}, "give either 'path'"),
        ({"path": "a", "project": 1}, "'project' has no effect on a file"),
        ({"url": "http://a", "project": 1}, "a server needs 'token'"),
        ({"url": "http://me:pw@a", "project": 1, "token": "${env:T}"}, "a password in it would be seen"),
        ({"url": "http://a", "project": 1, "token": "plain"}, "a secret is given in clear"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LabelStudioSource.model_validate(options)


class Studio(Web):
    """The two addresses of a server of Label Studio that are asked, with as many tasks as wanted."""

    def __init__(self, tasks: list[dict[str, Any]], total: int | None = None) -> None:
        super().__init__()
        studio = self

        class Pages(dict[str, Any]):
            def get(self, path: str, default: Any = None) -> Any:
                return studio.answer(path)

        self.pages = Pages()
        self.tasks, self.total = tasks, len(tasks) if total is None else total
        self.valid = {"Token old", "Bearer bought"}

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if path == "/api/token/refresh/":
            self.valid.add("Bearer bought")
            return 200, {}, b'{"access": "bought"}'
        if self.asked[-1][1].get("authorization") not in self.valid:
            return 401, {}, b"{}"
        asked = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        assert asked["project"] == "3" and asked["fields"] == "all"
        size, page = int(asked["page_size"]), int(asked["page"])
        found = self.tasks[size * (page - 1) : size * page]
        body = {"tasks": found, "total": self.total, "total_annotations": 1, "total_predictions": 0}
        return 200, {}, json.dumps(body).encode()


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Callable[..., LabelStudioSource]:
    def source(studio: Web, token: str = "old") -> LabelStudioSource:
        monkeypatch.setenv("DML_TEST_STUDIO", token)
        fields = {"url": studio.address(), "project": 3, "token": "${env:DML_TEST_STUDIO}"}
        return LabelStudioSource.model_validate(fields)

    return source


def test_a_server_is_read_page_after_page(live: Callable[..., LabelStudioSource]) -> None:
    tasks = [task(n, annotation("even" if n % 2 == 0 else "odd")) for n in range(250)]
    with Studio(tasks) as studio:
        source = live(studio)
        assert (source.remote, source.files(), source.described()) == (True, [], "project 3 of Label Studio")
        found = list(source.batches())
        assert [path.partition("page=")[2].partition("&")[0] for path, _ in studio.asked] == ["1", "2", "3"]
        assert sum(batch.num_rows for batch in found) == 250
        assert pa.Table.from_batches(found).to_pylist()[249] == {"text": "t249", "label": "odd"}
        assert source.columns() == ["text", "label"]
        assert source.options_for_key() == {"url": studio.address(), "project": 3}


def test_a_personal_token_buys_others(live: Callable[..., LabelStudioSource]) -> None:
    with Studio([task(n, annotation("x")) for n in range(150)]) as studio:
        studio.valid = set()
        source = live(studio, "a.b.c")
        names = iter(source._tasks())
        next(names)
        studio.valid = set()  # what was bought has ended
        assert len(list(names)) == 149
    asked = [path.partition("?")[0] for path, _ in studio.asked]
    assert asked == [
        "/api/token/refresh/",
        "/api/tasks/",
        "/api/tasks/",
        "/api/token/refresh/",
        "/api/tasks/",
    ]


def test_servers_that_refuse(live: Callable[..., LabelStudioSource]) -> None:
    with Studio([task(1, annotation("x"))], total=5) as studio:
        with pytest.raises(DataError, match=r"gave 1 of the 5 tasks of project 3"):
            list(live(studio).batches())
        with pytest.raises(DataError, match="cannot be fetched: 401") as caught:
            list(live(studio, "canary").batches())
        assert "canary" not in str(caught.value)
    with Web() as web:
        web.pages["/api/tasks/?project=3&page=1&page_size=100&fields=all&resolve_uri=false"] = (
            200,
            {},
            b"[1]",
        )
        with pytest.raises(DataError, match="answers, but not as Label Studio does"):
            list(live(web).batches())
    with pytest.raises(DataError, match="cannot be fetched"):
        list(live(web).batches())
