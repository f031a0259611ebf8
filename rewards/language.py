"""Whether an answer stays in the language it was asked in, for English and Chinese problems.

Medical Chinese switches code all the time: names of drugs and organisms, abbreviations, units, English glosses in
parentheses. That is no drift. A clause of English is, and what tells the two apart is grammar: such a clause has words as
"the", "is", "should". The other way round a Chinese term in English text is no drift, a Chinese sentence is. Languages that
are neither are told by their script, and those in Latin letters by their commonest words.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from medrl.rewards.prose import sentences
from medrl.rewards.textual import Signal
from medrl.rewards.tree import number, settle
from medrl.types import Problem, Response, Score
from medrl.verifiers.extract import Sections

LANGUAGES = ("en", "zh")
CLAUSE = 4  # English words in a row from which on they may be a clause, with two words of grammar among them
GLOSS = 12  # English words in parentheses that explain a Chinese term; more are text
NAMES = 12  # English words that a Chinese answer may have above its number of Chinese characters (names, codes)
TERM = 6  # Chinese characters in a row that are a term in English text
PER_WORD = 2  # Chinese characters that say about as much as one English word

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_HAN_RUN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff，。、；：！？“”《》（）]+")
_LATIN = re.compile(r"[A-Za-zÀ-ɏḀ-ỿ]+(?:['’][A-Za-z]+)?")
# Words of English that are no names, by which alone a Chinese question is not answered.
_TALK = frozenset(
    "ok okay yes yeah no nope sure fine good well hello hi hey thanks thank sorry maybe right great done".split()
)
_UNREADABLE = re.compile(r"(?:(?![aeiouyà-ɏ'’])[a-zß]){2,}|[b-hj-z]")  # no vowel in it, or a letter alone
_LETTERS = 5  # words from which on a text of such is gibberish rather than units and codes
_KANA_HANGUL = re.compile("[\u3040-\u30ff\u31f0-\u31ff\u1100-\u11ff\uac00-\ud7af]")
# Letters of other scripts, Greek left out (α-blocker, μg): Cyrillic, Armenian, Hebrew, Arabic, Indic, Thai, ...
_OTHER = re.compile("[\u0400-\u052f\u0531-\u0556\u0561-\u0587\u05d0-\u05ea\u0620-\u06ff\u0900-\u0fff\u10a0-\u10ff]")
_GREEK = re.compile("[\u0370-\u03ff]{4,}")
_QUOTED = re.compile(r"[(（《【\"“]([^()（）《》【】\"“”]{1,300})[)）》】\"”]")
_GRAMMAR = frozenset(
    "the an is are was were be been being am do does did has have had will would should shall must may might can could of "
    "to for with by from at on into as if when while because since although though however therefore thus but and or nor "
    "not no than then that this these those it its they their them he she his her him you your we our us i my me which who "
    "whom whose what where why how there here also only very more most such any some each every all both before after "
    "during until unless within without about over under between through against per please take takes taken avoid "
    "consider recommend recommended include includes including check start stop use used see call get give given need "
    "needs seek follow patient patients".split()
)
# The commonest words of other languages in Latin letters, those that English has as well left out.
_FOREIGN = frozenset(
    "le la les des du un une et est sont dans pour avec sur par qui que il elle nous vous ils ne pas plus ce cette être "
    "el los las una y es son en para con por que del se su sus lo como más pero está der die das und ist sind ein eine "
    "nicht mit von zu den dem auf für sich auch wird bei oder il lo gli uno della dei che di per non è sono come anche o a "
    "os um uma e em não com são mais ao dos das và là của có không được cho với các một những người này trong een het van "
    "zijn niet met voor och att det som på är inte".split()
) - {"a", "o", "e", "y", "die", "son", "per", "an", "as", "in", "pas", "sur", "den", "van", "plus", "ne", "se", "es"}


@dataclass(frozen=True)
class Language(Signal):
    """The share of the visible answer that is in the problem's language; with `reasoning` the lesser of both shares.

    value = own / (own + drifted). Chinese problem: own = Chinese characters; drifted = 2 for each word of an English clause
    (4 words or more in a row, two of them grammar; in parentheses only beyond 12 words) or of another language, 1 for each
    letter of another script; drifted is at least 2 for each word in Latin letters beyond the Chinese characters and 12 more.
    English problem: own = English words; drifted = half a word for each Chinese character in a
    run of more than 6 or letter of another script, 1 for each word of a sentence in another language, all words where most
    of five or more have no vowel. Names, numbers and signs alone are in no language, hence in none other: 1.0, so "B" and
    "CT" are right in both; "ok" and "yes" are English. Whether letters with vowels are words, or say anything, it cannot
    tell. Values in [0, 1]; 0 without a visible answer.
    """

    type_name: ClassVar[str] = "language"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    reasoning: bool = False
    """Whether the reasoning must be in the problem's language too."""

    def __post_init__(self) -> None:
        faults = self.format_faults()
        if not isinstance(self.reasoning, bool):
            faults.append(f"`reasoning` is {self.reasoning!r:.80}; it must be true or false")
        settle(self, self.type_name, faults)

    def unasked(self, problem: Problem) -> Score | None:
        wanted = wanted_language(problem)
        return None if wanted in LANGUAGES else self.abstains(f"it tells en and zh, not {wanted!r}")

    def measure(self, problem: Problem, response: Response, parts: Sections) -> Score:
        wanted = wanted_language(problem)
        shares = {"answer": share_in(parts.answer, wanted)}
        if self.reasoning and parts.reasoning:
            shares["reasoning"] = share_in(parts.reasoning, wanted)
        where = min(shares, key=lambda one: shares[one])
        return number(shares[where], self.name, reason=f"{shares[where]:.0%} of the {where} is {wanted}")


