"""Concepts and the indexes over their names: exact, loosely written, abbreviated, and what each is a kind of.

Some hundred thousand names are read when a vocabulary loads, so each is spelt once (`Spelling`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from medrl.verifiers.normalise import joined, spelt_anew
from medrl.verifiers.opposites import POLES

_NOUNS = frozenset("disease syndrome disorder".split())
_GENERAL = re.compile("(?<![急慢阳阴良恶男女异同共中])[性型]|[的之]")
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that has names.

    Attributes:
        names: Every interchangeable name, the preferred one first.
        abbreviations: Short forms with their capitals; several concepts may share one.
        kind: disease, finding, drug, drug_class, organism, anatomy, test, procedure, substance, gene, cell, process,
            or other; "" where the source does not say.
        broader: Names of the concepts that it is a kind of.
        usual: Those of its abbreviations that nearly always mean it, whatever else shares them (OCD, CVA).
    """

    names: tuple[str, ...]
    abbreviations: tuple[str, ...] = ()
    kind: str = ""
    broader: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()


class Spelling(dict[str, tuple[str, list[str]]]):
    """Names as they are compared: in one word, and their words. Each is spelt once."""

    def __missing__(self, name: str) -> tuple[str, list[str]]:
        words = spelt_anew(name).split()
        self[name] = joined(words), words
        return self[name]


class Index(NamedTuple):
    """What a vocabulary looks names up in. Tuples of texts and numbers cost the garbage collector nothing, sets do.

    Attributes:
        concepts: The concepts, those that are one merged.
        spelt: By concept, each of its names in its words.
        names: By name in one word.
        loose: By name in a loose form, where that is nobody's exact name.
        short: By abbreviation.
        usual: By the concepts that share an abbreviation, the one that it nearly always means; so does every other
            abbreviation that exactly these share.
        lengths: By first word, how many words names have, the longest first.
        above: By concept, everything that it is a kind of.
        latin: Latin names without digits, by their letters in one word.
        words: Every word of those.
    """

    concepts: tuple[Concept, ...]
    spelt: tuple[tuple[tuple[str, ...], ...], ...]
    names: Mapping[str, tuple[int, ...]]
    loose: Mapping[str, tuple[int, ...]]
    short: Mapping[str, tuple[int, ...]]
    usual: Mapping[frozenset[int], int]
    lengths: Mapping[str, tuple[int, ...]]
    above: Mapping[int, tuple[int, ...]]
    latin: Mapping[str, str]
    words: frozenset[str]


def index(concepts: Iterable[Concept]) -> Index:
    """Index concepts. Those that call each other by their preferred names are one."""
    spelt = Spelling()
    merged = tuple(_merged(concepts, spelt))
    names: dict[str, set[int]] = {}
    short: dict[str, set[int]] = {}
    lengths: dict[str, set[int]] = {}
    latin: dict[str, str] = {}
    for number, concept in enumerate(merged):
        for name in concept.names:
            key, words = spelt[name]
            names.setdefault(key, set()).add(number)
            if words:
                lengths.setdefault(words[0], set()).add(len(words))
            if name.isascii() and not _DIGIT.search(name):
                latin.setdefault(key, name)
        for abbreviation in concept.abbreviations:
            short.setdefault(letters(abbreviation), set()).add(number)
    names.pop("", None)
    first = _preferred(merged, spelt)
    owned = {name: mine if len(mine := ids & first.get(name, set())) == 1 else ids for name, ids in names.items()}
    known = {name: tuple(_owners(ids, merged, owned, spelt)) for name, ids in owned.items()}
    shared = {name: tuple(_owners(ids, merged, owned, spelt)) for name, ids in short.items()}
    usual = {letters(one): number for number, concept in enumerate(merged) for one in concept.usual}
    return Index(
        merged,
        tuple(tuple(tuple(spelt[name][1]) for name in concept.names) for concept in merged),
        known,
        {name: tuple(ids) for name, ids in _loosened(merged, known, spelt).items()},
        shared,
        {frozenset(shared[name]): number for name, number in usual.items() if len(shared.get(name, ())) > 1},
        {word: tuple(sorted(many, reverse=True)) for word, many in lengths.items()},
        _ancestors(merged, known, spelt),
        latin,
        frozenset(word for name in latin.values() for word in spelt[name][1]),
    )


def letters(abbreviation: str) -> str:
    """An abbreviation as it is compared: letters, digits and plus signs, small."""
    return (abbreviation if abbreviation.isalnum() else _NO_LETTER.sub("", abbreviation)).casefold()


