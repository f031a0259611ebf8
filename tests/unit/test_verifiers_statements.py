"""References that are more than a name: relations, absences, codes, measures, levels, ambiguous abbreviations."""

import pytest

from medrl.types import Problem, ask
from medrl.verifiers import Text
from medrl.verifiers.abbreviations import meaning_of, meanings
from medrl.verifiers.codes import plain_code
from medrl.verifiers.levels import named_level
from medrl.verifiers.presence import absent_thing, presence_of
from medrl.verifiers.relations import Relation, relation_of
from medrl.verifiers.vocabularies import vocabulary

RIGHT, WRONG, OPEN = 1.0, 0.0, None


def score(question: str, reference: str, text: str) -> float | None:
    return Text(vocabulary="medrl").verify(Problem("p", ask(question), reference), text).score


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Gout is preceded by hyperuricemia", RIGHT),
        ("Gout follows hyperuricaemia.", RIGHT),
        ("Hyperuricemia comes first; gout follows", RIGHT),
        ("Gout precedes hyperuricemia", WRONG),
        ("Hyperuricemia follows gout", WRONG),
        ("Hyperuricemia does not precede gout", OPEN),
        ("Hyperuricemia precedes psoriasis", OPEN),
    ],
)
def test_the_same_words_in_another_order_say_something_else(text: str, expected: float | None) -> None:
    assert score("Which precedes which?", "Hyperuricemia precedes gout", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("腹水由肝硬化引起", RIGHT),
        ("Ascites is caused by cirrhosis", RIGHT),
        ("腹水导致肝硬化", WRONG),
        ("肝硬化引起黄疸", OPEN),
    ],
)
def test_causes_in_chinese_and_in_the_passive(text: str, expected: float | None) -> None:
    assert score("两者的因果关系？", "肝硬化导致腹水", text) == expected


def test_a_relation_has_a_direction() -> None:
    assert relation_of("A blocker inhibits the pump") == Relation("blocks", "blocker", "pump")
    assert relation_of("The pump is inhibited by a blocker") == Relation("blocks", "blocker", "pump")
    assert relation_of("The pump is not inhibited by a blocker") is None
    assert relation_of("pneumonia") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is no sign of pneumonia.", RIGHT),
        ("Pneumonia has been ruled out, so no antibiotics", RIGHT),
        ("Pneumonia", WRONG),
        ("Pneumonia cannot be excluded", WRONG),
        ("Possible pneumonia", WRONG),
        ("No fracture", OPEN),
        ("No pneumonia, but an effusion", OPEN),
        ("No sign that pneumonia has resolved", OPEN),
    ],
)
def test_what_is_not_there(text: str, expected: float | None) -> None:
    assert score("What does the film show?", "No pneumonia", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("未见肾结石", RIGHT), ("没有结石", RIGHT), ("不能排除肾结石", WRONG), ("可见肾结石", WRONG), ("无肾囊肿", OPEN)],
)
def test_what_is_not_there_in_chinese(text: str, expected: float | None) -> None:
    assert score("有无肾结石？", "无肾结石", text) == expected


def test_a_reference_that_denies_nothing_has_no_absent_thing() -> None:
    assert absent_thing("No infection") == "infection"
    assert (
        not absent_thing("No change in dose") and not absent_thing("Infection") and not absent_thing("No longer needed")
    )
    found = presence_of("infection cannot be ruled out")
    assert found and found.state == "unsure"


