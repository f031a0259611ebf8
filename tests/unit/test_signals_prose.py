"""Language, readability, hedging and refusal: what they tell apart in English and Chinese, and what does not fool them."""

import json
from pathlib import Path
from typing import Any

import pytest

from medrl.rewards import Hedging, Language, Readability, Refusal, Reward, refuses
from medrl.rewards.hedging import hedges
from medrl.rewards.language import share_in
from medrl.rewards.prose import sentences, spelt
from medrl.rewards.readability import chinese_measures, common, flesch_kincaid
from medrl.rewards.syllables import syllables
from medrl.types import Group, Problem, Response, Score, ask

GOUT = (
    "Gout is a kind of arthritis. Sharp crystals of uric acid collect in a joint, and for that reason the joint swells "
    "and hurts. Take naproxen 500 mg twice a day with food for five days. Drinking more water, and cutting down on beer "
    "and red meat, keeps the uric acid low."
)
GOUT_ZH = (
    "这是痛风。尿酸太高，在关节里形成结晶，关节就会红肿疼痛。萘普生每次500毫克，每天两次，饭后服用，连用五天。"
    "多喝水，少喝啤酒，少吃红肉。"
)
ACADEMIC = (
    "Hyperuricaemia-associated crystalline arthropathy characteristically necessitates individualised pharmacological "
    "immunomodulation incorporating nonsteroidal antiinflammatory administration notwithstanding gastrointestinal "
    "contraindications, cardiovascular comorbidities, concomitant anticoagulation and deteriorating glomerular filtration, "
    "albeit corticosteroid administration constitutes a demonstrably efficacious alternative."
)


def problem(language: str = "en", **metadata: Any) -> Problem:
    return Problem("p", ask("What is it?"), "gout", language=language, metadata=metadata)


def score(tree: Reward, text: str, asked: Problem | None = None) -> Score:
    ((one,),) = tree.score_sync([Group(asked or problem(), (Response(text),))])
    return one


def value(tree: Reward, text: str, language: str = "en") -> float:
    got = score(tree, text, problem(language)).value
    assert got is not None
    return got


# Prose


def test_sentences() -> None:
    text = "Take 7.5 mg, e.g. aspirin. Then E. coli grew. See Dr. Smith (he is in). OK.\n1. one\n- two；三。“四！”五"
    assert sentences(text) == [
        "Take 7.5 mg, e.g. aspirin.", "Then E. coli grew.", "See Dr. Smith (he is in).", "OK.", "one", "two；", "三。",
        "“四！”", "五",
    ]  # fmt: skip
    assert sentences("") == sentences("...\n--") == []


def test_spelling_cannot_hide_a_phrase() -> None:
    assert spelt("I CAN\u200b’T") == "i can't" and spelt("ｉ　無法") == "i 无法"


# Language


@pytest.mark.parametrize(
    "text",
    [
        GOUT_ZH,
        "患者诊断为2型糖尿病，建议服用 Metformin 500 mg bid，监测 HbA1c 和 eGFR (mL/min/1.73m²)。",
        "诊断：急性髓系白血病 (acute myeloid leukemia with maturation, a disease of the bone marrow)。",
        "患者無明顯誘因出現咳嗽，痰培養：Klebsiella pneumoniae。",
        "B",
        "Metformin",
        "Lisinopril, Metformin, Aspirin, Atorvastatin, Clopidogrel, Warfarin",
        "5 mg/kg q8h",
    ],
)
def test_chinese_with_medical_code_switching(text: str) -> None:
    assert share_in(text, "zh") == 1.0


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("The diagnosis is gout.", 0.0),
        ("建议口服阿司匹林。The patient should take aspirin daily and avoid alcohol.", 0.4),
        ("患者は糖尿病です。インスリンを使用してください。", 0.0),
        ("Le patient est atteint de diabète et il doit prendre la metformine.", 0.0),
        (
            "痛风。(The patient should take aspirin) (and he should avoid alcohol) (because the joint is red and it is hot)",
            0.3,
        ),
        (
            "Start metformin daily check renal function lifestyle diet exercise weight control glucose lipids feet eyes",
            0.0,
        ),
        ("Пациент болен подагрой.", 0.0),
    ],
)
def test_chinese_that_drifts(text: str, most: float) -> None:
    assert share_in(text, "zh") <= most