_NO_LETTER = re.compile(r"[^\w+]")


def _merged(concepts: Iterable[Concept], spelt: Spelling) -> Iterable[Concept]:
    """Concepts that call each other by their preferred names as one, in the order of their first."""
    by_name: dict[str, Concept] = {}
    known_as: dict[str, list[str]] = {}
    all_names: dict[str, set[str]] = {}
    for concept in concepts:
        key = spelt[concept.names[0]][0]
        own = {spelt[name][0] for name in concept.names}
        if key not in by_name:
            beside = sorted({one for name in own for one in known_as.get(name, ())})
            key = next((one for one in beside if _same_thing(key, own, one, all_names[one])), key)
        before = by_name.get(key)
        by_name[key] = _union(before, concept) if before else concept
        all_names.setdefault(key, set()).update(own)
        for name in own:
            known_as.setdefault(name, []).append(key)
    return by_name.values()


def _same_thing(first: str, own: set[str], other: str, names: set[str]) -> bool:
    """Whether two concepts have each other's preferred name, or the one has no name that the other has not."""
    return (other in own and first in names) or own <= names


def _preferred(concepts: Sequence[Concept], spelt: Spelling) -> dict[str, set[int]]:
    """Which concepts have a name as their first one, in English or in Chinese: it is theirs before anybody's synonym."""
    first: dict[str, set[int]] = {}
    for number, concept in enumerate(concepts):
        han = next((name for name in concept.names if name[:1] > "\u3400"), "")
        for name in {concept.names[0], han} - {""}:
            first.setdefault(spelt[name][0], set()).add(number)
    return first


def _owners(ids: set[int], concepts: Sequence[Concept], owned: Mapping[str, set[int]], spelt: Spelling) -> set[int]:
    """Of several concepts with one name those whose own preferred name no other of them claims besides.

    Who calls itself "hypothyroidism" besides "primary hypothyroidism" says of its other names that they are that too.
    """
    if len(ids) < 2:
        return ids
    claimed = {
        one
        for one in ids
        for name in concepts[one].names[1:]
        if len(theirs := owned.get(spelt[name][0], set())) == 1 and theirs <= ids - {one}
    }
    return ids - claimed or ids


def _union(one: Concept, other: Concept) -> Concept:
    return Concept(
        tuple(dict.fromkeys((*one.names, *other.names))),
        tuple(dict.fromkeys((*one.abbreviations, *other.abbreviations))),
        one.kind or other.kind,
        tuple(dict.fromkeys((*one.broader, *other.broader))),
        tuple(dict.fromkeys((*one.usual, *other.usual))),
    )


def _ancestors(
    concepts: Sequence[Concept], names: Mapping[str, tuple[int, ...]], spelt: Spelling
) -> dict[int, tuple[int, ...]]:
    """For each concept all that it is a kind of, however far up."""
    direct: dict[int, set[int]] = {}
    for number, concept in enumerate(concepts):
        for name in concept.broader:
            direct.setdefault(number, set()).update(one for one in names.get(spelt[name][0], ()) if one != number)
    above: dict[int, tuple[int, ...]] = {}
    for number in direct:
        seen: set[int] = set()
        open_ = list(direct[number])
        while open_:
            one = open_.pop()
            if one not in seen:
                seen.add(one)
                open_ += direct.get(one, ())
        above[number] = tuple(seen - {number})
    return above


