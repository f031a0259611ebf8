"""Dose, frequency, route and duration, blood pressures and ratios: what is one, what is not, what is left open."""

import random

import pytest

from medrl.types import Problem, Verdict, ask
from medrl.verifiers import Number, Typed
from medrl.verifiers.dosing import Dosing, dangerous
from medrl.verifiers.frequency import frequencies, routes
from medrl.verifiers.quantity import plain

RIGHT, WRONG, OPEN = 1.0, 0.0, None


def ruled(question: str, reference: str, text: str, **more: object) -> Verdict:
    return Typed().verify(Problem("p", ask(question), reference, **more), text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "texts"),
    [
        (0.5, "BID|b.i.d.|bd|twice daily|twice a day|two times per day|q12h|q 12 h|every 12 hours|12-hourly|2x/day|"
            "每日两次|每天2次|"
              "一日2次|2次/日|每12小时一次|日二次"),
        (1, "QD|q.d.|once daily|once a day|daily|every day|each day|every 24 hours|每日一次|每天一次|每日1次|1次/日"),
        (2, "QOD|q.o.d.|every other day|every second day|on alternate days|every 2 days|隔日一次|隔日|隔天1次"),
        (1 / 3, "TID|t.i.d.|tds|three times a day|three times daily|thrice daily|q8h|8-hourly|每日三次|每8小时|3次/天"),
        (0.25, "QID|qds|four times daily|q6h|every six hours|每日四次|每6小时1次"),
        (7, "weekly|once a week|once weekly|every week|qw|every 7 days|每周一次|1次/周"),
        (3.5, "twice weekly|two times a week|biw|每周两次"),
        (14, "every other week|every 2 weeks|q2w|fortnightly|every two weeks|每两周一次|每2周"),
        (3 * 30.436875, "every 3 months|q 3 months|q3mo|every three months|quarterly|3-monthly|four times a year|"
            "每3个月一次|每三个月|"
                        "每季度一次"),
        (6 * 30.436875, "every 6 months|twice a year|半年一次|每半年|每六个月一次"),
        (365.2425, "yearly|annually|once a year|every year|every 12 months|每年一次|一年1次"),
    ],
)  # fmt: skip
def test_one_frequency_in_many_notations(days: float, texts: str) -> None:
    for text in texts.split("|"):
        found, rest = frequencies(plain(text))
        assert [float(one.low) / 86400 for one in found] == [pytest.approx(days)], text
        assert found[0].low == found[0].high and not rest.strip(" ."), text


@pytest.mark.parametrize("text", ["biweekly", "bimonthly", "每隔2天", "5 days", "一次", "hold", "bidirectional", "odd"])
def test_what_names_no_frequency(text: str) -> None:
    assert frequencies(plain(text))[0] == []


@pytest.mark.parametrize(
    ("route", "texts"),
    [
        ("oral", "PO|p.o.|orally|by mouth|per os|oral|口服"),
        ("intramuscular", "IM|i.m.|intramuscularly|intramuscular injection|肌注|肌肉注射|肌内注射"),
        ("intravenous", "IV|i.v.|intravenously|IV infusion|IV push|静注|静脉注射|静滴|静脉滴注|静推"),
        ("subcutaneous", "SC|subcut|subq|subcutaneously|皮下注射"),
        ("sublingual", "SL|under the tongue|sublingually|舌下含服"),
        ("rectal", "rectally|PR|per rectum|直肠给药"),
        ("intrathecal", "intrathecally|鞘内注射"),
        ("inhaled", "by inhaler|inhaled|吸入|雾化吸入"),
    ],
)
def test_one_route_in_many_notations(route: str, texts: str) -> None:
    for text in texts.split("|"):
        assert {one.base for one in routes(plain(text))[0]} == {route}, text


HOW_OFTEN, ROUTE, HOW = (
    "How often is the depot injection given?",
    "By what route is it given instead?",
    "What is the regimen?",
)
WHOLE = "500 mg PO BID for 7 days"


