"""Answers and references of two parts: "X (Y)", two names one after the other, "do A and give B"."""

import re

from medrl.verifiers.claims import OPEN_CHOICE, by_concepts
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.normalise import compact, tokens
from medrl.verifiers.parts import Reference, names_reference
from medrl.verifiers.wanted import Wanted
from medrl.verifiers.wording import AVOID, LIST, Asked


def names_two(core: str, reference: Reference, wanted: Wanted, known: Vocabulary) -> bool:
    """Whether an answer is nothing but two names, each a sentence, of which one is the reference and the other is not."""
    parts = _SENTENCES.split(core) if len(core) < 160 and _SENTENCES.search(core) else []
    if len(parts) != 2 or not reference.ids:
        return False
    own = [compact(part) in wanted.names or bool(known.ids(part) & reference.ids) for part in parts]
    others = known.ids(parts[own.index(False)]) if sum(own) == 1 else frozenset[int]()
    kinds = {known.concepts[one].kind for one in reference.ids}
    return len(others) > 0 and all(
        one >= 0 and known.concepts[one].kind in kinds and known.apart(one, ours)
        for one in others
        for ours in reference.ids
    )


def is_other_pair(terms: tuple[str, ...], core: str, known: Vocabulary, asked: Asked) -> bool:
    """Whether reference and answer are both "X (Y)", and each name of the answer excludes the reference's at its place."""
    ours, theirs = _PAIR.fullmatch(terms[0]), _PAIR.fullmatch(core)
    if ours is None or theirs is None or len(terms) > 1:
        return False
    read = [by_concepts(theirs[name], Reference.of((ours[name],), known), known, asked) for name in ("x", "y")]
    return all(one is not None and one.score == 0.0 and one.reason != OPEN_CHOICE for one in read)


def touches(text: str, reference: Reference, known: Vocabulary) -> bool:
    """Whether a text names the reference, or a thing of its family of which it is not known that it is another."""
    if names_reference(text, reference, known):
        return True
    families = {known.family(one) for one in reference.ids}
    return any(
        one >= 0 and known.family(one) in families and not known.apart(one, ours)
        for mention in known.mentions(tokens(text), text)
        for one in mention.ids
        for ours in reference.ids
    )


def withholds(text: str, reference: str, question: str) -> bool:
    """Whether an answer begins by withholding what the reference tells to give: "Hold naloxone", 暂不给纳洛酮."""
    match = _WITHHOLDS.match(text) if len(text) < 200 else None
    if match is None or AVOID.search(question) or _LATER.search(text):
        return False
    thing = compact(match["thing"] or match["han"])
    given = (_GIVES.fullmatch(part.strip(" .。")) for part in LIST.split(reference))
    return len(thing) > 3 and thing in {compact(one["thing"] or one["han"]) for one in given if one}


_WITHHOLDS = re.compile(
    r"(?:hold|withhold|avoid|omit|do not (?:give|start|use|administer)|don't (?:give|start|use|administer)|"
    r"never (?:give|use)) "
    r"(?:the |any )?(?P<thing>[^,.;()]{3,40}?)(?=[.,;]|$| (?:and|but)\b)|"
    r"(?:暂不|不要|不应|禁止|避免|切勿|停止)(?:给予?|使用|应用)?(?P<han>[^，。；,、]{2,12}?)(?=[，。；,、]|$)",
    re.IGNORECASE,
)
_GIVES = re.compile(
    r"(?:then )?(?:give|start|administer|begin|use)s? (?:iv |im |intravenous |intramuscular |oral )?"
    r"(?P<thing>[^,.;()]{3,40})|(?:立即)?(?:静脉|肌内)?(?:给予?|使用|应用|注射)(?P<han>[^，。；,、]{2,12})",
    re.IGNORECASE,
)
_LATER = re.compile(r"\b(?:until|unless|if|first|before|too long|on)\b|[先除若待直]", re.IGNORECASE)
_PAIR = re.compile(r"(?P<x>[^(),;（）]{2,50}?) ?[(（](?P<y>[^(),;（）]{2,50})[)）]")
_SENTENCES = re.compile(r"(?<=\w\w)\. (?=[A-Z])|。|\n+")
