"""Mass, amount and charge of a known substance convert; of an unknown one they stay with the next stage."""

import re
from fractions import Fraction
from typing import Any

import pytest

from medrl.data.clinic import load_world
from medrl.types import Problem, ask
from medrl.verifiers import Number
from medrl.verifiers.analytes import ANALYTES, analyte_of, exchange, molar_mass
from medrl.verifiers.quantity import plain
from medrl.verifiers.units import read_unit

RIGHT, WRONG, OPEN = 1.0, 0.0, None


def problem(question: str, reference: str = "", **metadata: object) -> Problem:
    return Problem("p", ask(question), reference, metadata=metadata)


# As printed in textbooks and on the labels of reference materials.
@pytest.mark.parametrize(
    ("name", "mass"),
    [
        ("glucose", 180.16),
        ("creatinine", 113.12),
        ("urea", 60.06),
        ("urea nitrogen", 28.02),
        ("uric acid", 168.11),
        ("cholesterol", 386.65),
        ("triglyceride", 885.4),
        ("bilirubin", 584.66),
        ("calcium", 40.08),
        ("magnesium", 24.305),
        ("phosphate", 30.974),
        ("iron", 55.85),
        ("lactate", 90.08),
        ("cortisol", 362.46),
        ("thyroxine", 776.87),
        ("vitamin B12", 1355.4),
        ("digoxin", 780.94),
        ("vancomycin", 1449.3),
        ("hemoglobin tetramer", 64458),
        ("hemoglobin monomer", 16114),
        ("albumin", 66438),
        ("parathyroid hormone", 9425),
    ],
)
def test_molar_masses_are_those_of_the_books(name: str, mass: float) -> None:
    computed = ANALYTES[name].molar_mass
    assert computed is not None
    assert float(computed) == pytest.approx(mass, rel=1e-3)


def test_a_formula_that_cannot_be_read_is_refused() -> None:
    assert molar_mass("H2O") == Fraction("18.015")
    for formula in ("", "h2o", "Ca(OH)2", "C6H12O6 "):
        with pytest.raises(ValueError, match="is not a formula"):
            molar_mass(formula)