@pytest.mark.parametrize(
    ("question", "reference", "text", "score"),
    [
        (HOW_OFTEN, "Every 3 months", "q 3 months", RIGHT),
        (HOW_OFTEN, "Every 3 months", "every three months", RIGHT),
        (HOW_OFTEN, "Every 3 months", "It is given every three months.", RIGHT),
        (HOW_OFTEN, "Every 3 months", "每3个月一次", RIGHT),
        (HOW_OFTEN, "Every 3 months", "3 months", RIGHT),
        (HOW_OFTEN, "Every 3 months", "Every 3 weeks", WRONG),
        (HOW_OFTEN, "Every 3 months", "The injection is repeated once monthly.", WRONG),
        (HOW_OFTEN, "Every 3 months", "3 weeks", WRONG),
        (HOW_OFTEN, "Every 3 months", "3 times a month", WRONG),
        (HOW_OFTEN, "Every 3 months", "every 12 weeks", OPEN),
        (HOW_OFTEN, "Every 3 months", "every 3 months or every 6 months", OPEN),
        (HOW_OFTEN, "Every 3 months", "not every 3 months", OPEN),
        (HOW_OFTEN, "Every 3 months", "every 3 months (monthly)", OPEN),
        (HOW_OFTEN, "Every 3 months", "every 3 months for 5 doses", OPEN),
        (HOW_OFTEN, "Every 3 months", "The answer is every 6 months. The answer is every 3 months.", WRONG),
        (HOW_OFTEN, "Monthly", "every 4 weeks", OPEN),
        (HOW_OFTEN, "Every 6 months", "Twice a year is enough.", RIGHT),
        ("What interval between boosters?", "10 years", "every 10 years", RIGHT),
        ("What interval between boosters?", "10 years", "Every 5 years", WRONG),
        ("给药频率是什么?", "每周一次", "每周给药一次", RIGHT),
        ("给药频率是什么?", "每周一次", "每周服用1次即可。", RIGHT),
        ("给药频率是什么?", "每周一次", "每日一次", WRONG),
        (HOW, "1 g PO once", "1000 mg orally as a single dose", RIGHT),
        (HOW, "1 g PO once", "1 g PO daily", WRONG),
        (HOW, "2.4 million units IM once", "2.4 MU IM as a single dose", RIGHT),
        (HOW, "2.4 million units IM once", "2.4 million units IM weekly", WRONG),
        (HOW_OFTEN, "Once daily", "at bedtime", OPEN),
        (HOW_OFTEN, "QD", "qhs", OPEN),
        (HOW_OFTEN, "Once daily at bedtime", "qhs", RIGHT),
        (HOW_OFTEN, "Once daily at bedtime", "every morning", WRONG),
        (HOW_OFTEN, "Every 4-6 hours", "q4-6h", RIGHT),
        (HOW_OFTEN, "Every 4-6 hours", "every 8 hours", WRONG),
        (HOW_OFTEN, "Every 4-6 hours", "every 4 hours", OPEN),
        ("服用频率是？", "每日三次", "tid", RIGHT),
        ("服用频率是？", "每日三次", "每日两次", WRONG),
        ("服用频率是？", "隔日一次", "隔日1次", RIGHT),
        ("服用频率是？", "隔日一次", "每日一次", WRONG),
        ("Which abbreviation means twice daily?", "BID", "q12h", OPEN),
        ("Screening interval?", "Every 10 years", "every ten years", RIGHT),
        ("Screening interval?", "Every 10 years", "every 5 years", WRONG),
        (ROUTE, "Intramuscular", "IM injection", RIGHT),
        (ROUTE, "Intramuscular", "Deep intramuscular injection", RIGHT),
        (ROUTE, "Intramuscular", "肌肉注射", RIGHT),
        (ROUTE, "Intramuscular", "Subcutaneous", WRONG),
        (ROUTE, "Intramuscular", "It can be given by the oral route instead.", WRONG),
        (ROUTE, "Intramuscular", "IM or IV", OPEN),
        (ROUTE, "Intramuscular", "not IM", OPEN),
        (ROUTE, "Intramuscular", "IM every 4 hours", OPEN),
        (ROUTE, "IV", "IV infusion", OPEN),
        (ROUTE, "IV infusion", "IV", OPEN),
        (ROUTE, "IV infusion", "IV push", WRONG),
        (ROUTE, "IV infusion", "静脉滴注", RIGHT),
        ("给药途径是？", "舌下含服", "SL", RIGHT),
        ("给药途径是？", "舌下含服", "口服", WRONG),
        (HOW, WHOLE, "500 mg orally twice daily for 7 days", RIGHT),
        (HOW, WHOLE, "Give 500 mg by mouth every 12 hours for one week.", RIGHT),
        (HOW, WHOLE, "0.5 g PO q12h x 7 days", RIGHT),
        (HOW, WHOLE, "口服500 mg，每日两次，疗程7天", RIGHT),
        (HOW, WHOLE, "500 mg PO TID for 7 days", WRONG),
        (HOW, WHOLE, "500 mg IV BID for 7 days", WRONG),
        (HOW, WHOLE, "250 mg PO BID for 7 days", WRONG),
        (HOW, WHOLE, "500 mcg PO BID for 7 days", WRONG),
        (HOW, WHOLE, "500 mg PO BID for 10 days", WRONG),
        (HOW, WHOLE, "500 mg PO BID for 7 weeks", WRONG),
        (HOW, WHOLE, "1 g PO daily for 7 days", WRONG),
        (HOW, WHOLE, "500 mg/kg PO BID for 7 days", WRONG),
        (HOW, WHOLE, "500 mg PO BID", OPEN),
        (HOW, WHOLE, "500 mg BID for 7 days", OPEN),
        (HOW, WHOLE, "500 mg PO BID for 7-10 days", OPEN),
        (HOW, WHOLE, "500 mg PO BID for 7 days with food", OPEN),
        (HOW, WHOLE, "1 g PO in two divided doses for 7 days", OPEN),
        (HOW, WHOLE, "500 mg PO BID, then 250 mg BID for 7 days", OPEN),
        (HOW, "Amoxicillin 500 mg PO TID", "amoxicillin 500 mg orally three times daily", RIGHT),
        (HOW, "Amoxicillin 500 mg PO TID", "doxycycline 500 mg orally three times daily", OPEN),
        (HOW, "Amoxicillin 500 mg PO TID", "500 mg orally three times daily", OPEN),
        ("Amoxicillin: regimen?", "Amoxicillin 500 mg PO TID", "500 mg orally three times daily", RIGHT),
        ("Which NYHA class?", "IV", "III", WRONG),
        ("Which hematoma is it?", "Epidural", "subdural", OPEN),
    ],
)  # fmt: skip
def test_regimens(question: str, reference: str, text: str, score: float | None) -> None:
    verdict = ruled(question, reference, text)
    assert verdict.score == score, verdict


