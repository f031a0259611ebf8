"""A term against the reference and its aliases: decided where the wording alone decides, left to a judge elsewhere.

Right: the committed answer is the reference once both are normalised, or clearly commits to it. Wrong: it is the
reference turned round (antonym, side, type number, negation), an open choice of several, or, with a vocabulary, a
different known concept. Similarity of strings decides nothing: "type 1" and "type 2 diabetes" are near in letters only.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from medrl.types import Problem, Verdict
from medrl.verifiers.claims import says_another
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.ellipsis import in_full
from medrl.verifiers.extract import Extracted
from medrl.verifiers.normalise import compact, tokens
from medrl.verifiers.operators import computes_otherwise, turns_round
from medrl.verifiers.predicates import corrections, takes_back
from medrl.verifiers.presence import found_after_all
from medrl.verifiers.reading import VocabularyVerifier
from medrl.verifiers.scripts import has_han
from medrl.verifiers.text_reading import asked_of, reference_of
from medrl.verifiers.text_steps import decide_text
from medrl.verifiers.vocabularies import Sources, vocabulary
from medrl.verifiers.wanted import Wanted, wanted_of
from medrl.verifiers.wording import DENIES, TELLS_TO, contrasts, says_nothing


@dataclass(frozen=True)
class Text(VocabularyVerifier):
    """Decides a named answer (a diagnosis, a drug, an organism); abstains where wording cannot decide."""

    name: ClassVar[str] = "text"

    vocabulary: Sources = None
    """Names that are known to mean one concept: "medrl" (medrl's own, English and Chinese), "clinic" (the simulated
    clinic's), a file (.jsonl, .csv, .tsv, .obo, .RRF), or a list of these. With it a synonym is right and a different
    known concept is wrong; without it both abstain."""

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        wanted = wanted_of(str(problem.reference), tuple(problem.aliases))
        if not wanted.names:
            return Verdict.abstain("the reference has no letters or digits to compare")
        if not answer.committed:
            return Verdict.abstain("a long answer without a statement that commits to one term")
        known = vocabulary(self.vocabulary)
        if known and not problem.aliases and (full := in_full(problem.question, wanted.terms[0], known)):
            wanted = wanted_of(str(problem.reference), (full,))
        verdict = decide_text(problem, answer.text, wanted, known)
        if verdict.score == 1.0 and known and _spelt_out_as_another(answer.text, wanted, known):
            return Verdict.abstain("the abbreviation is spelt out as something else")
        if verdict.score == 1.0 and (
            computes_otherwise(answer.text, wanted.terms, problem.question) or turns_round(answer.text, wanted.terms[0])
        ):
            return Verdict.abstain("its operators are not those of the reference")
        if verdict.score == 1.0 and _parts_prefix(answer.text, wanted):
            return Verdict.abstain('a prefix of the reference stands as a word of its own: "in direct"')
        if verdict.score == 1.0 and _disease_of_gene(problem, answer.text):
            return Verdict.abstain("a disease, which may have its gene's name, where the gene is asked")
        if verdict.score == 1.0 and any(found_after_all(wanted.terms[0], one) for one in (answer.text, *answer.after)):
            return Verdict.abstain("what is said to be absent is found after all")
        if verdict.score == 0.0 and any(
            decide_text(problem, said, wanted, known).score == 1.0
            for one in (answer.text, *answer.after)
            for said in corrections(one)
        ):
            return Verdict.abstain("it may correct itself to the reference")
        return verdict if verdict.score != 1.0 else _beside(problem, answer, wanted, known) or verdict


def _parts_prefix(text: str, wanted: Wanted) -> bool:
    """Whether a text has "in direct" where the reference has "indirect"."""
    joined = {"".join(match.groups()).casefold() for match in _PREFIX.finditer(text)}
    return any(not joined.isdisjoint(words) for words in wanted.words)


_PREFIX = re.compile(r"\b(in|un|a|an) ([A-Za-z]{4,20})\b", re.IGNORECASE)


def _spelt_out_as_another(text: str, wanted: Wanted, known: Vocabulary) -> bool:
    """Whether an abbreviation is followed by another thing's whole name in parentheses: PD（腹膜透析） of 帕金森病."""
    if compact(text) in wanted.names:
        return False
    for match in _SPELT_OUT.finditer(text) if "(" in text or "（" in text else ():
        ids = known.ids(match["name"].strip())
        if ids and not ids & reference_of(wanted.terms, known).ids and compact(match["name"]) not in wanted.names:
            return True
    return False


def _disease_of_gene(problem: Problem, text: str) -> bool:
    """Whether an answer names a disease where a gene is asked by its symbol: neurofibromatosis type 1, of NF1."""
    symbol = _SYMBOL.fullmatch(str(problem.reference).strip())
    if not symbol or not _ASKS_GENE.search(problem.question) or _GENE.search(text):
        return False
    eponym = len(tokens(text)) > 2 and compact(symbol[1]) not in compact(text)  # von Hippel-Lindau, of VHL
    return eponym or bool(_DISEASE.search(text))


_SYMBOL = re.compile(r"(?:the )?([A-Z][A-Z0-9][A-Z0-9-]{0,8})(?: gene|基因)?", re.IGNORECASE)
_ASKS_GENE = re.compile(
    r"\b(?:which|what|name the|identify the) (?:(?!disease|disorder|syndrome|condition)[\w-]+ ){0,3}genes?\b|"
    r"[哪何么][^，。？?病]{0,6}基因|基因[^，。？?]{0,6}[哪何么]",
    re.IGNORECASE,
)
_DISEASE = re.compile(
    r"disease|syndrome|disorder|neoplasia|tumou?r|cancer|deficien|dystrophy|(?:osis|oma|emia|itis|pathy)\b|"
    r"\btype ?[\dIV]|[病症征瘤癌]",
    re.IGNORECASE,
)
_GENE = re.compile(r"\bgenes?\b|基因", re.IGNORECASE)
_SPELT_OUT = re.compile(r"(?<![A-Za-z])[A-Z][A-Za-z]{0,2}[A-Z0-9]{1,4} ?[(（](?P<name>[^()（）]{1,60})[)）]")


def _beside(problem: Problem, answer: Extracted, wanted: Wanted, known: Vocabulary | None) -> Verdict | None:
    """What other statements of a response make of its right answer, if anything."""
    before = [decide_text(problem, one, wanted, known).score for one in answer.earlier]
    if 0.0 in before and known:
        return Verdict.wrong("two answers, neither taken back")
    if any(score != 1.0 for score in before):
        return Verdict.abstain("an earlier statement, not taken back, names something else")
    if any(decide_text(problem, one, wanted, known).score == 0.0 for one in answer.after) or (
        known and any(says_another(one, reference_of(wanted.terms, known), known) for one in answer.after)
    ):
        return Verdict.abstain("something else that is known follows the answer")
    if any(_turns(problem, one, wanted, known) for one in answer.after):
        return Verdict.abstain("what follows the answer may take it back")
    return None


def _turns(problem: Problem, after: str, wanted: Wanted, known: Vocabulary | None) -> bool:
    """Whether a sentence behind an answer takes it back, or is so short that it may ("Excluded.", "His mother.")."""
    words = tokens(after)
    if takes_back(after):
        return True
    if contrasts(after) or (TELLS_TO.match(after) and not DENIES.search(after)):
        return False  # "Not Y.", "Start heparin."
    short = len(words) < (8 if has_han(after) else 4)
    silent = says_nothing(words, asked_of(problem.question))
    return bool(words) and short and not silent and decide_text(problem, after, wanted, known).score != 1.0
