"""The plan as a picture: steps in layers from top to bottom, arrows along what feeds what.

Layers by longest path, dummy nodes on long edges, order by barycentres (Sugiyama, Tagawa & Toda,
"Methods for visual understanding of hierarchical system structures", IEEE SMC 1981).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from declarative_ml.report.content import StepResult
from declarative_ml.report.svg import svg_element
from declarative_ml.report.wording import seconds, shortened

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 176, 46, 22, 34
DUMMY_WIDTH = 14
STATUSES = ("run", "cached", "skipped", "failed")
FOLD = re.compile(r"(fold|trial)\d+")
SWEEPS = 6

Edges = Mapping[str, Sequence[str]]
"""Node -> the nodes that it needs."""

Point = tuple[float, float]


@dataclass(frozen=True)
class _Box:
    id: str
    title: str
    status: str
    detail: str
    needs: tuple[str, ...]


def plan_graph(steps: Sequence[StepResult]) -> str:
    """The steps as SVG; the folds of one model share a box, and so do its trials."""
    boxes = {box.id: box for box in _boxes(steps)}
    needs = _reduced({box.id: [need for need in box.needs if need in boxes] for box in boxes.values()})
    layers, edges = _layered(needs)
    _order(layers, edges)
    places, width = _place(layers, boxes)
    height = len(layers) * (BOX_HEIGHT + GAP_Y) - GAP_Y + 4
    pairs = [(need, node) for node in edges for need in edges[node]]
    parts = [_edge(places[need], places[node], need in boxes, node in boxes) for need, node in pairs]
    parts += [_draw(box, *places[box.id]) for box in boxes.values()]
    alt = f"Plan of {len(steps)} steps; the table below lists them"
    return svg_element(width, height, alt, "".join(parts), "plan", f"max-width:{width:.0f}px")


def _boxes(steps: Sequence[StepResult]) -> list[_Box]:
    groups: dict[str, list[StepResult]] = {}
    for step in steps:
        groups.setdefault(FOLD.sub(r"\1*", step.id), []).append(step)
    name_of = {}
    for name, members in groups.items():
        for step in members:
            name_of[step.id] = name if len(members) > 1 else step.id
    boxes: dict[str, _Box] = {}
    for step in steps:
        name = name_of[step.id]
        members = groups[FOLD.sub(r"\1*", step.id)] if name != step.id else [step]
        if name not in boxes:
            found = (name_of.get(need, need) for member in members for need in member.needs)
            needs = dict.fromkeys(need for need in found if need != name)  # trials look at each other
            boxes[name] = _Box(name, members[0].title, _status(members), _detail(members), tuple(needs))
    return list(boxes.values())


def _status(members: Sequence[StepResult]) -> str:
    found = {member.status for member in members}
    known = ("failed", "run", "skipped", "cached")
    return next((status for status in (*known, *sorted(found)) if status in found), "")


def _detail(members: Sequence[StepResult]) -> str:
    status = _status(members)
    total = sum(member.seconds for member in members)
    kind = FOLD.search(members[0].id)
    parts = [f"{len(members)} {kind[1]}s"] if kind and len(members) > 1 else []
    parts.append(status)
    if status in ("run", "failed"):
        parts.append(seconds(total))
    return " · ".join(part for part in parts if part)


def _reduced(needs: Edges) -> dict[str, list[str]]:
    """Without the edges that a longer path implies: they only cross the picture."""
    reach: dict[str, set[str]] = {}

    def ancestors(node: str) -> set[str]:
        if node not in reach:
            reach[node] = set()
            reach[node] = {found for need in needs[node] for found in (need, *ancestors(need))}
        return reach[node]

    def implied(need: str, found: Sequence[str]) -> bool:
        return any(need in ancestors(other) for other in found if other != need)

    return {node: [need for need in found if not implied(need, found)] for node, found in needs.items()}


def _layered(needs: Edges) -> tuple[list[list[str]], dict[str, list[str]]]:
    """Nodes by layer, and the edges with a dummy node in every layer that they pass."""
    depth: dict[str, int] = {}

    def depth_of(node: str) -> int:
        if node not in depth:
            depth[node] = 0
            depth[node] = max((depth_of(need) + 1 for need in needs[node]), default=0)
        return depth[node]

    layers: list[list[str]] = [[] for _ in range(max(map(depth_of, needs), default=-1) + 1)]
    for node in needs:
        layers[depth[node]].append(node)
    edges: dict[str, list[str]] = {node: [] for node in needs}
    for node, found in needs.items():
        for need in found:
            below = need
            for level in range(depth[need] + 1, depth[node]):
                dummy = f"{need}\0{node}\0{level}"
                layers[level].append(dummy)
                edges[dummy] = [below]
                below = dummy
            edges[node].append(below)
    return layers, edges


def _order(layers: list[list[str]], edges: Edges) -> None:
    """Sort each layer in place by the mean position of its neighbours above and below, in turns."""
    feeds: dict[str, list[str]] = {node: [] for node in edges}
    for node, needs in edges.items():
        for need in needs:
            feeds[need].append(node)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        neighbours = edges if down else feeds
        for level in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            beside = layers[level - 1] if down else layers[level + 1]
            position = {node: index / max(len(beside) - 1, 1) for index, node in enumerate(beside)}
            layers[level].sort(key=lambda node: _mean([position[other] for other in neighbours[node]]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.5


def _place(layers: Sequence[Sequence[str]], boxes: Mapping[str, _Box]) -> tuple[dict[str, Point], float]:
    """The middle of the upper edge of every node, and the width of the picture."""

    def size(node: str) -> float:
        return BOX_WIDTH if node in boxes else DUMMY_WIDTH

    widths = [sum(map(size, layer)) + GAP_X * (len(layer) - 1) for layer in layers]
    width = max([*widths, 3 * BOX_WIDTH]) + 4
    places = {}
    for level, layer in enumerate(layers):
        x = (width - widths[level]) / 2
        for node in layer:
            places[node] = (x + size(node) / 2, level * (BOX_HEIGHT + GAP_Y) + 2.0)
            x += size(node) + GAP_X
    return places, width


def _edge(start: Point, end: Point, from_box: bool, to_box: bool) -> str:
    a, b = start[0], start[1] + BOX_HEIGHT
    c, d = end
    through = "" if from_box else f"M{a:.1f} {b - BOX_HEIGHT:.1f}V{b:.1f}"
    bend = (d - b) / 2
    curve = f"M{a:.1f} {b:.1f}C{a:.1f} {b + bend:.1f} {c:.1f} {d - bend:.1f} {c:.1f} {d:.1f}"
    head = f"M{c - 3.5:.1f} {d - 5.5:.1f}L{c:.1f} {d - 0.5:.1f}L{c + 3.5:.1f} {d - 5.5:.1f}" if to_box else ""
    return f'<path class="edge" d="{through}{curve}{head}"/>'


def _draw(box: _Box, x: float, y: float) -> str:
    left = x - BOX_WIDTH / 2
    status = box.status if box.status in STATUSES else "none"
    return (
        f'<g class="step {status}"><title>{escape(box.title)}</title>'
        f'<rect class="box" x="{left:.1f}" y="{y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>'
        f'<rect class="mark" x="{left:.1f}" y="{y + 8:.1f}" width="3.5" height="{BOX_HEIGHT - 16}" rx="2"/>'
        f'<text class="id" x="{left + 14:.1f}" y="{y + 19:.1f}">{escape(shortened(box.id, 23))}</text>'
        f'<text class="detail" x="{left + 14:.1f}" y="{y + 36:.1f}">{escape(box.detail)}</text></g>'
    )
