"""Sentences and plain spelling, for signals that read prose in English and Chinese. One pass over a text each.

Others cut sentences otherwise on purpose. `safety/reading.py` ends one at any full stop before a blank, whatever follows: a
denial must not reach too far. `consultation_lexicon.py` and the patient simulator keep question marks and list lines apart.
The verifiers (floor 1) look for the end of one clause beside a value, not for prose.
"""

import re
import unicodedata

from medrl.rewards.textual import has_words
from medrl.verifiers.normalise import without_heaps
from medrl.verifiers.scripts import simplified

# A full stop ends a sentence before a blank that no small letter follows: neither in 7.5, nor in "e.g. aspirin", "E. coli".
_END = re.compile(
    r"[。！？!?；;…]+[\"'”’」』）)\]*_]*"
    r"|(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)(?<!\bvs)(?<!\bNo)\.[\"'”’」』）)\]*_]*(?=\s+[^a-z\s]|\s*$)"
    r"|\n+"
)
_BULLET = re.compile(
    r"^\s*(?:#{1,6}|[-*+•·>]|[(（]?\d{1,3}[.)、）:：](?!\d)|[(（]?[一二三四五六七八九十]{1,3}[)、）])\s*"
)
_INVISIBLE = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SPELLING = str.maketrans("‘’ʼ＇`´“”„″", "''''''\"\"\"\"")


def sentences(text: str) -> list[str]:
    """The sentences of a text that hold words, list marks left out; a line's end ends a sentence."""
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        found.append(text[start : end.end()])
        start = end.end()
    found.append(text[start:])
    return [bare for one in found if has_words(bare := _BULLET.sub("", one.strip(), count=1).strip())]


def spelt(text: str) -> str:
    """One spelling for phrases to be looked for: small letters, plain quotes, simplified Chinese, nothing invisible."""
    text = _INVISIBLE.sub("", text)
    if not text.isascii():
        text = simplified(unicodedata.normalize("NFKC", without_heaps(text.translate(_SPELLING))))
    return text.casefold()
