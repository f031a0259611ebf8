"""What a vocabulary decides: synonyms, look-alikes, kinds, abbreviations, typos; and how vocabularies are read from files."""

import json
from pathlib import Path

import pytest

from medrl.errors import DataError, MissingFile
from medrl.types import Problem, Verdict, ask
from medrl.verifiers import Choice, SetOf, Text, Typed, build
from medrl.verifiers.concepts import OTHER, Vocabulary
from medrl.verifiers.indexing import Concept
from medrl.verifiers.normalise import tokens
from medrl.verifiers.typos import _rivals, repaired
from medrl.verifiers.vocabularies import MEDRL, concepts_of, vocabulary
from medrl.verifiers.vocabulary_faults import faults

RIGHT, WRONG, OPEN = 1.0, 0.0, None


def ruled(reference: str, text: str, question: str = "Which one is it?") -> Verdict:
    return Text(vocabulary="medrl").verify(Problem("p", ask(question), reference), text)


@pytest.mark.parametrize(
    ("reference", "text", "score"),
    [
        ("Myocardial infarction", "heart attack", RIGHT),
        ("Myocardial infarction", "心肌梗塞", RIGHT),
        ("心肌梗死", "It is most likely a heart attack.", RIGHT),
        ("Acetaminophen", "paracetamol", RIGHT),
        ("Acetaminophen", "Tylenol", RIGHT),
        ("二甲双胍", "格华止（盐酸二甲双胍片）", RIGHT),
        ("Cancer of the esophagus", "oesophageal cancer", RIGHT),
        ("Hydroxyzine", "Hydralazine", WRONG),
        ("Vincristine", "Vinblastine", WRONG),
        ("阿替普酶", "替奈普酶", WRONG),
        ("Escherichia coli", "E. coli", RIGHT),
        ("Escherichia coli", "Klebsiella pneumoniae", WRONG),
        ("Nephrotic syndrome", "nephritic syndrome", WRONG),
        ("Small cell lung cancer", "NSCLC", WRONG),
        ("Small cell lung cancer", "SCLC (oat cell carcinoma).", RIGHT),
        # more and less specific
        ("Pneumonia", "lobar pneumonia", OPEN),
        ("胰头癌", "癌", WRONG),
        ("Hodgkin lymphoma", "lymphoma", WRONG),
        ("Type 1 diabetes mellitus", "diabetes mellitus", WRONG),
        ("Acute myocardial infarction", "heart attack", OPEN),
        ("Acute myocardial infarction", "inferior myocardial infarction", OPEN),
        # what an abbreviation may mean
        ("Multiple sclerosis", "MS", OPEN),
        ("Multiple sclerosis", "Mitral stenosis (MS)", WRONG),
        ("MS", "multiple sclerosis", OPEN),
        ("Deep vein thrombosis", "DVT", RIGHT),
        ("Deep vein thrombosis", "dvt", RIGHT),
        ("Acute lymphoblastic leukemia", "all", OPEN),
        # what stands beside it
        ("Pulmonary embolism", "pulmonary embolism or pneumothorax", WRONG),
        ("Pulmonary embolism", "pulmonary embolism and asthma", OPEN),
        ("Pulmonary embolism", "recurrent pulmonary embolism", OPEN),
        ("Pulmonary embolism", "not a lung infarct but pneumothorax", WRONG),
        ("Bacterial meningitis", "bacterial, viral or fungal meningitis", WRONG),
        ("细菌性脑膜炎", "可能是细菌性、病毒性或真菌性脑膜炎。", WRONG),
        ("Streptococcus pneumoniae", "Pneumonia, caused by Streptococcus pneumoniae", RIGHT),
        # a known thing with a side
        ("Right homonymous hemianopia", "Homonymous hemianopia on the right", RIGHT),
        (
            "Right homonymous hemianopia",
            "It is a left homonymous hemianopia, because the lesion is on the left.",
            WRONG,
        ),
        ("Doxycycline, amoxicillin, or cefuroxime", "Amoxicillin is a good choice.", RIGHT),
        ("Doxycycline, amoxicillin, or cefuroxime", "Gentamicin would be the usual choice.", WRONG),
        # in a sentence
        ("Ticagrelor", "That would be Brilinta, given twice a day.", RIGHT),
        ("Ticagrelor", "Effient is the one given at this dose.", WRONG),
        ("Staphylococcus saprophyticus", "Novobiocin resistance identifies S. saprophyticus.", RIGHT),
        ("Bullous pemphigoid", "Blisters at this age suggest pemphigus vulgaris.", WRONG),
        ("Bullous pemphigoid", "This does not suggest pemphigus vulgaris.", OPEN),
        ("震颤谵妄", "這是震顫譫妄。", RIGHT),
        ("带状疱疹", "可能是接触性皮炎,也可能是带状疱疹。", WRONG),
        ("类风湿关节炎", "类风湿关节炎(鉴别诊断:痛风)", RIGHT),
        # a level in other words
        ("Hyperkalemia", "A raised serum potassium level", RIGHT),
        ("高钾血症", "血清钾水平升高", RIGHT),
        ("低钙血症", "血钙减低", RIGHT),
        ("Hypokalemia", "elevated plasma potassium", WRONG),
        ("高钾血症", "血浆钾浓度降低", WRONG),
        ("High anion gap metabolic acidosis", "increased anion gap metabolic acidosis", RIGHT),
        ("Vitamin C deficiency", "lack of vitamin C", RIGHT),
        ("维生素C缺乏症", "缺乏维生素C", RIGHT),
        ("苯丙氨酸羟化酶缺乏症", "苯丙氨酸羟化酶缺陷", RIGHT),
        ("膀胱癌", "膀胱恶性肿瘤", RIGHT),
        ("EGFR T790M", "p.Thr790Met", RIGHT),
        ("EGFR T790M", "L858R", WRONG),
        ("Francisella tularensis", "Francisella", WRONG),
        # misspelt
        ("Hydroxyzine", "hydroxizine", RIGHT),
        ("Hydroxyzine", "hydralazin", WRONG),
        ("Ileum", "Ilium", WRONG),
        ("Schizophrenia", "schizophrenic", OPEN),
    ],
)
def test_what_medrls_own_vocabulary_decides(reference: str, text: str, score: float | None) -> None:
    verdict = ruled(reference, text)
    assert verdict.score == score, verdict


