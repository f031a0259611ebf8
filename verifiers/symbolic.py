"""A formula against the reference: `k·A/d`, `t1/2 = 0.693 Vd/CL`, `(Na + K) - (Cl + HCO3)`, `\\frac{1}{2}mv^2`.

Both are read by a parser of our own (`medrl.verifiers.expressions`), never by `eval`, nor by sympy's readers, which use it.
Equal trees are right at once. Else values at seeded points decide: clearly different at one of them is wrong; equal at
all of them, and proven equal by sympy's `expand` of polynomials whose terms were counted first, is right. Whatever is
between is left to the next stage. No call of sympy here can run without end, so the rule needs no process of its own.

Names keep their case. A name of several letters is one variable where the reference writes it so (HCO3, Vd, CL). Where
people read a formula in two ways (`a/b c`, `log`, `mv`), every reading must agree.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

from medrl.errors import need
from medrl.types import Problem, Verdict
from medrl.verifiers.expression_tree import Node, TooLarge, Unreadable, call, name, number, power, product, total
from medrl.verifiers.expression_values import beyond, probe, proven
from medrl.verifiers.expressions import Reading, read_expression
from medrl.verifiers.extract import Extracted
from medrl.verifiers.notation import plain_notation
from medrl.verifiers.number import reference_quantity
from medrl.verifiers.operators import computes, without_alleles
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.reading import TAKES_BACK, AnswerVerifier
from medrl.verifiers.units import read_unit

Outcome = Literal["right", "wrong", "open"]
_EXPLAINED = re.compile(r"[,;.]? ?(?:\b(?:where|in which|because|since|given that)\b|，?其中|，?因为)", re.IGNORECASE)
_EQUALS = re.compile(r"[=≈≃≅＝]|\\(?:approx|simeq)(?![A-Za-z])")
_CAPITALS = re.compile(r"[A-Z]{2,5}")  # names such as HR and SV, which are no hours and sieverts
_TIMES = re.compile(r"(?<=[A-Z\d)]) x (?=[A-Z\d(])")  # HR x SV
_OPERATOR = re.compile(r"[-+*/^()]")
_SET_IN_TYPE = re.compile(r"[\s_{}]|\\(?:text|mathrm)")
_UNEQUAL = re.compile(r"[<>≤≥≠∝±]|!=|\\(?:le|ge|leq|geq|neq|ne|propto|pm)(?![A-Za-z])")


@dataclass(frozen=True)
class Formula:
    """A formula: what stands before its "=" and the last of its sides."""

    left: str
    right: str


@dataclass(frozen=True)
class Finding:
    """What a comparison found."""

    outcome: Outcome
    reason: str
    sympy: bool = False


@dataclass(frozen=True)
class Symbolic(AnswerVerifier):
    """Decides a formula against a reference that is one; abstains where the reference is a plain number or a term.

    `cost["sympy"]` is 1 where sympy was needed, so that a run can tell how often that is.
    """

    name: ClassVar[str] = "symbolic"

    def prepare(self) -> None:
        """Load sympy before an isolated worker's first clock starts."""
        need("sympy", "symbolic")

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        if not answer.committed:
            return Verdict.abstain("a long answer without a committed formula")
        references = [formula(text) for text in (str(problem.reference), *problem.aliases)]
        try:
            if not _asks_for_formula(problem, references[0]) or not any(map(_is_formula, references)):
                return Verdict.abstain(f"the reference {problem.reference!r:.60} is no formula that is read")
        except TooLarge as error:
            return Verdict.failed(f"problem {problem.id!r} has a reference past the bounds: {error}", "invalid")
        references = [one for one in references if _is_formula(one)]
        finding = _best(references, answer.text)
        if finding.outcome == "right":
            if any(_best(references, one).outcome != "right" for one in answer.earlier):
                finding = replace(finding, outcome="open", reason="an earlier statement, not taken back, differs")
            elif any(TAKES_BACK.search(one) or _best(references, one).outcome == "wrong" for one in answer.after):
                finding = replace(finding, outcome="open", reason="what follows the answer may take it back")
        cost = {"sympy": 1.0} if finding.sympy else {}
        if finding.outcome == "open":
            return Verdict.abstain(finding.reason, cost=cost)
        return Verdict(float(finding.outcome == "right"), reason=finding.reason, cost=cost)


_SPOKEN = (
    (re.compile(r" (?:divided by|over) ", re.IGNORECASE), " / "),
    (re.compile(r" (?:multiplied by|times) ", re.IGNORECASE), " * "),
    (re.compile(r"(?<=[\w)]) plus ", re.IGNORECASE), " + "),
    (re.compile(r"(?<=[\w)]) minus ", re.IGNORECASE), " - "),
)


