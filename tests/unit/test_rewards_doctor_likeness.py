"""Doctor-likeness: what each feature sees, what gate and veto stop, and that no trick pays more than a sound reply."""

import json
import pickle
import time
from pathlib import Path

import pytest

from medrl import cli
from medrl.commands import doctor_attacks
from medrl.commands.doctor_likeness import clinic_replies, length_matched, measure, rank_correlation
from medrl.data.clinic.dialogues import generate_flawed
from medrl.data.replies import LabelledReply
from medrl.errors import DataError, MissingFile, RecipeError
from medrl.rewards import DoctorLikeness, build, check, doctor_model
from medrl.rewards.consultation import read_consultation, topics_asked
from medrl.rewards.consultation_lexicon import lexicon
from medrl.rewards.doctor_features import FEATURES, Reading, read_reply
from medrl.rewards.logistic import auc, fit, platt, sigmoid
from medrl.rewards.prescribing import RENAL, unasked
from medrl.types import Group, Problem, Response, Score, ask

WORDS = lexicon("clinic")
LEAF = DoctorLikeness(vocabulary="clinic")
COUGH = ("I have a productive cough and fever.",)
READY = (
    "I'm a 34-year-old woman with fever, a productive cough and pleuritic chest pain for three days.",
    "Are you pregnant? Any allergies, kidney disease, medication?",
    "No, not pregnant, no allergies, kidneys are fine, no medication.",
)
ZH = (
    "我咳痰、发热三天了，胸膜性胸痛，女，34岁。",
    "怀孕吗？过敏吗？肾好吗？在吃什么药？",
    "没怀孕，不过敏，肾没问题，没吃药。",
)
GOOD = (
    "This is community-acquired pneumonia. Take amoxicillin 500 mg three times daily. "
    "Come back in 3 days if there is hemoptysis."
)


def dialogue(*texts: str) -> Problem:
    roles = ("user", "assistant")
    return Problem(
        "p", tuple({"role": roles[i % 2], "content": text} for i, text in enumerate(texts)), None, "dialogue"
    )


def read(reply: str, *history: str) -> Reading:
    return read_reply(reply, read_consultation(dialogue(*history).messages, WORDS), WORDS)


def score(reply: str, *history: str, leaf: DoctorLikeness = LEAF) -> Score:
    return leaf.score_sync([Group(dialogue(*history), (Response(reply),))])[0][0]


def value(reply: str, *history: str) -> float:
    found = score(reply, *history)
    assert found.value is not None and found.status == "ok"
    return found.value


# Features


