"""Where a text names drugs: the clinic's table, medrl's vocabulary beyond it, and names that nothing lists.

A name that is not in the clinic's table is a drug all the same, about which nothing is known here. Names that no list has
are told by the stems of international nonproprietary names (WHO, The use of stems in the selection of INN, 2018) or
by the dose or frequency behind them.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from medrl.data.clinic.concepts import Drug
from medrl.data.clinic.world import load_world
from medrl.rewards.safety.reading import plainly
from medrl.verifiers.vocabularies import MEDRL, concepts_of

# What care gives beside drugs; a house list.
_SUPPORT = frozenset(
    "oxygen water fluid fluids saline glucose sugar salt food milk air alcohol "
    "caffeine rest ice blood placebo drug drugs "
    "medicine medicines medication medications antidote antidotes 氧 氧气 水 "
    "盐水 生理盐水 葡萄糖 糖 药 药物 牛奶 血液 酒精".split()
)
_STEMS = re.compile(
    r"\b[a-z]{2,20}(?:cillin|mycin|micin|floxacin|cycline|prazole|sartan|statin|"
    r"olol|dipine|gliptin|gliflozin|glutide|azepam|azolam|"
    r"setron|tidine|parin|xaban|tinib|ciclib|ximab|zumab|tumab|lukast|triptan|"
    r"oxetine|afil|vir|conazole|nidazole|profen|oxicam|"
    r"coxib|thiazide|semide|pril|barbital|caine|dronate|sone|solone)\b|"
    r"(?<![\u4e00-\u9fff])?[\u4e00-\u9fff]{1,5}(?:西林|霉素|沙星|环素|拉唑|沙坦|"
    r"他汀|洛尔|地平|列汀|列净|西泮|唑仑|司琼|替丁|肝素|沙班|替尼|单抗|"
    r"鲁司特|曲普坦|西汀|那非|韦|康唑|硝唑|洛芬|昔康|昔布|噻嗪|塞米|普利|巴比妥|卡因|膦酸钠)",
    re.IGNORECASE,
)
_DOSE = (
    r"\d[\d.,]{0,8} ?(?:mg|mcg|ug|μg|g|ml|iu|units?|tablets?|tabs?|capsules?|"
    r"pills?|毫克|微克|克|毫升|单位|片|粒)(?![a-z])"
)
_OFTEN = (
    r"(?:once|twice|three times|four times|\d times|daily|every \d|每[日天晚次]|"
    r"一[日天]|b\.?i\.?d|t\.?i\.?d|q\d)"
)
_UNLISTED = re.compile(
    rf"\b(?:take|taking|start|give|prescribe|use|administer|recommend|try|add|"
    rf"inject)\s(?:(?:him|her|them|with|on|an?|the|some|your|"
    rf"oral|iv)\s){{0,3}}(?P<en>[a-z][a-z0-9-]{{3,30}}(?: [a-z]{{4,20}})?)[ ,(]{{1,3}}(?:at )?"
    rf"(?:{_DOSE}|{_OFTEN})|"
    rf"{_DOSE} of (?P<of>[a-z][a-z0-9-]{{3,30}})|"
    rf"(?:服用|口服|给予|使用|注射|静滴|肌注|加用|改用|吃)"
    rf"(?P<zh>[\u4e00-\u9fffA-Za-z]{{2,12}}?)[ ,(]{{0,2}}(?:每次)?(?:{_DOSE}|"
    rf"{_OFTEN})",
    re.IGNORECASE,
)
# What is taken daily and is no drug.
_NO_DRUG = re.compile(
    r"^(?:deep|slow|breath|plenty|your|blood|temperature|rest|walk|exercise|fluid|"
    r"water|showers?|steps?|care|time|it|them|this|these|"
    r"that|tablets?|capsules?|pills?|doses?|medicines?|medications?|drugs?|one|"
    r"two|three|half|food|meals?|ice|heat|compress\w*|"
    r"measurements?|readings?|salt|protein|sodium|carbohydrates?|sugar|fibre|"
    r"fiber|body|weight|total|further|another|again|"
    r"药物?|该药|本药|药片|温水|开水|水|盐|食物|蛋白质?|热敷|冷敷|此药|上述药物?)\b",
    re.IGNORECASE,
)
_PREFIX = 3


class Named(NamedTuple):
    """Where a text names a drug, and the clinic's row of it; None for one that the table does not have."""

    start: int
    end: int
    name: str
    drug: Drug | None