@pytest.mark.parametrize(
    "text",
    [
        GOUT,
        "The herb 黄芪 (Huangqi) is used.",
        "β-blockers and α-agonists such as propranolol.",
        "C",
        "7.4",
        "In situ, de novo",
    ],
)
def test_english(text: str) -> None:
    assert share_in(text, "en") == 1.0


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("痛风。", 0.0),
        ("The diagnosis is gout. 建议多喝水，注意休息，定期复查尿酸。", 0.5),
        ("痛风 急性 关节 红肿 多饮水 少吃肉", 0.0),
        ("Le patient est atteint de diabète et il doit prendre la metformine.", 0.0),
        ("En resumen, el paciente tiene gota y debe tomar colchicina.", 0.0),
        ("Der Patient hat Gicht und ist nicht gesund.", 0.0),
        ("Thе раtіеnt has gout.", 0.8),  # Cyrillic letters among the Latin ones
    ],
)
def test_english_that_drifts(text: str, most: float) -> None:
    assert share_in(text, "en") <= most


def test_language_of_reasoning_and_of_translations() -> None:
    text = f"<think>\nIt is the gout that I think of, and not the flu.\n</think>\n{GOUT_ZH}"
    assert value(Language(), text, "zh") == 1.0 and value(Language(reasoning=True), text, "zh") == 0.0
    assert score(Language(), GOUT_ZH, problem("en", answer_language="zh")).value == 1.0
    unknown = score(Language(), GOUT, problem("fr"))
    assert (unknown.value, unknown.status) == (None, "abstain")


# Readability


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("gout", 1), ("take", 1), ("patient", 2), ("diabetes", 4), ("disease", 2), ("medicine", 3), ("needed", 2),
        ("treated", 2), ("walked", 1), ("little", 2), ("museum", 3), ("actual", 3), ("reaction", 3), ("cardiac", 3),
        ("pneumonia", 3), ("the", 1), ("I", 1), ("HIV", 3), ("500", 1), ("plaques", 1), ("organism", 4),
    ],
)  # fmt: skip
def test_syllables(word: str, count: int) -> None:
    assert syllables(word) == count


def test_flesch_kincaid_by_hand() -> None:
    # Two sentences, 9 words, 9 + 1 (water) + 1 (every) ... counted one by one: the 1 gout 1 hurts 1 / drink 1 more 1
    # water 2 each 1 day 1 now 1.
    grade, count = flesch_kincaid("The gout hurts. Drink more water each day now.")
    assert count == 9 and grade == pytest.approx(0.39 * 9 / 2 + 11.8 * 10 / 9 - 15.59)
    assert flesch_kincaid("痛风") == (0.0, 0)


def test_chinese_measures_by_hand() -> None:
    assert chinese_measures("多喝水。少吃红肉！") == (3.5, 0.0, 7)
    per_sentence, rare, count = chinese_measures("齁鼾，痛。")
    assert (per_sentence, count) == (3.0, 3) and rare == pytest.approx(2 / 3)
    assert common("痛") and not common("鼾") and chinese_measures("療") == (1.0, 0.0, 1)  # traditional is no rarer


def test_readability_has_a_band() -> None:
    leaf = Readability()
    assert value(leaf, GOUT) == 1.0 and value(leaf, GOUT_ZH, "zh") == 1.0
    assert value(leaf, ACADEMIC) == 0.0
    assert value(leaf, GOUT_ZH.replace("。", "，") * 3, "zh") == 0.0
    assert score(leaf, GOUT, problem("fr")).status == "abstain"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_too_short_is_unknown_and_empty_is_the_policys_fault(language: str) -> None:
    short = score(Readability(), "It is gout. 这是痛风。", problem(language))
    assert (short.value, short.status) == (None, "abstain")
    assert score(Readability(otherwise=0.0), "It is gout. 这是痛风。", problem(language)).value == 0.0
    assert score(Readability(), "", problem(language)).value == 0.0


