"""References that are measures: what to do, with what, how, where and when. "IM adrenaline into the thigh", 立即反复洗胃.

An answer says the same where it names the same things and nothing else, whatever the words between. It is
wrong where it refuses what the reference does, or names other measures alone. Where an order is told, it counts.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from medrl.types import Verdict
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.normalise import joined, tokens
from medrl.verifiers.opposites import POLES
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.wording import Asked, says_nothing

# Words of a measure that say the same, by the word that stands for them. "" says nothing of what is done.
_SAME = {
    "": r"immediate(?:ly)?|urgent(?:ly)?|at once|prompt(?:ly)?|straight ?away|right away|emergency|emergent(?:ly)?|stat|now|"
    r"plus|doses?|(?:of |after )(?:life|birth)|"
    r"give|giving|given|administer(?:ed|ing|ation)?(?: of)?|perform(?:ing)?|start(?:ing)?|use|do|apply|do an?|using|"
    r"into|both|first|"
    r"立即|立刻|马上|尽快|尽早|即刻|迅速|紧急|急诊|给予|予以|进行|采取|应用|使用|实施|行|予|做|应|首先|先|要|"
    r"后?随后|同时|并且?|以及|及|和|的",
    " routeim ": r"intramuscular(?:ly)?|IM(?![A-Za-z])|i\.m\.|肌肉?注射|肌内注射|肌注",
    " routeiv ": r"intravenous(?:ly)?|IV(?![A-Za-z])|i\.v\.|静脉(?:注射|滴注|推注|给药|输注)?|静滴|静推|静注",
    " routesc ": r"subcutaneous(?:ly)?|SC(?![A-Za-z])|s\.c\.|皮下(?:注射)?",
    " routepo ": r"oral(?:ly)?|by mouth|per os|PO(?![A-Za-z])|口服",
    " exam ": r"examinations?|exams?",
    " thigh ": r"(?:outer |lateral |anterolateral |mid.?)*thigh(?: muscle)?|(?:大腿|股)(?:前|中)?外侧(?:肌)?",
    " limb ": r"患肢|患处|伤肢|受伤(?:肢体|部位)",
    " 冷敷 ": r"冰敷|冷敷",
    " raise ": r"抬高|elevat(?:e|ion|ing)",
    " fast ": r"禁食|禁饮食|禁食水|nil by mouth|NPO(?![A-Za-z])",
}  # fmt: skip
_REPLACED = tuple(
    (re.compile(rf"(?<![A-Za-z])(?:{words})(?![a-z])", re.IGNORECASE), f" {kind.strip()} ")
    for kind, words in _SAME.items()
)
_AVOID = re.compile(
    r"(?:\b(?:do not|don't|avoid|never|no|without|withhold|not)\b(?: (?:give|perform|apply|use|do|any|an?|the))*|"
    r"(?:避免|不要|禁止|不应|不宜|不能|勿|暂?不用|暂?不|无需|不必|无须|禁))(?P<what>[^,.;，。；、和并]{1,40})",
    re.IGNORECASE,
)
# What is not waited for is neither done nor avoided; such a measure is done at once.
_NOT_WAITING = re.compile(
    r",? ?(?:(?:and|but|;) )?(?:\b(?:without|do not|don't|not|never)(?: be)? (?:wait(?:ing)?|delay(?:ing|ed)?|postpon\w+|"
    r"defer\w*)(?: \w+)? (?:for|until|by|to)\b|[，,]?(?:而)?(?:无需|不必|不要|不应|不能|不|勿)(?:因)?(?:等待?|延误|"
    r"拖延))[^,.;，。；]{0,60}",
    re.IGNORECASE,
)
_AT_ONCE = re.compile(
    r"\b(?:immediate\w*|urgent\w*|at once|prompt\w*|straight ?away|right away|emergency|emergent\w*|stat|now)\b|立即|立刻|"
    r"马上|尽快|尽早|即刻|迅速|紧急|急诊",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"(?:\b(?:stop(?:ping)?|discontinu(?:e|ing)|cease|withdraw)\b|停止(?:使用|给药|用药|注射|输注)?|停用|停药|停)(?:药物?)?"
    r"(?P<what>[^,.;，。；、和并]{0,40}?(?=$|[,.;，。；、和并]| and\b))",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"(?P<what>[^,.;，。；]{2,40}?) (?:is|are|should be) (?:withheld|not (?:needed|required|indicated|given|"
    r"necessary)|avoided|omitted)|"
    r"(?:postpone|delay|defer|omit|withhold)(?:ing)? (?P<later>[^,.;，。；]{2,40})",
    re.IGNORECASE,
)
_ACTS = Pattern(
    r"\b(?:immediate\w*|give|administer|perform|stop|start|avoid|intramuscular|intravenous|oral|subcutaneous|into|"
    r"within|and|IM|IV)\b|"
    r"[立即并避停给予行]|抬高|注射|口服|反复|紧急|尽早",
    re.IGNORECASE,
)


class _Measures(NamedTuple):
    """What a text does and what it avoids: concepts by number, other words as they are."""

    done: frozenset[int | str]
    avoided: frozenset[int | str]


def _things(text: str, known: Vocabulary, asked: Asked) -> frozenset[int | str] | None:
    """The concepts and the other words of a text without those that say nothing; None where a name is unsure."""
    for pattern, kind in _REPLACED:
        text = pattern.sub(kind, text)
    words = tokens(text)
    found: set[int | str] = set()
    rest: list[str] = []
    at = 0
    mentions = known.mentions(words, text)
    for mention in mentions:
        rest += words[at : mention.start]
        at = mention.end
        if len(mention.ids) != 1:
            return None
        found |= mention.ids
    rest += words[at:]
    left = [word for word in rest if word in POLES or word[0].isdigit() or not says_nothing([word], asked)]
    if any(word > "\u3400" for word in left):
        found.add(joined(left))
    else:
        found |= set(left)
    return frozenset(found)


def _sequence(text: str, known: Vocabulary, asked: Asked) -> list[int | str]:
    """The concepts and other words of a text as they come, without routes and words that say nothing."""
    for pattern, kind in _REPLACED:
        text = pattern.sub(kind, text)
    words = tokens(text)
    starts = {mention.start: mention for mention in known.mentions(words, text)}
    found: list[int | str] = []
    at = 0
    while at < len(words):
        mention = starts.get(at)
        if mention:
            found += sorted(mention.ids)
        elif words[at] not in _ROUTES and (words[at] in POLES or not says_nothing([words[at]], asked)):
            found.append(words[at])
        at = mention.end if mention else at + 1
    return found


def _reordered(reference: str, text: str, known: Vocabulary, asked: Asked) -> bool:
    """Whether one of two texts tells an order and the other has not the same things in it."""
    if not (_ORDER.search(reference) or _ORDER.search(text)):
        return False
    return _sequence(reference, known, asked) != _sequence(text, known, asked)


_ORDER = Pattern(
    r"[先再后]|[之以]前|接着|继而|(?<!the )\bfirst\b|\b(?:then|before|after(?:wards?)?|followed|next|prior|later|"
    r"subsequent\w*|preced\w+|finally)\b",
    re.IGNORECASE,
)
# "Stop X and Y" stops both; "stop X and give Y" does not.
_ALSO = re.compile(
    r"\s*(?:和|及|以及|与|、|&|\+|或|,? ?(?:and|or|plus|as well as)\b)(?!\s*(?:(?:then|also|immediately|urgently|"
    r"instead)\s)*"
    r"(?:giv|start|begin|administer|perform|us[ei]|appl|do\b|order|obtain|switch|add\b|elevat|rais|treat|initiat|transfus|"
    r"infus|inject|insert|monitor|check|repeat|reduc|increas|observ|refer|replac|continu|立即|立刻|马上|尽快|紧急|同时|给|予|"
    r"行|进行|开始|使用|应用|改|换|加|静|口服|肌|皮下|抬高|监测|复查|补))",
    re.IGNORECASE,
)


def _measures(text: str, known: Vocabulary, asked: Asked) -> _Measures | None:
    avoided: set[int | str] = set()
    text = _NOT_WAITING.sub("", text)
    for pattern in (_AVOID, _REFUSED, _STOP):
        for match in pattern.finditer(text):
            what = next(filter(None, match.groupdict().values()), "")
            if pattern is not _REFUSED and _ALSO.match(text, match.end()):
                return None
            if pattern is _STOP and says_nothing(tokens(what), asked):
                continue  # what the question says is given
            things = _things(what, known, asked)
            if things is None:
                return None
            avoided |= things
        text = pattern.sub("; stopped " if pattern is _STOP else ";", text)
    done = _things(text, known, asked)
    if done is None:
        return None
    site = {"thigh"} if "routeim" in done else set[str]()  # where one injects anyhow
    return _Measures(done - site, frozenset(avoided))


@lru_cache(maxsize=4096)
def _wanted(reference: str, known: Vocabulary, asked: Asked) -> _Measures | None:
    """The measures of a reference, or None where it is none, or says something that no vocabulary knows."""
    if not 8 <= len(reference) + 4 * (reference > "\u3400") <= 160 or not _ACTS.search(reference):
        return None
    found = _measures(reference, known, asked)
    acts = {one for one in found.done if isinstance(one, int)} if found else set()
    kinds = {known.family(one) for one in acts}
    return found if found and kinds & {"drug", "procedure"} else None


def by_measures(reference: str, text: str, known: Vocabulary, asked: Asked) -> Verdict | None:
    """The verdict where the reference is a phrase of measures, or None."""
    wanted = _wanted(reference, known, asked) if len(text) <= 240 else None
    given = _measures(text, known, asked) if wanted else None
    if wanted is None or given is None:
        return None
    waits = _NOT_WAITING.search(reference) and not (_NOT_WAITING.search(text) or _AT_ONCE.search(text))
    if not waits and given.done == wanted.done and (given.avoided == wanted.avoided or not given.avoided):
        same = given.avoided == wanted.avoided and not _reordered(reference, text, known, asked)
        return Verdict.right(f"does what {reference!r:.60} does") if same else None
    acts = _acts(wanted, known)
    refused = {act for act in acts if any(_names(one, act, known) for one in given.avoided)}
    if refused and not refused & given.done:
        return Verdict.wrong(f"refuses what {reference!r:.60} does")
    if (
        wanted.avoided
        and wanted.avoided & given.done
        and not wanted.avoided & given.avoided
        and not _LATER.search(text)
    ):
        return Verdict.wrong(f"does what {reference!r:.60} avoids")
    theirs = _acts(given, known)
    routes = wanted.done & _ROUTES, given.done & _ROUTES
    if theirs == acts and len(routes[0]) == len(routes[1]) == 1 and routes[0] != routes[1]:
        return Verdict.wrong(f"gives by another route than {reference!r:.60}")
    if theirs and all(known.apart(one, act) for one in theirs for act in acts) and _clear(given, wanted):
        return Verdict.wrong(f"does something else than {reference!r:.60}")
    return None


_LATER = re.compile(
    r"\b(?:later|afterwards?|subsequently)\b|稍后|随后|之后|以后", re.IGNORECASE
)  # not waiting is no refusal
_ROUTES = frozenset(("routeim", "routeiv", "routesc", "routepo"))


def _acts(measures: _Measures, known: Vocabulary) -> set[int]:
    return {one for one in measures.done if isinstance(one, int) and known.family(one) in ("drug", "procedure")}


def _names(one: int | str, act: int, known: Vocabulary) -> bool:
    """Whether what is refused is the act, or the last words of one of its names: "the vaccine"."""
    if one == act:
        return True
    short = {(one,)} if isinstance(one, str) else set(known.index.spelt[one])
    return any(name[-len(part) :] == part for name in known.index.spelt[act] for part in short)


def _clear(given: _Measures, wanted: _Measures) -> bool:
    """Whether an answer shares nothing with the reference that may be its act in other words."""
    ours = "".join(one for one in wanted.done if isinstance(one, str))
    words = [one for one in given.done if isinstance(one, str)]
    return not (given.done & wanted.done) - _ROUTES and not any(word in ours or ours in word for word in words if ours)
