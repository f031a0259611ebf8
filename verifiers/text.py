"""A term against the reference and its aliases: decided where the wording alone decides, left to a judge elsewhere.

Right: the committed answer is the reference once both are normalised, or clearly commits to it. Wrong: it is the
reference turned round (antonym, side, type number, negation), an open choice of several, or, with a vocabulary, a
different known concept. Similarity of strings decides nothing: "type 1" and "type 2 diabetes" are near in letters only.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from medrl.types import Problem, Verdict
from medrl.verifiers.concepts import Vocabulary, vocabulary
from medrl.verifiers.extract import Extracted
from medrl.verifiers.normalise import compact, normal, tokens
from medrl.verifiers.opposites import equivalent, opposed
from medrl.verifiers.reading import AnswerVerifier

_HEDGE = (
    r"most likely|likely|probably|probable|possibly|possible|presumably|suspected|definitely|clearly|almost certainly|"
    r"i think|i believe|i would say|i suspect|in summary|overall|therefore|thus|hence|so|in conclusion"
)
# What may stand before a term without changing it. Each is tried at the start, again and again.
_LEAD = re.compile(
    rf"(?:{_HEDGE}|(?:it|this|that|the (?:diagnosis|answer|patient|condition|cause|finding|drug|organism|"
    rf"picture|presentation))"
    r"(?: (?:most likely|likely|probably))?(?:'s| is| was| has| would be| must be| should be| indicates| suggests| are)"
    r"|(?:most )?(?:consistent with|suggestive of|diagnostic of|indicative of|compatible with)|a case of|"
    r"diagnosis of|the diagnosis|answer|diagnosis"
    r"|毫无疑问是|毫无疑问|首先考虑为?|优先考虑|首选|最可能是|最可能为|最常见的是|可能是|可能为|应该是|应为|"
    r"考虑为|考虑|诊断为|就是|即为?|即是|属于|提示|偏向|符合|是|为|患者|该患者|本例|患有?"
    r")[,:，： ]*",
    re.IGNORECASE,
)
_TAIL = re.compile(r"(?:可能性大|可能性最大|可能|的可能|的诊断|is (?:most )?likely|most likely|的表现)$", re.IGNORECASE)
_BECAUSE = re.compile(
    r"(?:,? (?:because|since|given|as evidenced by|which)\b|[,;:] |\. |[，；：。]|(?:，)?因为|，?由于|\n)",
    re.IGNORECASE,
)
_DIFFERENTIAL = re.compile(
    r",? ?(?:\b(?:rather than|instead of|as opposed to|and not|but not|"
    r"not(?! (?:\w+ )?\w+(?:ed|ate|ary|ful|able|ible)\b)|exclude|ruling out|rule out|unlike)\b|，?(?:而非|而不是|不是)|"
    r"，?(?:但)?(?:需|要|应)?(?:与|和|同).{0,30}鉴别|，?(?:需|应)?排除(?=[\u3400-\u9fffA-Za-z]))",
    re.IGNORECASE,
)
_BEFORE_NEGATION = re.compile(
    r"\b(?:not|no|never|without|unlikely(?: to be)?|excludes?d?|rul(?:e|es|ed|ing) out|rather than|instead of|"
    r"neither|nor|denies|no evidence of|against|isn't|cannot be|can't be)"
    r"(?: (?:a|an|the|be|to|have|evidence|of|sign|signs|any|diagnosis|have been)){0,4} ?$|"
    r"(?:(?<!能)(?<!能够)排除|不是|并非|非|不考虑|不支持|无|没有|而非|不选|否认|除外|不属于|不像)(?:了|为|是|有)?$",
    re.IGNORECASE,
)
_AFTER_NEGATION = re.compile(
    r"\s?(?:is|was|has been|can be|were)? ?(?:ruled out|excluded|unlikely|not (?:likely|present|the|supported|"
    r"considered)|less likely)|\s?(?:已|可|可以|被)?(?:排除|除外)|可能性(?:小|不大|低)|不支持|不成立",
    re.IGNORECASE,
)
_REVERSED = re.compile(
    r"\b(?:avoid|avoided|contraindicat|except|not|never|least|exclude|unlikely|withheld|stopp?ed|discontinued)|"
    r"避免|禁忌|禁用|不应|不宜|除外|除了|不是|不属于|错误|不正确|不能|不可",
    re.IGNORECASE,
)
_OR = re.compile(r"\s*(?:,? \bor\b|,? \beither\b|或者|或|还是| / |/(?=[A-Za-z]{3}))\s*", re.IGNORECASE)
_LIST = re.compile(r"\s*(?:,? \b(?:or|and)\b|或者|或|和|及|还是|[,;、，；])\s*", re.IGNORECASE)
_ALSO = re.compile(r"\b(?:also known as|also called|a\.?k\.?a\.?|i\.e\.|formerly)\b|又称|又名|也称|即", re.IGNORECASE)
_DENIES = re.compile(r"\b(?:not|no|without|unlikely|ruled out)\b|不是|排除|否认", re.IGNORECASE)
_REASON = re.compile(r",? ?(?:because|since|given|as evidenced by)\b|，?(?:因为|由于|因)", re.IGNORECASE)
_BESIDE = re.compile(
    r"\b(?:or|alternative\w*|however|but(?! not)|actually|also|could|may|might|maybe|perhaps|instead(?! of)|"
    r"either|both|other|another|too|fits?|as well|"
    r"possib\w+|likely|has|have|diagnos\w+|answer|second|plus)\b|或|也|但|然而|其实|另|还|均|都|可能|不过|诊断|患|答案",
    re.IGNORECASE,
)
_PARENS = re.compile(r"[（(]([^()（）]{1,120})[)）]")


@dataclass(frozen=True)
class Text(AnswerVerifier):
    """Decides a named answer (a diagnosis, a drug, an organism); abstains where wording cannot decide."""

    name: ClassVar[str] = "text"

    vocabulary: str | None = None
    """Names that are known to mean one concept: "clinic" (the simulated clinic's), or a file with one concept a line (a
    JSON list of names, or tab-separated names). With it a synonym is right and a different known concept is wrong;
    without it both abstain."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocabulary is not None:
            vocabulary(self.vocabulary)

    def data_digest(self) -> str:
        return vocabulary(self.vocabulary).fingerprint if self.vocabulary else ""

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        terms = terms_of(problem)
        known = vocabulary(self.vocabulary) if self.vocabulary else None
        if not any(compact(term) for term in terms):
            return Verdict.abstain("the reference has no letters or digits to compare")
        if not answer.committed:
            return Verdict.abstain("a long answer without a statement that commits to one term")
        verdict = _decide(problem, answer.text, terms, known)
        if verdict.score == 1.0 and any(_differs(problem, one, terms, known) for one in answer.earlier):
            return Verdict.abstain("an earlier statement, not taken back, names something else")
        if verdict.score == 1.0 and any(_decide(problem, one, terms, known).score == 0.0 for one in answer.after):
            return Verdict.abstain("something else that is known follows the answer")
        return verdict