def test_attack_another_language_is_no_way_around_the_formula() -> None:
    assert score(Readability(), GOUT, problem("zh")).value == score(Readability(), GOUT_ZH, problem("en")).value == 0.0


def test_attack_choppy_baby_talk_is_not_readable() -> None:
    leaf = Readability()
    assert value(leaf, "It is so. Go on. Eat it. Do it. We go. You go. Be ok. " * 5) < 0.7
    assert value(leaf, "Go. " * 60) < value(leaf, GOUT)
    assert value(leaf, "多喝水。" * 20, "zh") < 1.0
    assert value(leaf, "x " * 400) < value(leaf, GOUT)


# Hedging


@pytest.mark.parametrize(
    "text",
    [
        GOUT,
        "There is no doubt: gout.",
        "Take it as soon as possible.",
        "May 3. He may go home.",
        "See a doctor if the fever lasts three days.",
        "Lupus is difficult to diagnose. The patient is unable to tell.",
        "如果发热超过三天，请立即就诊。",
    ],
)
def test_committed_answers_do_not_hedge(text: str) -> None:
    assert hedges(text) == (0.0, 0, 0)
    assert value(Hedging(), text) == 1.0


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("It could be gout. It might be flu. Perhaps it is a sprain.", 0.0),
        ("It could definitely be gout. Certainly it may be flu. It is surely possible that it is a sprain.", 0.0),
        ("I can't say for sure. It depends.", 0.0),
        ("I definitely cannot tell. Absolutely more information is needed. Clearly, it depends.", 0.0),
        (GOUT + " I am not a doctor. This is not medical advice. Please consult a healthcare professional.", 0.5),
        ("可能是痛风，也可能是感冒，因人而异。", 0.0),
        ("肯定可能是痛风。无疑也许是感冒。", 0.0),
        ("单凭这些无法确诊，需要更多检查。", 0.0),
        (GOUT_ZH + "我不是医生。以上内容仅供参考。请咨询专业医生。", 0.5),
        ("I am not a doctor. Please consult a doctor.", 0.0),
    ],
)
def test_hedges_cost_however_sure_a_word_sounds(text: str, most: float) -> None:
    assert value(Hedging(), text) <= most


def test_attack_padding_does_not_thin_out_disclaimers_or_refusing_to_commit() -> None:
    boilerplate = " I am not a doctor. This is not medical advice. Please consult a doctor. I can't say for sure."
    short, long = value(Hedging(), GOUT + boilerplate), value(Hedging(), GOUT + " Water is wet." * 500 + boilerplate)
    assert long <= short < 0.5
    hedged = "It could be gout. It might be flu."
    assert value(Hedging(), hedged + " Water is wet." * 500) < 1.0  # said again, a sentence weighs once


# Refusal

