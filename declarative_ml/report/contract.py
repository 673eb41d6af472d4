"""What the page says of the data contract: each check, and what breaks it."""

from __future__ import annotations

from typing import Any

from declarative_ml.report.content import ReportContent


def contract_table(content: ReportContent) -> dict[str, Any] | None:
    """A sentence and one row a check, broken ones first. A broken check here is a warning: a run whose data
    breaks one of severity `error` ends before it has a report."""
    if not content.checks:
        return None
    broken = [check for check in content.checks if not check.passed]
    ordered = [*broken, *(check for check in content.checks if check.passed)]
    held = f"The rows hold all {len(ordered)} checks." if len(ordered) > 1 else "The rows hold the check."
    return {
        "sentence": f"{len(broken)} of {len(ordered)} checks are broken." if broken else held,
        "rows": [
            {
                "check": check.check,
                "asked": check.asked,
                "passed": check.passed,
                "found": check.found,
                "examples": ", ".join(check.examples),
            }
            for check in ordered
        ],
    }
