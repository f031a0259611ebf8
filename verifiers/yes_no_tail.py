"""Whether what follows a yes or no says the contrary of it: "Yes, it is contraindicated" to "Is it safe?"."""

import re
from collections.abc import Iterable

from medrl.verifiers.normalise import normal
from medrl.verifiers.opposites import POLES
from medrl.verifiers.polarity import CLAUSES, GENERAL, GENERAL_HAN, REASON, Side
from medrl.verifiers.wording import last_sentence

_BANS = re.compile(
    r"\b(?:(?:not|never|cannot|\w{2,6}n't) (?:\w+ ){0,2}?(?:be )?(?:giv\w+|us\w+|do\w*|perform\w*|continu\w+|tak\w+|start\w*|"
    r"recommend\w*|safe|allowed|permitted|need\w*|necessary|indicated|required|advis\w+)|avoid\w*|stop\w*|withh[eo]ld\w*|"
    r"discontinu\w+|refus\w+|postpon\w+|delay\w*|defer\w*|restrict\w*|contraindicat\w+|unsafe|forbidden|prohibited|harmful|dangerous|unnecessary)\b|"
    r"禁(?!食)|避免|限制(?!型)|停(?:药|用|止|掉)|不(?:能|可以?|应|宜|得|建议|推荐|需|安全|必|允许)|无需|无须|勿",
    re.IGNORECASE,
)
_ALLOWS = re.compile(
    r"\b(?:safe|safely|allowed|permitted|fine|acceptable|recommended|indicated|necessary|needed|required|continued?|continues|"
    r"proceed|go ahead|harmless|first[- ]choice|give|"
    r"(?:can|may|could|should|must) (?:\w+ly |still |also )?be (?:giv\w+|us\w+|do\w*|perform\w*|tak\w+|start\w*))\b|"
    r"可以|可(?:继续|安全|使用|用)|安全|继续|应(?:当|该|立即|尽快|予|使用)|必须|需要|推荐|建议|允许|(?<![不只功])能(?!否)",
    re.IGNORECASE,
)
_CONTINUES = re.compile(r"(?:it|this|that|they|these|he|she|the (?:patient|drug|vaccine))\b", re.IGNORECASE)
_JOINS = re.compile(r"^(?:but|and|so|then|because|as|since|though|although|但|而|因|所以|因此) ?")
_CONTENT = re.compile(r"[a-z]{4,}|[\u3400-\u9fff]{2}")


def contradicts(side: Side, tail: str, question: str) -> bool:
    """Whether what follows a yes or no says the contrary of it: "Yes, it is safe" to "Is it contraindicated?"."""
    last = last_sentence(question)
    asked = _direction(last) or 1
    known = set(_CONTENT.findall(last.casefold()))
    for clause in CLAUSES.split(tail[:300]):
        if REASON.match(clause.strip()):
            break
        clause = _JOINS.sub("", clause.strip().casefold())
        says = _direction(clause)
        if says != asked and side == "yes" and _TURNS.search(clause):
            return True
        words = _CONTENT.findall(clause)
        affirms = words and not _TURNS.search(clause) and says != -asked and _same_poles(words, known)
        if side == "no" and affirms and len(known) > 1 and _last_content(last) in words:
            return True
        if side == "yes" and _other_poles(words, known):
            return True
        beside = _ALLOWS.sub(" ", _BANS.sub(" ", clause))
        left = [word for word in _CONTENT.findall(GENERAL_HAN.sub(" ", beside)) if word not in GENERAL]
        of_it = not left or bool(_CONTINUES.match(clause)) or not known.isdisjoint(_CONTENT.findall(beside))
        if says and of_it and (says == asked) != (side == "yes"):
            return True
    return False


_TURNS = re.compile(
    r"\b(?:not|no|never|none|cannot|without|lacks?|except|only|fatal|harmless|useless|false|wrong|untrue)\b|n't\b|"
    r"(?<!是)[不无未非](?!仅|但|论)|没有|其实|才怪|排除|错|相反|想多了",
    re.IGNORECASE,
)


def _poles(words: Iterable[str]) -> set[tuple[int, str]]:
    return {(POLES[word][0], str(POLES[word][1])) for one in words for word in normal(one).split() if word in POLES}


def _same_poles(words: Iterable[str], known: set[str]) -> bool:
    return _poles(words) <= _poles(known)


def _other_poles(words: Iterable[str], known: set[str]) -> bool:
    """Whether words name the other pole of what a question names: low, where it asks whether something is raised."""
    asked = dict(_poles(known))
    return any(asked.get(row, pole) != pole for row, pole in _poles(words))


def _last_content(question: str) -> str:
    words = [word for word in _CONTENT.findall(re.sub(r"\([^)]*\)", "", question.casefold())) if word not in GENERAL]
    return words[-1] if words else ""


_LIFTS = re.compile("(?:不(?:必|用|须|需要?|应该?)?|无[需须]|没必要|没有必要)(?:禁[用止忌]|停[药用止]|避免)")


def _direction(text: str) -> int:
    """1 where a text lets or has something be done, -1 where it bans or stops it, 0 where it does neither or both."""
    text = _LIFTS.sub("可以", text)
    rest = _BANS.sub(" ", text)
    return bool(_ALLOWS.search(rest)) - (rest != text)