@pytest.mark.parametrize(
    ("reply", "history", "name", "low", "high"),
    [
        ("How long has it been? Any pleuritic chest pain?", COUGH, "asks_missing", 0.8, 0.9),
        ("多久了，有寒战吗", ("我咳痰发热",), "asks_missing", 0.8, 0.9),
        ("Any rigors? Any pleuritic chest pain?", COUGH, "asks_missing", 1, 1),
        ("Do you have a fever?", COUGH, "asks_missing", 0, 0),  # it was told
        ("Do you have a fever?", COUGH, "asks_known", 0.3, 1),
        ("Any allergies?", ("I cough.", "Any allergies?", "I forgot to say it hurts."), "asks_missing", 0, 0),  # twice
        ("Are you pregnant?", ("I'm a man of 30 with a cough.",), "asks_missing", 0, 0),
        ("Do you have a breast lump? Any vaginal bleeding?", COUGH, "asks_missing", 0, 0),  # fits nothing
        ("??? ？？？", COUGH, "asks_missing", 0, 0),
        ("Would you like to know more?", COUGH, "asks_nothing", 0.5, 1),
        ("Age? Sex? Allergies? Kidneys? Medication? How long? Where? How bad?", COUGH, "asks_missing", 0, 0.01),
        (GOOD, READY, "commits", 0.9, 1),
        ("考虑社区获得性肺炎。", ZH, "commits", 0.9, 1),
        ("This is community-acquired pneumonia.", COUGH, "commits", 0, 0),
        ("This is community-acquired pneumonia.", COUGH, "premature", 1, 1),
        ("This is acute gout.", READY, "commits", 0, 0),
        ("It could be community-acquired pneumonia.", READY, "commits", 0, 0),
        ("It could be community-acquired pneumonia.", READY, "hedges", 0.3, 1),
        ("It is not community-acquired pneumonia.", READY, "commits", 0, 0),
        ("Is it community-acquired pneumonia?", READY, "commits", 0, 0),
        (GOOD, READY, "treats", 1, 1),
        ("考虑社区获得性肺炎。吃阿莫西林，每次500 mg，每日三次。", ZH, "treats", 1, 1),
        ("吃阿莫西林，每次500 mg，每日三次。", ZH, "treats", 0.3, 0.3),  # for what?
        ("咳痰、发热，基本可以定社区获得性肺炎。", ZH, "commits", 0.9, 1),  # no cue, but the findings speak for it
        ("如果是社区获得性肺炎就麻烦了。", ZH, "commits", 0, 0),
        ("Avoid amoxicillin.", READY, "treats", 0, 0),
        ("Get a chest X-ray.", READY, "orders", 1, 1),
        (GOOD, READY, "specific", 1, 1),
        ("Come back if anything worries you.", READY, "specific", 0, 0),
        ("Please see a doctor, rest well and drink plenty of water.", COUGH, "generic", 0.6, 1),
        ("I'm not a doctor and cannot diagnose.", COUGH, "disclaims", 0.5, 1),
        ("作为人工智能助手，以上仅供参考。", ("我咳嗽",), "disclaims", 0.5, 1),
        ("Thank you for sharing. I understand your concern.", COUGH, "courtesy", 0.6, 1),
        ("You have fever and a productive cough.", COUGH, "restates", 0.5, 1),
        ("- a\n- b\n- c\n- d\n- e\n- f", COUGH, "lists", 1, 1),
        ("**A** **B** **C**", COUGH, "markup", 1, 1),
    ],
)  # fmt: skip
def test_features(reply: str, history: tuple[str, ...], name: str, low: float, high: float) -> None:
    assert low <= read(reply, *history).features[name] <= high


def test_every_feature_is_a_share_and_documented() -> None:
    for one in clinic_replies(20):
        found = read_reply(one.text, read_consultation(one.problem.messages, WORDS), WORDS)
        assert list(found.features) == list(FEATURES)
        assert all(0.0 <= x <= 1.0 for x in found.features.values()) and 0.0 <= found.content <= 1.0
    assert all(one.about and one.sign in (-1, 1) for one in FEATURES.values())


def test_what_a_patient_answers_is_known() -> None:
    before = read_consultation(
        dialogue("My chest hurts.", "How old are you? Do you have a fever?", "35, and yes.").messages, WORDS
    )
    assert before.age == 35 and "age" in before.told
    for text, age in (("Yes, a lot of it. 85 last month.", 85), ("3 days.", None)):
        assert read_consultation(dialogue("I ache.", "What is your age?", text).messages, WORDS).age == age
    assert read_consultation(dialogue("I ache.", "How old is your dog?", "5").messages, WORDS).age is None
    before = read_consultation(dialogue("我胸痛", "发热吗？", "有").messages, WORDS)
    assert "fever" in before.positives
    before = read_consultation(dialogue("I have no fever but a productive cough.").messages, WORDS)
    assert "fever" not in before.positives and "productive_cough" in before.positives


# Gate and veto


@pytest.mark.parametrize("text", [*doctor_attacks.TERSE, "See a doctor.", "I am a doctor.", "a" * 50, "发" * 900])
def test_a_reply_without_content_is_worth_nothing(text: str) -> None:
    for history in (COUGH, READY, ZH):
        assert value(text, *history) == 0.0


def test_a_drug_before_the_questions_is_vetoed_and_after_them_is_not() -> None:
    early = score(GOOD, READY[0])
    assert early.value == -1.0 and "vetoed" in early.reason
    assert "allergies" in early.reason and "pregnancy" in early.reason and "the age" not in early.reason
    assert value(GOOD, *READY) > 0.9
    assert value("考虑社区获得性肺炎。吃阿莫西林，每次500 mg，每日三次。", *ZH) > 0.9
    assert value("这是社区获得性肺炎。吃阿莫西林500 mg，每日三次。", ZH[0]) == -1.0


