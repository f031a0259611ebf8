"""References that are a code: FBN1, T790M, HLA-B27, β2, MEN 2B, G3b, 浅Ⅱ度.

Such an answer is the code among words that say what sort of thing it is, or that the question has. Another code of the same
shape is wrong, and so is one that leaves a part of it out where the question asks for the type, the stage or the grade.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from medrl.types import Verdict
from medrl.verifiers.normalise import ROMAN, tokens
from medrl.verifiers.opposites import NEGATIONS, POLES
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.stages import KIDNEY, of_another_scale
from medrl.verifiers.wording import Asked, is_glue, says_nothing

_GREEK = frozenset("alpha beta gamma delta epsilon kappa lambda mu".split())
# What sort of thing a code names; nobody means another thing by them.
_SORTS = frozenset(
    "type class stage grade category group degree phase level subtype gene antigen antibody mutation variant receptor "
    "adrenoceptor chain subunit protein marker allele haplotype nyha ckd 型 级 期 度 类 第 链".split()
)
# Scales of which the one may be meant by a word of the other; all else that numbers is another scale.
_SCALES = {
    word: frozenset(scales)
    for word, scales in {
        "type": "型", "subtype": "型", "型": "型", "class": "级类", "category": "级类", "nyha": "级", "类": "类",
        "级": "级度", "grade": "级度", "degree": "级度", "度": "级度", "stage": "期", "phase": "期", "期": "期",
        "ckd": "期级", "group": "组", "level": "层",
    }.items()
}  # fmt: skip
# A gene is not its protein, nor a receptor its chain, but beside a symbol (FBN1, β2) or where the question asks for it.
_STRONG = frozenset("gene antigen antibody receptor adrenoceptor chain subunit protein 链".split())
_BESIDE = frozenset(
    "germline somatic heterozygous homozygous pathogenic deleterious loss gain function missense nonsense point substitution "
    "deletion defect positive expression exon chromosome codon long short arm caused in of adrenergic acquired resistance "
    "autosomal dominant recessive inherited sequence human on by due to".split()
)
_HAN_BESIDE = re.compile(
    "基因|突变|外显子|染色体|位点|阳性|抗原|抗体|蛋白|杂合|纯合|胚系|体细胞|致病|变异|受体|亚基|亚型|号|链|的|型|级|期|度|类"
)
# Where a gene lies is no second code.
_PLACE = re.compile(
    r"\b(?:chromosome|exon|codon) ?\d{1,4}(?:[pq]\d{0,2}(?:\.\d+)?)?\b|\d{1,2} ?号?(?:外显子|染色体)|"
    r"\b\d{1,2}[pq]\d{1,2}(?:\.\d+)?\b",
    re.IGNORECASE,
)
_ACIDS = {
    "ala": "A", "arg": "R", "asn": "N", "asp": "D", "cys": "C", "gln": "Q", "glu": "E", "gly": "G", "his": "H", "ile": "I",
    "leu": "L", "lys": "K", "met": "M", "phe": "F", "pro": "P", "ser": "S", "thr": "T", "trp": "W", "tyr": "Y", "val": "V",
}  # fmt: skip
_LONG = re.compile(rf"(?:\bp\.)?({'|'.join(_ACIDS)})(\d{{1,4}})({'|'.join(_ACIDS)})(?![a-z])", re.IGNORECASE)
_SHORT = re.compile(r"(?<![A-Za-z0-9])(?:p\.)?([ACDEFGHIKLMNPQRSTVWY])(\d{2,4})([ACDEFGHIKLMNPQRSTVWY])(?![A-Za-z0-9])")
_PREFIX = re.compile(r"\bp\.(?=[A-Z]\d)")
_ASKS_SORT = Pattern(
    r"\b(?:which|type|subtype|stage|grade|category|class|degree|group)\b|[哪几]|分[型级期度]|深度|[型级期度][？?为是]",
    re.IGNORECASE,
)


class _Code(NamedTuple):
    """A reference's code: its tokens without the sort of thing, and whether it is an exchange of amino acids."""

    core: tuple[str, ...]
    exchange: bool


