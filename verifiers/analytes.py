"""Substances of clinical chemistry: what their mass is per mole, their charge per ion, and which one a question is about.

Molar masses are computed from each compound's formula and the IUPAC abridged standard atomic weights (CIAAW, 2021), so
that no figure is copied. A drug is the free compound as the laboratory reports it, not its salt. Where reports do not
follow the named molecule, the formula is of what they do follow: urea nitrogen is the two nitrogen atoms of urea,
phosphate is counted as phosphorus, iron-binding capacity as iron, triglycerides as triolein, gentamicin as its component
C1, vitamin D and B12 as D3 and cyanocobalamin. Haemoglobin is reported as monomer and as tetramer: without a word for
one of them it has no mass here. Neither has what is a mixture (heparin), a particle (lipoprotein(a)) or often hydrated
(magnesium sulfate), nor a salt, whose mass is not that of its element.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from medrl.types import Problem
from medrl.verifiers.normalise import CJK, normal, tokens
from medrl.verifiers.quantity import plain
from medrl.verifiers.wording import last_sentence

ATOMIC_WEIGHTS = {
    "H": "1.008", "Li": "6.94", "C": "12.011", "N": "14.007", "O": "15.999", "F": "18.998", "Na": "22.990",
    "Mg": "24.305", "Al": "26.982", "P": "30.974", "S": "32.06", "Cl": "35.45", "K": "39.098", "Ca": "40.078",
    "Mn": "54.938", "Fe": "55.845", "Co": "58.933", "Cu": "63.546", "Zn": "65.38", "As": "74.922", "Se": "78.971",
    "Br": "79.904", "I": "126.90", "Hg": "200.59", "Pb": "207.2",
}  # fmt: skip
_ATOM = re.compile(r"([A-Z][a-z]?)(\d*)")

# formula (or - for none), charge per ion (or -), names; the first is the substance's own. A name of one Chinese
# character counts only where it stands alone, and names after "as written:" keep their capitals (Na, not "na").
_TABLE = """
Na 1 sodium|钠|血钠|血清钠|尿钠|钠离子|as written:Na
K 1 potassium|钾|血钾|血清钾|尿钾|钾离子|as written:K
Cl 1 chloride|氯|血氯|血清氯|尿氯|氯离子|氯化物|as written:Cl
HCO3 1 bicarbonate|碳酸氢根|碳酸氢盐|as written:HCO3
- 1 anion gap|阴离子间隙
Li 1 lithium|锂|血锂|锂离子|as written:Li
Ca 2 calcium|钙|血钙|总钙|离子钙|游离钙|尿钙|钙离子|as written:Ca|iCa
Mg 2 magnesium|镁|血镁|血清镁|尿镁|镁离子|as written:Mg
P - phosphate|phosphorus|inorganic phosphate|磷|血磷|无机磷|尿磷|磷酸盐|as written:PO4
SO4 2 inorganic sulfate|urine sulfate|serum sulfate|sulfate ion|硫酸根
C6H12O6 - glucose|blood sugar|葡萄糖|血糖|脑脊液糖|尿糖|as written:FPG
C4H7N3O - creatinine|肌酐|as written:SCr|Scr
CH4N2O - urea|尿素
N2 - urea nitrogen|blood urea nitrogen|尿素氮|as written:BUN
C5H4N4O3 - uric acid|urate|尿酸
C27H46O - cholesterol|low density lipoprotein|high density lipoprotein|胆固醇|低密度脂蛋白|高密度脂蛋白|as written:LDL|HDL|TC
C57H104O6 - triglyceride|triacylglycerol|甘油三酯|三酰甘油|as written:TG
C33H36N4O6 - bilirubin|胆红素|as written:TBIL|DBIL
Fe - iron|iron binding capacity|total iron binding capacity|铁|血清铁|血铁|铁结合力|总铁结合力|as written:Fe|TIBC
C3H6O3 - lactate|lactic acid|乳酸
C3H4O3 - pyruvate|pyruvic acid|丙酮酸
C4H8O3 - beta hydroxybutyrate|hydroxybutyrate|beta hydroxybutyric acid|羟丁酸|羟基丁酸
C4H6O3 - acetoacetate|乙酰乙酸
C3H6O - acetone|丙酮
NH3 - ammonia|氨|血氨|as written:NH3
C2936H4590N786O889S41 - albumin|白蛋白|as written:ALB
C2954H4516N780O806S12Fe4 - hemoglobin tetramer|血红蛋白四聚体
C2954H4516N780O806S12Fe4/4 - hemoglobin monomer|hemoglobin fe|血红蛋白单体
- - hemoglobin|血红蛋白|血色素|as written:Hb|Hgb|HGB
Zn - zinc|锌|血锌|血清锌|as written:Zn
Cu - copper|铜|血铜|血清铜|尿铜|as written:Cu
Se - selenium|硒|血硒
Al - aluminum|aluminium|铝|血铝
Mn - manganese|锰|血锰
Pb - lead level|blood lead|serum lead|lead concentration|铅|血铅|as written:Pb
Hg - blood mercury|urine mercury|mercury level|汞|血汞|尿汞|as written:Hg
As - arsenic|砷|血砷|尿砷
F - fluoride|氟|血氟|尿氟
Br - bromide|溴|血溴
C2H2O4 - oxalate|oxalic acid|草酸
C6H8O7 - citrate|citric acid|枸橼酸|柠檬酸
C4H9NO2S - homocysteine|同型半胱氨酸
C6H12N2O4S2 - cystine|胱氨酸
C9H11NO2 - phenylalanine|苯丙氨酸
C9H11NO3 - tyrosine|酪氨酸
C21H30O5 - cortisol|hydrocortisone|皮质醇
C21H28O5 - aldosterone|醛固酮
C19H28O2 - testosterone|睾酮
C18H24O2 - estradiol|雌二醇
C18H24O3 - estriol|雌三醇
C21H30O2 - progesterone|孕酮|黄体酮
C21H30O3 - 17 hydroxyprogesterone|17羟孕酮|17羟基孕酮|as written:17-OHP
C19H28O5S - dehydroepiandrosterone sulfate|DHEA sulfate|硫酸脱氢表雄酮|DHEAS|DHEA S
C19H26O2 - androstenedione|雄烯二酮
C15H11I4NO4 - thyroxine|free thyroxine|T4|FT4|甲状腺素
C15H12I3NO4 - triiodothyronine|T3|FT3|三碘甲状腺原氨酸
C9H13NO3 - epinephrine|adrenaline|肾上腺素
C8H11NO3 - norepinephrine|noradrenaline|去甲肾上腺素
C8H11NO2 - dopamine|多巴胺
C10H15NO3 - metanephrine|甲氧基肾上腺素
C9H13NO3 - normetanephrine|甲氧基去甲肾上腺素
C9H10O5 - vanillylmandelic acid|香草扁桃酸|as written:VMA
C10H9NO3 - 5 hydroxyindoleacetic acid|5羟吲哚乙酸|as written:5-HIAA
C10H12N2O - serotonin|5羟色胺
C408H674N126O126S2 - parathyroid hormone|parathyrin|甲状旁腺激素|甲状旁腺素|as written:PTH|iPTH
C129H211N35O48 - C peptide|C肽
C27H44O2 - 25 hydroxyvitamin D|25 OH vitamin D|25 OH D|25 OH D3|calcidiol|25羟维生素D|25羟基维生素D|骨化二醇
C27H44O3 - 1,25 dihydroxyvitamin D|calcitriol|1,25二羟维生素D|骨化三醇
C63H88CoN14O14P - vitamin B12|B12|cobalamin|cyanocobalamin|维生素B12|钴胺素
C19H19N7O6 - folate|folic acid|叶酸
C20H30O - retinol|vitamin A|视黄醇|维生素A
C29H50O2 - alpha tocopherol|vitamin E|生育酚|维生素E
C6H8O6 - ascorbic acid|vitamin C|抗坏血酸|维生素C
C41H64O14 - digoxin|地高辛
C7H8N4O2 - theophylline|茶碱
C8H10N4O2 - caffeine|咖啡因
C8H9NO2 - acetaminophen|paracetamol|对乙酰氨基酚|扑热息痛
C7H6O3 - salicylate|salicylic acid|水杨酸盐|水杨酸
C9H8O4 - aspirin|acetylsalicylic acid|阿司匹林|乙酰水杨酸
C2H6O - ethanol|ethyl alcohol|blood alcohol|乙醇|血酒精|as written:EtOH
CH4O - methanol|methyl alcohol|甲醇
C2H6O2 - ethylene glycol|乙二醇
C3H8O - isopropanol|isopropyl alcohol|异丙醇
C15H12N2O2 - phenytoin|苯妥英|苯妥英钠
C15H12N2O - carbamazepine|卡马西平
C8H16O2 - valproate|valproic acid|sodium valproate|丙戊酸|丙戊酸钠|as written:VPA
C12H12N2O3 - phenobarbital|phenobarbitone|苯巴比妥
C9H7Cl2N5 - lamotrigine|拉莫三嗪
C8H14N2O2 - levetiracetam|左乙拉西坦
C66H75Cl2N9O24 - vancomycin|万古霉素
C21H43N5O7 - gentamicin|庆大霉素
C18H37N5O9 - tobramycin|妥布霉素
C22H43N5O13 - amikacin|阿米卡星
C20H22N8O5 - methotrexate|甲氨蝶呤|甲氨喋呤|as written:MTX
C62H111N11O12 - cyclosporine|cyclosporin|ciclosporin|环孢素
C44H69NO12 - tacrolimus|他克莫司
C51H79NO13 - sirolimus|西罗莫司
C14H22N2O - lidocaine|lignocaine|利多卡因
C13H21N3O - procainamide|普鲁卡因胺
C25H29I2NO3 - amiodarone|胺碘酮
C20H23N - amitriptyline|阿米替林
C18H19ClN4 - clozapine|氯氮平
- 1 potassium chloride|氯化钾|as written:KCl
- 1 sodium chloride|氯化钠|as written:NaCl
- 1 sodium bicarbonate|碳酸氢钠|as written:NaHCO3
- - heparin|肝素
- - nitrogen|氮
- - lipoprotein a|脂蛋白a
- - ammonia nitrogen|氨氮
"""

# What holds a substance's name without being about it; its words are passed over.
_PASSED_OVER = (
    "calcium channel|calcium gluconate|calcium carbonate|calcium chloride|calcium citrate|calcium acetate|calcium oxalate|"
    "magnesium sulfate|magnesium oxide|potassium channel|potassium sparing|potassium citrate|potassium phosphate|"
    "sodium channel|sodium phosphate|lithium carbonate|ferrous sulfate|iron sulfate|iron deficiency|iron sucrose|"
    "zinc sulfate|copper sulfate|sodium citrate|sodium lactate|lactate dehydrogenase|glucose 6 phosphate|glucose tolerance|"
    "morphine sulfate|protamine sulfate|creatinine clearance|glycated hemoglobin|hemoglobin a1c|glycated albumin|"
    "thyroxine binding|葡萄糖酸钙|葡萄糖6磷酸|碳酸钙|氯化钙|硫酸镁|碳酸锂|硫酸亚铁|蔗糖铁|枸橼酸钾|枸橼酸钠|"
    "柠檬酸钾|乳酸脱氢酶|乳酸钠|糖化血红蛋白|糖化白蛋白|肌酐清除率|促甲状腺素|甲状腺素结合|缺铁|葡萄糖耐量|铁蛋白|转铁蛋白|氯化镁"
)
# What stands around a name of one Chinese character that is a word of its own: 血清钠浓度, 钾为多少.
_BEFORE, _AFTER = frozenset("血清浆尿液中的总测离和及者、"), frozenset("浓水离值含为是的多测结排和及、升降")
# After a Chinese name, these make another word of it: 血清铁蛋白, 尿酸酶, 血氨基酸, 乳酸钙.
_LONGER = frozenset("蛋酶基酯受吡酸钙钠钾镁铁锌铋铝锂")
# With one of these words after a name, or before it, another substance is meant: a salt, an ester, an enzyme.
_COMPOUND = re.compile(
    r"(?!rate$|date$|estimate$|late$)\w+(?:ate|ide|ase)$|esters?$|clearance$|binding$|receptors?$|antibod|overload$|"
    r"deficiency$|excess$|dextran$|sucrose$|polymaltose$|channels?$|sparing$|carboxymaltose$|polystyrene$|breath$"
)
_MADE_OF = frozenset("酸 ferric ferrous 13c".split())
# Names after these are what a question assumes, not what it asks: the insulin dose for a glucose of 300.
_ASSUMES = frozenset("for with given despite if when because against".split())
_VALUES = frozenset("value level limit target goal range concentration result cutoff threshold factor".split())
_STATES = frozenset("is are was were has have of what which how".split())
_DOSED = re.compile(
    r"\b(?:dos(?:e|es|age|ing)|administer\w*|supplement\w*|infus\w+|tablets?)\b|剂量|用量|给药|补充|输注", re.IGNORECASE
)
_THYROID = re.compile(
    r"thyr|\bTSH\b|\b(?:free|total|serum|plasma) T[34]\b|甲状腺|甲亢|甲减|游离|[总清血]T[34]", re.IGNORECASE
)
_HAN = re.compile(f"[{CJK}]")
_POINTS_BACK = re.compile(
    r"\b(?:this|that|it|these|(?:value|result) in)\b|^\s*[是为合即]?多少|[其该此这]|换算|转换|折合|相当|等于",
    re.IGNORECASE,
)
_FORMS = {
    "tetramer": re.compile(r"\btetramer|四聚体", re.IGNORECASE),
    "monomer": re.compile(r"\bmonomer|\bas Fe\b|\(Fe\)|单体", re.IGNORECASE),
}


@dataclass(frozen=True)
class Analyte:
    """A substance. Without a formula its mass and amount do not convert; without a charge, mEq and mmol do not."""

    name: str
    formula: str
    valence: int

    @property
    def molar_mass(self) -> Fraction | None:
        """In g/mol."""
        return molar_mass(self.formula) if self.formula else None

    def per_mole(self, dimension: str) -> Fraction | None:
        """How much of a dimension's base unit one mole is: grams of mass, equivalents of charge."""
        if dimension == "charge":
            return Fraction(self.valence) if self.valence else None
        return {"amount": Fraction(1), "mass": self.molar_mass}.get(dimension)