@pytest.mark.parametrize(
    ("question", "reference", "text", "expected"),
    [
        ("Which gene is mutated?", "COL1A1", "A heterozygous mutation of COL1A1 on chromosome 17", RIGHT),
        ("Which gene is mutated?", "COL1A1", "COL1A2", WRONG),
        ("Which gene is mutated?", "COL1A1", "COL1A1 is normal", OPEN),
        ("Which BRAF mutation?", "V600E", "p.Val600Glu", RIGHT),
        ("Which BRAF mutation?", "V600E", "BRAF G469A", WRONG),
        ("Which BRAF mutation?", "V600E", "V600", WRONG),
        ("Which adrenergic receptor?", "β1", "beta-1 adrenoceptor", RIGHT),
        ("Which adrenergic receptor?", "β1", "alpha-1 receptor", WRONG),
        ("Which MEN syndrome?", "MEN 2A", "MEN type 2", WRONG),
        ("eGFR 50: which G category?", "G3a", "Stage IIIa", RIGHT),
        ("eGFR 50: which G category?", "G3a", "CKD stage 3", WRONG),
        ("烧伤的深度为？", "深Ⅱ度", "深二度烧伤", RIGHT),
        ("烧伤的深度为？", "深Ⅱ度", "Ⅱ度", WRONG),
        ("What is named?", "paired box gene 2", "paired box 2", OPEN),
    ],
)
def test_codes(question: str, reference: str, text: str, expected: float | None) -> None:
    assert score(question, reference, text) == expected


def test_exchanges_of_amino_acids_are_written_in_one_letter_each() -> None:
    assert plain_code("p.Thr790Met") == plain_code("T790M") == "T790M"
    assert "15" not in plain_code("FBN1 on chromosome 15")


@pytest.mark.parametrize(
    ("reference", "text", "expected"),
    [
        ("Intravenous alteplase", "Give tPA intravenously at once", RIGHT),
        ("Intravenous alteplase", "Oral alteplase", WRONG),
        ("Intravenous alteplase", "No alteplase is needed; aspirin", WRONG),
        ("Intravenous alteplase", "Alteplase", OPEN),
        ("Stop heparin and start argatroban", "Start argatroban, discontinue heparin", RIGHT),
        ("Stop heparin and start argatroban", "Stop argatroban and start heparin", WRONG),
        ("立即停药并肌内注射肾上腺素", "停药，肌注肾上腺素", RIGHT),
        ("立即停药并肌内注射肾上腺素", "停药，静推肾上腺素", WRONG),
        ("立即停药并肌内注射肾上腺素", "立即停药，不用肾上腺素", WRONG),
    ],
)
def test_measures(reference: str, text: str, expected: float | None) -> None:
    assert score("What is to be done?", reference, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Do not perform a rectal biopsy.", RIGHT),
        ("Perform a rectal biopsy immediately", WRONG),
        ("Do not avoid rectal biopsy", OPEN),
        ("Do not delay the rectal biopsy", OPEN),
    ],
)
def test_what_is_to_be_avoided(text: str, expected: float | None) -> None:
    assert score("What must be avoided in acute prostatitis?", "Rectal biopsy", text) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Raised serum calcium", "hypercalcemia"),
        ("the potassium is low", "hypokalemia"),
        ("a fall in the platelet count", "thrombocytopenia"),
        ("血清钠降低", "hyponatremia"),
        ("血钾降低（<3.5 mmol/L）", "hypokalemia"),
        ("血钾降低（>5.5 mmol/L）", ""),
        ("尿钾降低", ""),
        ("high potassium diet", ""),
        ("high venous pressure", ""),
    ],
)
def test_levels_in_words(text: str, name: str) -> None:
    assert named_level(text) == name