def test_the_table_knows_the_substances_of_clinical_chemistry() -> None:
    assert sum(1 for analyte in ANALYTES.values() if analyte.formula) >= 60
    charges = {name: analyte.valence for name, analyte in ANALYTES.items()}
    assert [charges[n] for n in ("sodium", "potassium", "chloride", "bicarbonate", "lithium")] == [1] * 5
    assert [charges[n] for n in ("calcium", "magnesium", "phosphate", "glucose")] == [2, 2, 0, 0]


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("What is the fasting glucose?", "glucose"),
        ("Plasma glucose is 90 mg/dL. What is this in mmol/L?", "glucose"),
        ("Blood urea nitrogen?", "urea nitrogen"),
        ("BUN?", "urea nitrogen"),
        ("Blood urea?", "urea"),
        ("Uræmia: serum urea and BUN?", None),
        ("Creatinine is 1.2 mg/dL and glucose 90 mg/dL. What is the glucose?", "glucose"),
        ("Creatinine is 1.2 mg/dL and glucose 90 mg/dL. What is it in mmol/L?", None),
        ("Creatinine is 1.2 mg/dL. Give the warfarin level.", None),
        ("His Na+ is low. Which Na+?", "sodium"),
        ("Mg²⁺ in mEq/L?", "magnesium"),
        ("Give it in mg/dL or Mg/dL", None),
        ("Vitamin K?", None),
        ("Serum CA 19-9 and Ca 125?", None),
        ("Factors which lead to gout?", None),
        ("Blood lead level?", "lead level"),
        ("Alkaline phosphatase and lactate dehydrogenase?", None),
        ("Norepinephrine?", "norepinephrine"),
        ("Calcium channel blocker dose?", None),
        ("HDL-C?", "cholesterol"),
        ("Serum 25(OH)D?", "25 hydroxyvitamin D"),
        ("1,25-dihydroxyvitamin D?", "1,25 dihydroxyvitamin D"),
        ("Vitamin D?", None),
        ("17-OHP?", "17 hydroxyprogesterone"),
        ("Oestradiol?", "estradiol"),
        ("Hemoglobin?", "hemoglobin"),
        ("Haemoglobin, as the monomer?", "hemoglobin monomer"),
        ("血红蛋白四聚体浓度?", "hemoglobin tetramer"),
        ("血糖是多少？", "glucose"),
        ("血钾为多少？", "potassium"),
        ("钾为多少mmol/L？", "potassium"),
        ("使用保钾利尿剂的剂量？", None),
        ("血尿素氮？", "urea nitrogen"),
        ("血尿素？", "urea"),
        ("血清铁蛋白？", None),
        ("丙氨酸氨基转移酶？", None),
        ("血氨基酸谱？", None),
        ("促甲状腺素？", None),
        ("去甲肾上腺素？", "norepinephrine"),
        ("血糖5.5 mmol/L，肌酐88 μmol/L。尿酸是多少？", "uric acid"),
        ("苯妥英钠血药浓度？", "phenytoin"),
        ("血糖90 mg/dL。为多少mmol/L？", "glucose"),
        ("肌酐88 μmol/L。华法林浓度是多少？", None),
    ],
)
def test_the_one_substance_of_a_question(question: str, name: str | None) -> None:
    found = analyte_of(problem(question))
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("question", "reference", "text", "score"),
    [
        ("Fasting glucose?", "5.5 mmol/L", "99 mg/dL", RIGHT),
        ("Fasting glucose?", "5.5 mmol/L", "90 mg/dL", WRONG),
        ("Fasting glucose?", "5.5 mmol/L", "5.5 mg/dL", WRONG),
        ("Fasting glucose?", "5.5 mmol/L", "98.5 mg/dL", OPEN),
        ("Fasting glucose?", "99 mg/dL", "5.5 mmol/L", RIGHT),
        ("Fasting glucose?", "2000 mg/dL", "111.1 mmol/L", RIGHT),
        ("Fasting glucose?", "99 mg/dL", "5.5 mM", RIGHT),
        ("Fasting glucose?", "99 mg/dL", "5.5 μmol/L", WRONG),
        ("Fasting glucose?", "99 mg/dL", "0.99 g/L", RIGHT),
        ("Fasting glucose?", "5.5 mmol/L", "5.5 mmol/L (99 mg/dL)", RIGHT),
        ("Fasting glucose?", "5.5 mmol/L", "5.5 mmol/L (150 mg/dL)", OPEN),
        ("Plasma glucose is 90 mg/dL. What is this in mmol/L?", "5.0 mmol/L", "90 mg/dL", WRONG),
        ("The glucose was 90 mg/dL. Which glucose is it?", "5.0 mmol/L", "90 mg/dL", OPEN),
        ("葡萄糖90mg/dL换算为mmol/L是多少？", "5.0 mmol/L", "90mg/dL", WRONG),
        ("血糖90mg/dL，为多少mmol/L？", "5.0 mmol/L", "90mg/dL", WRONG),
        ("PaO2 is 60 mmHg. What is this in kPa?", "8.0 kPa", "60 mmHg", WRONG),
        ("Na is 140 mEq/L. Report it in mmol/L.", "140 mmol/L", "140 mEq/L", OPEN),
        ("How much potassium (mmol)?", "40 mmol", "3 g", OPEN),
        ("How much potassium (mmol)?", "40 mmol", "1.56 g", RIGHT),
        ("Urine calcium?", "5 mmol/day", "200 mg/day", RIGHT),
        ("Dose of phenytoin?", "15 mg/kg", "15 mmol/kg", WRONG),
        ("Osmolality?", "290 mOsm/kg", "290 mmol/kg", OPEN),
        ("空腹血糖是多少？", "5.5 mmol/L", "99 mg/dL", RIGHT),
        ("空腹血糖是多少？", "5.5 mmol/L", "空腹血糖为99mg/dL", RIGHT),
        ("空腹血糖是多少？", "5.5 mmol/L", "空腹血糖为120mg/dL", WRONG),
        ("碱剩余是多少mmol/L？", "-5 mmol/L", "碱剩余为-5mmol/L", RIGHT),
        ("碱剩余是多少mmol/L？", "-5 mmol/L", "碱剩余为5mmol/L", WRONG),
        ("剂量？", "5 mg", "应为5mg", RIGHT),
        ("剂量？", "5 mg", "每8小时5mg", OPEN),
        ("剂量？", "5 mg", "每公斤5mg", WRONG),
        ("剂量？", "5 mg", "每次5mg", OPEN),
        ("剂量？", "5 mg", "第5天10mg", WRONG),
        ("血小板？", "2×10^9/L", "约2×10^9/L", RIGHT),
        ("血小板？", "10^9/L", "约10^9/L", RIGHT),
        ("空腹血糖是多少？", "5.5 mmol/L", "120 mg/dL", WRONG),
        ("Creatinine?", "1.2 mg/dL", "106 µmol/L", RIGHT),
        ("Creatinine?", "1.2 mg/dL", "136 µmol/L", WRONG),
        ("血肌酐？", "88.4 μmol/L", "1.0 mg/dL", RIGHT),
        ("血肌酐？", "88.4 μmol/L", "10 mg/dL", WRONG),
        ("BUN?", "14 mg/dL", "5.0 mmol/L", RIGHT),
        ("BUN?", "14 mg/dL", "2.3 mmol/L", WRONG),
        ("BUN?", "14 mg/dL", "5.0 mmol/L urea", OPEN),
        ("Blood urea?", "5.0 mmol/L", "30 mg/dL", RIGHT),
        ("Blood urea?", "5.0 mmol/L", "14 mg/dL", WRONG),
        ("Blood urea?", "5.0 mmol/L", "BUN 30 mg/dL", OPEN),
        ("Blood urea (not BUN)?", "5.0 mmol/L", "30 mg/dL", OPEN),
        ("血尿素氮？", "5.0 mmol/L", "14 mg/dL", RIGHT),
        ("Uric acid?", "7.0 mg/dL", "416 µmol/L", RIGHT),
        ("尿酸？", "420 μmol/L", "7.1 mg/dL", RIGHT),
        ("LDL cholesterol?", "100 mg/dL", "2.6 mmol/L", RIGHT),
        ("LDL cholesterol?", "100 mg/dL", "1.1 mmol/L", WRONG),
        ("Triglycerides?", "150 mg/dL", "1.7 mmol/L", RIGHT),
        ("甘油三酯？", "1.7 mmol/L", "65 mg/dL", WRONG),
        ("Total bilirubin?", "1.0 mg/dL", "17.1 µmol/L", RIGHT),
        ("总胆红素？", "17.1 μmol/L", "1.0 mg/dL", RIGHT),
        ("Total calcium?", "10.0 mg/dL", "2.5 mmol/L", RIGHT),
        ("Total calcium?", "10.0 mg/dL", "5.0 mEq/L", RIGHT),
        ("Total calcium?", "2.5 mmol/L", "5.0 mEq/L", RIGHT),
        ("Total calcium?", "2.5 mmol/L", "2.5 mEq/L", WRONG),
        ("Magnesium?", "2.0 mEq/L", "1.0 mmol/L", RIGHT),
        ("血镁？", "1.0 mmol/L", "2.4 mg/dL", RIGHT),
        ("Phosphate?", "1.0 mmol/L", "3.1 mg/dL", RIGHT),
        ("Phosphate?", "1.0 mmol/L", "1.8 mEq/L", OPEN),
        ("Potassium?", "4.0 mEq/L", "4.0 mmol/L", RIGHT),
        ("Potassium?", "4.0 mEq/L", "4.01 mmol/L", WRONG),
        ("Potassium?", "4.0 mEq/L", "4.0 mg/dL", WRONG),
        ("血钠？", "140 mmol/L", "140 mEq/L", RIGHT),
        ("Na 140, K 4, Cl 100: anion gap?", "16 mEq/L", "16 mmol/L", RIGHT),
        ("Na 140 and Ca 2.5: the sum?", "16 mEq/L", "16 mmol/L", OPEN),
        ("Potassium chloride dose?", "20 mEq", "20 mmol", RIGHT),
        ("Potassium chloride dose?", "20 mEq", "1.5 g", OPEN),
        ("Serum iron?", "100 µg/dL", "17.9 µmol/L", RIGHT),
        ("Ammonia?", "35 µmol/L", "60 µg/dL", RIGHT),
        ("Cortisol at 8 a.m.?", "18 µg/dL", "497 nmol/L", RIGHT),
        ("皮质醇？", "500 nmol/L", "8 μg/dL", WRONG),
        ("Free T4?", "1.2 ng/dL", "15.4 pmol/L", RIGHT),
        ("25-hydroxyvitamin D?", "30 ng/mL", "75 nmol/L", RIGHT),
        ("Vitamin D?", "30 ng/mL", "75 nmol/L", OPEN),
        ("Digoxin level?", "1.0 ng/mL", "1.3 nmol/L", RIGHT),
        ("万古霉素谷浓度？", "15 mg/L", "10.4 μmol/L", RIGHT),
        ("Paracetamol level?", "150 mg/L", "992 µmol/L", RIGHT),
        ("Lithium level?", "0.8 mmol/L", "0.8 mEq/L", RIGHT),
        ("Ethanol?", "100 mg/dL", "21.7 mmol/L", RIGHT),
        ("Hemoglobin?", "14 g/dL", "8.7 mmol/L", OPEN),
        ("Hemoglobin as the monomer?", "14 g/dL", "8.7 mmol/L", RIGHT),
        ("Hemoglobin as the tetramer?", "14 g/dL", "8.7 mmol/L", WRONG),
        ("Warfarin level?", "2 mg/L", "6.5 µmol/L", OPEN),
        ("Lipoprotein(a)?", "50 mg/dL", "125 nmol/L", OPEN),
        ("Heparin?", "5000 IU", "50 mg", OPEN),
        ("Insulin?", "10 IU", "10 units", RIGHT),
        ("Vitamin A?", "900 µg", "3000 IU", OPEN),
        ("Albumin-to-creatinine ratio?", "30 mg/g", "3.4 mg/mmol", OPEN),
        ("Salicylate in mmol/L?", "5.0 mmol/L", "69 mg/dL", RIGHT),
        ("Sodium valproate dose?", "1 mmol", "144.2 mg", OPEN),
        ("Lidocaine hydrochloride dose?", "100 mg", "0.4267 mmol", OPEN),
        ("Potassium gluconate?", "10 mmol", "391 mg", OPEN),
        ("Potassium sulfate?", "10 mEq", "10 mmol", OPEN),
        ("硫酸庆大霉素用多少？", "80 mg", "0.1675 mmol", OPEN),
        ("乳酸钙？", "1 mmol", "90.08 mg", OPEN),
        ("维生素K？", "10 mg", "0.2558 mmol", OPEN),
        ("Cholesterol ester?", "5 mmol/L", "193.3 mg/dL", OPEN),
        ("Creatinine kinase?", "1 mmol/L", "11.3 mg/dL", OPEN),
        ("Urea, as nitrogen?", "10 mmol/L", "60.06 mg/dL", OPEN),
        ("T4 tumour: the marker?", "100 nmol/L", "77.7 µg/L", OPEN),
        ("On a K-sparing diuretic: its level?", "1 mmol/L", "39.1 mg/L", OPEN),
        ("Which level of metformin for a glucose of 300?", "1 mmol/L", "18 mg/dL", OPEN),
        ("Na 140. What is the ferric level?", "1 mmol/L", "1 mEq/L", OPEN),
        ("Fasting glucose?", "5.5 mmol/L", "creatinine 99 mg/dL", OPEN),
        ("Fasting glucose?", "5.5 mmol/L", "lactate: 5.5 mmol/L", OPEN),
        ("Fasting glucose?", "5.5 mmol/L", "The answer is 99 mg/dL. I mean 110 mg/dL.", OPEN),
        ("Fasting glucose?", "5.5 mmol/L", "The answer is 110 mg/dL. I mean 99 mg/dL.", OPEN),
        ("Fasting glucose?", "5.5 mmol/L", "glucose: 99 mg/dL", RIGHT),
        ("What is the upper limit for glucose?", "5.5 mmol/L", "99 mg/dL", RIGHT),
        ("Which dose, with a potassium of 3?", "40 mmol", "potassium 40 mmol", RIGHT),
        ("Which dose, with a potassium of 3?", "40 mmol", "calcium 40 mmol", OPEN),
        ("How much iron?", "200 mg", "ferrous sulfate 200 mg", OPEN),
        ("How much calcium?", "25 mmol", "calcium carbonate 1002 mg", OPEN),
        ("How far did the fever subside?", "2 °C", "35.6 °F", OPEN),
        ("复温速度？", "1 ℃", "33.8 ℉", OPEN),
        ("Peak temperature?", "38.5 °C", "101.3 °F", RIGHT),
        ("Peak temperature?", "38.5 °C", "100.3 °F", WRONG),
        ("By how much did the temperature rise?", "2 °C", "3.6 °F", OPEN),
        ("By how much did the temperature rise?", "2 °C", "2 °C", RIGHT),
        ("体温升高了多少？", "2 ℃", "35.6 ℉", OPEN),
        ("体温？", "38.5℃", "101.3℉", RIGHT),
        ("PaCO2?", "40 mmHg", "5.3 kPa", RIGHT),
        ("PaCO2?", "5.3 kPa", "53 mmHg", WRONG),
        ("二氧化碳分压？", "5.3 kPa", "40 mmHg", RIGHT),
        ("ALT?", "60 U/L", "1.0 µkat/L", RIGHT),
        ("TSH?", "2.5 mIU/L", "2.5 µIU/mL", RIGHT),
    ],
)
def test_number_converts_by_substance(question: str, reference: str, text: str, score: float | None) -> None:
    verdict = Number().verify(problem(question, reference), text)
    assert verdict.score == score, verdict


