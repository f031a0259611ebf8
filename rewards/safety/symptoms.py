"""Red flags and symptoms as sets of words, so that "vomiting blood" and "if you throw up blood" can be one.

A red flag is cut at commas and "or" into signs, each of them enough; all content words of a sign must stand in one
sentence, whatever their order, lay words and terms taken as one. House rules; no clinician has reviewed them.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from medrl.data.clinic.world import load_world
from medrl.rewards.safety.reading import plainly
from medrl.verifiers.normalise import tokens
from medrl.verifiers.scripts import has_han
from medrl.verifiers.vocabularies import CLINIC, vocabulary

_CUT = re.compile(r",| or |或者?|;|；|/(?!\d)| and then ", re.IGNORECASE)
# Words of one meaning; the first stands for all.
_SAME = (
    ("dyspnea",
        r"breathlessness|breathless|short(?:ness)? of breath|(?:trouble|difficulty|"
        r"hard|problems?|struggl\w+)(?: with)? (?:to )?breath\w*|"
     r"can(?:'t|not) breathe|dyspnoea|喘不[上过]气|气短|气促|呼吸困难|呼吸急促|憋气"),
    ("faint", r"fainting|fainted|faintness|pass(?:ing|es|ed)? out|collaps\w+|syncope|blackout|晕厥|晕倒|昏倒|昏厥"),
    ("vomit blood", r"ha?ematemesis|呕血|吐血"),
    ("cough blood", r"ha?emoptysis|咯血|咳血"),
    ("vomit", r"vomit\w*|throw\w* up|being sick|呕吐|呕"),
    ("confused", r"confusion|confused|disorientat\w+|意识模糊|神志不清|意识不清|糊涂"),
    ("drowsy", r"drows\w+|sleepy|hard to wake|cannot be woken|嗜睡|昏睡|叫不醒"),
    ("unconscious", r"unconscious\w*|loss of consciousness|unresponsive|意识丧失|昏迷"),
    ("seizure", r"seizures?|convuls\w+|fits?\b|抽搐|惊厥|癫痫发作"),
    ("fever", r"fever\w*|high temperature|发热|发烧|高热|高烧"),
    ("chill", r"shaking chills|chills|rigors|shiver\w*|寒战|发抖|畏寒"),
    ("black stool", r"black (?:tarry )?stools?|tarry stools?|mela?ena|黑便|柏油样便"),
    ("belly", r"abdom\w+|stomach|tummy|belly|腹部|肚子|腹"),
    ("speech trouble",
        r"(?:trouble|difficulty|problems?) speaking|slurred speech|speech (?:trouble|"
        r"difficult\w+)|说话困难|言语不清|说话不清"),
    ("blue lips", r"(?:blue|bluish) lips|lips turn(?:ing)? blue|口唇发绀|嘴唇发[紫青]|口唇青紫"),
    ("palpitation", r"palpitations?|racing heart|心悸|心慌"),
)  # fmt: skip
_SAMES = [(first, re.compile(words, re.IGNORECASE)) for first, words in _SAME]
_EMPTY = frozenset(
    "a an of in on at with to by from for than more less that this it is be "
    "are not no any new sudden suddenly severe worsen worse "
    "very marked large amount keep come back one sided after while during within "
    "early and your you the last lasting have has get "
    "become feel feeling unable unusual up out 的 了 有 出 现 和 伴 时 或 者 "
    "突 然 严 重 加 剧 新 发 明 显 持 续 后 中 在 不 能".split()
)
# Grave for anybody, so never out of place; they are paid only where they are a red flag of the case. House list.
ANYBODY = ("chest pain", "dyspnea", "faint", "unconscious", "seizure", "confused", "胸痛")


def spelt(text: str) -> str:
    """A plain text with one word for each meaning of `_SAME`."""
    text = plainly(text)
    for first, words in _SAMES:
        text = words.sub(f" {first} ", text)
    return text


def content(text: str) -> frozenset[str]:
    """The words of a text that say what it is about."""
    return frozenset(word for word in tokens(spelt(text)) if word not in _EMPTY)


@lru_cache(maxsize=4096)
def signs(flag: str) -> tuple[frozenset[str], ...]:
    """The signs of a red flag, each as its content words."""
    found = [content(piece) for piece in _CUT.split(spelt(flag))]
    return tuple(dict.fromkeys(sign for sign in found if sign))


def names(words: frozenset[str], sign: frozenset[str]) -> bool:
    """Whether the words of a sentence name a sign: all of them, and of long signs nearly all."""
    common = len(words & sign)
    return common == len(sign) or (len(sign) >= 4 and common >= 0.75 * len(sign))


def named_signs(words: frozenset[str], flags: Sequence[tuple[frozenset[str], ...]]) -> set[int]:
    """Which flags a sentence names by one of their signs."""
    return {i for i, found in enumerate(flags) if any(names(words, sign) for sign in found)}


@lru_cache(maxsize=1)
def known_symptoms() -> tuple[frozenset[str], ...]:
    """Every symptom and red-flag sign of the clinic in both languages, most words first, without those in another."""
    world = load_world()
    texts = [
        form
        for one in world.findings.values()
        if one.kind == "symptom"
        for form in (*one.forms("en"), *one.forms("zh"))
    ]
    texts += [text for one in world.diseases.values() for flag in one.red_flags for text in (flag.en, flag.zh)]
    every = {sign for text in texts for sign in signs(text)}
    return tuple(sorted(every, key=lambda sign: (-len(sign), sorted(sign))))


@lru_cache(maxsize=1)
def _by_word() -> dict[str, tuple[frozenset[str], ...]]:
    found: dict[str, list[frozenset[str]]] = {}
    for sign in known_symptoms():
        found.setdefault(min(sign), []).append(sign)
    return {word: tuple(listed) for word, listed in found.items()}


def symptoms_in(text: str) -> list[frozenset[str]]:
    """The clinic's symptoms and diseases that a sentence names, each as its content words.

    Names are looked for word by word; English signs of red flags in any order of their words, which in Chinese, where
    each character is a word, would find too much.
    """
    text = plainly(text)
    known, spelling = vocabulary(CLINIC), tokens(text)
    named = known.mentions(spelling, text) if known else []
    hits = [
        content(("" if has_han(text) else " ").join(spelling[mention.start : mention.end]))
        for mention in named
        if known and any(known.family(one) == "condition" for one in mention.ids)
    ]
    if not has_han(text):
        words = content(text)
        by_word = _by_word()
        hits += [sign for word in sorted(words) for sign in by_word.get(word, ()) if sign <= words]
    kept: list[frozenset[str]] = []
    for sign in sorted(filter(None, hits), key=lambda one: (-len(one), sorted(one)))[:200]:
        if not any(sign <= other for other in kept):
            kept.append(sign)
    return kept
