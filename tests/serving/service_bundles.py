"""Small real bundles for the tests of the service."""

from __future__ import annotations

import json
import random
from pathlib import Path

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle

ROWS = 240
COLUMNS = {"age": "number", "fare": "number", "town": "category", "member": "binary", "seen": "date"}


def write_guests(path: Path) -> None:
    """Numbers, one with gaps, a category, yes/no, a date; targets of words, whole numbers and fractions."""
    source = random.Random(3)
    lines = ["age,fare,town,member,seen,stays,kind,spent"]
    for row in range(ROWS):
        age = "" if source.random() < 0.1 else f"{source.gauss(40, 12):.1f}"
        fare = f"{source.lognormvariate(3, 1):.2f}"
        town, member = source.choice(["Oslo", "Köln", "Rome", ""]), source.choice(["yes", "no", ""])
        score = float(age or 40) / 12 + float(fare) / 20 + 2 * (member == "yes") - (town == "Oslo")
        score += source.gauss(0, 0.7)
        seen = f"2024-{1 + row % 12:02d}-{1 + row % 28:02d}"
        stays, kind = "yes" if score > 5.5 else "no", 1 + (score > 4.5) + (score > 6.5)
        lines.append(f"{age},{fare},{town},{member},{seen},{stays},{kind},{score:.3f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def train_guests(folder: Path, target: str) -> Bundle:
    """A linear model for one of the targets stays, kind and spent; spent has intervals."""
    write_guests(folder / "guests.csv")
    spec = {
        "name": f"guests-{target}",
        "description": "Guests & what <b>becomes</b> of them",
        "data": {"source": "guests.csv", "split": {"method": "random", "validation": 0.2}},
        "target": {"column": target, "type": "multiclass"} if target == "kind" else target,
        "features": COLUMNS,
        "model": "linear",
        "evaluate": {"interval": 0.9} if target == "spent" else {},
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    report = run_spec(load_spec(folder / "spec.yaml", data=True), RunOptions(listener=lambda event: None))
    return Bundle.open(report.result["bundle"])
