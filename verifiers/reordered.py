"""Answers whose parts stand in another order, or beside what a figure is called: "arthritis, reactive", "type 4, delayed"."""

import re

from medrl.types import Verdict
from medrl.verifiers.ellipsis import by_ellipsis
from medrl.verifiers.text_reading import Reading
from medrl.verifiers.wording import DENIED, PARENS, repeats


def in_parts(reading: Reading) -> Verdict | None:
    """A name whose sort stands behind it, by what the vocabulary calls both together: 前列腺肥大（良性）."""
    parts = _IN_PARTS.fullmatch(reading.text.strip(" .。")) if reading.known else None
    if parts is None or reading.known is None:
        return None
    name, sort = parts["name"] or parts["noun"] or parts["han"], parts["sort"] or parts["kind"] or parts["type"]
    ids = reading.known.ids(f"{sort}{'' if parts['han'] else ' '}{name}")
    if len(ids) != 1 or reading.known.ids(sort):
        return None
    if not ids <= reading.reference.ids:
        apart = reading.reference.ids and all(reading.known.apart(min(ids), one) for one in reading.reference.ids)
        return Verdict.wrong(f"it is another thing than {reading.term!r:.60}") if apart else None
    if parts["aside"] and not repeats(parts["aside"].lower().removeprefix("post").strip(" -"), reading.asked):
        return Verdict.abstain("what stands in parentheses may say another thing")
    return Verdict.right(f"it is {reading.term!r:.60}, its parts in another order")


# "Arthritis, reactive (post-chlamydial)", "Arthritis (reactive)".
_IN_PARTS = re.compile(
    r"(?P<name>[A-Za-z][A-Za-z -]{2,40}), (?P<sort>[a-z][a-z-]{2,20}(?: [a-z-]{3,20})?)(?: [(](?P<aside>[^()]{3,40})[)])?|"
    r"(?P<noun>[A-Za-z][A-Za-z -]{2,40}) [(](?P<kind>[a-z][a-z-]{2,20})[)]|"
    r"(?P<han>[\u3400-\u9fff]{2,14})[（(](?P<type>[\u3400-\u9fff]{1,5}[性型])[）)]"
)


def figure_in_full(reading: Reading) -> Verdict | None:
    """Right where an answer says the figure that a reference is, and beside it only what that is called: type 4, delayed."""
    known, reference = reading.known, reading.reference
    if known is None or not reference.ids or len(reading.text) > 80 or not _FIGURE_ONLY.fullmatch(reading.term.strip()):
        return None
    text = PARENS.sub(lambda aside: f" {aside[0][1:-1]} ", reading.text)
    called = [word for one in reference.ids for name in known.index.spelt[one] for word in name]
    found = by_ellipsis(text, reading.term, reading.asked._replace(words=reading.asked.words.union(called)))
    return found if found and found.score == 1.0 and not DENIED.search(text) else None


_FIGURE_ONLY = re.compile(r"(?:type )?(?:[IVX]{1,4}|\d{1,2})|第?[ⅠⅡⅢⅣⅤⅥⅦⅧIVX一二三四五六七八\d]{1,3}型", re.IGNORECASE)