@pytest.mark.parametrize(
    "reply",
    [
        "Any rigors? Amoxicillin 500 mg three times daily, all right?",
        "Any rigors? You might try amoxicillin.",
        "Any rigors? One could take amoxicillin 500 mg three times daily.",
        "Any rigors? Take Foobarol 500 mg three times daily.",
        "有寒战吗？可能吃点阿莫西林会好。",
        "有寒战吗？吃阿莫西林500 mg，每日三次，好吗？",
        "If you are not allergic, take amoxicillin 500 mg three times daily. Any rigors?",
    ],
)
def test_a_drug_is_given_however_it_is_said(reply: str) -> None:
    history = ("我咳痰发热三天了。",) if "吃" in reply else COUGH
    found = score(reply, *history)
    assert found.value == -1.0 and "vetoed" in found.reason


def test_a_question_about_a_drug_gives_none() -> None:
    assert value("Are you taking any medication, such as prednisolone 40 mg? Any rigors?", *COUGH) > 0.5


@pytest.mark.parametrize(
    ("history", "drug", "missed"),
    [
        (("I'm a 70-year-old man with allergies to nothing, on no medication.",), "metformin", ("renal",)),
        (("I'm a 70-year-old woman, no allergies, no medication, kidneys fine.",), "metformin", ()),
        (("I'm a 30-year-old woman, no allergies, no medication, kidneys fine.",), "metformin", ("pregnancy",)),
        (("I'm a 30-year-old man, no allergies, no medication.",), "permethrin", ()),  # skin only
        (("I'm a 30-year-old man, no allergies, no medication.",), "a drug of no table", ("renal",)),
        (("Bee sting, I can't breathe!",), "epinephrine", ()),  # minutes count
        (("I cough.",), "amoxicillin", ("age", "pregnancy", "allergy", "renal", "drugs")),
    ],
)
def test_which_questions_a_drug_needs(history: tuple[str, ...], drug: str, missed: tuple[str, ...]) -> None:
    assert unasked([drug], read_consultation(dialogue(*history).messages, WORDS), WORDS) == missed


def test_renally_cleared_drugs_are_drugs_of_the_tables() -> None:
    assert set(WORDS.world.drugs) >= RENAL


def test_flawed_replies_of_the_clinic_are_worth_nothing_and_sound_ones_are_not() -> None:
    vetoed = 0
    for one in generate_flawed(split="held_out", count=100):
        found = LEAF.score_sync([Group(one.problem, (Response(one.text),))])[0][0]
        if one.flaw in ("asks nothing", "terse"):
            assert found.value == 0.0, one.text
        if one.flaw == "unsafe":
            forms = [form for drug in WORDS.world.drugs.values() for form in drug.forms(one.problem.language)]
            gives = any(form.casefold() in one.text.casefold() for form in forms if len(form) > 2)
            vetoed += gives
            assert not gives or "vetoed" in found.reason, (one.text, found.reason)
    assert vetoed >= 5


def test_problems_that_are_no_consultation_have_no_number() -> None:
    problems = [
        Problem("open", ask("What is the diagnosis?"), "asthma"),
        Problem("silent", ({"role": "user", "content": "..."},), None, "dialogue"),
        Problem("picture", ({"role": "user", "content": [{"type": "image", "path": "x.png"}]},), None, "dialogue"),
        Problem("russian", ({"role": "user", "content": "у меня болит голова и температура"},), None, "dialogue"),
    ]
    for problem in problems:
        found = LEAF.score_sync([Group(problem, (Response("ok."),))])[0][0]
        assert (found.value, found.status) == (None, "abstain") and found.reason
    assert (
        DoctorLikeness(vocabulary="clinic", kinds=("open",))
        .score_sync([Group(problems[0], (Response("ok"),))])[0][0]
        .value
        == 0.0
    )
    aborted = LEAF.score_sync([Group(dialogue(*COUGH), (Response("x", finish_reason="abort"),))])[0][0]
    assert (aborted.value, aborted.status) == (None, "error")
    cut = LEAF.score_sync([Group(dialogue(*READY), (Response(GOOD, finish_reason="length"),))])[0][0]
    assert cut.value == 0.0


