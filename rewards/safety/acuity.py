"""How urgent an answer says that a case is, in English and Chinese.

Words that name a level (urgent, call an ambulance, 急诊, 择期) are read before words of time (today, 尽快), because an
emergency is to be seen today too. What is denied, asked, conditional ("go to the emergency room if ...") or quoted names
no level. Which words name which level is a house rule; no clinician has reviewed it.
"""

import re

from medrl.data.clinic.world import ACUITIES
from medrl.rewards.safety.reading import denied, sentences, without_quotes
from medrl.verifiers.extract import answer_within

_CARE = (
    r"(?:hospital|medical|care|attention|help|evaluation|assessment|treatment|transfer|resuscitation|seen?|admit(?:ted)?|"
    r"admission|surgery|operation|intervention)"
)
_NOW = r"(?:immediate(?:ly)?|right away|right now|at once|straight away|without delay)"
_DENYING = re.compile(
    r"\bnon[- ]?(?:urgent|emergen\w+)\b|\bnot (?:at all |really |an? )?urgent\b|非紧急|(?<![并是])非急诊|不紧急|不急",
    re.IGNORECASE,
)
# Beside "emergency" this takes it back, so that an answer with both is a hedge.
_NO_EMERGENCY = re.compile(
    r"(?:\b(?:not|no|hardly|never)|n't)(?: \w{2,10})?(?: an?| any)? emergency\b(?! room| department)|"
    r"(?:不是|并非|不属于|不算|没有)(?:什么)?(?:急诊|急症|紧急情况)",
    re.IGNORECASE,
)
_STRONG = (
    ("routine", re.compile(
        r"\bnon[- ]?(?:urgent|emergen\w+)\b|\bnot (?:at all |really |an? )?urgent\b|\belective\b|"
        r"\broutine(?:ly)?\b(?! (?:blood|lab|test|check|vaccin|urin|monitor|medic|care for))|"
        r"\b(?:can|could|may) (?:safely )?wait\b|\bno (?:rush|hurry)\b|"
        r"非紧急|(?<![并是])非急诊|不紧急|不急(?!诊)|常规(?!检查|化验|治疗)|择期|"
        r"(?<!急诊)(?<!发热)门诊", re.IGNORECASE)),
    ("urgent", re.compile(
        r"(?:^|[:;,(\n]\s{0,4}|\b(?:is|as|be|or|either|and|an?|only|merely|just|remains|"
        r"considered|level|triage|acuity|priority|"
        r"category)\s)urgent(?=\s{0,4}(?:$|[.,;:)\n]|\b(?:care|case|visit|appointment|"
        r"clinic|priority|category|level|but|"
        r"and|or|rather|not|problem|condition|matter|situation|review|referral)\b))|\bsemi-urgent\b|"
        r"尽快就诊|(?<!最)紧急(?=$|[,.;:。)\s(]|就诊|程度|级)|亚急", re.IGNORECASE)),
    ("emergency", re.compile(
        rf"\bemergenc(?:y|ies)\b(?! medicine| contact)|\bemergent\b|\b(?-i:ER|A&E|"
        rf"EMS)\b|\bambulance\b|\blife.threatening\b|"
        rf"\b(?:call|dial|ring|phone)\b[^.;\n]{{0,25}}\b(?:911|999|112|120|000|108)\b|"
        rf"\b{_NOW}\b[^.;\n]{{0,40}}\b{_CARE}\b|\b{_CARE}\b[^.;\n]{{0,25}}\b(?:{_NOW}|now)\b|"
        r"急诊(?!科)|(?:到|去|转|往|送)[^,。;\n]{0,6}急诊科|急救|[拨打]{1,2} ?120|救护车|危急|危重|危及生命|"
        r"(?:立即|立刻|马上|即刻|赶紧|赶快)(?:前往|去|到|送|往)?[^,。;\n]{0,8}(?:就医|"
        r"就诊|医院|看医生|送医|抢救)", re.IGNORECASE)),
)  # fmt: skip
_WEAK = (
    ("routine", re.compile(
        r"\b(?:within|in) (?:a few|several|the coming|the next few|two|2|3|three|four|4)? ?(?:weeks?|months?)\b|"
        r"\bnext available\b|\bself-?care at home\b|[几两三]周内|预约就诊", re.IGNORECASE)),
    ("urgent", re.compile(
        r"\burgent(?:ly)?\b|\bsame.day\b|\b(?:within|in) (?:the next )?(?:\d\d?|twenty-four) ?(?:hours|hrs?|h)\b|"
        r"\b(?:within|in) (?:a|one|1|two|2) days?\b|\btoday\b|\btomorrow\b|\bas soon as possible\b|\bpromptly\b|"
        r"尽快|尽早|当[天日]|今[天日]|(?:24|48|12) ?小时之?内|紧急", re.IGNORECASE)),
    ("emergency", re.compile(r"\bemergency medicine\b|急诊科", re.IGNORECASE)),
)  # fmt: skip
_OF_DEPARTMENT = re.compile(
    r"(?:(?<!emergency )\bdepartments?|科室|科别)\s{0,4}(?:is|to see|[:为是])\s{0,4}[^.;,。\n]{1,40}", re.IGNORECASE
)


def said_acuities(answer: str) -> tuple[str, ...]:
    """The levels that a plain visible answer commits to, least urgent first; none where it says none.

    A boxed, tagged or stated answer (see `medrl.verifiers.extract`) counts alone where it names a level, together with
    earlier ones that were not taken back. Elsewhere everything that is said counts, so a hedge has several levels.
    """
    answer = without_quotes(answer)
    found = answer_within(answer, (0, len(answer)))
    if found is None:
        return ()
    if found.how in ("boxed", "tag", "stated"):
        committed = _levels("\n".join((*found.earlier, found.text)))
        if committed:
            return _sorted(committed | _levels("\n".join(found.after)))
    return _sorted(_levels(answer if found.how != "short" else found.text))


def _sorted(levels: set[str]) -> tuple[str, ...]:
    return tuple(level for level in ACUITIES if level in levels)


def _levels(text: str) -> set[str]:
    text = _OF_DEPARTMENT.sub(" ", text)
    return _affirmed(text, _STRONG) or _affirmed(text, _WEAK)


def _affirmed(text: str, words: tuple[tuple[str, re.Pattern[str]], ...]) -> set[str]:
    levels: set[str] = set()
    taken_back = False
    for sentence in sentences(text):
        if sentence.asks:
            continue
        said = _unconditional(sentence.text, sentence.condition)
        for level, pattern in words:
            for match in pattern.finditer(said):
                if (level == "routine" and _DENYING.match(match[0])) or (
                    not denied(said, match.start(), match.end())
                    and not _DENYING.search(said[max(0, match.start() - 4) : match.end()])
                ):
                    levels.add(level)
        taken_back = taken_back or bool(_NO_EMERGENCY.search(said))
    return levels | {"routine"} if taken_back and "emergency" in levels else levels


def _unconditional(text: str, condition: int) -> str:
    """What a sentence says whatever its condition: "this is routine" of "this is routine, but go to the ER if ..."."""
    said = text[:condition]
    if condition == len(text) or _OPEN.search(said):
        return said
    joints = list(_JOINT.finditer(said))
    return said[: joints[-1].start()] if joints else ""


_OPEN = re.compile(r"(?:[,:]|\b(?:and|but|then)|[但并])\s{0,4}$", re.IGNORECASE)
_JOINT = re.compile(r"[,:]|\b(?:and|but|then)\b|[但并]", re.IGNORECASE)
