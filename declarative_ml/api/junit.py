"""Outcomes of behavioural tests as JUnit XML, the form that CI systems read."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from declarative_ml.api.test import Behaved
from declarative_ml.behaviour.base import Outcome
from declarative_ml.core.atomic import write_bytes

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(tested: Behaved, path: Path) -> None:
    """Write `path` whole: one testsuite, a testcase each, and the worst rows of those that failed."""
    root = ET.Element("testsuites")
    failures = sum(not outcome.passed for outcome in tested.outcomes)
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": f"dml.{tested.model}",
            "tests": str(len(tested.outcomes)),
            "failures": str(failures),
            "errors": "0",
            "skipped": "0",
            "time": f"{sum(tested.seconds):.3f}",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
        },
    )
    for outcome, seconds in zip(tested.outcomes, tested.seconds, strict=True):
        _add(suite, tested.model, outcome, seconds)
    ET.indent(root)
    write_bytes(path, ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _add(suite: ET.Element, model: str, outcome: Outcome, seconds: float) -> None:
    names = {
        "classname": f"{model}.{outcome.type}",
        "name": _legal(outcome.name),
        "time": f"{seconds:.3f}",
    }
    case = ET.SubElement(suite, "testcase", names)
    if not outcome.passed:
        failure = ET.SubElement(case, "failure", {"type": outcome.type, "message": _legal(outcome.fault)})
        failed = [item for item in outcome.cases if item.failed]
        failure.text = _legal("\n".join(item.model_dump_json(exclude={"failed"}) for item in failed))


def _legal(text: str) -> str:
    """Without characters that XML cannot hold."""
    return _NO_XML.sub("\ufffd", text)
