"""What a request asks of a model, and where it is worked on: one rule for all forms of bodies."""

from __future__ import annotations

from collections.abc import Callable

from declarative_ml.scoring.scorer import Predictions
from declarative_ml.serving.batching import Asked
from declarative_ml.serving.exchange import Answer, Call, Limits
from declarative_ml.serving.line import Line
from declarative_ml.serving.model import ServedModel

LONG_BODY = 32 << 10
"""A body of more bytes is read, scored and answered aside, in the model's thread."""
SMALL_ROWS = 64
"""Up to here a request is scored on the event loop, together with others; beyond it aside, so that the small
ones need not wait."""

Read = Callable[[ServedModel, Call, Limits], Asked]
"""Makes sense of a body. Raises Refusal."""


Done = tuple[Asked, Predictions, Answer]


async def answered(model: ServedModel, call: Call, limits: Limits, read: Read) -> Done:
    """What `read` finds in a request, what the model says of it, and the answer. Raises Refusal."""
    if len(call.body) > LONG_BODY:
        return await model.aside(lambda: _scored(model, call, _read(model, call, limits, read)))
    asked = _read(model, call, limits, read)
    if asked.rows > SMALL_ROWS:
        return await model.aside(lambda: _scored(model, call, asked))
    call.begin("infer")
    return _replied(call, asked, await model.batched(asked))


async def settled(line: Line, call: Call, limits: Limits, read: Read) -> tuple[ServedModel, Read]:
    """Who of a line answers, by the columns of the request, and how it is read further: not twice where the
    model itself answers. Raises Refusal; DataError for rows that do not fit."""

    def work() -> tuple[ServedModel, Read]:
        asked = _read(line.model, call, limits, read)
        asked.raw = asked.columns(line.model.scorer)
        model = line.settled(line.model, asked.raw)
        return model, (lambda *_: asked) if model is line.model else read

    return await line.model.aside(work) if len(call.body) > LONG_BODY else work()


def _read(model: ServedModel, call: Call, limits: Limits, read: Read) -> Asked:
    call.begin("decode")
    asked = read(model, call, limits)
    call.rows = asked.rows
    return asked


def _scored(model: ServedModel, call: Call, asked: Asked) -> Done:
    asked.raw = asked.columns(model.scorer)
    call.begin("infer")
    return _replied(call, asked, model.scorer.predict_raw(asked.raw))


def _replied(call: Call, asked: Asked, scored: Predictions) -> Done:
    call.begin("encode")
    return asked, scored, asked.reply(scored)