def test_only_the_visible_reply_counts_and_every_turn_of_the_policy() -> None:
    hidden = f"<think>\n{GOOD}\n</think>\n\nok."
    assert value(hidden, *READY) == 0.0
    assert value(f"<think>\nthanks\n</think>\n\n{GOOD}", *READY) == value(GOOD, *READY)
    turns = [
        {"role": "assistant", "content": "How long has it been? Any pleuritic chest pain?"},
        {"role": "user", "content": "Yes, 3 days."},
    ]
    first = value(str(turns[0]["content"]), *COUGH)
    for last, expected in (("ok.", first / 2), ("Take amoxicillin 500 mg three times daily.", -1.0)):
        episode = Response(last, (*turns, {"role": "assistant", "content": last}))
        found = LEAF.score_sync([Group(dialogue(*COUGH), (episode,))])[0][0]
        assert found.value == pytest.approx(expected), found.reason


def test_the_part_tells_every_feature() -> None:
    verdict = score(GOOD, *READY).parts["doctor_likeness"].verdict
    assert verdict is not None and set(FEATURES) <= set(verdict.parts)
    assert verdict.parts["probability"] == pytest.approx(doctor_model.load().probability(verdict.parts))


# Length and attacks


def test_cutting_or_padding_a_sound_reply_does_not_raise_its_reward() -> None:
    sound = [one for one in generate_flawed(split="held_out", count=60) if not one.flaw]
    fillers = {
        "en": " That is how it goes, as people say. We shall see what time brings, no doubt.",
        "zh": "情况大概就是这样子，慢慢来，日子还长。",
    }
    cut, padded = [], []
    for one in sound:
        texts = [one.text, one.text[: len(one.text) // 2], one.text + fillers[one.problem.language] * 4]
        rows = LEAF.score_sync([Group(one.problem, tuple(map(Response, texts)))])[0]
        whole, half, more = (found.value or 0.0 for found in rows)
        cut.append(half - whole)
        padded.append(more - whole)
    assert sum(cut) / len(cut) < -0.1
    assert max(padded) <= 1e-12


def test_no_attack_earns_more_than_a_sound_reply() -> None:
    attacked = doctor_attacks.measure(LEAF, doctor_attacks.default_replies(4))
    assert attacked.report["n_paid"] == 0, attacked.report["by_attack"]
    assert attacked.report["unscored"] == 0 and attacked.report["n"] > 500
    assert attacked.report["sound_reply"] > 0.6 > 20 * attacked.report["mean"]
    assert set(attacked.report["by_attack"]) == set(doctor_attacks.ATTACKS)


@pytest.mark.parametrize("text", doctor_attacks.OF_OTHERS)
def test_questions_about_others_are_worth_nothing_and_lift_no_veto(text: str) -> None:
    for history in (COUGH, READY[:1], ZH[:1]):
        assert value(text, *history) == 0.0, history
    before = read_consultation(dialogue(ZH[0], text, "不知道。").messages, WORDS)
    assert not before.asked & {"age", "allergy", "drugs"}


@pytest.mark.parametrize(
    ("reply", "history", "topic"),
    [
        ("How old is your son?", ("My son has a fever.",), "age"),
        ("宝宝几岁了？", ("孩子发烧两天了。",), "age"),
        ("Are you allergic to your cat?", COUGH, "allergy"),
        ("Since when have you been bitten by your dog?", COUGH, "onset"),
        ("Did your mother or father have this?", COUGH, "family"),
    ],
)
def test_the_patient_may_be_a_relative_and_meets_animals(reply: str, history: tuple[str, ...], topic: str) -> None:
    assert topic in topics_asked(WORDS.sentences(reply), history)
    assert read(reply, *history).features["asks_missing"] > 0


def test_questions_that_are_the_same_for_every_patient_earn_clearly_less_than_replies_that_fit() -> None:
    earned = doctor_attacks.constant_rewards(LEAF, doctor_attacks.default_replies(100))
    sound = earned.pop("sound")
    assert len(earned) == 18 and sound > 0.6
    assert max(earned.values()) < 0.6 * sound, earned


def test_a_veto_is_danger_that_no_sum_outweighs() -> None:
    summed = {"type": "weighted_sum", "parts": ["doctor_likeness", "truncation"], "weights": [0.5, 0.5]}
    assert any("may outweigh the danger that 'doctor_likeness' tells" in fault for fault in check(summed))
    guard = {"type": "doctor_likeness", "name": "guard"}
    tree = build({"type": "veto", "unless": guard, "then": summed})
    assert tree.score_sync([Group(dialogue(READY[0]), (Response(GOOD),))])[0][0].value == -1.0


def test_an_attack_that_pays_is_found() -> None:
    lazy = DoctorLikeness(vocabulary="clinic") * 1.0
    doctors = doctor_attacks.default_replies(2)
    gullible = [LabelledReply(one.problem, "ok.", True) for one in doctors]  # a baseline worth nothing
    report = doctor_attacks.measure(lazy, gullible).report
    assert report["n_paid"] > 0


def test_hostile_texts_take_linear_time() -> None:
    for piece in ("?", "a ", "发", "1. \n", "take 500 mg ", "if fever ", "有没有", "fever, ", "is it 。"):
        seconds = []
        for size in (10_000, 20_000):
            start = time.perf_counter()
            value((piece * size)[:size], *READY)
            seconds.append(time.perf_counter() - start)
        assert seconds[1] < 1.0 or seconds[1] < 4 * seconds[0], piece


# The learned part


def test_figures_on_held_out_replies() -> None:
    report = measure(LEAF, clinic_replies(80)).report
    assert report["auc"] >= 0.95
    assert report["auc_length_matched"] >= 0.80
    assert report["length_matched_pairs"] == 80 and report["unscored"] == 0
    assert report["length_correlation_doctor"] > 0, "among doctors the longer reply is not worth less"


def test_a_model_learns_the_same_twice_and_reads_back(tmp_path: Path) -> None:
    sizes = {"replies": 20, "matched": 10, "flawed": 10, "calibration": 10}
    model = doctor_model.train(seed=5, sizes=sizes)
    assert doctor_model.train(seed=5, sizes=sizes) == model
    path = tmp_path / "model.json"
    path.write_text(doctor_model.dump(model), encoding="utf-8")
    assert doctor_model.load(str(path)) == model
    assert all(weight * FEATURES[name].sign >= 0 for name, weight in model.weights.items())


@pytest.mark.slow
def test_training_again_gives_the_shipped_model(repository: Path) -> None:
    assert doctor_model.dump(doctor_model.train()) == (repository / "rewards" / doctor_model.SHIPPED).read_text(
        encoding="utf-8"
    )


def test_the_shipped_model_is_small_and_was_learned_from_these_tables() -> None:
    assert doctor_model.load().data["world"] == WORDS.world.fingerprint, "train it anew: make doctor-model"
    assert len(doctor_model.dump(doctor_model.load())) < 10_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format is 2"),
        ({"bias": "x"}, "not a finite number"),
        ({"bias": 1.25}, "changed by hand"),
        ({"features": []}, "features are not those"),
        ({"calibration": {"slope": -1.0, "offset": 0.0}}, "turns the order round"),
    ],
)
def test_a_model_that_was_meddled_with_is_refused(change: dict[str, object], message: str) -> None:
    text = json.dumps({**doctor_model.load().to_json(), **change})
    with pytest.raises(DataError, match=message):
        doctor_model.read(text, "model.json")


