"""Words that turn a term into another: antonyms, sides, degrees, numbers, negations. They veto a match."""

import re
from collections.abc import Sequence
from functools import lru_cache

# Each row one contrast: poles parted by "/", words that say the same pole by "|".
_ROWS = """
left|左 / right|右 / bilateral|双
ipsilateral / contralateral
increased|increase|elevated|raised|high|rise / decreased|decrease|reduced|low|lowered|fall / normal|unchanged
benign / malignant
acute / chronic / subacute
systolic / diastolic
direct / indirect
proximal / distal
anterior / posterior
superior|upper / inferior|lower
medial / lateral
ventral / dorsal
afferent / efferent
abduction / adduction
agonist / antagonist
sensory / motor
positive / negative
alpha / beta / gamma / delta
nephrotic / nephritic
viral / bacterial / fungal / tuberculous
primary / secondary / tertiary
metabolic / respiratory
acidosis / alkalosis
arterial / venous
deep / superficial
obstructive / restrictive
hemorrhagic / ischemic
internal / external
open / closed
central / peripheral
conductive / sensorineural
maternal / paternal
dominant / recessive
ventricular / atrial
mitral / aortic / tricuspid / pulmonic
stenosis / regurgitation|insufficiency
flexion / extension
pronation / supination
inhibitor / activator
insipidus / mellitus
with / without
before / after
malabsorption / absorption
neonatal|infantile|infant|newborn|juvenile / adult|senile
congenital / acquired
complete|total / incomplete|partial
typical / atypical
sporadic / familial|hereditary
transudative / exudative
conjugated / unconjugated
sympathetic / parasympathetic
intrinsic / extrinsic
reversible / irreversible
symptomatic / asymptomatic
monoclonal / polyclonal
preganglionic / postganglionic
prerenal / postrenal
高 / 低 / 正
酸 / 碱
上 / 下
前 / 后
内 / 外
急 / 慢
增 / 减
升 / 降
阳 / 阴
动 / 静
大 / 小
有 / 无
开 / 闭
良 / 恶
多 / 少
深 / 浅
早 / 晚
轻 / 重
热 / 寒
"""
POLES = {
    word: (row, pole)
    for row, line in enumerate(_ROWS.strip().splitlines())
    for pole, words in enumerate(line.split(" / "))
    for word in words.split("|")
}
_PREFIX = re.compile(
    r"^(?:(hypo|hyper)|(brady|tachy)|(micro|macro)|(intra|extra)|(endo|exo)|(supra|infra)|(poly|oligo))(?=[a-z]{4})"
)
_FIGURES = {word: str(figure) for figure, word in enumerate("一二三四五六七八九十", 1)} | {"两": "2"}
_LETTERS = frozenset("abcde")
_HAN_NUMBERS = frozenset("一二三四五六七八九十两")
_UN = re.compile(r"^(?:un|in|non|im|ir(?!radi)|a)(?=[a-z]{4})")
NEGATIONS = frozenset("not no non without never neither nor excluded absent lacks 非 不 无 未 没".split())


def _split(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return _frame(tuple(words))


@lru_cache(maxsize=1024)  # references come back with every answer, an answer with every name of its reference
def _frame(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words with every contrast blanked, and which pole of it each one was."""
    frame: list[str] = []
    poles: list[str] = []
    for word in words:
        blank, pole = _blanked(word)
        if word in _LETTERS and frame[-1:] == ["#"]:  # stage 3b
            blank, pole = "#", word
        frame.append(blank)
        if pole:
            poles.append(pole)
    return tuple(frame), tuple(poles)


@lru_cache(maxsize=8192)
def _blanked(word: str) -> tuple[str, str]:
    """A word with its contrast blanked, and which pole it is; "" for none."""
    if word[0].isdigit() or word in _HAN_NUMBERS:
        return "#", _FIGURES.get(word, word)
    if word in POLES:
        row, pole = POLES[word]
        return f"<{row}>", str(pole)
    prefix = _PREFIX.match(word)
    return (f"<{prefix.lastindex}>{word[prefix.end() :]}", prefix[0]) if prefix else (word, "")


def opposed(answer: Sequence[str], term: Sequence[str]) -> bool:
    """Whether the answer is the term turned round: another pole or number, or one more or one fewer negation."""
    if answer == term or not answer or not term:
        return False
    if len(answer) == len(term):  # a frame has one part for each word
        (frame, poles), (frame_term, poles_term) = _split(answer), _split(term)
        if frame == frame_term:
            return poles != poles_term
        if all(one == other or _UN.sub("", one) == _UN.sub("", other) for one, other in zip(answer, term, strict=True)):
            return True
    if NEGATIONS.isdisjoint(answer) and NEGATIONS.isdisjoint(term):
        return False
    if len(answer) == len(term) and all(a == t or {a, t} <= NEGATIONS for a, t in zip(answer, term, strict=True)):
        return False  # 非结合, 未结合
    return [w for w in answer if w not in NEGATIONS] == [w for w in term if w not in NEGATIONS]


def equivalent(answer: Sequence[str], term: Sequence[str]) -> bool:
    """Whether they differ only in words for the same pole ("low" and "reduced")."""
    return len(answer) == len(term) > 0 and _split(answer) == _split(term)
