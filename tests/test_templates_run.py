"""Every template that comes with the package trains a model on a small table."""

from __future__ import annotations

import csv
import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.spec.templates import names

FLOWERS = {"source": "flowers.csv"}
MAILS: dict[str, Any] = {
    "source": "mails.csv",
    "target": "topic",
    "text": {"subject": "text", "body": "text"},
}
PARAMS: dict[str, dict[str, Any]] = {
    "auto-timed": {**FLOWERS, "target": "kind", "time": "10m", "quality": "fast"},
    "database": {"query": "SELECT * FROM flowers ORDER BY rowid", "target": "kind"},
    "ensemble-best": {**FLOWERS, "target": "wild"},
    "group-split": {**FLOWERS, "target": "kind", "group": "seen"},
    "quick-look": {**FLOWERS, "target": "length"},
    "rare-positives": {**FLOWERS, "target": "wild", "positive": "yes", "imbalance": "oversample"},
    "sql-join": {"customers": "customers.csv", "orders": "orders.csv", "target": "wild"},
    "tabular-binary": {**FLOWERS, "target": "wild", "positive": "yes"},
    "tabular-multiclass": {**FLOWERS, "target": "kind"},
    "tabular-regression": {**FLOWERS, "target": "length", "metric": "mae"},
    "text-classification": MAILS,
    "time-split": {**FLOWERS, "target": "kind", "time": "seen"},
}


@pytest.fixture
def tables(tmp_path: Path, write_flowers: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of flowers: as a file, in a database, and as customers with their orders."""
    flowers = write_flowers(tmp_path / "flowers.csv", rows=150)
    with flowers.open() as stream:
        header, *lines = csv.reader(stream)
    with sqlite3.connect(tmp_path / "flowers.db") as connection:
        connection.execute(f"CREATE TABLE flowers ({', '.join(header)})")
        connection.executemany(f"INSERT INTO flowers VALUES ({', '.join('?' * len(header))})", lines)
    connection.close()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'flowers.db'}")
    with (tmp_path / "customers.csv").open("w") as stream:
        csv.writer(stream).writerows([["customer_id", *header], *([n, *row] for n, row in enumerate(lines))])
    write_mails(tmp_path / "mails.csv")
    orders = [[n, n % 150, 10 + n % 7, f"2024-02-{1 + n % 28:02d}"] for n in range(300)]
    with (tmp_path / "orders.csv").open("w") as stream:
        csv.writer(stream).writerows([["order_id", "customer_id", "amount", "ordered_at"], *orders])
    return tmp_path


def write_mails(path: Path) -> None:
    """Mails of three topics, with stars from 1 to 3 that go with them and a length that does not."""
    words = {
        "bill": ["the invoice was paid twice", "please refund the amount", "my card was charged again"],
        "login": ["the password does not work", "cannot sign in any more", "the reset link never arrives"],
        "praise": ["thanks for the quick help", "such a great service", "very happy with your team"],
    }
    source = random.Random(1)
    with path.open("w") as stream:
        table = csv.writer(stream)
        table.writerow(["subject", "body", "length", "topic", "stars"])
        for number in range(150):
            topic = source.choice(list(words))
            subject, body = source.sample(words[topic], 2)
            stars = list(words).index(topic) + 1
            row = [f"{subject} {number}", f"Hello, {body}, and {subject}", source.randint(1, 5), topic, stars]
            table.writerow(row)


def test_every_template_is_run_here() -> None:
    assert set(PARAMS) == set(names())


@pytest.mark.parametrize("name", PARAMS)
def test_a_template_trains_a_model(name: str, tables: Path, run: Callable[..., Any]) -> None:
    spec = {"name": "mine", "extends": {"use": name, "with": PARAMS[name]}}
    spec |= {"explain": {"rows": 5, "background": 5}, "track": False}
    (tables / "spec.yaml").write_text(json.dumps(spec))
    report = run(tables / "spec.yaml")
    assert report.error is None, report.error
    assert report.result["status"] == "ok"
    assert report.result["metrics"]["test"]


@pytest.mark.parametrize(
    ("params", "features"),
    [
        ({}, {"subject", "body", "length"}),
        ({"others": "drop", "text": {"body": {"type": "text", "ngrams": 1}}}, {"body"}),
        ({"target": "stars", "type": "multiclass"}, {"subject", "body", "length"}),
    ],
)
def test_texts_are_classified(
    params: dict[str, Any], features: set[str], tables: Path, run: Callable[..., Any]
) -> None:
    """Several columns of text or one, with or without other columns, classes that are words or numbers."""
    hidden = ["stars"] if params.get("target") != "stars" else ["topic"]
    spec = {"name": "mine", "extends": {"use": "text-classification", "with": {**MAILS, **params}}}
    spec |= {"exclude": hidden, "explain": False, "track": False}
    (tables / "spec.yaml").write_text(json.dumps(spec))
    report = run(tables / "spec.yaml")
    assert report.error is None, report.error
    bundle = json.loads((Path(report.result["bundle"]) / "bundle.json").read_text())
    assert {column["name"] for column in bundle["inputs"]} == features
    assert bundle["task"]["type"] == "multiclass"
    assert report.result["metrics"]["test"]["accuracy"] > 0.9


def test_the_pages_list_every_template() -> None:
    page = (Path(__file__).parents[1] / "docs" / "templates.md").read_text()
    assert [name for name in names() if f"| `{name}` | " not in page] == []
