"""The parameters of Ludwig's search as the space of `tune`, each under the option of our model."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from declarative_ml.api.import_config import as_text, section
from declarative_ml.api.import_conversion import Conversion
from declarative_ml.api.import_ludwig_features import FEATURE_TYPES
from declarative_ml.api.import_ludwig_model import (
    STACK,
    Section,
    combiner_of,
    decoder_of,
    searched_encoder,
    searched_layer,
)
from declarative_ml.api.import_ludwig_space import KEYS, Option, Space, fit, read_space
from declarative_ml.api.import_ludwig_stacks import layer_choices, without_effect
from declarative_ml.api.import_ludwig_trainer import searched_in_trainer
from declarative_ml.api.import_report import short
from declarative_ml.api.import_yaml import flow
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

_AT: Keys = ("hyperopt", "parameters")
_SECTIONS = ("trainer", "training", "combiner", "defaults", "preprocessing", "model_type")
_WHOLE = "whole sections are not chosen between; model: auto fits several kinds of models"
_NOT_FEATURES = "options of features are not searched, only those of the model"
_NOT_TARGET = "the target and its loss are the same in all trials"
_GRID = "a guided search of as many trials as the grid has points"
_STACKED = "depth and widths are one option here: each combination is a choice"


@dataclass(frozen=True)
class _Layers:
    """A key that says how deep or how wide the layers of a section are."""

    place: str
    key: str


_Found = Option | _Layers | str
"""The option that a parameter is, or the reason why it is none."""


class Parameters:
    """The space so far."""

    def __init__(self, job: Conversion, config: dict[str, Node], trainer: str, output: Section) -> None:
        self.job, self.config, self.output = job, config, output
        self.kind: str = job.spec["model"]["type"]
        self.trainer = section(config, trainer)
        self.sections = {"combiner": combiner_of(config), "decoder": decoder_of(config, output)}
        self.space: dict[str, Any] = {}
        """`tune.space`."""
        self.points = 1
        """Of the grid, where a part of the space is one."""
        self._stacked: dict[_Layers, tuple[Keys, Space]] = {}

    def convert(self, parameters: dict[str, Node], *, closed: bool) -> None:
        """A verdict on every parameter. `closed`: every range includes its end."""
        for name, node in parameters.items():
            keys, found = (*_AT, name), self._option(name)
            if isinstance(found, str):
                self.job.left_out(keys, found)
            elif not node.is_mapping:
                self.job.left_out(keys, "a parameter is a mapping with its space")
            else:
                self._unknown_keys(keys, node.value)
                self._take(keys, found, read_space(node.value, closed=closed))
        self._layers()

    # Which option it is.

    def _option(self, name: str) -> _Found:
        head, _, rest = name.partition(".")
        if not head or (head in _SECTIONS and not rest):
            return _WHOLE
        if head in ("trainer", "training"):
            return searched_in_trainer(self.kind, rest, self.trainer)
        if head == "combiner":
            return self._layer_option(head, rest)
        if head == "defaults":
            return self._of_type(rest)
        if head in ("preprocessing", "input_features", "output_features"):
            return _NOT_FEATURES
        return self._of_feature(name)

    def _layer_option(self, place: str, key: str) -> _Found:
        combiner = as_text(self.sections["combiner"][1].get("type")) or "concat"
        if self.kind == "mlp" and key in STACK and (place == "decoder" or combiner == "concat"):
            return _Layers(place, key)
        return searched_layer(self.kind, place, key, combiner)

    def _of_type(self, rest: str) -> _Found:
        """`TYPE.SECTION.KEY`: an option of all features of a type."""
        feature, _, rest = rest.partition(".")
        part, _, key = rest.partition(".")
        if part == "decoder" and feature == as_text(self.output[1].get("type")):
            return self._layer_option("decoder", key)
        if part == "encoder" and self._has(FEATURE_TYPES.get(feature)):
            return searched_encoder(self.kind, FEATURE_TYPES[feature], key)
        return _NOT_FEATURES

    def _has(self, kind: str | None) -> bool:
        return any(options["type"] == kind for options in self.job.spec["features"].values())

    def _of_feature(self, name: str) -> _Found:
        """`FEATURE.KEY`, with the key's section between them or, as it used to be, without."""
        inputs, outputs = self._features("input_features"), self._features("output_features")
        fitting = [each for each in (*inputs, *outputs) if name.startswith(f"{each}.")]
        feature = max(fitting, key=len, default=None)
        if feature is None:
            near = difflib.get_close_matches(name.partition(".")[0], (*inputs, *outputs, *_SECTIONS), n=1)
            meant = f": did you mean '{short(near[0])}'?" if near else ""
            return f"it begins with no section and no feature of the config{meant}"
        part, dot, key = name[len(feature) + 1 :].partition(".")
        part, key = (part, key) if dot else ("", part)
        if feature == as_text(self.output[1]["name"]):
            is_layer = part not in ("preprocessing", "loss")
            return self._layer_option("decoder", key) if is_layer else _NOT_TARGET
        if feature in outputs:
            return f"a spec has one target, here {self.job.spec['target']['column']}"
        kind = FEATURE_TYPES.get(inputs[feature], "")
        if part == "preprocessing" or not self._has(kind):
            return _NOT_FEATURES
        return searched_encoder(self.kind, kind, key)

    def _features(self, name: str) -> dict[str, str]:
        """Features by name, with their type."""
        nodes = [node.value for node in self.config[name].value]
        return {str(as_text(node["name"])): str(as_text(node["type"])).lower() for node in nodes}

    # What it may be.

    def _unknown_keys(self, keys: Keys, parameter: dict[str, Node]) -> None:
        for key in parameter:
            if key not in KEYS:
                near = difflib.get_close_matches(key, KEYS, n=1)
                meant = f": did you mean '{near[0]}'?" if near else ""
                self.job.left_out((*keys, key), f"no key of a space{meant}")

    def _take(self, keys: Keys, option: Option | _Layers, space: Space | str) -> None:
        if isinstance(space, str):
            self.job.left_out(keys, space)
        elif isinstance(option, Option):
            self._fit(keys, option, space)
        elif option in self._stacked:
            self.job.left_out(keys, "it is searched already")
        else:
            self._stacked[option] = (keys, space)

    def _fit(self, keys: Keys, option: Option, space: Space) -> None:
        name = f"{self.kind}.{option.name}"
        found = fit(space, option, self.kind)
        if name in self.space:
            self.job.left_out(keys, f"tune.space.{name} is searched already")
        elif isinstance(found, str):
            self.job.left_out(keys, found)
        elif found.span is None:
            self.job.option(keys, option.name, found.value, why="; ".join(found.why))
        else:
            self.space[name] = found.span
            self.points *= len(found.span["choices"]) if space.grid else 1
            ours = f"tune.space.{name}: {flow(found.span)}"
            why = (*found.why, _GRID) if space.grid else found.why
            self.job.changed(keys, ours, "; ".join(why)) if why else self.job.carried(keys, ours)

    def _layers(self) -> None:
        """The spaces of depths and widths, together."""
        by_place: dict[str, dict[str, Space]] = {place: {} for place in self.sections}
        for layers, (_, space) in self._stacked.items():
            by_place[layers.place][layers.key] = space
        live = []
        for layers, (keys, space) in self._stacked.items():
            if layers.key in without_effect(self.sections[layers.place], by_place[layers.place]):
                self.job.left_out(keys, "without effect beside fc_layers")
            else:
                live.append((keys, space))
        if live:
            parts = [(self.sections[place], spaces) for place, spaces in by_place.items()]
            self._take_layers([keys for keys, _ in live], *layer_choices(parts), any(s.grid for _, s in live))

    def _take_layers(self, live: list[Keys], stacks: list[list[int]], why: list[str], grid: bool) -> None:
        if len(stacks) > 1:
            self.space[f"{self.kind}.layers"] = {"choices": stacks}
            self.points *= len(stacks) if grid else 1
        for keys in live:
            if not stacks:
                self.job.left_out(keys, "; ".join(why))
            elif len(stacks) == 1:
                self.job.option(keys, "layers", stacks[0], why="; ".join([*why, "one value is no choice"]))
            else:
                whys = "; ".join([_STACKED, *why, *([_GRID] if grid else [])])
                self.job.changed(keys, f"tune.space.{self.kind}.layers: {len(stacks)} stacks", whys)
