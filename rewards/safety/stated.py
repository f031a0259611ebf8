"""An answer without the figure that says how sure it is, for whatever judges the answer itself.

"Gout, 80% sure" is "Gout" for a verifier that knows nothing of confidence. Only the visible answer is changed, and only where
something else is left of it. Words ("probably gout") stay where they are part of what is said.
"""

import re
import unicodedata
from dataclasses import replace

from medrl.rewards.safety.reading import denied
from medrl.types import Response
from medrl.verifiers.extract import sections
from medrl.verifiers.scripts import simplified

# A share of chance that is the answer itself ("there is a 25 % chance") is told by its words; see `without_confidence`.
FIGURE = (
    r"(?:(\d{1,3}(?:\.\d)?) ?% ?(?:sure|certain|confiden\w+|likely|likelihood|chance|"
    r"probab\w+|的?(?:把握|信心|可能|概率|置信))|"
    r"(?:confidence|certainty|sure|probability|置信度|把握|信心|可信度|概率)(?: (?:level|"
    r"is|of|in this answer))*\s{0,2}(?:约|大约|about|around|为|是|有|[:=])?\s{0,3}(\d{1,3}(?:\.\d)?) ?%|"
    r"(?:confidence|certainty|probability|置信度|可信度)(?: (?:level|is|of))*\s{0,2}(?:为|"
    r"是|[:=])?\s{0,3}(0?\.\d{1,3}|0|1(?:\.0{1,3})?)(?![\d%.])|"
    r"([一二两三四五六七八九十])成(?:的)?(?:把握|可能|概率))"
)
_PHRASE = re.compile(
    r"(?:(?:(?<![a-z'])(?:with|and|but|at|i(?:'m| am)|we(?:'re| are)|my|the|there(?:'s| is)|i have|about|around|roughly|"
    r"approximately|only|at least|an?|of|overall|stated|final)\s){1,6}|(?:我(?:对此)?)?"
    r"(?:大概|大约|约|只)?(?:有|的)?(?:约|大约)?)?"
    rf"{FIGURE}"
    r"(?:\s(?:(?:about|of|in) (?:this|that|it|(?:my|the|this) (?:answer|diagnosis))|that|of|to be)"
    r"(?![a-z]))?(?:性)?(?:的?(?:确定|认为|觉得))?|"
    r"(?:^|(?<=[.!。!\n,])) ?(?:(?:though|although|but|and) )?i(?:'m| am) (?:[a-z]{2,10} ){0,2}"
    r"(?:sure|confident|certain|unsure|uncertain)"
    r"(?: (?:of|about|in) (?:this|that|it|my (?:answer|diagnosis)))?(?=[.!]|\s{0,2}$)|"
    r"(?:^|(?<=[。!\n,]))我?(?:非常|十分|很|比较|不太|不)?(?:确定|肯定|有把握|有信心)(?=[。!]|\s{0,2}$)",
    re.IGNORECASE,
)
_SHARE = re.compile(r"likel|chance|probab|可能|概率", re.IGNORECASE)
_IS = re.compile(r"\s(?:is|are|was)$", re.IGNORECASE)
_EMPTY = re.compile(
    r"(?:\b(?:i|am|is|are|it|the|that|this|my|a|an|of|and|to|be|answer|final)\b|[\W_]|[我的是为答案])+", re.IGNORECASE
)
_OPEN, _CLOSE = "([（【[", ")]）】]"
_LINKS = ",;:，；：、—–-"
_ENDS = ".。!！\n"


def without_confidence(response: Response, reference: str) -> Response:
    """The response with the figures of its confidence taken out of the visible answer; itself where there are none.

    Args:
        response: What was answered.
        reference: The right answer; where it has a figure, a stated chance may be the answer and stays.
    """
    if not any(
        word in response.text
        for word in (
            "%",
            "％",
            "成",
            "onfiden",
            "CONFIDEN",
            "ertainty",
            "robability",
            "信度",
            "sure",
            "onfident",
            "ertain",
            "定",
            "把握",
            "信心",
        )
    ):
        return response
    start, end = sections(response.text).span
    answer = response.text[start:end]
    text, places = _folded(answer)
    cuts = [
        (places[found.start()], places[found.end() - 1] + 1)
        for found in _PHRASE.finditer(text)
        if not denied(text, found.start()) and not (any(map(str.isdigit, reference)) and _SHARE.search(found[0]))
    ]
    rest = answer
    for cut in reversed(cuts):
        rest = _cut(rest, *cut)
    if not cuts or not _EMPTY.sub("", rest):
        return response
    return replace(response, text=response.text[:start] + rest + response.text[end:])


def _folded(text: str) -> tuple[str, list[int]]:
    """A text with plain letters and without marks of emphasis, and where each letter stands in the original."""
    letters, places = [], []
    for at, letter in enumerate(text):
        plain = simplified(unicodedata.normalize("NFKC", letter)).replace("’", "'")
        if letter != "*" and unicodedata.category(letter) != "Cf":
            letters.append(plain if len(plain) == 1 else letter)
            places.append(at)
    return "".join(letters), places


def _cut(text: str, start: int, end: int) -> str:
    """`text` without a span, and without the brackets, links and emphasis that belonged to it."""
    left, cut, right = text[:start].rstrip(" *"), text[start:end], text[end:]
    stars = text[:start][len(left) :].count("*") + cut.count("*")
    right = right.lstrip(" *" if stars else " ")
    if left[-1:] and left[-1] in _OPEN and right[:1] and right[0] in _CLOSE:
        left, right = left[:-1].rstrip(), right[1:]
    tail = right.lstrip()
    if not tail or tail[0] in _ENDS:
        left = _IS.sub("", left.rstrip(_LINKS + " "))
    if not left or left[-1] in _ENDS:
        right = right.lstrip(_LINKS + ".。 ")
    joined = not left or not right or right[0] in _ENDS + _LINKS + _CLOSE or left[-1] in _ENDS[-1:]
    return left + right if joined or not (left[-1].isascii() and right[0].isascii()) else f"{left} {right}"