# Parts of a regimen, each in notations that mean the same.
DOSES = (("250 mg", "0.25 g"), ("500 mg", "0.5 g"), ("10 mg", "0.01 g"), ("100 mcg", "0.1 mg"))
WAYS = (("PO", "orally", "by mouth"), ("IM", "intramuscularly"), ("IV", "intravenously"), ("SC", "subcutaneously"))
TIMES = (
    ("once daily", "every 24 hours"),
    ("BID", "twice daily", "q12h"),
    ("TID", "every 8 hours"),
    ("weekly", "once a week"),
)
SPANS = (
    ("for 5 days", "x 5 days"),
    ("for 7 days", "for one week"),
    ("for 14 days", "for 2 weeks"),
    ("for 6 months", "for half a year"),
)


def test_every_notation_of_a_regimen_is_it_and_every_other_part_is_not() -> None:
    draw = random.Random(0)
    kinds = (DOSES, WAYS, TIMES, SPANS)
    for _ in range(300):
        chosen = [draw.choice(kind) for kind in kinds]
        reference, same = (" ".join(draw.choice(part) for part in chosen) for _ in range(2))
        assert ruled(HOW, reference, same).score == RIGHT, (reference, same)
        place = draw.randrange(4)
        others = [part for part in kinds[place] if part != chosen[place]]
        turned = " ".join(draw.choice(draw.choice(others) if i == place else part) for i, part in enumerate(chosen))
        assert ruled(HOW, reference, turned).score == WRONG, (reference, turned)
        less = " ".join(draw.choice(part) for i, part in enumerate(chosen) if i != place)
        assert ruled(HOW, reference, less).score is OPEN, (reference, less)