@lru_cache(maxsize=512)
def molar_mass(formula: str) -> Fraction:
    """The sum of the atoms' weights, for a formula without brackets: C6H12O6. "/4" after it takes the fourth part."""
    whole, _, share = formula.partition("/")
    atoms = _ATOM.findall(whole)
    if "".join(symbol + count for symbol, count in atoms) != whole or not atoms:
        raise ValueError(f"{formula!r} is not a formula such as C6H12O6")
    weights = (Fraction(ATOMIC_WEIGHTS[symbol]) * int(count or 1) for symbol, count in atoms)
    return sum(weights, Fraction(0)) / int(share or 1)


def _read_table() -> tuple[dict[str, Analyte], dict[str, Analyte | None], dict[str, Analyte]]:
    """The substances by their own name, by every name as `tokens` reads it, and by what counts only as written."""
    analytes: dict[str, Analyte] = {}
    names: dict[str, Analyte | None] = {" ".join(tokens(name)): None for name in _PASSED_OVER.split("|")}
    written: dict[str, Analyte] = {}
    for row in _TABLE.strip().splitlines():
        formula, charge, rest = row.split(" ", 2)
        spoken, _, symbols = rest.partition("|as written:")
        own = spoken.split("|")[0]
        analytes[own] = Analyte(own, formula.strip("-"), int(charge) if charge != "-" else 0)
        names.update({" ".join(tokens(name)): analytes[own] for name in spoken.split("|")})
        written.update(dict.fromkeys((symbol for symbol in symbols.split("|") if symbol), analytes[own]))
    return analytes, names, written