def formula(text: str) -> Formula:
    """Part a text at its "=" signs; what follows "where" explains the variables."""
    for words, sign in _SPOKEN:
        text = words.sub(sign, text)
    text = _EXPLAINED.split(text.strip(), maxsplit=1)[0].strip().rstrip(".。;,")
    text = _TIMES.sub("*", text) if " x " in text else text
    sides = [side.strip() for side in _EQUALS.split(text)]
    return Formula(sides[0] if len(sides) > 1 else "", sides[-1])


def _asks_for_formula(problem: Problem, reference: Formula) -> bool:
    """Whether this rule may read the reference: "anti-dsDNA" is no difference. "x = 3/4" is read, "3/4" is a number."""
    if looks_symbolic(problem):
        return True
    told = bool(_SHORT.fullmatch(reference.left)) or computes(reference.right)
    return problem.metadata.get("answer_type") is None and told


@lru_cache(maxsize=4096)
def _is_formula(one: Formula) -> bool:
    """Whether a reference is more than a plain number; TooLarge where it is past the bounds."""
    if _UNEQUAL.search(one.left + one.right):
        return False
    try:
        node = read_expression(one.right).node
    except Unreadable:
        return False
    return bool(node.names) or bool(one.left)


def _best(references: list[Formula], text: str) -> Finding:
    """The answer against each reference: right where one says so, wrong where all do."""
    findings = []
    for reference in references:
        findings.append(_against(reference, text))
        if findings[-1].outcome == "right":
            break
    best = min(findings, key=lambda finding: ("right", "open", "wrong").index(finding.outcome))
    return replace(best, sympy=any(finding.sympy for finding in findings))


def _against(reference: Formula, text: str) -> Finding:
    if _UNEQUAL.search(text):
        return Finding("open", "the answer holds more than an equation")
    answer = formula(text)
    try:
        whole = _compared(reference, answer, split=False)
        if whole.outcome != "open":
            return whole
        split = _compared(reference, answer, split=True)
    except TooLarge as error:
        return Finding("wrong", f"the expression is too large to read: {error}")
    except Unreadable as error:
        return Finding("open", f"the answer is no formula that is read: {error}")
    return split if split.outcome != "open" else replace(whole, sympy=whole.sympy or split.sympy)


def _compared(reference: Formula, answer: Formula, split: bool) -> Finding:
    """The two right sides, words as one name or, with `split`, as the product of their letters."""
    findings = []
    ours = _readings(reference.right, frozenset(), split)
    known: frozenset[str] = frozenset().union(*(reading.node.names for reading in ours))
    theirs = _readings(answer.right, known, split)
    left = _left_sides(reference, answer, known)
    count = max(len(ours), len(theirs))
    for one, other in zip(_cycled(ours, count), _cycled(theirs, count), strict=True):
        findings.append(_equal(one.node, other.node))
    needed = any(finding.sympy for finding in findings)
    outcomes = {finding.outcome for finding in findings}
    if len(outcomes) > 1:
        return Finding("open", "it can be read in two ways", needed)
    found = replace(findings[0], sympy=needed)
    if found.outcome == "wrong" and split and known != theirs[0].node.names:
        return replace(found, outcome="open", reason="the variables are named otherwise")
    return found if left else replace(found, outcome="open", reason="the left sides differ")


@lru_cache(maxsize=1024)  # the reference comes again with every response to its problem
def _readings(text: str, known: frozenset[str], split: bool) -> list[Reading]:
    loose = read_expression(text, known, split=split)
    return [loose, read_expression(text, known, tight=True, split=split)] if loose.ambiguous else [loose]


def _cycled(readings: list[Reading], count: int) -> Iterator[Reading]:
    return (readings[i % len(readings)] for i in range(count))


def _left_sides(reference: Formula, answer: Formula, known: Collection[str]) -> bool:
    """Whether what the answer says it gives is what the reference gives, as far as either says so."""
    if not answer.left:
        return True
    theirs = _bare(answer.left)
    if reference.left:
        return _bare(reference.left) in (theirs, _bare(answer.left.split()[-1]))
    return theirs not in known and not _OPERATOR.search(theirs)


def _bare(side: str) -> str:
    return _SET_IN_TYPE.sub("", plain_notation(side))


def _equal(reference: Node, answer: Node) -> Finding:
    """Two trees; where "log" stands without a base, it is of base 10 unless base e would say otherwise."""
    if not answer.names and reference.names:
        return Finding("open", "the answer is a number where the reference is a formula")
    if not answer.names <= reference.names:
        return Finding(
            "open", f"the answer has variables of its own: {', '.join(sorted(answer.names - reference.names))[:60]}"
        )
    if reference == answer:
        return Finding("right", "the same formula")
    if "log" not in reference.calls | answer.calls:
        return _by_value(reference, answer)
    ten, e = (_by_value(_with_log(reference, base), _with_log(answer, base)) for base in (10, None))
    if ten.outcome == "wrong" and e.outcome != "wrong":
        return Finding("open", "it holds for one base of the logarithm only", e.sympy)
    return ten


