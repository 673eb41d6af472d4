"""What is in the tasks of Label Studio: their data, and what people answered.

The format is that of https://labelstud.io/guide/task_format: each annotation has a `result`, a list of
regions, and each region names the control it comes from (`from_name`) and the kind of its `value` (`type`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from declarative_ml.core.errors import DataError, one_line
from declarative_ml.sources.plain_text import text_of

Task = Mapping[str, Any]

_KEYS = {
    "choices": "choices",
    "number": "number",
    "rating": "rating",
    "textarea": "text",
    "datetime": "datetime",
}
"""Kinds of controls whose answer is one cell -> the key of the answer in `value`."""
_ROWS = 256
_OLDEST = datetime.min.replace(tzinfo=UTC)


def tasks_in(path: Path) -> Iterator[Task]:
    """The tasks of a JSON export, one after another: the file may be larger than memory.

    Raises DataError for a file that is not JSON, or holds something else than tasks.
    """
    import duckdb

    with closing(duckdb.connect(":memory:", config={"threads": 1})) as engine:
        try:
            found = engine.execute("SELECT json FROM read_json_objects(?)", [str(path)])
            while rows := found.fetchmany(_ROWS):
                for (text,) in rows:
                    yield _task(json.loads(text), path)
        except duckdb.Error as error:
            said = one_line(error)
            raise DataError(f"{path} cannot be read: {said}", hint="export it again, as JSON") from None


def _task(found: Any, path: Path) -> Task:
    if isinstance(found, dict) and isinstance(found.get("data"), dict):
        return found
    shown = json.dumps(found, ensure_ascii=False)[:80]
    raise DataError(
        f"{path} holds something that is no task of Label Studio: {shown}",
        hint='export as JSON, not JSON-MIN: [{"id": 1, "data": {…}, "annotations": […]}, …]',
    )


def row_of(
    task: Task, place: str, select: Sequence[str] = (), *, unlabelled: bool = False
) -> dict[str, str | None] | None:
    """A task as a row of text: its data, then its labels by the name of their control.

    None for a task without a label, unless those are wanted. Raises DataError, which names the task and
    `place`, for a label and a value of the same name, and for what is no single value.
    """
    try:
        labels = _labels(task)
        if not labels and not unlabelled:
            return None
        data = dict(task["data"])
        if twice := [name for name in labels if data.get(name) not in (None, "")]:
            raise DataError(
                f"{twice[0]!r} is a label and in the task's data as well",
                hint="give the control of the labelling interface another name",
            )
        row = data | labels
        wanted = select or row
        return {name: text_of(row.get(name), name) for name in wanted}
    except DataError as error:
        raise DataError(f"{place}: task {task.get('id')}: {error.message}", hint=error.hint) from None


def _labels(task: Task) -> dict[str, Any]:
    """The label of each control."""
    said: dict[str, list[tuple[Mapping[str, Any], Any]]] = {}
    other: set[str] = set()
    for annotation in task.get("annotations") or []:
        if annotation.get("was_cancelled"):
            continue
        answers, kinds = _answers(annotation)
        other |= kinds
        for control, answer in answers.items():
            said.setdefault(control, []).append((annotation, answer))
    if other and not said:
        raise DataError(
            f"its annotations are of kinds that are no cell of a table: {', '.join(sorted(other))}",
            hint=f"those that are: {', '.join(_KEYS)}",
        )
    return {control: _winner(found) for control, found in said.items()}


def _answers(annotation: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The answer to each control, and the kinds of controls that give none."""
    answers: dict[str, Any] = {}
    other: set[str] = set()
    for region in annotation.get("result") or []:
        control, kind = str(region.get("from_name")), str(region.get("type"))
        if kind not in _KEYS:
            other.add(kind)
            continue
        if control in answers:
            raise DataError(
                f"{control!r} is answered several times in one annotation",
                hint="a row has one label: leave perRegion and perItem out of the labelling interface",
            )
        answers[control] = _one(region.get("value", {}).get(_KEYS[kind]), control)
    return {control: answer for control, answer in answers.items() if answer is not None}, other


def _one(value: Any, control: str) -> Any:
    """The one value that lists of choices and of texts hold."""
    if not isinstance(value, list):
        return value
    if len(value) > 1:
        raise DataError(
            f"{control!r} has several answers: {', '.join(map(str, value[:5]))}",
            hint='a row has one label: set choice="single" in the labelling interface',
        )
    return value[0] if value else None


def _winner(found: Sequence[tuple[Mapping[str, Any], Any]]) -> Any:
    """Ground truth; else what most annotators say, each by the newest annotation; among equals the newest."""
    true = [item for item in found if item[0].get("ground_truth")]
    ordered = sorted(true or found, key=lambda item: _age(item[0]))
    latest: dict[str, Any] = {}
    for place, (annotation, answer) in enumerate(ordered):
        who = _annotator(annotation, place)
        latest.pop(who, None)  # so that the newest answers stand last
        latest[who] = answer
    answers = list(latest.values())
    counts = Counter(map(str, answers))
    most = max(counts.values())
    return next(answer for answer in reversed(answers) if counts[str(answer)] == most)


def _age(annotation: Mapping[str, Any]) -> tuple[datetime, str]:
    text = annotation.get("updated_at") or annotation.get("created_at")
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        moment = _OLDEST
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment, str(annotation.get("id", "")).zfill(20)


def _annotator(annotation: Mapping[str, Any], place: int) -> str:
    """Who it was; of an annotation that does not say it, somebody else than of all others."""
    who = annotation.get("completed_by")
    who = who.get("id", who.get("email")) if isinstance(who, dict) else who
    return f"annotation {place}" if who is None else f"person {who}"