def terms_of(problem: Problem) -> tuple[str, ...]:
    """The reference and its other names; "X (Y)" also counts as X where Y abbreviates it."""
    reference = str(problem.reference)
    outside = _PARENS.sub("", reference).strip()
    inside = _PARENS.findall(reference)
    more = [outside, *inside] if outside and inside and all(_abbreviates(one, outside) for one in inside) else []
    return tuple(dict.fromkeys((reference, *more, *problem.aliases)))


def _decide(problem: Problem, text: str, terms: tuple[str, ...], known: Vocabulary | None) -> Verdict:
    names = {compact(term): term for term in terms if compact(term)}
    core = peel(text)
    for shape in (text, core):
        if compact(shape) in names or any(equivalent(tokens(shape), tokens(term)) for term in terms):
            return Verdict.right(f"it is {names.get(compact(shape), terms[0])!r:.60}, as written")
    several = _several(core, names)
    if several:
        return several
    head = peel(_head(core))
    for shape in (core, head):
        if any(opposed(tokens(shape), tokens(term)) for term in terms):
            return Verdict.wrong(f"{shape!r:.60} is {terms[0]!r:.60} turned round (opposite, side, number or negation)")
    if _denied(text, terms):
        if _REVERSED.search(problem.question) or _REVERSED.search(terms[0]):
            return Verdict.abstain("the answer negates the reference, and the question asks in the negative")
        return Verdict.wrong(f"the answer denies {terms[0]!r:.60}")
    verdict = _glossed(head, names, known) or _known(head, core, terms, known)
    if verdict and verdict.score == 1.0 and (not _only_explains(core, _head(core)) or _DENIES.search(head)):
        verdict = None
    return verdict or Verdict.abstain("the wording does not decide")