def _with_log(node: Node, base: int | None) -> Node:
    """The formula with every `log` as a natural logarithm over that of its base."""
    args = [_with_log(arg, base) for arg in node.args]
    if node.kind == "sum":
        return total(args)
    if node.kind == "product":
        return product(args)
    if node.kind == "power":
        return power(args[0], args[1])
    if node.kind != "call":
        return node
    if node.name != "log":
        return call(node.name, args[0])
    natural = call("ln", args[0])
    return natural if base is None else product([natural, power(call("ln", number(base)), number(-1))])


_OPEN = {
    "near": "near the reference, but not equal",
    "scaled": "the reference times a factor that may be one between units",
    "unknown": "no point decides",
}


def _by_value(reference: Node, answer: Node) -> Finding:
    if reference == answer:
        return Finding("right", "the same formula")
    found = probe(reference, answer)
    if found == "different":
        return Finding("wrong", "its value differs from the reference's")
    if found == "rounded":
        return Finding("right", "equal to the reference once its decimals are rounded as written")
    if found != "equal":
        return Finding("open", _OPEN[found])
    if not proven(reference, answer):
        return Finding("open", "equal wherever it was tried, but not proven equal", True)
    if beyond(reference, answer):
        return Finding("open", "equal for positive values only", True)
    return Finding("right", "equal to the reference", True)


# What makes a text a formula beyond doubt. "BRCA1", "2-3", "IV/PO", "HLA-B*27" and "mg/kg" have none of these.
_SURE = re.compile(
    r"\\(?:frac|sqrt|cdot|times|ln|log|exp)\b|[√·]|(?<=[\w)\]])(?: [*×] |\*)(?=[\w(\[])|(?<=[A-Za-z)\]])\^\(?-?\d{1,2}(?!\d)|"
    r"(?<=[A-Za-z)\]])[²³]|\b(?:ln|log|exp|sqrt)\b ?[\d(]|e\^|\)\s?[-−–]\s?\(|\)\s?\*|\*\s?\(|[)\w] [-−–] \(\w+ \+ |"
    r"\(\w+ ?[-−–+] ?\w+\) ?/ ?[\d(A-Z]|/ ?\(\w+ ?[-−–+] ?\w+\)|\w [-−–+] \(\w+ ?[-−–+] ?\w+\) ?/ ?\d"
)
# What may stand before "=" in a reference: k, CL, AG, t1/2, t_{1/2}, V_d.
_SHORT = re.compile(r"[A-Za-z]{1,4}|(?=.{0,8}[\d_½])[A-Za-z][\w{}/ ½]{0,8}")
_COMPUTES = re.compile(r"\w ?[/*] ?\w|\w [-+−] \w")
_MAY = Pattern(
    r"[\\√·*×^²³/+]|[)\w]\s[-−–]|\)[-−–]|[A-Z] x [A-Z]|(?:ln|log|exp|sqrt) ?[\d(]"
)  # `_SURE` and `_COMPUTES` want one
_COMMAND = re.compile(r"\\\w+")
_WORDS = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{7,}")
_MEASURED = re.compile(
    r"\b(?:sensitivity|specificity|prevalence|systolic|diastolic|glucose|creatinine|albumin|calcium|chloride)\b"
)


def looks_symbolic(problem: Problem) -> bool:
    """Whether a problem asks for a formula: `metadata["answer_type"]` is "expression", or its reference is one for sure."""
    stated = problem.metadata.get("answer_type")
    if stated is not None:
        return bool(stated == "expression")
    text = str(problem.reference or "")
    if problem.options or problem.kind not in ("open", "numeric") or len(text) > 300 or not _MAY.search(text):
        return False
    return reference_quantity(problem) is None and _is_sure(text)


@lru_cache(maxsize=1024)
def _is_sure(text: str) -> bool:
    """Whether a text is a formula beyond doubt."""
    if _WORDS.search(_MEASURED.sub("", _COMMAND.sub("", text))):
        return False
    one = formula(without_alleles(text))
    if not (_SURE.search(one.right) or (_SHORT.fullmatch(one.left) and _COMPUTES.search(one.right))):
        return False
    try:
        if not _is_formula(one):
            return False
        node = read_expression(one.right).node
    except (TooLarge, Unreadable):
        return False
    return (
        bool(node.names)
        and node.kind != "name"
        and (not all(map(_is_unit, node.names)) or (one.left != "" and all(map(_CAPITALS.fullmatch, node.names))))
    )


def _is_unit(word: str) -> bool:
    return read_unit(word, 0)[1] == len(word) or name(word) == name("e")
