"""Names of a level in words: "high serum potassium" is hyperkalaemia, 血钙降低 is hypocalcaemia, for every analyte."""

import re
from functools import lru_cache

from medrl.verifiers.normalise import normal
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.wording import Asked, repeats

# What is measured, in English and Chinese, and the names of too much and too little of it; "" where there is none.
_ANALYTES = (
    ("potassium|k\\+?", "钾", "hyperkalemia", "hypokalemia"),
    ("sodium|na\\+?", "钠", "hypernatremia", "hyponatremia"),
    ("calcium|ca(?:2\\+|\\+\\+|²⁺)?", "钙", "hypercalcemia", "hypocalcemia"),
    ("magnesium|mg", "镁", "hypermagnesemia", "hypomagnesemia"),
    ("phosphate|phosphorus", "磷酸盐?|磷", "hyperphosphatemia", "hypophosphatemia"),
    ("chloride", "氯", "hyperchloremia", "hypochloremia"),
    ("glucose|sugar", "葡萄糖|糖", "hyperglycemia", "hypoglycemia"),
    ("uric acid|urate", "尿酸", "hyperuricemia", "hypouricemia"),
    ("bilirubin", "胆红素", "hyperbilirubinemia", ""),
    ("ammonia", "氨", "hyperammonemia", ""),
    ("albumin", "白蛋白", "", "hypoalbuminemia"),
    ("cholesterol", "胆固醇", "hypercholesterolemia", ""),
    ("triglycerides?", "甘油三酯|三酰甘油", "hypertriglyceridemia", ""),
    ("lipids?", "脂", "hyperlipidemia", ""),
    ("prolactin", "催乳素|泌乳素", "hyperprolactinemia", ""),
    ("homocyst(?:e)?ine", "同型半胱氨酸", "hyperhomocysteinemia", ""),
    ("co2|pco2|paco2|carbon dioxide", "二氧化碳(?:分压)?", "hypercapnia", "hypocapnia"),
    ("oxygen|po2|pao2", "氧(?:分压)?", "", "hypoxemia"),
    ("platelets?|platelet counts?|thrombocytes?", "血小板", "thrombocytosis", "thrombocytopenia"),
    ("neutrophils?|neutrophil counts?", "中性粒细胞", "neutrophilia", "neutropenia"),
    ("lymphocytes?|lymphocyte counts?", "淋巴细胞", "lymphocytosis", "lymphopenia"),
    ("eosinophils?|eosinophil counts?", "嗜酸性?粒细胞", "eosinophilia", ""),
    ("white (?:blood )?cells?|white (?:blood )?(?:cell )?counts?|wbcs?|wbc counts?|"
     "leukocytes?", "白细胞", "leukocytosis", "leukopenia"),
    ("pressure", "压", "hypertension", "hypotension"),
    ("heart rate|pulse|pulse rate", "心率", "tachycardia", "bradycardia"),
)  # fmt: skip
_CELLS = "血小板|中性粒细胞|淋巴细胞|嗜酸性?粒细胞|白细胞|心率"
_BLOOD = r"(?:(?:serum|plasma|blood|arterial|circulating|peripheral) )"
_HIGH = r"high|raised|elevated|increased|excess(?:ive)?"
_LOW = r"low|reduced|decreased|lowered|depressed|depleted"
_RISES = (
    r"rises?|rising|increases?|goes up|(?:is |are |becomes? |too |abnormally |markedly |very )*(?:high|raised|"
    r"elevated|increased)|(?:is |are )?above (?:the )?normal(?: range| limits?)?"
)
_FALLS = (
    r"falls?|falling|drops?|decreases?|declines?|goes down|(?:is |are |becomes? |too |abnormally |markedly |very )*"
    r"(?:low|reduced|decreased|lowered|depressed)|(?:is |are )?below (?:the )?normal(?: range| limits?)?"
)
_UP = r"(?:rise|increase|elevation|excess)"
_DOWN = r"(?:fall|drop|decrease|reduction|decline)"
_NAMES = "|".join(f"(?P<e{i}>{english})" for i, (english, *_) in enumerate(_ANALYTES))
_HAN_NAMES = "|".join(f"(?P<h{i}>{han})" for i, (_, han, *_) in enumerate(_ANALYTES))
_LEVEL = r"(?: ions?)?(?: levels?| concentrations?| counts?)?"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?:an? |the )?(?:(?:abnormally|very|markedly|too) )?(?:(?P<up>{_HIGH})|"
        rf"(?P<down>{_LOW})) {_BLOOD}*(?:{_NAMES}){_LEVEL}"
        r"(?: in (?:the )?(?:blood|serum|plasma))?",
        rf"(?:the |his |her )?{_BLOOD}*(?:{_NAMES}){_LEVEL} (?:(?P<up>{_RISES})|(?P<down>{_FALLS}))",
        rf"(?:an? |the )?(?:(?P<up>{_UP})|(?P<down>{_DOWN})) (?:in|of) (?:the )?{_BLOOD}*(?:{_NAMES}){_LEVEL}",
        rf"(?=.*(?:血|离子|浓度|水平|{_CELLS}))(?:外周)?(?:血[清浆液中]?)?(?:{_HAN_NAMES})(?:离子)?(?:计数|数量?|"
        rf"浓度|水平|含量)?的?"
        r"(?:明显|显著|异常|轻度|中度|重度)?(?:(?P<up>[偏过]?高|升高|增高|上升|增多|增加)|(?P<down>[偏过]?低|降低|"
        r"下降|减低|减少))",
    )
)
_MAY = Pattern(
    r"\b(?:high|raised|elevated|increased?s?|excess|rise|rising|low|lowered|reduced|reduction|decreased?s?|depressed|"
    r"depleted|fall|"
    r"drop|decline|elevation|goes|above|below)|[高低]|[上下]升|上升|下降|增多|增加|减少",
    re.IGNORECASE,
)
# The figure in parentheses that says the same.
_FIGURE = re.compile(r" ?[（(](?P<sign>[<>＜＞≤≥]) ?[\d.]+ ?[A-Za-zμµ/·^0-9%]{0,20}[)）]$")