# What is broader, narrower, a part, a cause, a stage, another salt or serum, or merely sounds alike is not the same thing.
@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("Fish oil", "omega-3 fatty acids"),
        ("Antiseptic", "disinfectant"),
        ("Long-acting insulin", "basal insulin"),
        ("Rabbit antithymocyte globulin", "horse antithymocyte globulin"),
        ("OnabotulinumtoxinA", "abobotulinumtoxinA"),
        ("EGFR tyrosine kinase inhibitor", "EGFR inhibitor"),
        ("HIV protease inhibitor", "protease inhibitor"),
        ("Colistin", "colistimethate sodium"),
        ("Amphotericin B", "amphotericin B deoxycholate"),
        ("Tocopherol", "alpha-tocopherol"),
        ("Dihydroartemisinin", "DHA"),
        ("降钾树脂", "钾结合剂"),
        ("宫缩抑制剂", "保胎药"),
        ("Ghon focus", "primary focus"),
        ("幼儿急疹", "玫瑰疹"),
        ("传染性红斑", "五号病"),
        ("钩端螺旋体病", "外耳病"),
        ("Bicuspid aortic valve", "bicuspid valve"),
        ("Infantile colic", "colic"),
        ("脐肉芽肿", "脐茸"),
        ("多囊卵巢综合征", "多囊卵巢"),
        ("多器官功能障碍综合征", "多器官功能衰竭"),
        ("自然流产", "流产"),
        ("Streptococcal M protein", "monoclonal protein"),
        ("葡萄糖-6-磷酸脱氢酶缺乏症", "蚕豆病"),
        ("Sacrococcygeal teratoma", "stem cell transplantation"),
    ],
)
def test_a_name_that_is_broader_narrower_or_near_is_never_accepted(reference: str, text: str) -> None:
    for one, other in ((reference, text), (text, reference)):
        verdict = ruled(one, other)
        assert verdict.score != RIGHT, (one, other, verdict)