def test_wrong_signs_and_strange_files_are_refused(tmp_path: Path) -> None:
    row = doctor_model.load().to_json()
    row["weights"]["idle"] = 2.0
    with pytest.raises(DataError, match="'idle' has the wrong sign"):
        doctor_model.read(json.dumps(row), "model.json")
    with pytest.raises(DataError, match="no model"):
        doctor_model.read("[]", "model.json")
    with pytest.raises(MissingFile, match="--train"):
        doctor_model.load(str(tmp_path / "none.json"))


def test_regression_against_the_closed_form() -> None:
    # One feature, 3 of 4 right where it is 1, 1 of 4 where it is 0: logits -log 3 and +log 3, without a penalty.
    rows = [[x] for x in (0.0, 1.0) for _ in range(4)]
    weights, bias = fit(rows, [True, False, False, False, True, True, True, False], [0], l2=1e-9)
    assert bias == pytest.approx(-1.0986, abs=1e-3) and weights[0] == pytest.approx(2.1972, abs=1e-3)
    assert fit(rows, [True, False, False, False, True, True, True, False], [-1], l2=1e-3)[0] == [0.0]
    silent, _ = fit([[0.0], [0.0]], [True, False], [-1], prior=1.0)
    assert silent == [-1.0], "what the rows do not speak of keeps its prior"
    slope, offset = platt([-2.0, -1.0, 1.0, 2.0], [False, True, False, True])
    assert slope > 0 and sigmoid(offset) == pytest.approx(0.5, abs=1e-6)
    assert sigmoid(-1000.0) == 0.0 and sigmoid(1000.0) == 1.0


