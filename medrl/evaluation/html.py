"""Self-contained HTML pages, escaped by construction: whatever is put in is text, unless this module made it.

What a model writes is hostile HTML. Every string that becomes part of a page is escaped, control characters and half
surrogates are made visible, and the direction of each foreign text is kept to itself. Pages run no script, load nothing, and
say so to the browser.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, TypeAlias

from medrl.types import text_of

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
VOID = ("meta", "br", "hr", "input")


class Html(str):
    """Text that is markup already. Only this module makes it."""


Child: TypeAlias = str | int | float | Iterable["Child"] | None


def text(value: object) -> Html:
    """Anything as text in a page; what cannot be seen is shown by its code point."""
    if isinstance(value, Html):
        return value
    shown = _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", str(value).replace("\r\n", "\n"))
    return Html(escape(shown, quote=True))


def tag(name: str, /, *children: Child, **attributes: str | int | None) -> Html:
    """An element. `class_="x"` writes class, `data_x` writes data-x; an attribute that is None is left out."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an element")
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{''.join(_flat(children))}</{name}>")


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str | int | float):
            yield text(child)
        else:
            yield from _flat(child)


def table(head: Sequence[Child], rows: Iterable[Sequence[Child]], *, numbers_from: int = 1) -> Html:
    """A table that scrolls by itself where it is wide; the columns from `numbers_from` on are figures."""

    def cells(kind: str, row: Sequence[Child]) -> list[Html]:
        return [tag(kind, cell, class_="n" if place >= numbers_from else None) for place, cell in enumerate(row)]

    body = [tag("tr", cells("td", row)) for row in rows]
    whole = tag("table", tag("thead", tag("tr", cells("th", head))), tag("tbody", body))
    return tag("div", whole, class_="wide")


def foreign(value: object, characters: int = 4000) -> Html:
    """A text that somebody else wrote, as it was written, its middle left out where it is long."""
    return tag("pre", shorten(str(value), characters), dir="auto")


def conversation(messages: Sequence[Mapping[str, Any]], characters: int = 4000) -> Html:
    """All messages of a prompt, each with who said it; the words alone where it is one message of the user's."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        return foreign(text_of(messages[0]["content"]), characters)
    said = [[tag("p", one["role"], class_="soft"), foreign(text_of(one["content"]), characters)] for one in messages]
    return tag("div", said)


def shorten(value: str, characters: int) -> str:
    """The beginning and the longer end of a text; answers stand at the end."""
    if len(value) <= characters:
        return value
    head = characters // 3
    tail = characters - head
    return f"{value[:head]}\n[... {len(value) - head - tail:,} characters left out ...]\n{value[-tail:]}"


def page(title: str, *body: Child) -> str:
    """A whole document that needs nothing beside it."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        Html(f"<style>{_style()}</style>"),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', body)), lang='en')}\n"


@cache
def _style() -> str:
    return files("medrl.evaluation").joinpath("pages/report.css").read_text(encoding="utf-8")
