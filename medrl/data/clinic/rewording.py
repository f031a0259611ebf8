"""Another word order of a term, the term turned round, an amount in other words or changed, terms that mean nothing."""

import random
import re
from collections.abc import Sequence

# Words that turn a term round when one takes the other's place.
_OPPOSITES = {
    "en": (
        ("acute", "chronic"),
        ("hyper", "hypo"),
        ("left", "right"),
        ("upper", "lower"),
        ("type 1", "type 2"),
        ("primary", "secondary"),
        ("bacterial", "viral"),
        ("raised", "reduced"),
        ("high", "low"),
        ("elevated", "decreased"),
        ("anterior", "posterior"),
        ("benign", "malignant"),
        ("systolic", "diastolic"),
        ("tachy", "brady"),
        ("dry", "productive"),
        ("deep", "superficial"),
        ("small", "large"),
        ("gain", "loss"),
        ("positive", "negative"),
        ("internal", "external"),
        ("heat", "cold"),
        ("arterial", "venous"),
        ("obstructive", "restrictive"),
    ),
    "zh": (
        ("急性", "慢性"),
        ("左", "右"),
        ("升高", "降低"),
        ("过高", "过低"),
        ("高血", "低血"),
        ("高钾", "低钾"),
        ("高钙", "低钙"),
        ("上腹", "下腹"),
        ("上行", "下行"),
        ("1型", "2型"),
        ("原发性", "继发性"),
        ("细菌性", "病毒性"),
        ("良性", "恶性"),
        ("阳性", "阴性"),
        ("亢进", "减退"),
        ("增多", "减少"),
        ("前葡萄膜", "后葡萄膜"),
        ("收缩压", "舒张压"),
        ("动脉", "静脉"),
        ("心动过速", "心动过缓"),
    ),
}
_PREFIXES = ("hyper", "hypo", "tachy", "brady")
_UNITS = {
    "mg": ("milligrams", "毫克"),
    "g": ("grams", "克"),
    "mcg": ("micrograms", "微克"),
    "mL": ("millilitres", "毫升"),
}
_SMALLER = {"g": ("mg", 1000), "mg": ("mcg", 1000)}
_LARGER = {"mg": ("g", 1000), "mcg": ("mg", 1000)}
_JOINED = re.compile(r"\b(?:of|with|and|in|to|from|by|for|on|without|the|a)\b|[,()/]", re.IGNORECASE)
_EPISODE = re.compile("加重|发作")  # "acute" then speaks of the episode, not of the disease
_FRONT = re.compile(r"(急性|慢性|原发性|继发性|感染性|细菌性|病毒性|自发性|特发性|阻塞性|重度|重症)(?=.{2,})")


def reordered(term: str, language: str) -> list[str]:
    """The term in the order of an index ("thrombosis, deep vein"); none where its last word is not its head."""
    if language == "zh":
        front = _FRONT.match(term)
        if front is None or _EPISODE.search(term):
            return []
        rest = term[front.end() :]
        return [f"{rest}，{front[0]}", f"{rest}（{front[0]}）"]
    words = term.split()
    if len(words) < 2 or _JOINED.search(term):
        return []
    head, rest = words[-1], " ".join(words[:-1])
    return [f"{head}, {rest}", f"{head} ({rest})"]


def turned(term: str, language: str) -> str | None:
    """The term with one word in it replaced by its opposite, or None where it has no such word."""
    for pair in _OPPOSITES[language]:
        for here, there in (pair, pair[::-1]):
            end = "" if here in _PREFIXES or language == "zh" else r"\b"
            pattern = re.escape(here) if language == "zh" else rf"\b{re.escape(here)}{end}"
            changed, count = re.subn(pattern, there, term, count=1, flags=re.IGNORECASE)
            if count and changed.casefold() != term.casefold():
                return changed
    return None


def same_amount(rng: random.Random, amount: float, unit: str, language: str) -> str | None:
    """The amount in other words: its unit spelt out, or converted."""
    chinese = language == "zh"
    said = [f"{amount:g}{unit}"]
    if unit in _UNITS:
        said.append(f"{amount:g}{_UNITS[unit][1]}" if chinese else f"{amount:g} {_UNITS[unit][0]}")
    for table, times in ((_SMALLER, True), (_LARGER, False)):
        if unit in table:
            other, factor = table[unit]
            value = amount * factor if times else amount / factor
            if 0.01 <= value <= 100_000:
                said.append(f"{value:g} {other}")
    return rng.choice(said)


def other_amount(rng: random.Random, amount: float, unit: str, language: str) -> str | None:
    """Another amount, or the same number in another unit."""
    wrong = [f"{amount * factor:g} {unit}" for factor in (0.1, 0.5, 2, 10)]
    wrong += [f"{amount:g} {other}" for other in _UNITS if other != unit and unit in _UNITS]
    return rng.choice(wrong)


def invention(rng: random.Random, words: Sequence[str], language: str) -> str:
    """A term of two to four words that means nothing."""
    return _space(language).join(rng.choice(words) for _ in range(rng.choice((2, 2, 3, 4))))


def near_invention(rng: random.Random, term: str, words: Sequence[str], language: str) -> str:
    """Another such term: every other time only one word of the first is exchanged."""
    parts = [term[i : i + 2] for i in range(0, len(term), 2)] if language == "zh" else term.split()
    if rng.random() < 0.5:
        parts[rng.randrange(len(parts))] = rng.choice(words)
        changed = _space(language).join(parts)
        if changed != term:
            return changed
    other = invention(rng, words, language)
    return other if other != term else f"{other}{_space(language)}{words[0]}"


def _space(language: str) -> str:
    return "" if language == "zh" else " "
