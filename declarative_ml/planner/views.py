"""The plan as text for people and for drawing tools."""

from __future__ import annotations

from declarative_ml.graph.plan import Plan


def as_mermaid(plan: Plan) -> str:
    """A Mermaid flowchart of the plan."""
    names = {step.id: f"s{number}" for number, step in enumerate(plan.steps)}
    lines = ["flowchart LR"]
    lines += [f'  {names[step.id]}["{_escape(step.id)}"]' for step in plan.steps]
    for step in plan.steps:
        lines += [f"  {names[needed]} --> {names[step.id]}" for needed in sorted(step.needs)]
    return "\n".join(lines)


def in_words(plan: Plan) -> list[str]:
    """One sentence a stage, in the order of the plan; fits of one model are told together."""
    sentences: list[str] = []
    told: set[str] = set()
    for step in plan.ordered():
        if step.kind == "trial":
            continue  # the choice tells of them
        stage = ".".join(step.id.split(".")[:2]) if step.kind == "train" else step.id
        if stage in told:
            continue
        told.add(stage)
        together = [other for other in plan.steps if other.id.startswith(f"{stage}.")]
        title = step.title
        if step.kind == "train" and len(together) > 1:
            folds = sum(".fold" in other.id for other in together)
            model = step.params["model"]["type"]
            title = f"Fit {model} with validation rows held out ({folds} fold(s) at most), then on all rows"
        sentences.append(title)
    return sentences


def _escape(text: str) -> str:
    return text.replace('"', "'")