def test_an_ambiguous_abbreviation_is_settled_by_its_own_words_alone() -> None:
    assert meaning_of("RA", "Symmetrical joint pain, anti-CCP positive. Diagnosis?") == "rheumatoid arthritis"
    assert meaning_of("RA", "Diagnosis?") == ""
    assert meaning_of("PE", "Pregnant woman with a deep vein thrombosis and proteinuria") == ""
    assert score("Optic neuritis, oligoclonal bands. Diagnosis?", "Multiple sclerosis", "MS") == RIGHT
    assert score("Opening snap at the apex. Diagnosis?", "Multiple sclerosis", "MS") is OPEN
    known = vocabulary("medrl")
    assert known and all(
        len(known.ids(name)) == 1 for short in ("RA", "PE", "MS", "AS", "TS") for name in meanings(short)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In all likelihood gout", RIGHT),
        ("It appears to be gout, pending aspiration", RIGHT),
        ("个人认为可能为痛风，建议抽液确认。", RIGHT),
        ("Gout; septic arthritis has been excluded.", RIGHT),
        ("Differential: gout, septic arthritis, cellulitis.", WRONG),
        ("Cellulitis, with gout as the differential diagnosis", WRONG),
        ("要么痛风，要么假性痛风", WRONG),
        ("Looks like gout, but it is pseudogout", OPEN),
        ("Gout; it has been excluded.", OPEN),
        ("痛风，疑似已被排除", OPEN),
    ],
)
def test_hedges_and_lists(text: str, expected: float | None) -> None:
    assert score("A red, hot toe. Diagnosis?", "Gout", text) == expected


@pytest.mark.parametrize(
    ("question", "reference", "text", "expected"),
    [
        ("Which type of miscarriage?", "Incomplete abortion", "The incomplete type", RIGHT),
        ("Which type of miscarriage?", "Incomplete abortion", "Complete", WRONG),
        ("Which bilirubin fraction is raised?", "Unconjugated bilirubin", "The indirect fraction", RIGHT),
        ("Which bilirubin fraction is raised?", "Unconjugated bilirubin", "The direct fraction", WRONG),
        ("What type of shock follows spinal injury?", "Neurogenic shock", "Septic", WRONG),
        ("Is the murmur systolic or diastolic?", "Systolic", "Neither", OPEN),
        ("Which nerve?", "Common peroneal nerve", "The tibial nerve, which winds around the fibular neck", WRONG),
        (
            "Which nerve?",
            "Common peroneal nerve",
            "The common peroneal nerve, which winds around the fibular neck",
            OPEN,
        ),
        ("Which nerve?", "Common peroneal nerve", "The common peroneal nerve, which is not it", OPEN),
        ("Which immunoglobulin?", "IgG", "IgG, by way of the neonatal Fc receptor", OPEN),
        ("Which immunoglobulin?", "IgG", "IgM, by way of the neonatal Fc receptor", WRONG),
        ("Which enzyme is deficient?", "Phenylalanine hydroxylase", "PAH", RIGHT),
        ("What is deficient?", "Phenylalanine hydroxylase", "PAH", OPEN),
        ("Which antibody?", "Anti-Jo-1", "Antibody against histidyl-tRNA synthetase", RIGHT),
        ("Which antibody?", "Anti-Jo-1", "Antibody against Mi-2", WRONG),
        ("Which disturbance?", "Hypocalcemia", "Low calcium from removal of the parathyroids", OPEN),
        ("Which disturbance?", "Hypocalcemia", "Low calcium due to a lab error", OPEN),
        ("Which disturbance?", "Respiratory acidosis", "respiratory acidosis from metabolic acidosis", OPEN),
        ("Which allele?", "HLA-B*57:01", "B*5701", RIGHT),
        ("Which allele?", "HLA-B*57:01", "HLA-B*57:03", WRONG),
        ("Which allele?", "HLA-B*57:01", "HLA-B*57", WRONG),
        ("Is an embolism present or absent?", "Absent", "There is no embolism", RIGHT),
        ("Is an embolism present or absent?", "Absent", "There is no doubt that an embolism is present", WRONG),
        ("Pressure injury stage?", "Stage 3", "Category 3 pressure ulcer", RIGHT),
        ("Pressure injury stage?", "Stage 3", "Category 4 pressure ulcer", WRONG),
    ],
)
def test_what_is_asked_and_what_is_told_beside_an_answer(
    question: str, reference: str, text: str, expected: float | None
) -> None:
    assert score(question, reference, text) == expected