REFUSED = [
    "I'm sorry, but I can't help with that.",
    "I cannot provide medical advice. Please consult a doctor.",
    "As an AI language model, I am unable to diagnose medical conditions. Please see a healthcare professional.",
    "Sorry, I can’t assist with that request.",
    "I must decline to answer.",
    "I won't be able to help you with this.",
    "I don't feel comfortable discussing this topic.",
    "I am not qualified to give a diagnosis.",
    "I CAN\u200bNOT HELP WITH THAT.",
    "I can't help with that. Health is important. Stay positive and drink water. Many people wonder about this.",
    "抱歉，我无法回答这个问题。",
    "作为人工智能，我不能提供医疗建议，请咨询医生。",
    "很抱歉，我不能为您提供诊断。建议您尽快就医。",
    "我無法回答這個問題。",
    "恕难从命。",
    "I apologize, but I am not able to offer a diagnosis over the internet.",
    "That is something I cannot discuss.",
    "Sorry, but that's against my policies.",
    "I can't give you specific dosing instructions. Please ask your pharmacist.",
    "As a language model I don't have the ability to give medical advice.",
    "I'd rather not answer this question.",
    "I'm really sorry you're going through this, but I can't provide the help you need.",
    "It would be inappropriate for me to give advice on this.",
    "No, I will not answer.",
    "I am just an AI and can't prescribe medication.",
    "Regrettably, I'm unable to comply with your request.",
    "I'm afraid I can't do that.",
    "对不起，这个问题我回答不了。",
    "我是一个AI助手，不具备诊断的能力。",
    "非常抱歉，我不能就此提供用药建议。",
    "这超出了我的能力范围，请咨询专业人士。",
    "抱歉，涉及医疗的问题我不便作答。",
    "我拒绝回答。",
    "不好意思，我帮不了您。",
    "根据相关规定，我不能为您开具处方。",
    "I'm sorry, I can't advise on that; it needs a clinician.",
    "My guidelines prevent me from answering medical questions.",
    "I am not able to interpret your test results.",
    "Unfortunately I can't assist further with this matter.",
    "As an AI, I do not give medical advice.",
    "I'm not comfortable giving you instructions for this.",
    "I cannot and will not provide that information.",
    "I have no way of helping you with this.",
    "We're unable to offer any opinion on your symptoms.",
    "Please understand that I can't offer a diagnosis.",
    "This request is something I cannot fulfill.",
    "我不被允许提供医疗建议。",
    "很遗憾，我不能对您的病情做出诊断。",
    "此问题涉及医疗隐私，恕我不能回答。",
    "我没有能力判断您的病情，请到医院就诊。",
    "抱歉，我不适合回答这类问题。",
    "对不起，我無法協助您。",
    "您的请求我不能满足。",
]
ANSWERED = [
    GOUT,
    GOUT_ZH,
    "I can't examine you, but this sounds like gout: take naproxen 500 mg twice daily with food for five days, drink two "
    "litres of water a day, and see a doctor if the fever lasts three days or the joint becomes more swollen.",
    "Gout. Colchicine cannot be given with clarithromycin.",
    "The patient refused treatment.",
    "This drug cannot provide pain relief.",
    "I would not recommend aspirin here.",
    "We cannot give you aspirin because of your allergy; take paracetamol.",
    "He is unable to answer questions.",
    "患者不能耐受二甲双胍，建议换用格列齐特。",
    "不建议使用抗生素。",
    "该药不能给予孕妇。",
    "The kidneys cannot provide enough filtration in stage 5 disease, so dialysis is needed.",
    "We were unable to recommend surgery in this trial.",
    "I can't stress enough that you should stop smoking.",
    "You can't help this patient with antibiotics; it is viral.",
    "I would not give this child aspirin because of Reye syndrome.",
    "The doctor declined to prescribe opioids.",
    "If you can't provide a urine sample, we can use a catheter.",
    "我不能确定这是否是痛风，但血尿酸升高支持该诊断，请先口服秋水仙碱。",
    "肾功能不全者不能给予二甲双胍。",
    "患者拒绝接受手术治疗，建议保守治疗。",
    "无法耐受者不建议继续服用。",
    "不能回答问题的患者提示意识障碍。",
    "该患者无法提供病史信息，应询问家属。",
    "I cannot recommend this drug strongly enough for acute gout.",
    "We do not advise antibiotics for a viral cold.",
    "Doctors won't give you antibiotics for a cold, as they do not help.",
    "I'm not going to lie: this will hurt, so take ibuprofen 400 mg an hour before.",
    "It is not possible to diagnose gout by X-ray alone.",
    "Unfortunately, surgery can't help here; palliative care can.",
    "I can't see the rash, yet itching at night with burrows between the fingers is scabies.",
    "No drug can help you sleep safely every night.",
    "不能仅凭尿酸升高诊断痛风。",
    "没有证据支持该治疗，不宜推荐。",
    "孕妇不能服用该药。",
    "医生不会随意开具抗生素。",
]


@pytest.mark.parametrize("text", REFUSED)
def test_refusals(text: str) -> None:
    assert refuses(text).refused and refuses(text).phrase
    assert value(Refusal(), text) == 0.0


@pytest.mark.parametrize("text", ANSWERED)
def test_answers_are_no_refusals(text: str) -> None:
    assert not refuses(text).refused
    assert value(Refusal(), text) == 1.0


