"""One request in, one answer out: the few things of HTTP that every handler needs, without a framework.

The frameworks' own request and response objects cost more than a prediction does, so handlers are plain
functions of a Call. FastAPI describes them and routes what is not on the short way (see `app`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = b"application/json"
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
        content = {"error": self.message} | ({"hint": self.hint} if self.hint else {})
        return as_json(content, self.status, self.headers)


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
    linger_seconds: float = 0.5
    """Told to stop, the service goes on for so long: probes say no, and each answer ends its connection."""


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limits: Limits) -> bytes:
    """The body of the request. Raises Refusal 413 beyond the limit, 415 for a compressed one, and Gone when
    the client leaves, or does not send it in time (see `connection`)."""
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
        return await _read_parts(body, receive, limits)
    if len(body) > limits.body_bytes:
        raise _too_long(limits)
    return body


async def _read_parts(first: bytes, receive: Receive, limits: Limits) -> bytes:
    parts, size, more = [first], len(first), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limits.body_bytes:
            raise _too_long(limits)
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


async def send_answer(send: Send, answer: Answer, *, without_body: bool = False) -> None:
    """Hand the answer to the server."""
    headers = [
        (b"content-type", answer.media),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if without_body else answer.body})