_CAUSED = Pattern(
    r",? (?:from|after|due to|because of|following|caused by|secondary to|as a result of|owing to) "
    r"(?P<cause>[^.,;]{3,80})$",
    re.IGNORECASE,
)


def named_level(text: str, asked: Asked | None = None) -> str:
    """What a whole text says of a level in the blood, by its name: "the potassium is high" is hyperkalemia; else "".

    A cause may follow that the question, where it is given, names.
    """
    if len(text) < 16 and (ion := _ION.fullmatch(text.strip(" .。"))):
        text = f"血{_IONS.get(ion['ion'], ion['ion'])}{_ARROWS.get(ion['way'], ion['way'])}"
    if not 2 < len(text) <= 120 or not _MAY.may_match(text):
        return ""
    caused = _CAUSED.search(text)
    if caused and asked and not _MAY.search(caused[0]) and repeats(caused["cause"], asked):
        text = text[: caused.start()]
    return _named(text) if len(text) <= 80 else ""


# K+ 降低, 血Na↓
_ION = re.compile(
    r"(?:血清?)?(?P<ion>Na|K|Ca|Mg|Cl|[钠钾钙镁氯磷糖])(?:[2²]?[+⁺]{1,2}|[-⁻])?(?:离子)?(?:浓度|水平)? ?"
    r"(?P<way>[↑↓]|升高|增高|偏高|过高|降低|下降|减低|偏低|过低)"
)
_IONS = {"Na": "钠", "K": "钾", "Ca": "钙", "Mg": "镁", "Cl": "氯"}
_ARROWS = {"↑": "升高", "↓": "降低"}


@lru_cache(maxsize=512)
def _named(text: str) -> str:
    figure = _FIGURE.search(text)
    text = text[: figure.start()] if figure else text
    for form in _FORMS:
        match = form.fullmatch(text.strip(" .。"))
        if match:
            up = match["up"] is not None
            if figure and (figure["sign"] in ">＞≥") != up:
                return ""
            number = next(int(key[1:]) for key, value in match.groupdict().items() if value and key[1:].isdigit())
            if number == _PRESSURE and not re.search("blood|arterial|血", text, re.IGNORECASE):
                return ""
            return _ANALYTES[number][2 if up else 3]
    return ""


_PRESSURE = next(i for i, (english, *_) in enumerate(_ANALYTES) if english == "pressure")


def level_asked(text: str, question: str) -> str:
    """Whether the name of a level, of what a question asks about, says increased or decreased; "" of any other text."""
    number, pole = _NAMED.get(normal(text), (0, "")) if len(text) < 30 else (0, "")
    return pole if pole and re.search(rf"\b(?:{_ANALYTES[number][0]})\b", question, re.IGNORECASE) else ""


_NAMED = {
    normal(name): (number, pole)
    for number, row in enumerate(_ANALYTES)
    for name, pole in zip(row[2:], ("increased", "decreased"), strict=True)
    if name and number != _PRESSURE
}
