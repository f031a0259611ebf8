"""One answer beside the reference of its problem, taken apart once for all the steps that look at it (`text_steps`)."""

import re
from functools import cached_property, lru_cache

from medrl.types import Problem
from medrl.verifiers.asides import (
    another_name,
    apposition,
    gives_cause,
    only_describes,
    only_explains,
    says_it_is_a_name,
    says_more,
    without_exclusions,
)
from medrl.verifiers.claims import says_another
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.ellipsis import spoken_of
from medrl.verifiers.normalise import compact, tokens
from medrl.verifiers.parts import Reference
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.predicates import takes_back
from medrl.verifiers.scripts import has_han, simplified
from medrl.verifiers.wanted import Wanted
from medrl.verifiers.wording import DIFFERENTIAL_ASIDE, PARENS, Asked, before_another, head_of, peel, repeats

_UNKNOWN = Reference((), frozenset(), (), frozenset())


class Reading:
    """An answer, or a part of one, as it is held against a reference.

    Attributes:
        text: The answer in one script, without what it says of other things.
        whole: The text without what leads up to an answer and without parentheses that explain.
        core: The whole without a sign that is there, and a cause that the question names.
        head: The part of the core that names something.
        tail: What follows the head.
    """

    def __init__(self, problem: Problem, text: str, wanted: Wanted, known: Vocabulary | None) -> None:
        self.problem, self.wanted, self.known = problem, wanted, known
        self.question, self.asked = problem.question, asked_of(problem.question)
        self.term, self.names = wanted.terms[0], wanted.names
        self.text = self.whole = self.core = self.head = self._kept = text
        self.tail = ""
        if not (text.isascii() and text.isalpha()):  # of one word nothing can be taken off
            self._take_apart()

    def _take_apart(self) -> None:
        self.text = self._spelt(self._without_another(simplified(self.text)))
        self.whole = peel(_SIDE_BEHIND.sub(r"\2 \1", self._without_asides()))
        self.core = self._core()
        self._kept = head_of(self.core)
        self.head = self.core if self._kept == self.core else peel(self._kept)
        self.tail = self.core[len(self._kept) :]

    def _without_another(self, text: str) -> str:
        """The text without a last clause on another disease: "chancroid would be painful", but not "a scan would show"."""
        rest, thing = before_another(text)
        ids = self.known.ids(_FIRST_NOUN.split(thing, maxsplit=1)[0]) if thing and self.known else frozenset[int]()
        another = ids and self.known and all(self.known.concepts[one].kind == "disease" for one in ids)
        return rest if another and ids.isdisjoint(self.reference.ids) else text

    def of(self, text: str) -> "Reading":
        """Another text beside the same reference."""
        return Reading(self.problem, text, self.wanted, self.known)

    def _spelt(self, text: str) -> str:
        """The text with "antibody against X" and "(+)" in the form that names have."""
        if "ntibod" in text and not _ANTIBODY_TO.search(self.term):
            text = _ANTIBODY_TO.sub(r"anti-\1 antibody", text)
        return _PLUS.sub("阳性" if has_han(text) else " positive", text) if "+" in text else text

    @cached_property
    def reference(self) -> Reference:
        """The reference as the vocabulary knows it."""
        return reference_of(self.wanted.terms, self.known) if self.known else _UNKNOWN

    def _core(self) -> str:
        core = self.whole
        if "阳性" in core and _POSITIVE.search(core) and _IS_POSITIVE.search(self.term):
            core = _POSITIVE.sub("", core)
        cause = _CAUSE.search(core)
        return core[: cause.start()] if cause and repeats(core[cause.end() :], self.asked) else core

    @cached_property
    def explained(self) -> bool:
        """Whether what stands around the head only explains it."""
        if not self.tail:
            return True
        if not only_explains(self.core, self._kept):
            return False
        return not (self._may_undo() or self._says_more())

    def _says_more(self) -> bool:
        """Whether an apposition behind the head takes it back, or names what neither the question nor the head did."""
        aside = apposition(self.tail)
        if not aside or self.known is None:
            return bool(aside)
        own = self.reference.ids.union(*map(self.known.broader, self.reference.ids))
        return says_more(aside, own | spoken_of(self.question, self.known), self.known, self.asked)

    def _may_undo(self) -> bool:
        """Whether the tail takes the head back, or excludes something of which it is not known that it is another."""
        rest, excluded = without_exclusions(self.tail)
        if not excluded or takes_back(rest):
            return takes_back(rest)
        if self.known is None:
            return True
        families = {self.known.family(one) for one in self.reference.ids}
        named = self.known.mentions(tokens(excluded), excluded)
        return not any(self.known.family(one) in families for mention in named for one in mention.ids)

    def says_another(self, text: str) -> bool:
        """Whether a text names something that is known and is not the reference."""
        return self.known is not None and says_another(text, self.reference, self.known)

    def is_reference(self, name: str) -> bool:
        """Whether a name is one of the reference's, as written or as the vocabulary knows it."""
        return compact(name) in self.names or (
            self.known is not None and bool(self.known.ids(name) & self.reference.ids)
        )

    def _without_asides(self) -> str:
        """The text without parentheses that only tell its answer apart from something.

        Others go too where all repeat the question, or announce another name or a cause and name nothing else.
        """
        text = self.text
        if "(" not in text and "（" not in text:
            return text
        if all(map(self._only_explains, PARENS.findall(text))):
            return DIFFERENTIAL_ASIDE.sub(" ", PARENS.sub("", text))
        return DIFFERENTIAL_ASIDE.sub(" ", self.known.one_name(text) if self.known else text)

    def _only_explains(self, aside: str) -> bool:
        if len(compact(aside)) > 3 and compact(aside) in compact(self.question):
            return not _TURNS.search(aside) and not self.says_another(aside) and not _ADJECTIVE.fullmatch(aside)
        if name := another_name(aside):
            again = self.is_reference(name)
        else:
            again = says_it_is_a_name(aside) or (gives_cause(aside) and not self.says_another(aside))
        return again or (self.known is not None and only_describes(aside, self.reference.ids, self.known, self.asked))