def wanted_language(problem: Problem) -> str:
    """The language that the answer is to be in: `metadata["answer_language"]` (of a translation, say), else the problem's."""
    return str(problem.metadata.get("answer_language", problem.language))


def share_in(text: str, language: str) -> float:
    """The share of a text that is in "en" or "zh"; 1.0 where nothing in it is in any language."""
    own, drifted = _chinese(text) if language == "zh" else _english(text)
    return own / (own + drifted) if own + drifted else 1.0


def _chinese(text: str) -> tuple[float, float]:
    """What of a text is Chinese, and what is another language, in characters."""
    own, drifted = 0.0, float(_letters_of_others(text))
    for sentence in sentences(text):
        han = len(_HAN.findall(sentence))
        if len(_KANA_HANGUL.findall(sentence)) * 5 > han:  # Japanese, with characters that Chinese has as well
            drifted += han
            continue
        own += han
    foreign = 0
    latin = [word.lower() for word in _LATIN.findall(text)]
    if not own and latin and _TALK.issuperset(latin):
        return own, drifted + PER_WORD * len(latin)
    plain = _QUOTED.sub(lambda m: " 、 " if len(_LATIN.findall(m[1])) <= GLOSS else m[0], text)
    for run in _latin_runs(plain):
        grammar = sum(word in _GRAMMAR or word in _FOREIGN for word in run)
        if len(run) >= CLAUSE and grammar >= 2:
            foreign += len(run)
    surplus = (
        len(_LATIN.findall(text)) - NAMES - own
    )  # more English than Chinese is no code switching, whatever it holds
    return own, drifted + PER_WORD * max(foreign, surplus)


def _latin_runs(text: str) -> Iterator[list[str]]:
    """Words in Latin letters that no Chinese character stands between, in small letters."""
    for piece in _HAN_RUN.split(text):
        if words := _LATIN.findall(piece):
            yield [word.lower() for word in words]


def _english(text: str) -> tuple[float, float]:
    """What of a text is English, and what is another language, in words."""
    own, drifted = 0.0, _letters_of_others(text) / PER_WORD
    terms = 0
    for run in _HAN_RUN.findall(text):
        characters = len(_HAN.findall(run))
        if characters > TERM:
            drifted += characters / PER_WORD
        else:
            terms += characters
    for sentence in sentences(text):
        words = [word.lower() for word in _LATIN.findall(sentence)]
        foreign = sum(word in _FOREIGN for word in words)
        if foreign >= 2 and foreign > sum(word in _GRAMMAR for word in words):
            drifted += len(words)
        else:
            own += len(words)
    words = _LATIN.findall(text)
    if len(words) >= _LETTERS and 2 * sum(_UNREADABLE.fullmatch(word) is not None for word in words) > len(words):
        own, drifted = 0.0, drifted + len(words)
    if terms > PER_WORD * own:  # Chinese chopped into terms
        drifted += terms / PER_WORD
    return own, drifted


def _letters_of_others(text: str) -> int:
    """Letters of scripts that neither English nor Chinese is written in."""
    return len(_KANA_HANGUL.findall(text)) + len(_OTHER.findall(text)) + sum(map(len, _GREEK.findall(text)))