ANALYTES, _NAMES, _WRITTEN = _read_table()
_SALTS = [name for name in _NAMES if re.search("(?:ate|ide)$|酸|氯 ?化", name) and _NAMES[name] is None]
_LONGEST: dict[str, int] = {}  # by its first word the words of the longest name
for _name in _NAMES:
    _first, *_more = _name.split()
    _LONGEST[_first] = max(_LONGEST.get(_first, 0), 1 + len(_more))
_SYMBOL = re.compile(
    r"(?<![A-Za-z0-9/])(?<!\d )(?<![Vv]itamin )(?<![Vv]it )(?<!维生素)"
    rf"({'|'.join(sorted(map(re.escape, _WRITTEN), key=len, reverse=True))})"
    r"(?=\^?\d?[+-]|[^A-Za-z0-9/]|$)(?!-[a-z])(?! ?-?(?:125|19-9|15-3|72-4)\b)"
)


@lru_cache(maxsize=4096)
def analytes_in(text: str) -> frozenset[Analyte]:
    """Every substance that a text names: the longest name at each place, of whole words, or a symbol as written."""
    text = plain(text)
    words = tokens(text)
    named = _named(words, "t" in words and bool(_THYROID.search(text)))
    written = [(_WRITTEN[m[1]], tokens(text[max(0, m.start() - 60) : m.start()])) for m in _SYMBOL.finditer(text)]
    return frozenset(named).union(_unknown(found) if _assumed(words) else found for found, words in written)