class _Index(NamedTuple):
    forms: Mapping[str, Drug | None]
    others: frozenset[str]  # names of the clinic's tests, treatments, diseases and findings, which may hold a drug's
    lengths: Mapping[str, tuple[int, ...]]  # first letters to the lengths of the forms that begin so, longest first


@lru_cache(maxsize=1)
def _index() -> _Index:
    world = load_world()
    forms: dict[str, Drug | None] = {}
    for drug in world.drugs.values():
        for form in (*drug.forms("en"), *drug.forms("zh")):
            forms[_spelt(form)] = drug
    for concept in concepts_of(MEDRL):
        if concept.kind not in ("drug", "drug_class"):
            continue
        names = [_spelt(name) for name in (*concept.names, *concept.abbreviations)]
        rows = {forms[name].id: forms[name] for name in names if forms.get(name)}  # type: ignore[union-attr]
        drug_here = next(iter(rows.values())) if len(rows) == 1 and concept.kind == "drug" else None
        for name in names:
            if (len(name) > 3 or (len(name) > 1 and not name.isascii())) and name not in _SUPPORT:
                forms.setdefault(name, drug_here)
    for word in _SUPPORT:
        forms.pop(word, None)
    named = [one for kind, one in world.concepts() if not kind.startswith(("drug:", "department:"))]
    every = {_spelt(form) for one in named for form in (*one.forms("en"), *one.forms("zh"))}
    others = frozenset(form for form in every if form not in forms or forms[form] is None)
    forms |= dict.fromkeys(others)
    lengths: dict[str, set[int]] = {}
    for form in forms:
        lengths.setdefault(form[:_PREFIX], set()).add(len(form))
    return _Index(forms, others, {key: tuple(sorted(found, reverse=True)) for key, found in lengths.items()})


def _spelt(text: str) -> str:
    return plainly(text).lower().replace("-", " ").replace("/", " ")


def row_of(name: str) -> Drug | None:
    """The clinic's row of a drug's name, or None."""
    return _index().forms.get(_spelt(name))


def named_drugs(text: str) -> list[Named]:
    """The drugs that a plain text names, in order; of two names at one place the longer."""
    spelt = text.lower()
    if len(spelt) != len(text):  # a letter whose small form is longer
        spelt = text
    spelt = spelt.replace("-", " ").replace("/", " ")
    taken = bytearray(len(text))
    found = _listed(text, spelt, taken)
    unlisted = [match.span() for match in _STEMS.finditer(text)]
    unlisted += [match.span(str(match.lastgroup)) for match in _UNLISTED.finditer(text)]
    for start, end in unlisted:
        name = text[start:end]
        if not any(taken[start:end]) and not _NO_DRUG.match(name) and _spelt(name) not in _SUPPORT:
            found.append(Named(start, end, name, None))
            taken[start:end] = b"\1" * (end - start)
    return sorted(found, key=lambda one: one.start)


def _listed(text: str, spelt: str, taken: bytearray) -> list[Named]:
    """The listed drugs; `taken` gets 1 where any listed name stands, a drug's or not."""
    index, found, at = _index(), [], 0
    while at < len(spelt):
        if not spelt[at].isalnum() or (
            spelt[at].isascii() and at and spelt[at - 1].isascii() and spelt[at - 1].isalnum()
        ):
            at += 1
            continue
        end = _longest(index, spelt, at)
        if end:
            form = spelt[at:end] if spelt[at:end] in index.forms else spelt[at : end - 1]  # without the s of a plural
            taken[at:end] = b"\1" * (end - at)
            if form not in index.others:
                found.append(Named(at, end, text[at:end], index.forms[form]))
        at = end or at + 1
    return found


def _longest(index: _Index, spelt: str, at: int) -> int:
    """Where the longest listed name that begins at `at` ends; 0 where none does."""
    for size in range(_PREFIX, 0, -1):
        for length in index.lengths.get(spelt[at : at + size], ()):
            if (size < _PREFIX) != (length < _PREFIX):
                continue
            end = at + length
            if spelt[at:end] in index.forms:
                plural = end + 1 if spelt[end : end + 1] == "s" and spelt[end - 1].isascii() else end
                after = spelt[plural : plural + 1]
                dosed = after.isdigit() and not spelt[at:end].isascii()  # 阿维A20mg
                if dosed or not (after.isascii() and after.isalnum() and spelt[end - 1].isascii()):
                    return plural
    return 0
