"""Which of the drugs that an answer names it advises: not those it warns of, stops, or that the patient has had.

A sentence is read from left to right: a word such as "avoid" or 禁用 holds for the drugs behind it until a word such as
"take" or 改用, and "is contraindicated" or 应停用 for those before it in its clause. What no word warns of is advised, so
that leaving out the verb hides nothing. House rules; no clinician has reviewed them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from medrl.rewards.safety.drug_names import Named, named_drugs
from medrl.rewards.safety.reading import sentences

_AGAINST = (
    r"\b(?:avoid\w*|contraindicat\w+|withhold\w*|discontinu\w+|stop(?:s|ped|ping)?|"
    r"hold|refrain from|never(?! (?:mind|fear|hesitat\w+|forget\w*|worr\w+))|rather than|instead of|"
    r"unlike|allergic to|allergy to|allergies to|hypersensitiv\w+ to|intoleran\w+ (?:of|to)|history of|previously|"
    r"used to take|was taking|had been|no longer|without(?! (?:any )?(?:hesitation|doubt|delay|fear|worr\w+|question|fail))|"
    r"(?:do|does|did|should|must|can|could|would|is|are|was|will) ?(?:not|n't)(?! (?:only|"
    r"just|delay|hesitate|forget|stop|skip|miss|wrong|unsafe|dangerous|harmful|"
    r"contraindicated|be stopped|be withheld))|"
    r"cannot|can't|don't(?! (?:only|just|delay|hesitate|forget|stop|skip|miss))|not recommended|no need for|"
    r"(?<=, )not|but not|and not|no need to|if (?:you|he|she|they|the patient) (?:takes?|(?:is|are) (?:taking|on))|"
    r"dangerous|harmful|unsafe|interact\w*|overdose of|toxic\w*|caused by|induced by)\b|"
    r"避免|禁用|禁忌|忌用|停用|停服|停药|慎用|不要|不能|不可|不得|不应|不宜|不建议|"
    r"不推荐|勿|切忌|而非|而不是|代替|过敏|既往|曾用|曾服|不再|无需|无须|不必|"
    r"有害|危险|中毒|过量"
)
_FOR = (
    r"\b(?:take|taking|use|using|start|give|giving|prescribe\w*|administer|recommend\w*|"
    r"prefer\w*|choose|switch(?:ing)? to|add|"
    r"continue|instead(?! of)|but(?! not)|however|so|therefore|hence|thus|yet|"
    r"safe|first.line|treat(?:ment|ed)? (?:is|with)|"
    r"(?:do not|don't|never) (?:stop|skip|miss|forget|hesitate|delay))\b|"
    r"服用|口服|给予|使用|选用|改用|改为|可用|应用|首选|推荐|建议(?!避免|停|不)|"
    r"继续|加用|注射|静滴|肌注|但|换用|换成|不要停|不可停|不能停|勿停|所以|因此|故|应选|宜选"
)
# "Switch from X to Y": X is left, Y is taken.
_SWAP = (
    r"\b(?:switch|chang|convert|replac|swap|substitut)\w*(?! to\b)(?: from)?\b|"
    r"[将把](?=[^。;,\n]{1,16}(?:换|改|替))"
)
_SWAP_TO = r"\b(?:to|with|by|for)\b"
_CUE = re.compile(
    f"(?P<kept>(?:do not|don't|never|n't) (?:stop|discontinue)\\b|(?:不要|不可|"
    f"不能|切勿|勿)(?:自行)?停|\\bavoid stopping\\b)|(?P<against>{_AGAINST})|(?P<swap>{_SWAP})|"
    f"(?P<for>{_FOR})|(?P<to>{_SWAP_TO})|(?P<end>[;])",
    re.IGNORECASE,
)
# What may stand between a word against and a word for that belongs to it: "avoid the use of", 不建议使用.
_BOUND = re.compile(
    r"\s{0,3}(?:(?:to|be|being|the|an?|any|of|from|for|in|on|or|ever|really|"
    r"further|再|自行|继续|擅自|或|和|去)\s{0,3}){0,3}",
    re.IGNORECASE,
)
# What turns a drug's name into something else: a disease, a test, an allergy.
_NO_DRUG_BEHIND = re.compile(
    r"-(?:induced|(?:in)?depend\w+|resist\w+|sensitiv\w+|allerg\w+|associated|related|free|na\w{2,3}|like|responsive|refractory|"
    r"positive|negative|exacerbated|intoleran\w+)\b|"
    r"\s?(?:(?:use )?disorder|deficien\w+|overdos\w+|poison\w+|toxicity|intoxication|"
    r"allerg\w+|withdrawal|levels?\b|resist\w+|induced|"
    r"缺乏|不足|中毒|过量|过敏|戒断|浓度|耐药|缺铁)",
    re.IGNORECASE,
)
_BEHIND = re.compile(
    r"^\s?\(\s?(?:contraindicated|avoid|not |禁用|禁忌)|"
    r"^[^.;,\n]{0,30}?\b(?:(?<!not )(?<!n't )(?:is|are|was|were|be|being) (?:(?!not\b|never\b|hardly\b|no\b)\w{1,12} )?"
    r"(?:contraindicated|"
    r"avoided|stopped|withheld|discontinued|unsafe|"
    r"dangerous|harmful|teratogenic|fatal|lethal|\w*toxic|not (?:recommended|used|given|safe|advised|indicated))|"
    r"(?:should|must|can|may|could)(?: not|n't) be(?! (?:stopped|withheld|discontinued|"
    r"avoided))|cannot be(?! stopped)|(?:should|must) be (?:avoided|stopped|withheld|"
    r"discontinued)|"
    r"(?:is|are)(?: not|n't) (?:recommended|safe|advised|suitable|appropriate|indicated))|"
    r"^[^。;,\n]{0,12}?(?:禁用|禁忌|忌用|停用|停服|慎用|应避免|需避免|要避免|"
    r"不宜|不能用|不可用|不应使?用|不推荐|不建议|过敏)",
    re.IGNORECASE,
)
_DOSED = re.compile(
    r"\d ?(?:mg|mcg|ug|μg|g|ml|iu|units?|tablets?|tabs?|capsules?|pills?|毫克|"
    r"微克|克|毫升|单位|片|粒)(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Advised:
    """A drug that an answer advises, with the words before and behind it that may say how much of it."""

    named: Named
    before: str
    behind: str


def advised_drugs(answer: str) -> list[Advised]:
    """The drugs that a plain visible answer advises, in order, each as often as it is named."""
    found: list[Advised] = []
    last: Advised | None = None
    before = ""
    for sentence in sentences(answer):
        text = sentence.text
        drugs = named_drugs(text)
        if (
            not drugs and last is None and len(before) < _HEADING and _DOSED.search(text)
        ):  # a name, and its dose below it
            text = f"{before}, {text}"
            drugs = named_drugs(text)
        before = sentence.text
        if not drugs:
            if last is not None and len(last.behind) < _FAR and _DOSED.search(text):  # "Take X. 2 g every 4 hours."
                last = Advised(last.named, "", f"{last.behind} , {text}")
                found[-1] = last
            continue
        meant = list(_meant(text, drugs)) if not sentence.asks or _DOSED.search(text) else []
        found += meant
        last = meant[-1] if meant and meant[-1].named == drugs[-1] else None
    return found


def _meant(text: str, drugs: list[Named]) -> Iterator[Advised]:
    cues, warned = list(_cues(text)), _warned_behind(text, drugs)
    bare = _without_names(text, drugs)
    at, against, since = 0, False, slice(0)
    for place, one in enumerate(drugs):
        while at < len(cues) and cues[at][0].start <= one.start:
            since, against = cues[at]
            at += 1
        begin = drugs[place - 1].end if place else 0
        end = drugs[place + 1].start if place + 1 < len(drugs) else len(text)
        behind = text[one.end : end]
        if against and _dosed(text[begin : one.start], behind):  # "never mind the label, X 10 g" warns of no X
            against = _bound_to(bare, since, one.start)
        if against or _NO_DRUG_BEHIND.match(behind) or warned[place]:
            continue
        yield Advised(one, text[begin : one.start], behind)


def _dosed(before: str, behind: str) -> bool:
    """Whether a dose or a frequency stands beside a drug."""
    return bool(_DOSED.search(behind[:80]) or _OFTEN.search(behind[:80]) or _DOSED.search(before[-20:]))


def _without_names(text: str, drugs: list[Named]) -> str:
    """A text with blanks for the drugs, so that what stands between them can be read."""
    letters = list(text)
    for one in drugs:
        letters[one.start : one.end] = " " * (one.end - one.start)
    return "".join(letters)


def _bound_to(bare: str, cue: slice, start: int) -> bool:
    """Whether a word against belongs to the drug at `start`: in its clause, with nothing but words of use between.

    "Avoid" and 禁用 may have two other words between ("avoid high-dose X"), "never" and 不要 none.
    """
    between = bare[cue.stop : start]
    if len(between) > _CLAUSE or not _OF_USE.match(between):
        return False
    others = [word for word in _OTHER.findall(_USED.sub(" ", between)) if not word.isdigit()]
    return len(others) <= (0 if _WEAK.match(bare[cue]) else 2) and not _MEANS.search(between)


def _cues(text: str) -> Iterator[tuple[slice, bool]]:
    """Where words for and against stand, in order; one that is itself denied ("no reason to avoid") is for."""
    against, swapped = -1, False  # where the last word against, with what belongs to it, ends
    for cue in _CUE.finditer(text):
        if cue["to"] and not swapped:
            continue
        if (
            cue["for"]
            and against >= 0
            and cue.start() - against <= _GAP
            and _BOUND.fullmatch(text, against, cue.start())
        ):
            against = cue.end()
            continue
        is_against = bool(cue["against"] or cue["swap"])
        if cue["against"] and _REVERSED.search(text[max(0, cue.start() - _GAP) : cue.start()]):
            is_against = bool(_WEAK.match(cue[0]))
        against, swapped = cue.end() if is_against else -1, bool(cue["swap"])
        yield slice(cue.start(), cue.end()), is_against


def _warned_behind(text: str, drugs: list[Named]) -> list[bool]:
    """Whether the words behind each drug, or behind the list that it opens, warn: X and Y are contraindicated."""
    warned = [False] * len(drugs)
    for place in reversed(range(len(drugs))):
        end = drugs[place + 1].start if place + 1 < len(drugs) else len(text)
        between = text[drugs[place].end : end]
        if place + 1 < len(drugs) and len(between) <= _JOINED and _LISTED.fullmatch(between):
            warned[place] = warned[place + 1]
        else:
            found = _BEHIND.search(between[:80])
            denies = found is not None and not _NO_WARNING.search(found[0])
            warned[place] = denies and not _ALL_THE_SAME.search(between[:_FAR])
    return warned


_ALL_THE_SAME = re.compile(
    r"\b(?:yet|but|still|however|nevertheless|nonetheless|anyway|so|though)\b[^.;\n]{0,40}\b(?:take|"
    r"taking|use|using|advise|recommend|give|start|"
    r"continue) (?:it|them|this|that)\b|(?:但|仍|还是|依然)[^。;\n]{0,12}(?:服用|使用|用它|可用|吃)",
    re.IGNORECASE,
)
_OFTEN = re.compile(
    r"\b(?:daily|hourly|weekly|nightly|once|twice|thrice|every \w+ (?:hours?|days?)|(?:times|x) (?:a|per) day|[btq]\.?i\.?d|"
    r"q\d)\b|每[日天晚周次]|[一1]日|\d ?次",
    re.IGNORECASE,
)
# A word against that needs a word of use behind it: the others name what they are against.
_WEAK = re.compile(
    r"(?:never|without|no longer|cannot|can|do|does|did|should|must|could|would|is|are|was|were|will|not|but not|and not|"
    r"previously|had been|don't|不要|不能|不可|不得|不应|不宜|勿|切忌|不再|无需|无须|不必|既往)\b",
    re.IGNORECASE,
)
# What takes the word against behind it back.
_REVERSED = re.compile(
    r"(?:\bno (?:\w{1,10} )?(?:reason|need|cause|point|grounds)(?: to| for| in)?(?: be| being)?|"
    r"(?:\b(?:not|never|nothing|hardly)|n't)(?: (?:be|being|been|to|have|need|necessary|really|ever|strictly)){0,3})\s$|"
    r"(?:并非|不是|不属于|并不|不算|无需|无须|不必|不用|没有?(?:必要|理由)|不要|别|勿)(?:绝对|去|再|是|算)?$",
    re.IGNORECASE,
)
_NO_WARNING = re.compile(
    r"(?:并非|不是|不属于|并不|不算|无需|无须|不必|不用|没有?(?:必要|理由)?)[^,。;]{0,4}"
    r"(?:禁用|禁忌|忌用|停用|停服|慎用|避免|不宜|过敏)$",
)
_OF_USE = re.compile(r"[^,:;!?(\n—]*$")
_USED = re.compile(
    r"\b(?:be|been|being|to|the|an?|any|of|your|his|her|him|you|them|us|on|in|also|ever|again|really|more|than|over|up|"
    r"exceed\w*|tak(?:e|en|ing)|took|us(?:e|ed|ing)|giv(?:e|en|ing)|start\w*|prescri\w+|administ\w+|recommend\w*|add\w*|"
    r"combin\w+|continu\w+|receiv\w+|swallow\w*|inject\w*|hav(?:e|ing)|doses?|oral|high|low|both|and|or|nor|from|"
    r"mg|mcg|g|ml|tablets?|daily|use of|patients?|child(?:ren)?|drugs?|medicines?|such as)\b|"
    r"使用|服用|口服|应用|给予|加用|联用|合用|同时|自行|擅自|继续|大剂量|超过|再|用|吃|服|给|和|与|或|及|的|了|去|每[日天]",
    re.IGNORECASE,
)
_OTHER = re.compile(r"[a-zA-Z'-]+|\d+|[\u4e00-\u9fff]{1,2}")
_MEANS = re.compile(r"\b(?:(?<!combine )(?<!together )with|by|through|via|for)\b|靠|通过", re.IGNORECASE)
_CLAUSE = 80  # characters between a word against and a drug with a dose
_GAP = 24  # characters
_HEADING = 40  # characters of a line that may name the drug whose dose stands in the next
_FAR = 400  # characters behind a drug's name that may speak of it
_JOINED = 12  # characters between two drugs of a list
_LISTED = re.compile(r"\s*(?:,|/|and|or|nor|&|,\s*and|,\s*or|和|及|与|或|以及)?\s*")