def test_an_option_in_other_words_counts_as_that_option() -> None:
    problem = Problem(
        "p",
        ask("Which virus has a DNA genome?\nA. Hepatitis B virus\nB. Hepatitis A virus\nC. Hepatitis C virus"),
        "A",
        options={"A": "Hepatitis B virus", "B": "Hepatitis A virus", "C": "Hepatitis C virus"},
    )
    rule = Choice(vocabulary="medrl")
    assert rule.verify(problem, "HBV").score == RIGHT
    assert rule.verify(problem, "HCV").score == WRONG
    assert rule.verify(problem, "HIV").score is OPEN
    assert Choice().verify(problem, "HBV").score is OPEN


def test_items_of_a_set_may_be_worded_otherwise() -> None:
    problem = Problem("p", ask("Name two."), "heart attack; high blood pressure", kind="open")
    rule = SetOf(vocabulary="medrl")
    assert rule.verify(problem, "hypertension, myocardial infarction").score == RIGHT
    assert rule.verify(problem, "hypotension, myocardial infarction").score == WRONG


def test_an_abbreviation_of_several_concepts_decides_nothing() -> None:
    known = Vocabulary.of(
        [
            Concept(("iron deficiency anemia",), ("IDA",)),
            Concept(("idarubicin",), ("IDA",)),
            Concept(("mitral stenosis",), ("MS",)),
        ]
    )
    assert len(known.ids("IDA")) == 2
    assert known.find("IDA") is None
    assert OTHER in known.ids("MS")  # it may always mean something that is not listed
    assert known.find("mitral stenosis") == 2


# A sign beside a symptom, a part beside a whole, one procedure of several, and abbreviations of two things.
@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("Galactorrhea", "lactation"),
        ("Microcytosis", "小细胞"),
        ("Rat-bite erosion", "虫蚀样骨质破坏"),
        ("Pulmonary oligemia", "肺野清晰"),
        ("Loss of consciousness", "神志不清"),
        ("Calf pain", "calf tenderness"),
        ("Elevated catecholamines", "elevated metanephrines"),
        ("Elevated free T4", "elevated T4"),
        ("Rule of nines", "中国九分法"),
        ("Lobar consolidation", "pulmonary consolidation"),
        ("Paracentesis", "diagnostic paracentesis"),
        ("Cardiac pacing", "permanent pacemaker"),
        ("Mechanical ventilation", "invasive mechanical ventilation"),
        ("Umbilical cord clamping", "delayed cord clamping"),
        ("Radiofrequency ablation", "catheter ablation"),
        ("Variant angina", "冠脉痉挛"),
        ("稳定型心绞痛", "劳力性心绞痛"),
        ("Hurler syndrome", "mucopolysaccharidosis type III"),
        ("Hashimoto thyroiditis", "HT"),
        ("Aortic valve replacement", "aVR"),
        ("Oxygen therapy", "O2"),
    ],
)
def test_a_name_that_is_merely_near_is_not_accepted(reference: str, text: str) -> None:
    for one, other in ((reference, text), (text, reference)):
        assert ruled(one, other).score != 1.0, (one, other)


def test_a_preferred_name_is_its_concepts_before_it_is_anothers_synonym() -> None:
    known = Vocabulary.of([Concept(("hypothyroidism",)), Concept(("primary hypothyroidism", "hypothyroidism"))])
    assert known.find("hypothyroidism") == 0
    assert known.find("primary hypothyroidism") == 1


def test_concepts_that_call_each_other_by_name_are_one() -> None:
    known = Vocabulary.of(
        [Concept(("thiamazole", "methimazole"), kind="drug"), Concept(("methimazole", "thiamazole", "他巴唑"))]
    )
    assert len(known.concepts) == 1
    assert known.find("他巴唑") == 0


def test_siblings_exclude_each_other_unless_they_name_different_sides_of_one_thing() -> None:
    known = Vocabulary.of(
        [
            Concept(("heart failure",), kind="disease"),
            Concept(("left heart failure",), kind="disease", broader=("heart failure",)),
            Concept(("right heart failure",), kind="disease", broader=("heart failure",)),
            Concept(("acute heart failure",), kind="disease", broader=("heart failure",)),
            Concept(("asthma",), kind="disease"),
        ]
    )
    assert known.apart(1, 2)
    assert not known.apart(1, 3)
    assert not known.apart(0, 1)
    assert known.apart(0, 4)