def peel(text: str) -> str:
    """The text without hedges and lead-ins at its front and closing words at its end: "It is most likely X" is X."""
    text = text.strip(" \t\n.,;:。，；：、!！*\"'“”")
    for _ in range(8):
        match = _LEAD.match(text)
        rest = text[match.end() :] if match else ""
        # A Latin lead-in ends where its word ends.
        if (
            not match
            or not rest
            or (match[0][-1:].isascii() and match[0][-1:].isalpha() and rest[:1].isascii() and rest[:1].isalnum())
        ):
            break
        text = rest
    return _TAIL.sub("", re.sub(r"^(?:an?|the) ", "", text, flags=re.IGNORECASE)).strip(" .,;:。，；：、")


def _head(text: str) -> str:
    """The part that commits: before a reason, a contrast or a differential."""
    text = _DIFFERENTIAL.split(text, maxsplit=1)[0] or text
    return _BECAUSE.split(text, maxsplit=1)[0] or text


def _several(core: str, names: dict[str, str]) -> Verdict | None:
    """An open choice or a list that holds the reference among other things."""
    if any(_LIST.search(name) for name in names.values()) or _ALSO.search(core):
        return None
    choice = [compact(peel(part)) for part in _OR.split(core) if compact(part)]
    if len(choice) > 1 and any(part in names for part in choice) and not all(part in names for part in choice):
        return Verdict.wrong("an open choice between several answers")
    parts = [compact(peel(part)) for part in _LIST.split(core) if compact(part)]
    if len(parts) > 2 and any(part in names for part in parts) and not all(part in names for part in parts):
        return Verdict.abstain("the reference is one of several things listed")
    return None


def _mentions(text: str, terms: tuple[str, ...]) -> list[tuple[str, str]]:
    """What stands before and after each mention of a term as whole words, normalised, 60 characters a side."""
    whole = f" {normal(text)} "
    found: list[tuple[str, str]] = []
    for term in terms:
        needle, at = f" {normal(term)} ", -1
        while needle.strip() and len(found) < 64 and (at := whole.find(needle, at + 1)) >= 0:
            found.append(
                (_joined(whole[max(0, at - 60) : at]), _joined(whole[at + len(needle) : at + len(needle) + 60]))
            )
    return found


def _joined(text: str) -> str:
    """Chinese characters without the spaces that `normal` puts between them."""
    return re.sub(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])", "", text.strip())


def _denied(text: str, terms: tuple[str, ...]) -> bool:
    """Whether the terms are mentioned and every mention is negated."""
    mentions = _mentions(text, terms)
    return bool(mentions) and all(
        _BEFORE_NEGATION.search(before) or _AFTER_NEGATION.match(after) for before, after in mentions
    )


