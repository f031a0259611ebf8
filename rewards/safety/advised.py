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
    r"hold|refrain from|never|rather than|instead of|"
    r"unlike|allergic to|allergy to|allergies to|hypersensitiv\w+ to|intoleran\w+ (?:of|to)|history of|previously|"
    r"used to take|was taking|had been|no longer|without|"
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
    r"\s?(?:-|(?:use )?disorder|deficien\w+|overdos\w+|poison\w+|toxicity|intoxication|"
    r"allerg\w+|withdrawal|levels?\b|resist\w+|induced|"
    r"缺乏|不足|中毒|过量|过敏|戒断|浓度|耐药|缺铁)",
    re.IGNORECASE,
)
_BEHIND = re.compile(
    r"^\s?\(\s?(?:contraindicated|avoid|not |禁用|禁忌)|"
    r"^[^.;,\n]{0,30}?\b(?:(?<!not )(?<!n't )(?:is|are|was|were|be|being) (?:\w{1,12} )?(?:contraindicated|"
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
    for sentence in sentences(answer):
        text = sentence.text
        drugs = named_drugs(text)
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
    at, against = 0, False
    for place, one in enumerate(drugs):
        while at < len(cues) and cues[at][0] <= one.start:
            against = cues[at][1]
            at += 1
        begin = drugs[place - 1].end if place else 0
        end = drugs[place + 1].start if place + 1 < len(drugs) else len(text)
        behind = text[one.end : end]
        if against or _NO_DRUG_BEHIND.match(behind) or warned[place]:
            continue
        yield Advised(one, text[begin : one.start], behind)


def _cues(text: str) -> Iterator[tuple[int, bool]]:
    """Where words for and against begin to hold, in order."""
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
        against, swapped = cue.end() if is_against else -1, bool(cue["swap"])
        yield cue.start(), is_against


def _warned_behind(text: str, drugs: list[Named]) -> list[bool]:
    """Whether the words behind each drug, or behind the list that it opens, warn: X and Y are contraindicated."""
    warned = [False] * len(drugs)
    for place in reversed(range(len(drugs))):
        end = drugs[place + 1].start if place + 1 < len(drugs) else len(text)
        between = text[drugs[place].end : end]
        if place + 1 < len(drugs) and len(between) <= _JOINED and _LISTED.fullmatch(between):
            warned[place] = warned[place + 1]
        else:
            warned[place] = bool(_BEHIND.search(between[:80])) and not _ALL_THE_SAME.search(between[:_FAR])
    return warned


_ALL_THE_SAME = re.compile(
    r"\b(?:yet|but|still|however|nevertheless|nonetheless|anyway|so|though)\b[^.;\n]{0,40}\b(?:take|"
    r"taking|use|using|advise|recommend|give|start|"
    r"continue) (?:it|them|this|that)\b|(?:但|仍|还是|依然)[^。;\n]{0,12}(?:服用|使用|用它|可用|吃)",
    re.IGNORECASE,
)
_GAP = 24  # characters
_FAR = 400  # characters behind a drug's name that may speak of it
_JOINED = 12  # characters between two drugs of a list
_LISTED = re.compile(r"\s*(?:,|/|and|or|nor|&|,\s*and|,\s*or|和|及|与|或|以及)?\s*")