def test_mentions_take_the_longest_name_and_abbreviations_their_capitals() -> None:
    known = Vocabulary.of(
        [Concept(("lupus",)), Concept(("systemic lupus erythematosus",), ("SLE",)), Concept(("leukemia",), ("ALL",))]
    )
    text = "systemic lupus erythematosus, not lupus; ALL of all"
    found = known.mentions(tokens(text), text)
    assert [sorted(m.ids) for m in found[:2]] == [[1], [0]]
    assert not known.mentions(tokens("all of these"), "all of these")


def test_only_unknown_names_near_to_one_concept_alone_are_mended(tmp_path: Path) -> None:
    known = Vocabulary.of(
        [Concept(("hydroxyzine",)), Concept(("hydralazine",)), Concept(("cefalexin",)), Concept(("cefalaxin",))]
    )
    assert repaired("hydroxizine", known) == "hydroxyzine"
    assert repaired("hydralazine", known) is None  # known
    assert repaired("cefalixin", known) is None  # as near to two
    assert repaired("hydr", known) is None
    ours = tmp_path / "ours.csv"
    ours.write_text("name\ndysphagia\nhydroxyzine\n")
    small = vocabulary(str(ours))
    assert small and not small.ids("dysphasia") and repaired("disphagia", small) == "dysphagia"
    assert repaired("dysphasia", small) is None, "a name of something else, which the small vocabulary lacks"


@pytest.mark.slow
def test_medrls_own_vocabulary_holds_together() -> None:
    known = vocabulary(MEDRL)
    assert known is not None
    assert len(known.concepts) > 1500
    found = faults(concepts_of(MEDRL))
    assert not [fault for fault in found if "a kind of" in fault]
    assert len([name for concept in known.concepts for name in concept.names if name[:1] > "\u3400"]) > 1500


