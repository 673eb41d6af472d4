"""Pages for people: one document each, with its style and script inside, and a policy that lets in no more.

The scripts build the pages from the service's own JSON with the token that the reader gives, so a page itself
holds nothing of the model and needs no token.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from pathlib import Path

from declarative_ml.serving.exchange import Answer

_FOLDER = Path(__file__).parent / "pages"
_HTML = b"text/html; charset=utf-8"


def page(name: str, *, title: str, token: bool, drift: bool) -> Answer:
    """The page `name` of the folder pages. `token`: whether the script has to ask for one; `drift`: whether
    the service watches drift."""
    style, script = _style(), _script(name)
    body = _read(f"{name}.html")
    facts = {
        "title": escape(title),
        "token": "required" if token else "none",
        "drift": "yes" if drift else "no",
        "style": style,
        "script": script,
    }
    for key, text in facts.items():
        body = body.replace(f"{{{{{key}}}}}", text)
    headers = [
        (b"content-security-policy", _policy(style, script).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    ]
    return Answer(body.encode(), media=_HTML, headers=headers)


def _policy(style: str, script: str) -> str:
    """Nothing but the very style and script of the page, and requests to where it came from."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _style() -> str:
    return _read("style.css")


@cache
def _script(name: str) -> str:
    return "".join(_read(part) for part in ("shared.js", *_SCRIPTS[name]))


_SCRIPTS = {"service": ("form.js", "answers.js", "live.js", "drift.js", "service.js"), "docs": ("docs.js",)}


@cache
def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
