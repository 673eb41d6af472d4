"""Small pieces of HTML for notebooks: each stands alone, asks for nothing from elsewhere, escapes every text.

Colours are those of the notebook around them, so that they read well on light and on dark; pictures and
code bring a light ground of their own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """<style>
.dml-box{font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;max-width:1040px}
.dml-box .scroll{overflow-x:auto}
.dml-box table{border-collapse:collapse;margin:.3em 0 .6em}
.dml-box th,.dml-box td{padding:3px 16px 3px 0;text-align:left!important;white-space:nowrap;background:none;
border:0;border-bottom:1px solid rgba(128,128,128,.28);font-weight:400}
.dml-box thead th{font-weight:600}
.dml-box .n{text-align:right!important;font-variant-numeric:tabular-nums}
.dml-box .long{white-space:normal;overflow-wrap:anywhere;min-width:12em}
.dml-box .quiet{opacity:.72}
.dml-box .bar{display:inline-block;height:.7em;border-radius:2px;background:#2b7fb3}
.dml-box .bar.less{background:#c2574b}
.dml-box .tag{display:inline-block;padding:0 .5em;border-radius:4px;background:rgba(128,128,128,.2)}
.dml-box .tag.good{background:#1c7a4a;color:#fff}
.dml-box .tag.bad{background:#b3403a;color:#fff}
.dml-box pre{background:#fff;color:#1d2126;padding:.7em 1em;border:1px solid rgba(128,128,128,.3);
border-radius:6px;overflow-x:auto;font:13px/1.45 ui-monospace,Menlo,Consolas,monospace;margin:.3em 0}
.dml-box figure{margin:0 0 .8em}
.dml-box figcaption{padding:.2em 0}
.dml-box .grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:8px 24px}
.dml-box img{display:block;width:100%;box-sizing:border-box;padding:8px;border-radius:6px;
background:#fff;color-scheme:light}
</style>"""


class Drawn(str):
    """HTML that is finished: it is not escaped again."""


def escaped(text: object) -> Drawn:
    """A text as HTML; what is drawn already stays."""
    return text if isinstance(text, Drawn) else Drawn(escape(str(text), quote=True))


def box(*parts: str) -> str:
    """The parts below each other: what `_repr_html_` gives to a notebook."""
    return f'<div class="dml-box">{_STYLE}{"".join(map(escaped, parts))}</div>'


def heading(title: object, note: object = "", tag: tuple[str, str] | None = None) -> Drawn:
    """A line in bold, with a word or two behind it. `tag` is a text and its tone: good, bad or none."""
    marked = f' <span class="tag {escaped(tag[1])}">{escaped(tag[0])}</span>' if tag else ""
    quiet = f' <span class="quiet">{escaped(note)}</span>' if note else ""
    return Drawn(f"<div><strong>{escaped(title)}</strong>{marked}{quiet}</div>")


def paragraph(text: object) -> Drawn:
    """A quiet line of text."""
    return Drawn(f'<div class="quiet">{escaped(text)}</div>')


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    left: Sequence[int] = (0,),
    long: Sequence[int] = (),
) -> Drawn:
    """A table; cells are right-aligned but in the columns of `left`. Lines break in those of `long`."""

    def kind(place: int) -> str:
        if place in long:
            return ' class="long"'
        return "" if place in left else ' class="n"'

    head = "".join(f"<th{kind(place)}>{escaped(text)}</th>" for place, text in enumerate(header))
    body = "".join(
        f"<tr>{''.join(f'<td{kind(place)}>{escaped(cell)}</td>' for place, cell in enumerate(row))}</tr>"
        for row in rows
    )
    return Drawn(
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def bar(share: float, *, less: bool = False) -> Drawn:
    """A bar as long as `share` of the longest one, 0 to 1; `less` in the colour of what pulls down."""
    width = 160 * min(max(share, 0.0), 1.0)
    return Drawn(f'<span class="bar{" less" if less else ""}" style="width:{width:.0f}px"></span>')


def picture(svg: str, alt: str, title: str = "", caption: str = "", *, width: float | None = None) -> Drawn:
    """An SVG that needs no page around it, as a figure; its styles cannot reach the notebook."""
    data = base64.b64encode(svg.encode()).decode("ascii")
    limit = f' style="max-width:{width:.0f}px"' if width else ""
    words = "".join(
        f"<figcaption>{part}</figcaption>"
        for part in (f"<strong>{escaped(title)}</strong>" if title else "", escaped(caption))
        if part
    )
    image = f'<img alt="{escaped(alt)}" src="data:image/svg+xml;base64,{data}"{limit}>'
    return Drawn(f"<figure>{words}{image}</figure>")


def grid(figures: Iterable[str]) -> Drawn:
    """Figures beside each other, as many as there is room for."""
    return Drawn(f'<div class="grid">{"".join(map(escaped, figures))}</div>')


def details(title: str, content: str) -> Drawn:
    """What is shown when its title is clicked."""
    return Drawn(f"<details><summary>{escaped(title)}</summary>{escaped(content)}</details>")


def plain_text(text: str) -> Drawn:
    """Text with its line breaks and blanks."""
    return Drawn(f"<pre>{escaped(text)}</pre>")


def yaml_text(text: str) -> Drawn:
    """YAML with its keys, values and comments in colours."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import YamlLexer

    marked = highlight(text, YamlLexer(), HtmlFormatter(noclasses=True, nowrap=True, style="friendly"))
    return Drawn(f"<pre>{marked}</pre>")