def loose_key(words: Sequence[str]) -> str:
    """Words in an order of their own, without "of" and without the Chinese particles that a name may have or lack.

    What says that a level is high, low or wanting has one word here: a raised serum potassium level is a high potassium.
    "" where order or particle may carry the meaning: sides, more than five words, words that relate two things.
    """
    if not words or (len(words) == 1 and words[0].isascii()):
        return ""
    whole = "".join(words)
    if (words[-1] > "\u3400" or words[0] == "缺") and (level := _han_level(whole)):
        return level
    if words[0] > "\u3400" and all(len(word) == 1 and word > "\u3400" for word in words):
        bare = _GENERAL.sub("", whole)
        if len(bare) > 4 and (done := _DONE.fullmatch(bare)):
            return done[1] or done[2]
        return bare.removesuffix("症") if len(bare) > 4 and bare[-2] not in "炎发遗合" else bare
    if not _CHANGES.isdisjoint(words[1:-1]) or (not whole.isascii() and _HAN_CHANGES.search(whole)):
        return ""  # "PTH raises calcium" is not "calcium raises PTH"
    silent = _SILENT if _COUNTED.isdisjoint(words) else ("of",)
    rest = [_ORGANS.get(word, word) for word in words if word not in silent]
    if len(rest) > 2 and rest[0].startswith("anti") and rest[-1] == "antibody":
        del rest[-1]  # anti-dsDNA
    if not _LEVELS.keys().isdisjoint(rest):
        rest = _levelled(rest)
    sides = rest.count("left") + rest.count("right")  # a single one may stand anywhere: fracture of the left femur
    ordered = _ORDERED - {"left", "right"} if sides == 1 else _ORDERED
    if not 1 < len(rest) <= 5 or not ordered.isdisjoint(rest):
        return ""
    contrasts = [POLES[word][0] for word in rest if word in POLES]
    if len(set(contrasts)) < len(contrasts):
        return ""  # "PPV up, NPV down" is not "PPV down, NPV up"
    if whole.isalpha() and min(map(len, rest)) > 1:
        return " ".join(sorted(rest))  # no codes
    kept = [word for word in rest if not (word[0].isdecimal() or (len(word) == 1 and "a" <= word <= "z"))]
    codes = _CODES.findall(" ".join(rest)) if len(kept) < len(rest) else []
    if len(codes) > 1:
        return ""  # "mother O, baby A"
    return " ".join(sorted([*kept, *(code.replace(" ", "") for code in codes)]))  # T790M is not M790T


_SILENT = ("of", "type", "serotype")
_COUNTED = frozenset("nerve factor class stage grade level degree phase lead".split())  # by them, and by no type
# 胃镜检查, 气管插管术: only behind what is a test or a procedure itself, for 胸腔积液检查 is no 胸腔积液.
_DONE = re.compile(
    "(.+(?:镜|超声|彩超|电图|造影|活检|成像|扫描|显像|透视|测压|涂片|培养|穿刺|试验))检查|"
    "(.*(?:切[除开断]|电切|摘除|置换|吻合|修[补复]|成形|矫[形正]|缝合|结扎|移植|造[瘘口]|插管|穿刺|造影|活检|复位|固定|引流|减压|"
    "剥[脱除]|探查|清[扫创]|松解|融合|[植置]入|埋植|消融|栓塞|取[栓石]|碎石|封堵|扩张|搭桥|分流|旁路|介入|阻滞|悬吊|根治|截[肢骨]|"
    "[冲灌]洗|刮宫|流产|引产|剖宫产|复苏|[内腔胃肠管道宫]镜))术"
)
_CODES = re.compile(r"(?<!\S)(?:[a-z]|\d\S*)(?: (?:[a-z]|\d\S*)(?!\S))*(?!\S)")


_CHANGES = frozenset(
    "raise raises increase increases elevate elevates lower lowers decrease decreases reduce reduces "
    "upregulate upregulates downregulate downregulates".split()
)
_HAN_CHANGES = re.compile("(?<=.)(?:升高|增加|提高|上调|降低|减少|下调)(?=.)")
# Organs by the adjective that says the same: cancer of the stomach is gastric cancer.
_ORGANS = dict(
    pair.split("/")
    for pair in (
        "skin/cutaneous liver/hepatic kidney/renal lung/pulmonary brain/cerebral heart/cardiac stomach/gastric eye/ocular "
        "esophagus/esophageal pancreas/pancreatic colon/colonic rectum/rectal uterus/uterine ovary/ovarian testis/testicular "
        "testicle/testicular prostate/prostatic spleen/splenic trachea/tracheal larynx/laryngeal pharynx/pharyngeal "
        "nasopharynx/nasopharyngeal bronchus/bronchial aorta/aortic appendix/appendiceal urethra/urethral ureter/ureteral "
        "ureteric/ureteral vagina/vaginal vulva/vulvar penis/penile retina/retinal cornea/corneal meninge/meningeal "
        "nose/nasal mandible/mandibular maxilla/maxillary duodenum/duodenal jejunum/jejunal ileum/ileal cecum/cecal "
        "peritoneum/peritoneal pleura/pleural pericardium/pericardial myocardium/myocardial endocardium/endocardial "
        "endometrium/endometrial scrotum/scrotal tonsil/tonsillar humerus/humeral femur/femoral tibia/tibial fibula/fibular "
        "patella/patellar clavicle/clavicular scapula/scapular cerebellum/cerebellar hypothalamus/hypothalamic "
        "abdomen/abdominal thorax/thoracic pelvis/pelvic placenta/placental tongue/lingual gingiva/gingival "
        "diaphragm/diaphragmatic mediastinum/mediastinal intestine/intestinal bowel/intestinal bone/osseous"
    ).split()
)
_LEVELS = {
    **dict.fromkeys("increased elevated raised high increase elevation".split(), "high"),
    **dict.fromkeys("decreased reduced low lowered diminished decrease".split(), "low"),
    "lack": "deficiency",
}
_REDUCED = frozenset("glutathion hemoglobin iron nad nadh nadp nadph coenzyme cytochrome".split())  # in chemistry
_NOT_ITS_LEVEL = frozenset("volume cell flow exchange sickness pressure corpuscular".split())
_OF_PLASMA = frozenset("viscosity osmolality osmolarity protein fibrinogen".split())  # blood, urine and CSF have others