@lru_cache(maxsize=4096)
def reference_of(terms: tuple[str, ...], known: Vocabulary) -> Reference:
    """`Reference.of`, remembered for the other answers to a problem."""
    return Reference.of(terms, known)


@lru_cache(maxsize=1024)
def asked_of(question: str) -> Asked:
    """`Asked.of`, remembered for the other answers to a problem."""
    return Asked.of(question)


# What a parenthesis of the question's words may still say: that a thing is past or not there, or of another kind.
_TURNS = re.compile(
    r"\b(?:not|no|non|without|never|exclu\w+|ruled|unlikely|previous\w*|prior|past|former\w*|old|history|failed|denie[sd]|"
    r"negative|absent|stopped|family|mother|father)\b|[不非无未曾否]|排除|除外|既往|阴性",
    re.IGNORECASE,
)
_ADJECTIVE = re.compile(r"[a-z-]+(?:al|ic|ous|ive|ary|ed)", re.IGNORECASE)
_FIRST_NOUN = re.compile(r"(?<=\w) (?:with|of|in|from)\b")
_ANTIBODY_TO = re.compile(
    r"\b(?:auto)?antibod(?:y|ies) (?:directed )?(?:against|to) (?:the )?"
    r"([A-Za-z0-9][^\s,.;()]*(?: [^\s,.;()]+){0,2})(?=[.,;(]| \(|$)",
    re.IGNORECASE,
)
_SIDE_BEHIND = Pattern(
    r"^(?:an? |the )?([^,;.]{3,60}?),? (?:on|to|of|in) the (left|right)(?: side)?(?=[.,;]|$)", re.IGNORECASE
)
_PLUS = re.compile(r"(?<=[征验体原]) ?[(（][+＋][)）]|(?<=[Ss]ign|test) ?[(（][+＋][)）]")  # Murphy征(+)
# Of an antibody, a sign or a test that is named, 阳性 says no more than that it is there.
_POSITIVE = re.compile(
    r"(?<=.)(?<![革兰弱强])呈?阳性(?:[是为](?:其|[本该]病)的?(?:主要|重要|典型)?(?:特征|特点|标志))?$"
)
_IS_POSITIVE = re.compile(r"(?:抗体|征|试验|[A-Za-z])$")
_CAUSE = Pattern(r",? (?:due to|secondary to|caused by|resulting from) ", re.IGNORECASE)