def plain_code(text: str) -> str:
    """A text with exchanges of amino acids in one letter each, and without the places of genes: Thr790Met, p.T790M."""
    text = _LONG.sub(lambda m: f"{_ACIDS[m[1].lower()]}{m[2]}{_ACIDS[m[3].lower()]}", text)
    return _PLACE.sub(" ", _PREFIX.sub("", text)).replace("*", "")


@lru_cache(maxsize=4096)
def _code_of(reference: str, question: str) -> _Code | None:
    """The code that a reference is, or None."""
    words = (
        _words(plain_code(reference)) if len(reference) <= 40 and "(" not in reference and "（" not in reference else []
    )
    if not any(word[0].isdigit() or word in _GREEK for word in words):
        return None
    core = _without_sort(words, question)
    digits = [word for word in core if word[0].isdigit()]
    if not 0 < len(core) <= 5 or not (digits or (len(core) == 1 and core[0] in _GREEK)) or len(digits) > 2:
        return None
    if not NEGATIONS.isdisjoint(core) or any(
        "." in word or word in ("%", "<", ">", "<=", ">=", "+", "-") for word in core
    ):
        return None
    return _Code(tuple(core), bool(_SHORT.fullmatch(plain_code(reference).strip())))


def _words(text: str) -> list[str]:
    return [ROMAN.get(word, word) for word in tokens(text)]


def _without_sort(words: Sequence[str], question: str) -> list[str]:
    core = [word for word in words if word not in _SORTS]
    if len(core) > 1 and core[0] == "g" and core[1][0].isdigit() and KIDNEY.search(question):
        del core[0]  # G3b, stage 3b
    return core


_HLA = re.compile(
    r"(?:the |an? )?(?:HLA[- ]?)?(?P<locus>[ABC]|D[PQR][AB]?\d?) ?\*?"
    r"(?P<group>\d{2}):?(?P<protein>\d{2})?(?::\d{2})*(?: allele)?",
    re.IGNORECASE,
)


def _by_allele(reference: str, text: str) -> Verdict | None:
    """Of an allele of HLA: the same locus and figures, "B*5701" for HLA-B*57:01."""
    if reference[:3].upper() != "HLA" or len(text) > 40:
        return None
    ours, theirs = (_HLA.fullmatch(one.strip(" .")) for one in (reference, text))
    if ours is None or theirs is None or not ours["protein"]:
        return None
    one, other = ((m["locus"].upper(), m["group"], m["protein"]) for m in (ours, theirs))
    if one == other:
        return Verdict.right(f"it is {reference!r:.40}")
    less = one[:2] == other[:2] and not theirs["protein"]
    return None if less else Verdict.wrong(f"{text!r:.40} is not {reference!r:.40}")