def test_auc_and_rank_correlation_by_hand() -> None:
    assert auc([1, 2, 3, 4], [False, True, False, True]) == 0.75
    assert auc([1, 1], [False, True]) == 0.5 and auc([1, 2], [True, True]) is None
    assert rank_correlation([(1, 10), (2, 20), (3, 30)]) == pytest.approx(1.0)
    assert rank_correlation([(1, 3), (2, 2), (3, 1)]) == pytest.approx(-1.0)
    assert rank_correlation([(1, 1), (2, 1), (3, 1)]) is None


def test_lengths_are_matched_where_no_pairs_were_made() -> None:
    problem = dialogue(*COUGH)
    made = [
        LabelledReply(problem, "x" * n, doctor)
        for doctor, n in ((True, 100), (True, 300), (False, 105), (False, 500), (False, 290))
    ]
    found = length_matched([(one, 0.0) for one in made])
    assert [one.length for one, _ in found] == [100, 105, 300, 290]


# As a part of recipes and the command line


def test_it_is_built_by_name_and_travels() -> None:
    config = {"type": "doctor_likeness", "vocabulary": "clinic", "enough_findings": 2}
    leaf = build(config)
    assert leaf.to_config() == {
        **config,
        "model": "",
        "kinds": ["dialogue"],
        "format": "auto",
        "name": "doctor_likeness",
    }
    assert build(leaf.to_config()) == leaf == pickle.loads(pickle.dumps(leaf))
    with pytest.raises(RecipeError, match="enough_findings"):
        build({**config, "enough_findings": 0, "kinds": ["talk"], "format": "o2"})
    with pytest.raises(RecipeError, match="there is no model"):
        build({**config, "model": "nowhere.json"})


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [one.to_json() for one in clinic_replies(6)]
    file, out, reward = tmp_path / "replies.jsonl", tmp_path / "out.json", tmp_path / "reward.yaml"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert cli.main(["doctor-likeness", str(file), "--vocabulary", "clinic", "--json", str(out)]) == 0
    printed, report = capsys.readouterr().out, json.loads(out.read_text(encoding="utf-8"))
    assert "AUC" in printed and "asks_missing" in printed and "doctor" in printed
    assert report["replies"] == 24 and set(report["by_source"]) == {"doctor", "assistant"}
    reward.write_text("type: doctor_likeness\nvocabulary: clinic\n", encoding="utf-8")
    assert cli.main(["attack", str(reward), "--count", "1", "--json", str(out)]) == 0
    assert "earned more than the sound reply" in capsys.readouterr().out
    assert json.loads(out.read_text(encoding="utf-8"))["problems"] == 1
    assert cli.main(["doctor-likeness", str(tmp_path / "none.jsonl")]) == 2
    assert cli.main(["doctor-likeness", str(file), "--train", str(out)]) == 2
    assert cli.main(["doctor-likeness", "--limit", "0"]) == 2
