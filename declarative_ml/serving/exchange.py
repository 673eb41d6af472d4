"""One request in, one answer out: the few things of HTTP that every handler needs, without a framework.

The frameworks' own request and response objects cost more than a prediction does, so handlers are plain
functions of a Call. FastAPI describes them and routes what is not on the short way (see `app`).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from declarative_ml.serving.model import ServedModel

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Reply = Callable[[int, Sequence[tuple[bytes, bytes]], bytes], Awaitable[None]]
"""Sends status, headers and body at once."""

REPLY = "declarative_ml.reply"
"""The key of an ASGI scope under which our connection leaves the function that sends a whole answer."""
JSON = b"application/json"
LONGEST_REASON = 1000
"""Characters of an error or a hint."""
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Call:
    """One request, its body read and within the limits."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    """Names in lower case; of equal names the last counts."""
    body: bytes = b""
    query: bytes = b""
    rows: int = 0
    """Rows that it asks to be scored, as soon as they are read."""
    stages: list[tuple[str, float]] = field(default_factory=list)
    """What was done for it, each with the time when it began (`time.perf_counter`)."""
    fault: Exception | None = None
    """What ended it, if it was no refusal."""
    model: ServedModel | None = None
    """The one that answered, where another one than the route's may."""

    def begin(self, stage: str) -> None:
        """From here on `stage` is done, and what was done before is over."""
        self.stages.append((stage, time.perf_counter()))

    def took(self, stage: str) -> float:
        """Seconds from the beginning of a stage to that of the next."""
        for (name, start), (_, end) in pairwise(self.stages):
            if name == stage:
                return end - start
        return 0.0

    def media(self) -> bytes:
        """The content type without its parameters, in lower case; JSON where none is given."""
        given = self.headers.get(b"content-type")
        return given.partition(b";")[0].strip().lower() if given else JSON


@dataclass(slots=True)
class Answer:
    """What goes back."""

    body: bytes
    status: int = 200
    media: bytes = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


Handler = Callable[[Call], Awaitable[Answer]]


class Refusal(Exception):
    """A request that gets no answer but a reason: what is wrong with it, and the way out."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        hint: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.hint, self.headers = status, message, hint, headers

    def answer(self) -> Answer:
        """`{"error": …}`, as the Open Inference Protocol wants it, with a hint where there is one."""
        content = {"error": _short(self.message)} | ({"hint": _short(self.hint)} if self.hint else {})
        return as_json(content, self.status, self.headers)


def _short(text: str) -> str:
    """Reasons repeat what the client sent, which may be long."""
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


class Gone(Exception):
    """The client went away before its request was whole: nobody waits for an answer."""


def as_json(content: Any, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """`content` as JSON."""
    return Answer(_encode(content), status, JSON, headers)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request and all of them together may ask for."""

    body_bytes: int = 16 << 20
    """Of a request; what is longer is refused before it is read."""
    rows: int = 10_000
    """Of a request."""
    waiting: int = 256
    """Requests in the house at once; further ones get 503."""
    held_bytes: int = 128 << 20
    """Of long bodies in the house at once; further ones get 503."""
    linger_seconds: float = 0.5
    """Told to stop, the service goes on for so long: probes say no, and each answer ends its connection."""


async def read_body(
    headers: Mapping[bytes, bytes], receive: Receive, limits: Limits, take: Callable[[int], None]
) -> bytes:
    """The body of the request; `take` is told the size of each part of a long one, and may refuse it.

    Raises Refusal 413 beyond the limit, 415 for a compressed one, and Gone when the client leaves, or does
    not send it in time (see `connection`).
    """
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise Refusal(415, "the body is compressed", hint="send it as it is")
    length = headers.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length) > limits.body_bytes):
        raise _too_long(limits)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        return await _read_parts(body, receive, limits, take)
    if len(body) > limits.body_bytes:
        raise _too_long(limits)
    return body


async def _read_parts(first: bytes, receive: Receive, limits: Limits, take: Callable[[int], None]) -> bytes:
    parts, size, more = [first], len(first), True
    take(size)
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limits.body_bytes:
            raise _too_long(limits)
        take(len(parts[-1]))
        more = message.get("more_body", False)
    return b"".join(parts)


_CLOSE = ((b"connection", b"close"),)


def _too_long(limits: Limits) -> Refusal:
    return Refusal(
        413,
        f"the body is longer than {limits.body_bytes:,} bytes",
        hint="send fewer rows at a time, or as Arrow or binary tensors",
        headers=_CLOSE,
    )


def content_headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The headers of an answer."""
    return [
        (b"content-type", answer.media),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]


async def send_answer(send: Send, answer: Answer, reply: Reply | None = None) -> None:
    """Hand the answer to the server, whole where there is a `reply`."""
    headers = content_headers(answer)
    if reply is not None:
        await reply(answer.status, headers, answer.body)
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