def by_code(
    question: str, reference: str, text: str, asked: Asked, same: Callable[[Sequence[str]], list[str]]
) -> Verdict | None:
    """The verdict where the reference is a code, or None.

    Args:
        question: The question.
        reference: The reference; None comes back unless it is a code.
        text: The answer.
        asked: The words of the question.
        same: Takes tokens and gives them back without those that name the reference or what the question speaks of.
    """
    if allele := _by_allele(reference, text):
        return allele
    code = _code_of(reference, question)
    if code is None or len(text) > 160:
        return None
    if not _kinds(text) ^ _kinds(reference) <= _kinds(question):
        return None
    text = plain_code(text)
    if _other_scale(_words(text), _words(reference), asked):
        return None
    strong = (_STRONG & set(_words(text))) ^ (_STRONG & set(tokens(reference)))
    long = [len(word) for word in code.core if len(word) > 2]
    if (len(long) > 1 or max(long, default=0) > 5) and not strong <= asked.words:
        return None
    if code.exchange:
        others = {m[0] for m in _SHORT.finditer(text)}
        wanted = plain_code(reference).strip()
        if others and wanted not in others and all(m[0] != wanted[0] or m[-1] != wanted[-1] for m in others):
            words = [word for word in tokens(_SHORT.sub(" ", text)) if word not in _SORTS]
            return Verdict.wrong(f"it is another exchange than {wanted}") if _silent(words, asked) else None
    words = _without_sort(_words(text), question)
    core = list(code.core)
    at = next((i for i in range(len(words) - len(core) + 1) if words[i : i + len(core)] == core), -1)
    if at >= 0:
        after = words[at + len(core) :]
        if after and (after[0][0].isdigit() or (len(after[0]) == 1 and after[0].isascii() and core[-1][0].isdigit())):
            return None  # 2b is more than 2
        rest = same([*words[:at], "|", *after])
        right = _silent(rest, asked) and not of_another_scale(text, question, reference)
        return Verdict.right(f"it is the code {reference!r:.40}") if right else None
    marks = [word for word in words if _marks(word, core)]
    rest = same([word for word in words if word not in marks])
    if not marks or not _silent(rest, asked):
        return None
    ours = [word for word in core if _marks(word, core)]
    if len(marks) < len(ours) and set(marks) <= set(ours):
        left = [word for word in core if word not in words]
        said = all(word in POLES if word > "\u3400" else _marks(word, ()) for word in left)
        if left and said and _ASKS_SORT.search(question) and any(word[0].isdigit() for word in marks):
            return Verdict.wrong(f"less specific than {reference!r:.40}")
        return None
    figures = [word for word in marks if word[0].isdigit()], [word for word in ours if word[0].isdigit()]
    stems = [word for word in core if word not in ours]
    bare = all(word in asked.words or word in words for word in stems if word.isascii())
    if figures[0] and len(figures[0]) == len(figures[1]) and figures[0] != figures[1] and bare:
        return Verdict.wrong(f"names {' '.join(marks)} where {reference!r:.40} is right")
    greek = [word for word in marks if word in _GREEK], [word for word in ours if word in _GREEK]
    if len(greek[0]) == len(greek[1]) == 1 and greek[0] != greek[1] and bare:
        return Verdict.wrong(f"names {' '.join(marks)} where {reference!r:.40} is right")
    return None


def _other_scale(words: Sequence[str], reference: Sequence[str], asked: Asked) -> bool:
    """Whether an answer numbers by another word than the reference, which the question has not either: level III."""
    ours, theirs = ({word for word in one if word in _SCALES} for one in (reference, words))
    if not ours or not theirs or theirs <= asked.words:
        return False
    return all(_SCALES[one].isdisjoint(_SCALES[other]) for one in ours for other in theirs)


# An antibody, a receptor or a ligand is not what it is named after: 抗GAD65抗体, IL-6 receptor.
_KINDS = (
    re.compile(r"抗体|anti-|抗(?=[A-Z])|antibod|单抗", re.IGNORECASE),
    re.compile(r"受体|receptor|adrenoceptor", re.IGNORECASE),
    re.compile(r"抗原|antigen", re.IGNORECASE),
    re.compile(r"配体|ligand", re.IGNORECASE),
    re.compile(r"抑制剂|拮抗剂|阻滞剂|inhibitor|antagonist|blocker", re.IGNORECASE),
    re.compile(r"激动剂|agonist(?<!antagonist)", re.IGNORECASE),
)


@lru_cache(maxsize=4096)
def _kinds(text: str) -> frozenset[int]:
    """The marks of antibody, receptor, antigen, ligand and the like that a text has, by number."""
    return frozenset(number for number, kind in enumerate(_KINDS) if kind.search(text))


def _marks(word: str, core: Sequence[str]) -> bool:
    """Whether a word is a part of a code: a figure, a Greek letter, a letter, or the code's own Chinese degree."""
    return (
        word[0].isdigit() or word in _GREEK or (len(word) == 1 and word.isascii()) or (word in core and word > "\u3400")
    )


def _silent(words: Sequence[str], asked: Asked) -> bool:
    if not NEGATIONS.isdisjoint(words) or any(word[0].isdigit() for word in words):
        return False
    left = [word for word in words if word not in _BESIDE and word not in _SORTS and word != "|" and not is_glue(word)]
    han = _HAN_BESIDE.sub("", "".join(word if word > "\u3400" else " " for word in left))
    left = [word for word in left if word < "\u3400"]
    scale = {"heart", "failure"} if "nyha" in asked.words else set()
    return says_nothing([*(word for word in left if word not in scale), *han.replace(" ", "")], asked)