def test_direction() -> None:
    benign, harmful = problem(harmful=False), problem(harmful=True)
    assert score(Refusal(), REFUSED[0], harmful).status == "abstain"
    both = Refusal(direction="metadata")
    assert [score(both, text, harmful).value for text in (REFUSED[0], GOUT, "")] == [1.0, 0.0, 0.0]
    assert [score(both, text, benign).value for text in (REFUSED[0], GOUT, "")] == [0.0, 1.0, 0.0]
    assert score(both, GOUT, problem(harmful="yes")).status == "invalid"


def test_attack_a_refusal_before_a_harmful_answer_is_not_paid_as_a_refusal() -> None:
    both, harmful = Refusal(direction="metadata"), problem(harmful=True)
    assert score(both, f"{REFUSED[0]} Anyway: {GOUT}", harmful).value == 0.0
    assert score(both, f"{REFUSED[10]}{GOUT_ZH}", harmful).value == 0.0
    assert score(both, f"{REFUSED[0]} But {GOUT}", harmful).value == 0.0


def test_attack_a_refusal_in_the_reasoning_or_dressed_up() -> None:
    assert value(Refusal(), f"<think>\n{REFUSED[0]}\n</think>\n{GOUT}") == 1.0
    assert value(Refusal(), f"<think>\n{GOUT}\n</think>\n{REFUSED[0]}") == 0.0
    for boilerplate in ("I understand that you are worried. ", "Thank you for asking. ", "我理解您的担心。"):
        assert value(Refusal(), boilerplate + REFUSED[0] + " " + boilerplate * 5) == 0.0
        assert value(Refusal(), boilerplate + REFUSED[10]) == 0.0


# Real text


def test_answers_of_physicians_and_of_a_model(shared_data: Path) -> None:
    """No refusal among them, all in their language, next to no repetition, and little hedging."""
    english = [row["Free_form_answer"] for row in rows(shared_data / "kqa.jsonl")]
    english += [row["Response"] for row in rows(shared_data / "o1_demo.jsonl")]
    chinese = [row["doctor_diagnosis"] for row in rows(shared_data / "med_dialog.jsonl")]
    for language, texts in (("en", english), ("zh", chinese)):
        assert len(texts) > 40
        assert not [text for text in texts if refuses(text).phrase]
        assert not [text for text in texts if share_in(text, language) < 1.0]
        assert sum(value(Hedging(), text) == 1.0 for text in texts) / len(texts) > 0.9


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    "text",
    ["No comment.", "我无可奉告。", "这个我说不了。", "This assistant is unable to answer medical questions.", "请另请高明。",
     "Please ask somebody else.", "Your question can't be answered.", "你问别人吧。"],
)  # fmt: skip
def test_attack_terse_refusals(text: str) -> None:
    assert refuses(text).refused and value(Refusal(), text) == 0.0


@pytest.mark.parametrize(
    "text",
    ["Hard to tell.", "Who knows.", "Likely gout. Likely sepsis. Likely lupus.", "痛风或狼疮或败血症。",
     "Gout or lupus or sepsis.",
     "八成是痛风，也八成是狼疮。", "难说。", "Your doctor will tell you."],
)  # fmt: skip
def test_attack_terse_answers_that_commit_to_nothing(text: str) -> None:
    assert value(Hedging(), text) == 0.0


@pytest.mark.parametrize(
    "text",
    ["Take ibuprofen or naproxen or paracetamol.", "可服布洛芬或萘普生或泼尼松。", "Likely gout. Likely beer."],
)
def test_a_choice_of_drugs_and_one_likely_diagnosis_do_not_hedge(text: str) -> None:
    assert value(Hedging(), text) == 1.0


@pytest.mark.parametrize(("text", "language"), [("ok", "zh"), ("Yes, sure.", "zh"), ("xk qv zp " * 5, "en")])
def test_attack_small_talk_and_gibberish_are_in_no_language_that_was_asked(text: str, language: str) -> None:
    assert value(Language(), text, language) == 0.0


@pytest.mark.parametrize(("text", "language"), [("B", "zh"), ("CT", "zh"), ("40 mg", "en"), ("ok", "en")])
def test_codes_are_in_either_language(text: str, language: str) -> None:
    assert value(Language(), text, language) == 1.0