def _unknown(analyte: Analyte) -> Analyte:
    """What a substance's name stands in, of which neither mass nor charge is known."""
    return Analyte(f"with {analyte.name}", "", 0)


def _assumed(words: list[str]) -> bool:
    """Whether the name after these words is only assumed by a question."""
    near = words[-4:]
    start = next((i for i, word in enumerate(near) if word in _ASSUMES), None)
    asked = start is not None and near[start] == "for" and not _VALUES.isdisjoint(near[max(0, start - 1) : start])
    return start is not None and not asked and _STATES.isdisjoint(near[start:])


def _named(words: list[str], thyroid: bool) -> Iterator[Analyte]:
    at = 0
    while at < len(words):
        for length in range(min(_LONGEST.get(words[at], 0), len(words) - at), 0, -1):
            name = " ".join(words[at : at + length])
            if name in _NAMES and _alone(words, at, length):
                analyte = _NAMES[name]
                if analyte and (thyroid or name not in ("t 3", "t 4")):
                    before, after = words[max(0, at - 4) : at], words[at + length : at + length + 1]
                    other = not _MADE_OF.isdisjoint(before[-1:]) or any(map(_COMPOUND.match, after))
                    yield _unknown(analyte) if other or _assumed(before) else analyte
                at += length
                break
        else:
            at += 1