@pytest.mark.parametrize(
    "reference",
    ["Every 3 months", "BID", WHOLE, "每日三次", "10 units SC daily", "隔日一次", "IV infusion over 1 hour"],
)
def test_a_regimen_is_accepted_as_its_own_answer(reference: str) -> None:
    assert ruled("How should it be given?", reference, reference).score == RIGHT


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10 U SC QD", True), ("5.0 mg", True), (".5 mg daily", True), ("q.o.d.", True), ("10 IU", True), ("5.0毫克", True),
        ("10 units daily", False), ("0.5 mg", False), ("5 mg", False), ("5.0 mg/dL", False), ("10 U/L", False),
        ("39.0 °C", False),
        ("10.0 mmol/L", False), ("qid", False), ("50 mg", False), ("10 ug", False),
    ],
)  # fmt: skip
def test_dangerous_notation_is_seen(text: str, wanted: bool) -> None:
    assert dangerous(text) is wanted


def test_dangerous_notation_is_flagged_and_changes_no_score() -> None:
    for question, reference, text in (
        ("Dose?", "10 units SC daily", "10 U SC QD"),
        ("Dose in mg?", "5 mg", "5.0 mg"),
        ("Dose in mg?", "0.5 mg", ".5 mg"),
        ("Dose of insulin in units?", "10 units", "10 U"),
    ):
        verdict = ruled(question, reference, text)
        assert verdict.score == RIGHT and verdict.parts == {"dangerous_notation": 1.0}, verdict
    assert ruled("Dose in mg?", "5 mg", "5 mg").parts == {}
    assert ruled("Dose in mg?", "5 mg", "50.0 mg").score == WRONG


GOAL, LIMIT = "What is the treatment goal for blood pressure in most adults?", "高血压的诊断标准是什么？"
BOTH = "收缩压≥140和/或舒张压≥90 mmHg"