def test_the_metadata_names_the_substance() -> None:
    def score(analyte: str, text: str) -> float | None:
        return Number().verify(problem("Level, with glucose at 90?", "5.0 mmol/L", analyte=analyte), text).score

    assert [score("glucose", "90 mg/dL"), score("urea", "30 mg/dL"), score("尿素氮", "14 mg/dL")] == [RIGHT] * 3
    assert [score("lead", "104 mg/dL"), score("Ca", "20 mg/dL")] == [RIGHT] * 2
    assert [score("urea", "90 mg/dL"), score("warfarin", "90 mg/dL")] == [WRONG, OPEN]


def test_the_problems_own_limits_hold_after_a_conversion() -> None:
    limited = problem("Glucose?", "5.5 mmol/L", lower_limit=5.0, upper_limit=6.0)
    assert [Number().verify(limited, text).score for text in ("100 mg/dL", "120 mg/dL")] == [RIGHT, WRONG]


# Factors of the clinic's tables that no conversion here gives, with the reason.
NOT_COMPUTED = {
    "osmolality": "mOsm counts particles, mmol substance: they are equal by convention alone",
    "uacr": "two substances: the factor is creatinine's, in the denominator",
}
POWER = re.compile(r"10\^(\d)/(µL|L)")


@pytest.mark.parametrize("lab", [lab for lab in load_world().labs.values() if lab.si_factor], ids=lambda lab: lab.id)
def test_the_clinics_factors_are_the_computed_ones(lab: Any) -> None:
    unit, si = (_unit(name) for name in (lab.unit, lab.si_unit))
    less, more = dict(set(unit.dims) - set(si.dims)), dict(set(si.dims) - set(unit.dims))
    if lab.id in NOT_COMPUTED:
        assert less
        return
    named = problem("?", analyte=lab.name.en)
    factor = exchange(named, *less, *more) if less else Fraction(1)
    assert factor, f"{lab.id}: {lab.unit} does not convert to {lab.si_unit}"
    assert float(unit.scale * factor / si.scale) == pytest.approx(lab.si_factor, rel=0.01)


def _unit(name: str) -> Any:
    """A lab's unit; powers of ten, which `read_unit` leaves to the number, become part of its scale."""
    from dataclasses import replace

    power = POWER.fullmatch(name)
    unit, _ = read_unit(plain(f"/{power[2]}" if power else name), 0)
    assert unit is not None, name
    return replace(unit, scale=unit.scale * 10 ** int(power[1])) if power else unit


def test_one_digit_after_a_conversion_is_left_open() -> None:
    asked = problem("PaCO2?", "60 mmHg")
    assert Number().verify(asked, "8 kPa").score is None
    assert Number().verify(asked, "8.0 kPa").score == 1.0
    assert Number().verify(asked, "9 kPa").score == 0.0