def _only_explains(text: str, head: str) -> bool:
    """Whether what follows the head gives a reason or a contrast, and names nothing beside it (as "X. Maybe Y")."""
    tail = text[len(head) :] if text.startswith(head) else ""
    if not tail.strip(" .。"):
        return text.startswith(head)
    if _BESIDE.search(tail):
        return False
    clauses = [clause for clause in re.split(r"[.。;；\n]", tail) if clause.strip()]
    if _REASON.match(tail) or _DIFFERENTIAL.match(tail):
        clauses = clauses[1:]
    elif tail[0] not in ".。\n":
        return False
    least = 8 if re.search(r"[\u3400-\u9fff]", tail) else 5  # a clause shorter than that may be a second answer
    return all(len(tokens(clause)) >= least for clause in clauses)


def _glossed(head: str, names: dict[str, str], known: Vocabulary | None) -> Verdict | None:
    """Of "X (Y)", where one of the two is the reference and the other only says it again: right."""
    match = _PARENS.search(head)
    if len(_PARENS.findall(head)) > 1:
        return None
    if not match:
        core = compact(head)
        return Verdict.right(f"it commits to {names[core]!r:.60}") if core in names else None
    outside, inside = peel(_PARENS.sub(" ", head)), peel(match[1])
    first, second = compact(outside), compact(inside)
    if known and None not in (ids := {known.find(outside), known.find(inside)}) and len(ids) > 1:
        return None
    if first in names and (second in names or _abbreviates(inside, outside) or _translates(inside, outside)):
        return Verdict.right(f"it commits to {names[first]!r:.60}, with another name for it")
    if second in names and (_abbreviates(outside, inside) or first in names):
        return Verdict.right(f"it commits to {names[second]!r:.60}, with another name for it")
    if known and first in names and known.find(outside) is not None and known.find(outside) == known.find(inside):
        return Verdict.right(f"it commits to {names[first]!r:.60}, with another name for it")
    return None


def _abbreviates(short: str, long: str) -> bool:
    """Whether `short` is made of the initials of `long` in order: SLE, DVT, T1DM."""
    letters = re.sub(r"[^A-Za-z0-9]", "", short)
    if not 2 <= len(letters) <= 8 or sum(c.isupper() or c.isdigit() for c in letters) < 2:
        return False
    words = [w for w in re.findall(r"[A-Za-z]+|\d+", long) if w.lower() not in ("of", "the", "and", "in")]
    return letters.casefold() == "".join(w[0] for w in words).casefold()


def _translates(inside: str, outside: str) -> bool:
    """Whether the one is Chinese and the other Latin, without a digit or a negation: a gloss, not a detail."""
    han = [bool(re.search(r"[\u3400-\u9fff]", one)) for one in (inside, outside)]
    return han[0] != han[1] and not re.search(
        r"\d|\b(?:not|or|type|stage|grade|left|right)\b|[或非不型期级左右疑无未否]|可能|排除", inside, re.IGNORECASE
    )


def _known(head: str, core: str, terms: tuple[str, ...], known: Vocabulary | None) -> Verdict | None:
    """What the vocabulary says: a synonym is right, a different concept is wrong."""
    if known is None:
        return None
    wanted = next((c for c in (known.find(term) for term in terms) if c is not None), None)
    given = next((c for c in (known.find(shape) for shape in (core, head)) if c is not None), None)
    if wanted is None or given is None:
        return None
    if wanted == given:
        return Verdict.right(f"another name of {terms[0]!r:.60}")
    ours, theirs = set(tokens(terms[0])), set(tokens(head))
    if ours < theirs or theirs < ours:
        return Verdict.abstain("a broader or narrower known concept")
    return Verdict.wrong(f"{head!r:.60} is known as something else than {terms[0]!r:.60}")


def _differs(problem: Problem, text: str, terms: tuple[str, ...], known: Vocabulary | None) -> bool:
    return _decide(problem, text, terms, known).score != 1.0
