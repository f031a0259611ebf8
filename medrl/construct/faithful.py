"""Whether a rewritten reply of a doctor still says the same: numbers and their units, what is named, what is advised against.

It reads words, not medicine: what it refuses may be the same in other words, and is only asked for again; what it lets
pass has the same numbers in the same order and of the same units, states the same diseases, drugs, tests and procedures,
speaks against the same ones, and drops neither the questions nor all the warnings.
"""

import re
import unicodedata
from typing import NamedTuple

from medrl.construct.reference_rater import NAMED, acts_of
from medrl.rewards.consultation_lexicon import Lexicon, lexicon

_QUESTION = re.compile(r"[?？]")

# Numbers. Spelled ones count before a unit alone, and neither "one day" nor 一天, which also mean "each day".
_UNITS = {
    "mcg": "mcg|µg|μg|ug|micrograms?|微克", "mg": "mg|milligrams?|毫克", "g": "g|grams?|克",
    "ml": "ml|millilit(?:er|re)s?|毫升",
    "iu": "iu|units?|国际单位|单位", "percent": "%|percent", "degree": "°|℃|degrees?|度",
    "piece": "tab(?:let)?s?|cap(?:sule)?s?|pills?|drops?|puffs?|sachets?|[片粒颗滴支袋喷丸]",
    "times": "x|times|次|遍", "minute": "min(?:ute)?s?|分钟", "hour": "h(?:ou)?rs?|h|hourly|个?小时", "day": "days?|[天日]",
    "week": "w(?:ee)?ks?|周|个?星期", "month": "months?|个?月", "year": "years?|岁|年",
}  # fmt: skip
_UNIT = "|".join(f"(?P<{name}>{forms})" for name, forms in _UNITS.items())
_SPELLED = {word: str(at) for at, word in enumerate("zero one two three four five six seven eight nine ten".split())}
_SPELLED |= {word: str(at) for at, word in enumerate("零一二三四五六七八九十")} | {"两": "2", "twice": "2", "半": "0.5"}
_NUMBER = re.compile(
    r"(?P<digits>\d{1,12}(?:\.\d{1,6})?)|(?P<twice>\btwice\b)"
    r"|(?!(?:one|一)[\s-]?(?:day|week|month|year|time|[天日周年次]|个?月|个?星期))"
    rf"(?P<word>\b(?:{'|'.join(word for word in _SPELLED if word.isascii() and word != 'twice')})\b"
    rf"|(?<![一二三四五六七八九十])[一二两三四五六七八九十半](?![一二三四五六七八九十]))(?=[\s-]?(?:{'|'.join(_UNITS.values())}))"
)
_AFTER = re.compile(rf"[\s-]{{0,2}}(?:{_UNIT})(?![a-z])")

# What is advised against
_REST = re.compile(
    r"[;；，]|,\s*(?=but|take|use|instead|rather|only|have|try|please)|\bbut\b|\binstead\b|但是?|"
    r"\band\s+(?=do not|don.?t|never|avoid|stop)"
)
_WARNING = re.compile(
    r"\b(?:(?:do|must|should|may|can) ?not|(?:don|can|mustn|shouldn).?t|never|avoid|stop|keep off)\b"
    r"(?! (?:worry|be afraid|hesitate))"
    r"|不(?:要|能|可|宜|得|建议|应|许|准)(?!担心|着急|紧张|害怕)|勿|禁|忌|停(?!经)|避免|(?<![特分识区鉴类性级个])别(?!人|的|担心|着急)",
)  # fmt: skip
# A wish to get well advises nothing, though its word is also that for rehabilitation.
_WISH = re.compile(
    r"(?:祝愿?|希望|愿)(?:您|你|孩子|宝宝|患者)?(?:身体)?能?(?:早日|尽快|尽早|早点|快点)(?:恢复)?(?:康复|痊愈|健康|好转)"
    r"[哦啊呀吧]?(?=\s*(?:[!！。.,，;；~～]|$))"
)
_AGAINST = re.compile(rf"{_WARNING.pattern}|\b(?:no|not|neither|nor|without)\b|不(?:需|必|用|是|像)|无需|没|未|排除")


class Amount(NamedTuple):
    """A number of a text and the unit behind it, "" where none is known."""

    number: str
    unit: str


def unfaithful(original: str, text: str) -> str:
    """What a rewriting dropped or added, in words; "" where it says the same."""
    original, text = (_WISH.sub("", one) for one in (original, text))
    amounts = [amounts_of(one) for one in (original, text)]
    numbers = [[one.number for one in some] for some in amounts]
    if numbers[0] != numbers[1]:
        return f"its numbers are {', '.join(numbers[1]) or 'none'} and were {', '.join(numbers[0]) or 'none'}"
    for was, now in zip(*amounts, strict=True):
        if was.unit and now.unit and was.unit != now.unit:
            return f"its numbers have other units: {now.number} {now.unit} was {was.number} {was.unit}"
    words = lexicon("medrl")
    stated = [stated_in(one, words) for one in (original, text)]
    if lost := sorted(stated[0] - stated[1]):
        return f"{', '.join(lost)} is gone"
    if new := sorted(stated[1] - stated[0]):
        return f"{', '.join(new)} is new"
    if _WARNING.search(original.casefold()) and not _WARNING.search(text.casefold()):
        return "what the doctor advised against is gone"
    before, after = ({act for act in acts_of(one, words) if act.startswith("ask:")} for one in (original, text))
    if not before <= after or (_QUESTION.search(original) and not _QUESTION.search(text)):
        return "a question is gone"
    return ""


def amounts_of(text: str) -> list[Amount]:
    """The numbers of a text in their order. Linear in the text."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    found = []
    for one in _NUMBER.finditer(plain):
        number = one["digits"] or _SPELLED[one["word"] or "twice"]
        after = _AFTER.match(plain, one.end())
        unit = "times" if one["twice"] else str(after.lastgroup) if after else ""
        found.append(Amount(number, unit))
    return found


def stated_in(text: str, words: Lexicon) -> frozenset[str]:
    """What the statements of a text name, `drug:KEY`, and what they speak against, `not drug:KEY`; and `urgent`."""
    found = {act for act in acts_of(text, words) if act == "urgent"}
    for sentence in words.sentences(text):
        for clause in () if sentence.question else _REST.split(sentence.text):
            against = _AGAINST.search(clause.casefold()) is not None
            for part in words.sentences(clause):
                for one in part.of(*NAMED):
                    found.add(f"{'not ' if against or one.denied else ''}{one.kind}:{one.key}")
    return frozenset(found)