@pytest.mark.parametrize(
    ("question", "reference", "text", "score"),
    [
        (GOAL, "<130/80 mmHg", "below 130/80", RIGHT),
        (GOAL, "<130/80 mmHg", "Less than 130/80 mm Hg", RIGHT),
        (GOAL, "<130/80 mmHg", "The goal is < 130/80 mmHg for most adults.", RIGHT),
        (GOAL, "<130/80 mmHg", "systolic below 130 and diastolic below 80 mmHg", RIGHT),
        (GOAL, "<130/80 mmHg", "<130 systolic and <80 mmHg diastolic", RIGHT),
        (GOAL, "<130/80 mmHg", "血压控制在130/80 mmHg以下", RIGHT),
        (GOAL, "<130/80 mmHg", "<17.3/10.7 kPa", RIGHT),
        (GOAL, "<130/80 mmHg", "<130/80 mmHg (17.3/10.7 kPa)", RIGHT),
        (GOAL, "<130/80 mmHg", "below 80/130 mmHg", WRONG),
        (GOAL, "<130/80 mmHg", "<140/90 mmHg", WRONG),
        (GOAL, "<130/80 mmHg", "<130/90 mmHg", WRONG),
        (GOAL, "<130/80 mmHg", ">130/80 mmHg", WRONG),
        (GOAL, "<130/80 mmHg", "≤130/80 mmHg", WRONG),
        (GOAL, "<130/80 mmHg", "<130/80 kPa", WRONG),
        (GOAL, "<130/80 mmHg", "<130 mmHg diastolic", WRONG),
        (GOAL, "<130/80 mmHg", "130/80 mmHg", OPEN),
        (GOAL, "<130/80 mmHg", "<130/80 or <140/90", OPEN),
        (GOAL, "<130/80 mmHg", "<130/80 at night", OPEN),
        (GOAL, "<130/80 mmHg", "systolic <130 or diastolic <80", OPEN),
        (GOAL, "<130/80 mmHg", "not <130/80 mmHg", OPEN),
        (GOAL, "<130/80 mmHg", "The answer is <140/90. The answer is <130/80.", WRONG),
        (LIMIT, BOTH, "收缩压≥140mmHg和（或）舒张压≥90mmHg", RIGHT),
        (LIMIT, BOTH, "≥140/90 mmHg", RIGHT),
        (LIMIT, BOTH, "140/90mmHg以上", RIGHT),
        (LIMIT, BOTH, "at or above 140/90 mm Hg", RIGHT),
        (LIMIT, BOTH, "Systolic of at least 140 or diastolic of at least 90", RIGHT),
        (LIMIT, BOTH, "SBP ≥140 mmHg and/or DBP ≥90 mmHg", RIGHT),
        (LIMIT, BOTH, "舒张压≥90和/或收缩压≥140", RIGHT),
        (LIMIT, BOTH, "收缩压≥130和/或舒张压≥80", WRONG),
        (LIMIT, BOTH, "收缩压≥90和/或舒张压≥140", WRONG),
        (LIMIT, BOTH, "收缩压≥140", WRONG),
        (LIMIT, BOTH, "收缩压≥140且舒张压≥90", OPEN),
        ("Blood pressure?", "120/80", "120/80 mmHg", RIGHT),
        ("Blood pressure?", "120/80", "120 over 80", RIGHT),
        ("Blood pressure?", "120/80", "16/10.7 kPa", RIGHT),
        ("Blood pressure?", "120/80", "80/120", WRONG),
        ("Blood pressure?", "120/80", "120", WRONG),
        ("Blood pressure? Answers within 5 mmHg are accepted.", "120/80", "122/78", RIGHT),
        ("Blood pressure? Answers within 5 mmHg are accepted.", "120/80", "130/78", WRONG),
        ("Visual acuity?", "20/40", "20/30", WRONG),
    ],
)  # fmt: skip
def test_blood_pressures(question: str, reference: str, text: str, score: float | None) -> None:
    verdict = ruled(question, reference, text)
    assert verdict.score == score, verdict


EPI, LAVAGE = "Which dilution of epinephrine is used intramuscularly?", "洗胃用高锰酸钾溶液的浓度是多少？"


