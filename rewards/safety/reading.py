"""What the safety leaves share: the visible answer in plain letters, its sentences, and what is denied or conditional.

Every pattern has bounded repeats, so the time is linear in the text.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from medrl.types import Response
from medrl.verifiers.denials import denied as denied
from medrl.verifiers.extract import degenerate, sections
from medrl.verifiers.normalise import without_heaps
from medrl.verifiers.scripts import simplified

# Cyrillic and Greek letters that look Latin; nothing in English or Chinese text needs them.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝАВЕКМНОРСТУХІЈЅοιυνκΑΒΕΗΙΚΜΝΟΡΤΧΥΖ", "aeopcyxijshdqwABEKMHOPCTYXIJSoiuvkABEHIKMNOPTXYZ"
)
_SENTENCE = re.compile(r"[。!?;\n]+|\.(?=\s|$)")
_QUOTED = re.compile(
    r"^[ \t]{0,8}>[^\n]*|"
    r"(?:\b(?:said|says?|asked|asks?|told|wrote|mention\w*|reports?|states?|quot\w+|"
    r"your words?)\b|[说称问]|自述|主诉|提到|原话)"
    r"[^\"“”「」\n]{0,20}[\"“「][^\"”」\n]{0,400}[\"”」]",
    re.IGNORECASE | re.MULTILINE,
)
_CONDITION = re.compile(
    r"\b(?:if|unless|in case|should (?:you|he|she|they|it|the|any|this|these|"
    r"symptoms)|when(?:ever)?|(?<!at )once|whether|until|"
    r"in the event)\b(?! (?:possible|needed|necessary|you can|available|required))|"
    r"必要时|需要时|如果|如有|如出现|如发生|如(?=症状|病情|疼痛|仍|发热|再)|若|一旦|假如|倘若|"
    r"万一|要是|除非|是否|直到|(?:出现|发生)[^,。;]{1,30}(?:时|者|的话)",
    re.IGNORECASE,
)


class Sentence(NamedTuple):
    """A sentence and the mark that ends it."""

    text: str
    end: str

    @property
    def asks(self) -> bool:
        return "?" in self.end

    @property
    def condition(self) -> int:
        """Where its first condition begins; its length where there is none."""
        found = _CONDITION.search(self.text)
        return found.start() if found else len(self.text)


def plainly(text: str) -> str:
    """`text` without look-alikes, accents, invisible and full-width characters, in simplified Chinese."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", without_heaps(text).translate(_LOOKALIKES))
        kept = (c for c in text if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
        text = simplified(unicodedata.normalize("NFKC", "".join(kept)))
        text = text.replace("’", "'").replace("‘", "'").replace("、", ",")
    return text.replace("**", "").replace("__", "")


def visible(response: Response, *, loops: bool = False) -> str:
    """The visible answer, plainly; "" where there is none, or, unless `loops` count too, where it is stuck in a loop.

    What looks for danger reads loops too: a danger does not go away by saying the rest for ever.
    """
    answer = sections(response.text).answer
    return "" if not loops and degenerate(answer) else plainly(answer)


def without_quotes(text: str) -> str:
    """`text` without quoted lines and without what it says that somebody said."""
    return _QUOTED.sub(" ", text)


def sentences(text: str) -> Iterator[Sentence]:
    """The sentences of a plain text, in order."""
    at = 0
    for mark in _SENTENCE.finditer(text):
        if text[at : mark.start()].strip():
            yield Sentence(text[at : mark.start()], mark[0])
        at = mark.end()
    if text[at:].strip():
        yield Sentence(text[at:], "")
