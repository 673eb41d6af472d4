"""The plan of a spec, with what would happen to each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from declarative_ml.api.planning import StepState
from declarative_ml.graph.plan import Plan as Graph
from declarative_ml.report.content import StepResult

TO_RUN = "to run"


class Plan:
    """The execution graph: its steps, which of them are cached, and why."""

    def __init__(self, graph: Graph, steps: Sequence[StepResult], why: Mapping[str, str]) -> None:
        self.graph = graph
        """The plan itself: what `dml plan -o` writes and `dml step` reads."""
        self.steps = tuple(steps)
        """Every step with `id`, `title`, `status`, `seconds` and `needs`."""
        self.why = dict(why)
        """Step -> why it is cached or would run; empty for the plan of a run."""

    @classmethod
    def ahead(cls, graph: Graph, states: Sequence[StepState]) -> Plan:
        """What would happen now."""
        names = {"run": TO_RUN, "unknown": TO_RUN}
        steps = [
            _step(graph, state.step.id, names.get(state.state, state.state), state.seconds)
            for state in states
        ]
        return cls(graph, steps, {state.step.id: state.why for state in states})

    @classmethod
    def done(cls, graph: Graph, ended: Sequence[Mapping[str, Any]]) -> Plan:
        """What a run did; `ended` are the `steps` of its result."""
        return cls(graph, [_step(graph, item["id"], item["status"], item["seconds"]) for item in ended], {})

    @property
    def to_run(self) -> list[str]:
        """The ids of the steps that would run now."""
        return [step.id for step in self.steps if step.status == TO_RUN]

    def words(self) -> list[str]:
        """One sentence a stage."""
        from declarative_ml.planner.views import in_words

        return in_words(self.graph)

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        from declarative_ml.planner.views import as_mermaid

        return as_mermaid(self.graph)

    def as_dict(self) -> dict[str, Any]:
        """What `dml plan --format json` prints."""
        return self.graph.model_dump(mode="json")

    def save(self, path: str | Path) -> Path:
        """Write the plan as JSON, for `dml step`. Returns the path."""
        from declarative_ml.core.atomic import write_json

        write_json(Path(path), self.as_dict())
        return Path(path)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"<Plan {self.graph.name}: {self._note()}>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.views import plan_view

        return plan_view(self.graph.name, self.steps, self._note(), self.why)

    def _note(self) -> str:
        if self.why:
            return f"{len(self.to_run)} of {len(self)} steps to run"
        ran = sum(step.status == "run" for step in self.steps)
        return f"{ran} of {len(self)} steps run, the others cached or skipped"


def _step(graph: Graph, name: str, status: str, seconds: float) -> StepResult:
    step = graph[name]
    return StepResult(name, step.title, status, seconds, sorted(step.needs))
