"""Hedges, boilerplate and answers that commit to nothing, in English and Chinese.

A sentence counts by what it does, never by how sure one of its words sounds: "it could definitely be many things" hedges.
What medicine needs is free: a share of hedged sentences and a first disclaimer; and the precise "see a doctor if the fever
lasts three days" is no disclaimer. Disclaimers are counted rather than measured, so that neither padding nor a long answer
thins them out.

Words of doubt stand in other files for other questions, on purpose: `safety/confidence.py` takes them as a probability that
is stated, `consultation_words.py` asks whether a disease that is named is also meant, and there lists and examples hedge
too; verifiers ask whether an answer is taken back beside what it says.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from medrl.rewards.prose import sentences, spelt
from medrl.rewards.textual import Signal, share, whole, words
from medrl.rewards.tree import number, settle
from medrl.types import Problem, Response, Score
from medrl.verifiers.extract import Sections

# Says that something is only possible, or who knows.
_HEDGE = re.compile(
    r"\b(?:may|might|could)(?: (?:well|also|possibly|potentially|perhaps|very well|definitely|certainly|easily"
    r"|still|\w{2,12}ly))?"
    r" (?:be|have|not be|represent|indicate|suggest|reflect|mean|result|stem|point|need|involve|help|benefit|require)\b"
    r"|\b(?:perhaps|maybe|possibly|presumably|conceivably|supposedly|arguably)\b"
    r"|\b(?:is|'s|remains)(?: \w{2,12})? possible that\b|\bone possibility\b|\ba possibility\b"
    r"|\b(?:it|this|that|which|answer|treatment|choice|diagnosis)(?: \w{1,12}){0,2} depends\b|\bdepending on\b"
    r"|\b(?:unclear|uncertain|unsure|not (?:entirely |completely |fully |100% |yet |\w{2,12}ly )?(?:sure|certain"
    r"|clear|known))\b"
    r"|\b(?:it seems|it appears|seems to|appears to be|i (?:think|guess|suppose|suspect|assume)|in some cases"
    r"|to some extent)\b"
    r"|\b(?:can(?:'t|not)|cannot) (?:be )?(?:ruled? out|exclude)\b|\bone of several\b|\bamong other (?:things"
    r"|possibilities)\b"
    r"|(?<![不尽])可能(?!的?(?:不良反应|副作用|并发症))|也许|或许|大概(?!\d)|说不定|似乎|好像是?|估计(?!值)|不(?:太|大)?(?:确定|清楚|好说)|未必|不一定"
    r"|不排除|不能(?:完全)?排除|(?:视|看|取决于)(?:具体)?情况|因人而异|见仁见智|在某种程度上"
)
# The sentences that every assistant adds and that tell no patient anything.
_DISCLAIMER = re.compile(
    r"\bi(?:'m| am) (?:not|only|just) an? (?:\w{2,12} )?(?:doctor|physician|medical|health|ai|language|healthcare"
    r"|substitute)\b"
    r"|\bas an? (?:ai|artificial|language|virtual)\b"
    r"|\b(?:not|never)(?: \w{2,12}){0,3} (?:a )?(?:substitute|replacement) for\b|\bnot (?:intended as )?(?:medical"
    r"|professional) advice\b"
    r"|\b(?:informational|educational|general information)(?: \w{2,12}){0,3} (?:purposes?|only)\b"
    r"|\beveryone(?:'s| is)(?: \w{2,12})? different\b|\bresults? (?:may|can) vary\b|\bi hope (?:this|that) helps\b"
    r"|我(?:不是|并非|只是)(?:一[名个位])?(?:专业)?(?:的)?(?:医生|医师|医务人员|ai|人工智能)|作为(?:一[个名款])?(?:ai|人工智能|语言模型)"
    r"|(?:不能|无法|不可|并非|不)(?:代替|替代|取代|构成)[^。！？\n]{0,8}(?:医生|医师|专业|医疗|诊断|就诊|面诊)"
    r"|仅供参考|以上(?:内容|信息|建议|回答)?仅[作为供]"
    r"|每个人的?(?:情况|体质)(?:都)?(?:不同|不一样)|希望(?:以上|我的|这些)?(?:内容|回答|信息|建议)?(?:能|可以)?(?:对您|对你)?(?:有所)?有?帮助"
)
# Sends the reader to somebody else …
_REFERRAL = re.compile(
    r"\b(?:consult|speak (?:to|with)|talk to|see|seek (?:advice|help|guidance)? ?(?:from|of)?|ask|contact"
    r"|check with|reach out to|follow up with)"
    r" (?:with )?(?:a|an|your|the)(?: \w{2,14}){0,2} (?:doctor|physician|professional|provider|practitioner"
    r"|clinician|pharmacist|specialist)s?"
    r"(?= (?:for|before|if|when|about (?:any|your)|regarding|to (?:determine|get|discuss|ensure|receive|find out))\b"
    r"|[.!\s]*$|,? (?:who|as) )"
    r"|\b(?:always )?(?:seek|get) (?:professional|medical|expert) (?:medical )?(?:advice|help|attention"
    r"|guidance)(?=[.!\s]*$|,? (?:if (?:you|symptoms)|before|from))"
    r"|(?:请|建议|最好|务必|应)(?:您|你|患者)?(?:及时|尽快|尽早|先|去)?(?:咨询|询问|请教)(?:您的|你的)?(?:专业)?(?:的)?"
    r"(?:医生|医师|医务人员|医疗人员|医疗专业人士|专业人士|专科医生)|(?:遵|谨遵)医嘱(?=[。！.!\s]*$)"
    r"|(?:请|建议)(?:您|你)?(?:及时|尽快|尽早)?(?:到|去)?(?:正规)?(?:医院|就医|就诊)(?:检查|就诊|看看)?(?=[。！.!\s]*$)"
)
# … which tells a patient something where it says when.
_WHEN = re.compile(
    r"\b(?:if|when|unless)\b(?! (?:you (?:have|need|are|'re) (?:any|further|more|other|concern|question|in doubt"
    r"|unsure|worried)"
    r"|in (?:any )?doubt|(?:your |the |any )?(?:symptoms?|problems?|conditions?) (?:persist|worsen|continue"
    r"|do(?:es)? not|get)|necessary|needed|possible))"
    r"|\bwithin (?:\d|an? |the next)|\b(?:immediately|right away|today|emergency|urgent(?:ly)?)\b"
    r"|(?:如果|若|一旦|假如)(?!您|你|还|仍|再|出现|(?:有|存在)(?:任何|其他)|(?:症状|病情|不适)(?:持续|加重|未|不))|(?:出现|伴有?|超过).{2,40}(?:时|者|应|请"
    r"|立即|马上|尽快|及时|，)|立即|马上|急诊|\d ?(?:天|小时|日|周)"
)
# Says that no answer is given.
_NONCOMMITTAL = re.compile(
    r"\b(?:i|we|it|one|nobody|no one)(?:'m| am| is| are)? (?:\w{2,12} ){0,2}?(?:can(?:'t|not)|could(?:n't| not)|not able to"
    r"|unable to)(?: \w{2,12}){0,3} (?:say|tell|determine|conclude|know|diagnose|be (?:sure|certain|determined)"
    r"|make a diagnosis|give an? (?:\w{2,12} )?(?:answer|diagnosis)|commit)\b"
    r"|\bit(?:'s| is| would be) (?:very |quite |rather |too )?(?:hard|difficult|early|impossible|not possible)"
    r"(?: \w{2,12}){0,2} (?:say|tell|determine|conclude|know|diagnose|be (?:sure|certain)|make a diagnosis"
    r"|give an? (?:\w{2,12} )?answer)\b"
    r"|^\W*(?:very |quite |rather |too )?(?:hard|difficult|impossible|early) to (?:say|tell|know|judge)\b"
    r"|\bwho (?:knows|can (?:say|tell))\b|\b(?:doctor|time) will tell\b|谁知道|不好讲|难说|说不(?:准|好|清)|八成.{1,20}八成"
    r"|\bit (?:all )?(?:really )?depends\b|\b(?:there is|there's) no (?:clear|single|definite|right"
    r"|definitive) (?:answer|diagnosis)\b"
    r"|\b(?:could|can|may|might)(?: \w{2,12}){0,2} be (?:anything|many things|a number of things|due to (?:many"
    r"|several|various))\b"
    r"|\b(?:many|several|various|multiple|numerous) (?:\w{2,12} )?(?:possibilities|possible (?:causes|diagnoses"
    r"|explanations))\b"
    r"|\bmore (?:information|tests?|details?|data) (?:is|are|would be)? ?(?:needed|required|necessary)\b"
    r"|(?:无法|不能|难以|没法|很难|不好)(?:直接|明确|准确|完全|马上|轻易|给出|做出|作出|下|够|在线上|在网上|\w){0,6}?(?:判断|确定|确诊|诊断|下结论|定论|回答|说清|说明)"
    r"|(?:有|存在)(?:很多|许多|多种|各种)(?:可能|原因)|(?:什么|各种)(?:可能|情况)都有|没有(?:明确|唯一|标准)的?答案|需要更多(?:信息|检查|资料)"
)

# Commits to one thing at a time, and to nothing where three sentences do: "Likely gout. Likely sepsis. Likely lupus."
_LIKELY = re.compile(
    r"^\W*(?:(?:it|this)(?:'s| is) )?(?:most |very |quite )?(?:likely|probably|potentially|plausibly|chances are)\b"
    r"|^\W*(?:很可能|多半|八成|大概率|考虑)"
)
SEVERAL = 3  # such sentences from which on they commit to nothing
# A bare choice of three or more, which is no advice: "gout or lupus or sepsis".
_NAME = r"[\w'-]{2,20}(?: [\w'-]{2,20}){0,2}"
_CHOICE = re.compile(
    rf"(?:either )?(?:(?:it|this)(?: is|'s) )?{_NAME}(?:,? or {_NAME}){{2}}(?:,? or {_NAME}){{0,9}}\W*"
    r"|(?:是|要么)?[^\W或]{1,10}(?:，?或者?(?:是)?[^\W或]{1,10}){2,12}\W*"
)
_ADVICE = re.compile(
    r"\b(?:take|use|give|try|avoid|start|stop|add|apply|check|order|get|drink|eat|rest|go|call|come|return|see)\b"
    r"|[服用吃喝查做避停换给]"
)


class Hedges(NamedTuple):
    """What hedges in a text.

    Attributes:
        share: Words of hedging or noncommittal sentences over the words of all sentences that are no disclaimers.
        disclaimers: Sentences of boilerplate.
        noncommittal: Sentences that say that no answer is given.
    """

    share: float
    disclaimers: int
    noncommittal: int


@dataclass(frozen=True)
class Hedging(Signal):
    """1.0 for an answer that commits itself, less for hedges, boilerplate and refusing to commit.

    value = max(0, 1 - max(0, s - free) / (1 - free) - cost * max(0, d - disclaimers) - cost * n): s the share of words in
    hedging sentences, d the disclaimers, n the sentences that give no answer. Values in [0, 1]; 0 without a visible answer.
    It cannot see whether doubt is in place: where the case is open, `free` is what an honest answer needs.
    """

    type_name: ClassVar[str] = "hedging"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    free: float = 0.4
    """Share of the words that may stand in hedging sentences; 0.3 to 0.6. Medicine is uncertain."""
    disclaimers: int = 1
    """Sentences of boilerplate ("consult a professional") that cost nothing."""
    cost: float = 0.25
    """What each further disclaimer, and each sentence that gives no answer, costs."""

    def __post_init__(self) -> None:
        faults = self.format_faults() + share(0.0, 0.99, free=self.free) + share(cost=self.cost)
        settle(self, self.type_name, faults + whole(0, disclaimers=self.disclaimers))

    def measure(self, problem: Problem, response: Response, parts: Sections) -> Score:
        found = hedges(parts.answer)
        value = 1.0 - max(0.0, found.share - self.free) / (1.0 - self.free)
        value -= self.cost * (max(0, found.disclaimers - self.disclaimers) + found.noncommittal)
        reason = f"{found.share:.0%} hedged, {found.disclaimers} disclaimers, {found.noncommittal} noncommittal"
        return number(max(0.0, value), self.name, reason=reason)


def hedges(text: str) -> Hedges:
    """What hedges in an answer. A text of disclaimers alone hedges wholly; a sentence said twice is one in the share."""
    said = hedged = disclaimers = noncommittal = 0
    likely: list[int] = []
    for sentence, times in Counter(map(spelt, sentences(text))).items():
        if is_disclaimer(sentence):
            disclaimers += times
            continue
        length = words(sentence)
        said += length
        if _NONCOMMITTAL.search(sentence) or _undecided(sentence):
            noncommittal += times
            hedged += length
        elif _HEDGE.search(sentence):
            hedged += length
        elif _LIKELY.search(sentence):
            likely.append(length)
    hedged += sum(likely) if len(likely) >= SEVERAL else 0
    return Hedges(hedged / said if said else 1.0, disclaimers, noncommittal)


def _undecided(sentence: str) -> bool:
    """Whether a sentence is a choice of three or more and nothing else."""
    return len(sentence) <= 200 and _CHOICE.fullmatch(sentence) is not None and not _ADVICE.search(sentence)


def is_disclaimer(sentence: str) -> bool:
    """Whether a sentence, as `spelt` writes it, is boilerplate."""
    if _DISCLAIMER.search(sentence):
        return True
    return _REFERRAL.search(sentence) is not None and not _WHEN.search(sentence)
