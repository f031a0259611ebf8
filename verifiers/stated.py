"""An answer without the figure that says how sure it is, for whatever judges the answer itself.

"Gout, 80% sure" is "Gout" for a verifier that knows nothing of confidence. Only the visible answer is changed, and only where
something else is left of it. Words ("probably gout") stay where they are part of what is said.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from medrl.types import Response
from medrl.verifiers.denials import denied
from medrl.verifiers.extract import SHORT, Span, sections
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
# Rules read so many answers that this goes first: without one of these nothing above matches.
_SAYS = re.compile(
    r"[%％]|(?<![a-z])(?:(?:un)?(?:sure|certain)|confiden|probab)|信度|确定|確定|肯定|把握|信心|概率|機率|成",
    re.IGNORECASE,
)
_SHARE = re.compile(r"likel|chance|probab|可能|概率", re.IGNORECASE)
_IS = re.compile(r"\s(?:is|are|was)$", re.IGNORECASE)
_EMPTY = re.compile(
    r"(?:\b(?:i|am|is|are|it|the|that|this|my|a|an|of|and|to|be|answer|final)\b|[\W_]|[我的是为答案])+", re.IGNORECASE
)
_TENTHS = {c: i / 10 for i, c in enumerate("零一二三四五六七八九十")} | {"两": 0.2}
_SURE_OF_IT = re.compile(
    r"\W*(?:(?:though|although|but|and) )?i(?:'m| am) (?:(?:very|quite|fairly|pretty|absolutely|completely|reasonably) )?"
    r"(?:sure|confident|certain)(?: (?:of|about|in) (?:this|that|it|my (?:answer|diagnosis)))?|"
    r"\W*我?(?:非常|十分|很|比较)?(?:确定|肯定|有把握|有信心)",
    re.IGNORECASE,
)
_ENDS_IT = re.compile(r"[\s*)\]）】]{0,4}(?:[.。!！\n]|$)")
_OF_ANOTHER = re.compile(r"[\s*]{0,4}(?:that|it|this|the|he|she|of|in|for|about|to)\b|[\s*]{0,4}[是为]", re.IGNORECASE)
_OPEN, _CLOSE = "([（【[", ")]）】]"
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d)?) ?[%％]")
_EVENT = re.compile(
    r"\b(?:recurrence|siblings?|child(?:ren)?|offspring|sons?|daughters?|brothers?|sisters?|relatives?|couples?|carriers?|"
    r"pregnanc(?:y|ies)|transmission|penetrance|pre-?test|survival|mortality)\b|再发|复发|子女|后代|孩子|胎儿|验前|生存|死亡",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.,:;!?()\n。，：；！？（）]")
_LINKS = ",;:，；：、—–-"
_ENDS = ".。!！\n"


def without_confidence(response: Response, reference: str) -> Response:
    """The response with the figures of its confidence taken out of the visible answer; itself where there are none.

    Args:
        response: What was answered.
        reference: The right answer; where it has a figure, a stated chance may be the answer and stays.
    """
    if not _may_state(response.text):
        return response
    start, end = sections(response.text).span
    rest = answer = response.text[start:end]
    cuts = [cut for found, cut in _phrases(answer, reference) if found]
    for cut in reversed(cuts):
        rest = _cut(rest, *cut)
    if not cuts or not _EMPTY.sub("", rest):
        return response
    return replace(response, text=response.text[:start] + rest + response.text[end:])


def _may_state(text: str) -> bool:
    return any(word in text for word in _HINTS)


_HINTS = ("%", "％", "成", "onfiden", "CONFIDEN", "ertain", "robability", "信度", "sure", "定", "把握", "信心")
_Stated: TypeAlias = tuple[re.Match[str] | None, Span]


def _phrases(answer: str, reference: str) -> list[_Stated]:
    """What states how sure an answer is and where in it; no match where it is denied."""
    text, places = _folded(answer)
    found: list[_Stated] = []
    for one in _PHRASE.finditer(text):
        if not (any(map(str.isdigit, reference)) and _SHARE.search(one[0])):
            place = (places[one.start()], places[one.end() - 1] + 1)
            found.append((None if denied(text, one.start()) else one, place))
    return found


def figure_of(match: re.Match[str]) -> float:
    """The probability that a match of `FIGURE` states, mostly in [0, 1]."""
    percent, behind, share, tenths = match.groups()
    if tenths:
        return _TENTHS[tenths]
    return float(share) if share else float(percent or behind) / 100


def set_apart(text: str, span: Span, reference: str) -> str:
    """A response for a rule to read: blanks stand where its short answer ends a sentence by saying that it is rather right.

    Args:
        text: The response.
        span: Where its visible answer stands.
        reference: The right answer; a share that it names may be the answer and stays.
    """
    start, end = span
    answer = text[start:end]
    if end - start > SHORT or not _SAYS.search(answer) or "%" in reference:
        return text
    found = _phrases(answer, reference)
    if len(found) != 1 or not found[0][0] or not _is_sure(found[0][0]) or not _ENDS_IT.match(answer, found[0][1][1]):
        return text
    kept = _cut(answer, *found[0][1])
    head = next((at for at, (one, other) in enumerate(zip(answer, kept, strict=False)) if one != other), len(kept))
    tail = len(answer) - len(kept) + head
    if not _EMPTY.sub("", kept) or answer[tail:] != kept[head:]:
        return text
    return text[: start + head] + " " * (tail - head) + text[start + tail :]


def doubts_itself(text: str, span: Span, begin: int, reference: str, options: Mapping[str, str]) -> bool:
    """Whether a short visible answer states, behind `begin`, that it is rather wrong, or how sure it is of something else.

    Args:
        text: The response.
        span: Where its visible answer stands.
        begin: Where the answer that was read begins in the response.
        reference: The right answer, or its label.
        options: The options by label. A chance that is the right option's own is no doubt, one that is another's is.
    """
    answer, begin = text[slice(*span)], begin - span[0]
    if len(answer) > SHORT or not _SAYS.search(answer):
        return False
    own = options.get(reference, reference)
    for found, (start, end) in _phrases(answer, reference):
        said = answer[start:end]
        if start <= begin or not any(map(str.isnumeric, said)):
            continue
        if not _SHARE.search(said):
            if not found or figure_of(found) < 0.5 or _OF_ANOTHER.match(answer, end):
                return True
        elif _ENDS_IT.match(answer, end) and (not found or _is_doubt(found, answer[:start], own, options)):
            return True
    return False


def _is_doubt(chance: re.Match[str], before: str, own: str, options: Mapping[str, str]) -> bool:
    """Whether a chance that ends its sentence is another option's, or a small one of the answer itself."""
    share = round(100 * figure_of(chance), 1)
    if share in _shares(own):
        return False
    if any(share in _shares(option) for option in options.values()):
        return True
    event = _EVENT.search(_CLAUSE.split(before)[-1])
    return share < 50 and (event is None or event[0].casefold() in own.casefold())


def _shares(text: str) -> set[float]:
    return {float(share) for share in _PERCENT.findall(text)}


def _is_sure(found: re.Match[str]) -> bool:
    return figure_of(found) > 0.5 if any(found.groups()) else _SURE_OF_IT.fullmatch(found[0]) is not None


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """A text with plain letters and without marks of emphasis, and where each letter stands in the original."""
    if text.isascii() and "*" not in text:
        return text, range(len(text))
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