def _levelled(words: Sequence[str]) -> list[str]:
    """Words with one word for high, low and wanting, without "serum", "level" and "concentration" beside it."""
    if "reduced" in words and not _REDUCED.isdisjoint(words):
        return list(words)
    bare = _NOT_ITS_LEVEL.isdisjoint(words) and "deficiency" not in words
    own = bare and _OF_PLASMA.isdisjoint(words)
    dropped = ("level", "concentration", *(("serum", "plasma") if own else ())) if bare else ()
    return [_LEVELS.get(word, word) for word in words if word not in dropped]


_HAN_LEVEL = re.compile(
    "(?:水平|(?<!血红蛋白)(?:浓度|含量))?(?:(?P<high>升高|增高|上升|增加|偏高|增多|(?<=功能)高)|"
    "(?P<low>降低|减低|下降|减少|偏低|减退|(?<!智[力能])低下|(?<=功能)低)|(?P<wanting>缺乏|(?<=[酶子白])缺陷)|"
    "(?P<own>过[高低]|低下|缺陷))[症病]?"
)
_PLASMA = re.compile("血清|血浆(?!容量|流量|[黏粘]度|[总清白球]*蛋白|纤维蛋白|渗透)")  # what plasma has of its own
_HAN_ENDS = frozenset("高升加多低降少退下乏陷症病")


def _han_level(name: str) -> str:
    """As `loose_key`, of a Chinese name that says that something is high, low or wanting: 血清钾水平升高, 缺乏维生素C.

    A hemoglobin's concentration is not its content, too low is not falling, and only enzymes that are defective are wanting.
    """
    if name.startswith("缺乏") and len(name) > 3:
        return f"{name[2:]}缺乏"
    if name[-1] not in _HAN_ENDS:
        return ""
    for at in range(max(1, len(name) - 5), len(name) - 1):
        if found := _HAN_LEVEL.fullmatch(name, at):
            stem = _PLASMA.sub("血", name[:at])
            return stem + (found["own"] or {"high": "升高", "low": "降低", "wanting": "缺乏"}[str(found.lastgroup)])
    return ""


_ORDERED = frozenset(
    "to from in on by with without for than versus before after due induced left right not no non and or - + < > "
    "upper lower anterior posterior cause causes up down normal prolonged lost retained precede preceded follow followed "
    "produce induce trigger exceed exceeded greater less inhibit inhibited suppress activate "
    "activated stimulate stimulated promote convert converted become through into between against under over during until "
    "while via earlier later then more fewer larger smaller stronger weaker above below higher".split()
)


def _loosened(
    concepts: Sequence[Concept], names: Mapping[str, tuple[int, ...]], spelt: Spelling
) -> dict[str, set[int]]:
    """Names in loose forms, where such a form is nobody's exact name: other word order, no particle, an eponym alone."""
    loose: dict[str, set[int]] = {}
    for number, concept in enumerate(concepts):
        for name in concept.names:
            words = spelt[name][1]
            loose.setdefault(loose_key(words), set()).add(number)
            if len(words) > 1 and words[-1] in _NOUNS and words[0].isascii():
                bare = words[:-1]
                for other in ((), *((noun,) for noun in _NOUNS)):
                    form = joined([*bare, *other])
                    if form not in names and joined(bare) not in names and len("".join(bare)) > 4:
                        loose.setdefault(loose_key([*bare, *other]) or form, set()).add(number)
    loose.pop("", None)
    return loose