def _alone(words: list[str], at: int, length: int) -> bool:
    """Whether a Chinese name is no part of another word; one character needs more: 钾为多少, but not 保钾利尿剂."""
    before, after = (words[i] if 0 <= i < len(words) else "" for i in (at - 1, at + length))
    if length > 1 or not _HAN.match(words[at]):
        return after not in _LONGER
    return not any(_HAN.match(word) and word not in known for word, known in ((before, _BEFORE), (after, _AFTER)))


# A question without a verb asks for what stands first: "Corrected calcium for a calcium of 8.0 and an albumin of 2.0?"
_NOMINAL = re.compile(
    r"(?!(?:what|which|how|is|are|does|do|if|in|on|at|for|with|given|an?|the|his|her|after|before|convert|express|give|name|"
    r"state)\b)(?P<what>[^,:;.?]{3,60}?)(?: (?:for|from|by|with|using|given|if|when|according to)\b|:)[^?]*\?",
    re.IGNORECASE,
)
_CORRECTED = re.compile(r"\balbumin[- ](?=corrected|adjusted)|(?<=ed) for albumin", re.IGNORECASE)
_ASKS_FOR = re.compile(
    r"\b(?:estimate|calculate|compute|determine|what (?:is|was)|find|report)(?P<what> [^,:;.?]{2,60}?)"
    r"(?= (?:with|using|from|by|given|if|when|for|in|based|and|or)\b|[,:;.?]|$)",
    re.IGNORECASE,
)


