"""The model card of a bundle: the facts that only a run knows, and what the page's content is of a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from declarative_ml.core.errors import DataError
from declarative_ml.core.versions import library_version
from declarative_ml.formats.conversion import RESULT, Conversion
from declarative_ml.learning.calibration import Calibration
from declarative_ml.learning.metric_names import default_metric
from declarative_ml.learning.statistics import ColumnProfile
from declarative_ml.report.card import Card
from declarative_ml.report.card_facts import FACTS, Candidate, CardFacts, Check
from declarative_ml.report.columns import place
from declarative_ml.report.content import MemberResult, ReportContent
from declarative_ml.steps.context import StepContext, skip_reason
from declarative_ml.steps.report import conversion_result, measured, scores
from declarative_ml.steps.report_notes import notes
from declarative_ml.steps.verdict import faults
from declarative_ml.store.bundle import Bundle

_LIBRARIES = (
    "declarative-ml",
    "numpy",
    "onnx",
    "onnxruntime",
    "lightgbm",
    "scikit-learn",
    "xgboost-cpu",
    "torch",
)
_METRICS, _EXPLANATION = "metrics.json", "explanation.json"


def card_facts(context: StepContext) -> CardFacts:
    """What the steps before know, for the card."""
    assembly = context.read("assemble", "assembly.json")
    profile = [ColumnProfile.model_validate(item) for item in context.read("profile", "profile.json")]
    versions = {name: library_version(name) for name in _LIBRARIES}
    return CardFacts(
        owner=context.params["owner"],
        source=tuple(context.params["source"]),
        split=context.params["split"],
        period=_periods(profile),
        dropped=context.read("profile", "features.json")["dropped"],
        notes=tuple(notes(context)),
        members=tuple(
            Candidate(name=item["name"], weight=item["weight"])
            for item in assembly["members"]
            if item["weight"]
        ),
        calibrated=assembly["calibration"] != Calibration().model_dump(mode="json"),
        parity=assembly["parity"]["max_difference"],
        gates=gate_checks(context.read("gate", "gates.json")) if "gate" in context.inputs else (),
        tests=behave_checks(context.read("behave", "behave.json")) if "behave" in context.inputs else (),
        faults=tuple(faults(context)),
        conversions=_conversions(context),
        libraries={name: version for name, version in versions.items() if version != "absent"},
    )


def _periods(profile: list[ColumnProfile]) -> dict[str, tuple[str, str]]:
    return {
        column.name: (place(column, column.min), place(column, column.max))
        for column in profile
        if column.dtype in ("date", "timestamp") and column.min is not None and column.max is not None
    }


def gate_checks(found: Mapping[str, Any]) -> tuple[Check, ...]:
    """The gates of gates.json: what each asks, and what came out."""
    return tuple(
        Check(name=item["name"], words=_joined(item["asks"], item["reason"]), passed=item["passed"])
        for item in found["gates"]
    )


def behave_checks(found: Sequence[Mapping[str, Any]]) -> tuple[Check, ...]:
    """The behavioural tests of behave.json: what each asks, and how many rows behaved."""
    return tuple(
        Check(
            name=item["name"],
            words=_joined(item["words"], f"{item['rows'] - item['failures']:,} of {item['rows']:,} rows do"),
            passed=item["passed"],
        )
        for item in found
    )


def _joined(*parts: str) -> str:
    return " ".join(f"{part[:1].upper()}{part[1:].rstrip('.')}." for part in parts if part)


def _conversions(context: StepContext) -> tuple[Conversion, ...]:
    return tuple(
        Conversion.model_validate(context.read(role, RESULT))
        for role, folder in context.inputs.items()
        if role.startswith("convert.") and skip_reason(folder) is None
    )


def read_card(bundle: Bundle) -> Card:
    """The card of a bundle. Bundles without card.json and metrics.json give a shorter one.

    Raises DataError when one of its files is damaged.
    """
    facts = _facts(bundle)
    return Card(bundle.manifest, facts, content_of(bundle, facts), bundle.reference()["columns"])


def _facts(bundle: Bundle) -> CardFacts:
    if FACTS not in bundle.manifest.files:
        return CardFacts()
    try:
        return CardFacts.model_validate_json(bundle.read(FACTS))
    except ValidationError as error:
        raise DataError(
            f"{bundle.path}: {FACTS} is damaged: {error.errors()[0]['msg']}",
            hint="copy the bundle again, or run again",
        ) from error


def content_of(bundle: Bundle, facts: CardFacts) -> ReportContent:
    """As much of a report's content as the bundle holds."""
    manifest = bundle.manifest
    fields: dict[str, Any] = {"primary": default_metric(manifest.task), "metrics": {}}
    fields["metrics"] = {part: scores(found) for part, found in manifest.metrics.items()}
    if _METRICS in manifest.files:
        found = json.loads(bundle.read(_METRICS))
        fields = {**measured(found), "rows": found["rows"]}
    if _EXPLANATION in manifest.files:
        ranked = json.loads(bundle.read(_EXPLANATION))["importance"]
        fields["importance"] = [(item["feature"], item["mean_abs_shap"]) for item in ranked]
    return ReportContent(
        name=manifest.name,
        task=manifest.task,
        description=manifest.description,
        owner=facts.owner,
        features={column.name: column.feature for column in manifest.inputs},
        dropped=facts.dropped,
        notes=facts.notes,
        members=[MemberResult(member.name, member.weight) for member in facts.members],
        conversions=[conversion_result(item) for item in facts.conversions],
        **fields,
    )
