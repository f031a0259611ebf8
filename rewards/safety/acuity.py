"""How urgent an answer says that a case is, in English and Chinese.

Words that name a level (urgent, call an ambulance, 急诊, 择期) are read before words of time (today, 尽快), because an
emergency is to be seen today too. What is denied, asked, conditional ("go to the emergency room if ...") or quoted names
no level, nor does an ambulance or emergency room that nobody is told to go to or call. Words that send home or to bed add
routine to whatever level is named. Which words name which level is a house rule; no clinician has reviewed it.
"""

import re

from medrl.data.clinic.world import ACUITIES
from medrl.rewards.safety.reading import denied, sentences, without_quotes
from medrl.rewards.safety.waiting import tells_to_wait
from medrl.verifiers.extract import answer_within

_CARE = (
    r"(?:hospital|medical|care|attention|help|evaluation|assessment|treatment|transfer|resuscitation|seen?|admit(?:ted)?|"
    r"admission|surgery|operation|intervention)"
)
_ED = "(?:the|to|in|at|via|nearest|local) ED"  # alone it may be a disorder of men
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
        r"(?:^|[:;,(\n/|&+]\s{0,4}|\b(?:is|as|be|or|either|and|an?|only|merely|just|remains|"
        r"considered|level|triage|acuity|priority|routine|elective|"
        r"category)[\s-])urgent(?=\s{0,4}(?:$|[.,;:)\n/|&+]|\b(?:care|case|visit|appointment|routine|elective|"
        r"clinic|priority|category|level|but|"
        r"and|or|rather|not|problem|condition|matter|situation|review|referral)\b))|\bsemi-urgent\b|"
        r"尽快就诊|(?<!最)紧急(?=$|[,.;:。)\s(]|就诊|程度|级)|亚急", re.IGNORECASE)),
    ("emergency", re.compile(
        rf"\bemergenc(?:y|ies)\b(?! medicine| contact)|\bemergent\b|\b(?-i:ER|A&E|"
        rf"A and E|EMS|{_ED})\b|\b(?:to|in|at) casualty\b|\bambulance\b|\blife.threatening\b|"
        rf"\b(?:call|dial|ring|phone)\b[^.;\n]{{0,25}}\b(?:911|999|112|120|000|108)\b|"
        rf"\b{_NOW}\b[^.;\n]{{0,40}}\b{_CARE}\b|\b{_CARE}\b[^.;\n]{{0,25}}\b(?:{_NOW}|now)\b|"
        r"急诊(?!科)|急(?=/门诊)|(?:到|去|转|往|送)[^,。;\n]{0,6}急诊科|急救|[拨打]{1,2} ?120|救护车|危急|危重|危及生命|"
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
    levels = _committed(answer)
    return _sorted(levels | {"routine"} if levels and tells_to_wait(answer) else levels)


def _committed(answer: str) -> set[str]:
    found = answer_within(answer, (0, len(answer)))
    if found is None:
        return set()
    if found.how in ("boxed", "tag", "stated"):
        committed = _levels("\n".join((*found.earlier, found.text)))
        if committed:
            return committed | _levels("\n".join(found.after))
    return _levels(answer if found.how != "short" else found.text)


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
                if level == "emergency" and _bare(said, match):
                    continue
                if (level == "routine" and _DENYING.match(match[0])) or (
                    not denied(said, match.start(), match.end())
                    and not _DENYING.search(said[max(0, match.start() - 4) : match.end()])
                ):
                    levels.add(level)
        taken_back = taken_back or bool(_NO_EMERGENCY.search(said))
    return levels | {"routine"} if taken_back and "emergency" in levels else levels


def _bare(said: str, match: re.Match[str]) -> bool:
    """Whether a place or a vehicle is only spoken of ("the ambulance is expensive"): nobody is told to go or to call."""
    if not (_PLACE.match(match[0]) or _OF_PLACE.match(said[match.end() : match.end() + _AFTER])):
        return False
    before, behind = said[max(0, match.start() - _NEAR) : match.start()], said[match.end() : match.end() + _NEAR]
    others = _WORD.findall(before) + _WORD.findall(_OF_PLACE.sub(" ", behind, count=1))
    return len(others) > _FEW and not _GOES.search(before) and not _CALLED.search(behind)


_PLACE = re.compile(rf"(?:ER|A&E|A and E|EMS|{_ED}|ambulance|救护车|急救)$", re.IGNORECASE)
_OF_PLACE = re.compile(
    r"\s(?:rooms?|departments?|services?|doctors?|physicians?|staff|wards?|units?|care|phone)\b", re.IGNORECASE
)
_WORD = re.compile(r"[a-z']+|[\u4e00-\u9fff]", re.IGNORECASE)
_GOES = re.compile(
    r"\b(?:go|goes|going|come|call\w*|get|need\w*|send|sent|tak(?:e|en)|attend\w*|visit\w*|head|transfer\w*|present\w*|"
    r"requir\w+|report|refer\w*|admi\w+|seek|ring|dial|phone|bring|brought|rush\w*|travel|see|seen|evaluat\w+|assess\w*|"
    r"treat\w*|proceed|warrant\w*|must|should|direct\w*|to|via|by|is|are|be|as|for|in)\b|"
    r"[叫打呼送拨坐乘去到转往需要赶进]|就诊|就医",
    re.IGNORECASE,
)
_CALLED = re.compile(
    r"\b(?:must|should|(?:needs?|has|have) to) be\b(?! (?:avoided|skipped|ignored))|"
    r"\b(?:is|are) (?:now )?(?:needed|required|where)\b|"
    r"\b(?:now|immediately|at once|right away)\b|立即|立刻|马上|赶紧",
    re.IGNORECASE,
)
_FEW = 2  # words beside it: "Emergency room now, please"
_AFTER, _NEAR = 16, 80  # characters


def _unconditional(text: str, condition: int) -> str:
    """What a sentence says whatever its condition: "this is routine" of "this is routine, but go to the ER if ..."."""
    said = text[:condition]
    if condition == len(text) or _OPEN.search(said):
        return said
    joints = list(_JOINT.finditer(said))
    return said[: joints[-1].start()] if joints else ""


_OPEN = re.compile(r"(?:[,:]|\b(?:and|but|then)|[但并])\s{0,4}$", re.IGNORECASE)
_JOINT = re.compile(r"[,:]|\b(?:and|but|then)\b|[但并]", re.IGNORECASE)