def analyte_of(problem: Problem) -> Analyte | None:
    """The one substance that a question is about, or None.

    `metadata["analyte"]` names it where given. Else it is the only one of the question's last sentence, or, where that
    sentence names none but points back ("what is this in mmol/L?"), the only one of the question.
    """
    stated = str(problem.metadata.get("analyte") or "")
    last = last_sentence(problem.question)
    if stated:
        found = analytes_in(stated) or analytes_in(f"{stated} level")  # "lead" alone is a verb in a question
    else:
        found = analytes_in(last)
    if len(found) > 1 and not stated and (asks := _ASKS_FOR.search(last) or _NOMINAL.fullmatch(last.strip())):
        found = analytes_in(_CORRECTED.sub("", asks["what"]))  # "Estimate LDL cholesterol from HDL and triglycerides"
    if not stated and not found and _POINTS_BACK.search(last):
        found = analytes_in(problem.question)
    return _form(next(iter(found)), f"{stated} {problem.question}") if len(found) == 1 else None


def other_substance(problem: Problem, text: str) -> str:
    """A substance that an answer names and that its question does not ask for, or ""."""
    words = f" {normal(text)} "
    salts = [name for name in _SALTS if f" {name} " in words]
    named = analytes_in(text)
    if not (salts or named):
        return ""
    asked = analytes_in(last_sentence(problem.question))
    if len(asked) != 1 or problem.metadata.get("analyte"):
        asked = analytes_in(f"{problem.question}\n{problem.metadata.get('analyte') or ''}")
    known = f" {normal(f'{problem.question} {problem.reference}')} " if salts else ""
    others = [name for name in salts if f" {name} " not in known]
    names = {name for found in asked for name in (found.name, found.name.removeprefix("with "))}
    others += [found.name for found in named if found.name not in names]
    return others[0] if others else ""


def _form(analyte: Analyte, text: str) -> Analyte:
    """Haemoglobin in the form, monomer or tetramer, that the text states; anything else as it is."""
    if analyte.name != "hemoglobin":
        return analyte
    stated = [form for form, words in _FORMS.items() if words.search(text)]
    return ANALYTES[f"{analyte.name} {stated[0]}"] if len(stated) == 1 else analyte


def exchange(problem: Problem, theirs: str, ours: str) -> Fraction | None:
    """The factor from one dimension to another (mass, amount, charge, in base units) for the question's substance."""
    if "mass" in (theirs, ours) and _DOSED.search(last_sentence(problem.question)):
        return None  # the mass may be that of a salt or a hydrate
    analyte = analyte_of(problem)
    if analyte is None and {theirs, ours} == {"amount", "charge"} and not problem.metadata.get("analyte"):
        if any(found.name == "anion gap" for found in analytes_in(last_sentence(problem.question))):
            return Fraction(1)  # a difference of charges, whatever carries them
        charges = {found.valence for found in analytes_in(problem.question)}  # if all are one it does not matter which
        return Fraction(1) if charges == {1} and analytes_in(last_sentence(problem.question)) else None
    ratio = [analyte.per_mole(dimension) if analyte else None for dimension in (ours, theirs)]
    return ratio[0] / ratio[1] if ratio[0] and ratio[1] else None