@pytest.mark.parametrize(
    ("question", "reference", "text", "score"),
    [
        (EPI, "1:1,000", "1:1000", RIGHT),
        (EPI, "1:1,000", "1∶1000 solution", RIGHT),
        (EPI, "1:1,000", "1 in 1000", RIGHT),
        (EPI, "1:1,000", "one in a thousand", RIGHT),
        (EPI, "1:1,000", "1/1000", RIGHT),
        (EPI, "1:1,000", "1 mg/mL", RIGHT),
        (EPI, "1:1,000", "0.1%", RIGHT),
        (EPI, "1:1,000", "1 g in 1 L", RIGHT),
        (EPI, "1:1,000", "The dilution is 1:1000 (1 mg/mL).", RIGHT),
        (EPI, "1 mg/mL", "1:1000", RIGHT),
        (EPI, "0.1%", "1:1000", RIGHT),
        (EPI, "1:1,000", "1:10,000", WRONG),
        (EPI, "1:1,000", "The intramuscular solution is 1:10,000.", WRONG),
        (EPI, "1:1,000", "0.1 mg/mL", WRONG),
        (EPI, "1:1,000", "1%", WRONG),
        (EPI, "1 mg/mL", "1:10,000", WRONG),
        (EPI, "1:1,000", "1000:1", WRONG),
        (EPI, "1:1,000", "1:1000 or 1:10,000", OPEN),
        (EPI, "1:1,000", "not 1:1000", OPEN),
        (EPI, "1:1,000", "1:1000 (0.1 mg/mL)", OPEN),
        (EPI, "1:1,000", "1 mg", OPEN),
        (EPI, "1:1,000", "The answer is 1:10,000. The answer is 1:1000.", WRONG),
        (LAVAGE, "1:5000", "0.02%", RIGHT),
        (LAVAGE, "1:5000", "1：5000溶液", RIGHT),
        (LAVAGE, "1:5000", "1比5000", RIGHT),
        (LAVAGE, "1:5000", "五千分之一", RIGHT),
        (LAVAGE, "1:5000", "万分之二", RIGHT),
        (LAVAGE, "1:5000", "1:500", WRONG),
        (LAVAGE, "1:5000", "0.2%", WRONG),
        ("What is the usual I:E ratio?", "1:2", "1:2", RIGHT),
        ("What is the usual I:E ratio?", "1:2", "The I:E ratio is 1 to 2.", RIGHT),
        ("What is the usual I:E ratio?", "1:2", "2:1", WRONG),
        ("What is the usual I:E ratio?", "1:2", "50%", OPEN),
        ("Compression-to-ventilation ratio?", "30:2", "30 to 2", RIGHT),
        ("Compression-to-ventilation ratio?", "30:2", "15:2", WRONG),
        ("Compression-to-ventilation ratio?", "30:2", "15:1", OPEN),
        (EPI, "1:10,000", "1 in 10 000", RIGHT),
        (EPI, "1:10,000", "1 mg in 10 mL", RIGHT),
        (EPI, "1:10,000", "100 micrograms per mL", RIGHT),
        ("Which dilution of plasma?", "1:4", "25%", OPEN),
        ("Male to female ratio?", "2:1", "female to male 1:2", OPEN),
        ("Male to female ratio?", "2:1", "female to male 2:1", OPEN),
        ("男女比例是多少？", "2:1", "男女比例为2:1", RIGHT),
        ("男女比例是多少？", "2:1", "女男比为2:1", OPEN),
        ("ANA titer?", "1:80", "1:160", WRONG),
        ("When was she seen?", "12:30", "13:30", WRONG),
        ("Which allele?", "HLA-B*58:01", "HLA-B*57:01", WRONG),
        ("Probability?", "1/4", "1:4", OPEN),
    ],
)  # fmt: skip
def test_ratios_and_dilutions(question: str, reference: str, text: str, score: float | None) -> None:
    verdict = ruled(question, reference, text)
    assert verdict.score == score, verdict


@pytest.mark.parametrize(
    "piece",
    ["q", "every 3 ", "1:", "1:1 ", "120/", "120/80 ", "收缩压", "每", "IV ", "≥", "5 mg ", "twice ", "within 2 "],
)
def test_hostile_texts_are_not_accepted(piece: str) -> None:
    text = piece * (1100 // len(piece))
    for reference in ("Every 3 months", WHOLE, "<130/80 mmHg", "1:1000"):
        for rule in (Typed(), Number(), Dosing()):
            verdict = rule.verify(
                Problem("p", ask("Which dilution, by what route, how often?"), reference), f"<answer>{text}</answer>"
            )
            assert verdict.status in ("ok", "abstain") and verdict.score != RIGHT