def test_vocabularies_of_files(tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text(
        "name,synonyms,abbreviations,kind,broader\nfoo disease,foo's disorder|foosis,FD,disease,bar\n", encoding="utf-8"
    )
    obo = tmp_path / "own.obo"
    obo.write_text(
        'format-version: 1.2\n\n[Term]\nid: X:1\nname: parent\n\n[Term]\nid: X:2\nname: child\nsynonym: "kid" EXACT []\n'
        'synonym: "toddler" RELATED []\nis_a: X:1 ! parent\n\n[Term]\nid: X:3\nname: gone\nis_obsolete: true\n',
        encoding="utf-8",
    )
    rrf = tmp_path / "RXNCONSO.RRF"
    rows = [
        ("1", "ENG", "aspirin", "IN", "N"),
        ("1", "ENG", "ASA", "SY", "N"),
        ("2", "ENG", "Bayer", "BN", "N"),
        ("1", "FRE", "aspirine", "IN", "N"),
        ("3", "ENG", "old", "IN", "O"),
    ]
    rrf.write_text(
        "".join(
            f"{c}|{lang}|P|||||||||RXNORM|{tty}|x|{text}||{sup}||\n".replace("P|||||||||", "P||||Y|||||", 1)
            for c, lang, text, tty, sup in rows
        ),
        encoding="utf-8",
    )
    (tmp_path / "RXNREL.RRF").write_text("1|||RN|2|||has_tradename|||\n", encoding="utf-8")
    lists = tmp_path / "names.txt"
    lists.write_text('pleural effusion\twater on the lungs\n["a b", "c d"]\n', encoding="utf-8")
    known = vocabulary([str(table), str(obo), str(rrf), str(lists)])
    assert known is not None
    assert known.find("foosis") == known.find("FD") == known.find("foo disease") is not None
    assert known.find("kid") == known.find("child") is not None
    assert known.find("toddler") is None and known.find("gone") is None
    child, parent = known.find("child"), known.find("parent")
    assert child is not None and parent in known.broader(child)
    assert known.find("aspirin") == known.find("Bayer") == known.find("ASA") is not None
    assert known.find("aspirine") == known.find("aspirin")  # one spelling: a silent e
    assert known.find("old") is None
    assert known.find("water on the lungs") == known.find("pleural effusion")
    verdict = build({"type": "text", "vocabulary": [str(table)]}).verify(
        Problem("p", ask("?"), "foosis"), "Foo disorder"
    )
    assert verdict.score == RIGHT


def test_a_changed_vocabulary_changes_the_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(["foo", "bar"]) + "\n", encoding="utf-8")
    before = Typed(vocabulary=str(path)).fingerprint()
    path.write_text(json.dumps(["foo", "baz"]) + "\n", encoding="utf-8")
    assert Typed(vocabulary=str(path)).fingerprint() != before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"en": ["x"], "synonym": []}', "unknown synonym"),
        ("a.jsonl", '{"zh": "x"}', "zh must be a list"),
        ("a.jsonl", "{", "no JSON"),
        ("a.csv", "term\nx\n", "one must be `name`"),
        ("a.csv", "name,synonym,abbrev\nx,y,z\n", "unknown or repeated columns: 'synonym', 'abbrev'"),
        ("a.csv", "name,synonyms,synonyms\nx,y,z\n", "unknown or repeated columns: 'synonyms'"),
        ("a.csv", "name,synonyms\nx,y,z\n", "line 2 has cells beyond its columns: 'z'"),
        ("a.csv", 'name,synonyms\n"x,y\nz,w\n', "line 2 cannot be read"),
        ("a.csv", 'name,synonyms\n"x,y\nz",w\n', "line 3: a cell goes over several lines"),
        ("a.csv", f"name,synonyms\nx,{'y' * 200_000}\n", "line 2 cannot be read: field larger"),
        ("a.csv", "name,synonyms\n", "holds no concept"),
        ("a.txt", "\n", "holds no concept"),
        ("a.jsonl", "[" * 100_000, "line 1 is no JSON"),
        ("a.obo", "nothing", "no [Term]"),
        ("a.obo", '[Term]\nid: X:1\nname: x\nsynonym: "" EXACT []\n', "a synonym of the term 'X:1' is empty"),
        ("MRCONSO.RRF", "C1|ENG|x\n", "18"),
        ("MRCONSO.RRF", "", "holds no concept"),
        ("MRCONSO.RRF", "C1|FRE|P|||S1|Y||||| |MH|D1|fièvre|0|N||\n", "holds no concept"),
        ("MRCONSO.RRF", "C1|ENG|P|||S1|Y||||| |MH|D1||0|N||\n", "line 1 has no name"),
    ],
)
def test_broken_vocabularies_say_where(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message.replace("[", r"\[")):
        Text(vocabulary=str(path))


def test_terms_of_an_obo_file_as_its_format_writes_them(tmp_path: Path) -> None:
    """Without a header line before the first; with modifiers, comments and escapes behind or in the values."""
    path = tmp_path / "own.obo"
    path.write_text(
        '[Term]\nid: X:1\nname: foo \\{a\\} {source="b"} ! why\nsynonym: "bar\\"s" EXACT [Y:1]\n\n'
        "[Term]\nid: X:2\nname: gone\nis_obsolete: true ! replaced\n\n[Term]\nid: X:3\nname: kid\nis_a: X:1 {z=1} ! foo\n"
    )
    known = vocabulary(str(path))
    assert known is not None
    assert [one.names for one in known.concepts] == [("foo {a}", 'bar"s'), ("kid",)]
    assert known.concepts[1].broader == ("foo {a}",)


def test_a_vocabulary_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingFile, match=r"nowhere\.obo"):
        Text(vocabulary="nowhere.obo")
    with pytest.raises(DataError, match="name medrl, clinic or files"):
        Text(vocabulary=[1])  # type: ignore[list-item]
    with pytest.raises(DataError, match="name medrl, clinic or files"):
        Text(vocabulary=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["hydroxizine", "pheocromocytoma"])
def test_no_name_within_reach_of_a_misspelt_one_is_passed_over(name: str) -> None:
    from rapidfuzz.distance import OSA

    known = vocabulary(MEDRL)
    assert known is not None
    near = [one for one in known.index.latin if OSA.distance(name, one, score_cutoff=3) <= 3]
    assert near
    assert [one for one in _rivals(name, 3, known) if one in near] == near
